"""Profiles and parameters are checked before anything runs."""

import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from commands import TIMEOUT
from nbformat.v4 import new_code_cell, new_notebook

from replication.baseline import white_noise
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.report import profiles
from replication.report.profiles import PROFILES, SETTINGS, checked, profile_settings, run_settings
from replication.report.runner import run_notebooks

PARAMETERS = {"content": "chelsea", "size": None, "iterations": None, "tv_strength": {"relu2_2": 1e-5}, "seed": 0}

WRONG = [
    ("01_feature_inversion", {"iterations": 0}, "iterations must be a whole number of iterations, at least 1; got 0"),
    ("01_feature_inversion", {"iterations": 1.5}, "iterations must be a whole number"),
    ("01_feature_inversion", {"iterations": "1e3"}, "iterations must be a whole number .*; got 1000.0, write 1000"),
    ("01_feature_inversion", {"iterations": True}, "iterations must be a whole number .*; got True"),
    ("01_feature_inversion", {"size": 40}, "size must be a whole number of pixels, at least 44; got 40"),
    ("01_feature_inversion", {"seed": None}, "seed must have a value; got None"),
    ("01_feature_inversion", {"seed": "None"}, "seed must have a value; got None"),
    ("01_feature_inversion", {"seed": -1}, "seed must be a whole number, at least 0"),
    ("01_feature_inversion", {"content": 5}, "content must be a name or a path; got 5"),
    ("01_feature_inversion", {"content": "nobody"}, "there is no image 'nobody': give a path or one of"),
    ("01_feature_inversion", {"tv_strength": {"relu9_9": 1}}, "there is no layer 'relu9_9'; give some of relu1_1, "),
    ("01_feature_inversion", {"tv_strength": {"relu2_2": -1}}, "each of tv_strength must be a finite .*; got -1"),
    ("01_feature_inversion", {"tv_strength": {"relu2_2": float("nan")}}, "each of tv_strength must be a .*; got nan"),
    (
        "01_feature_inversion",
        {"tv_strength": 1e-5},
        "tv_strength must be a dictionary by layer, each value a finite",
    ),
    (
        "06_objective",
        {"sizes": [256, 512], "counts": None},
        r"counts must have one value for each of sizes, \[256, 512\]; got \[4\]",
    ),
    ("02_style_reconstruction", {"style": "monet"}, "there is no image 'monet': give a path or one of"),
    ("03_gatys_baseline", {"contents": "chelsea"}, "contents must be a list, each value a name or a path; got 'ch"),
    ("03_gatys_baseline", {"contents": ["chelsea", "cat"]}, "there is no image 'cat'"),
    ("03_gatys_baseline", {"contents": ["chelsea", 7]}, "each of contents must be a name or a path; got 7"),
    ("03_gatys_baseline", {"styles": ["poppies", "poppies"]}, "styles must name each value once"),
    ("04_style_training", {"style": "monet"}, "there is no style 'monet'"),
    ("04_style_training", {"seeds": [0, -1]}, "each of seeds must be a whole number, at least 0"),
    ("05_style_transfer", {"styles": ["great_wave", "monet"]}, "there is no style 'monet': give a .safetensors file"),
    ("06_objective", {"style": "mine.safetensors"}, "mine.safetensors does not exist"),
    ("06_objective", {"sizes": 256}, "sizes must be a list, each value a whole number of pixels, at least 44; got 256"),
    ("06_objective", {"sizes": []}, r"sizes must be a list, each value .*; got \[\]"),
    ("06_objective", {"sizes": [256, 0]}, "each of sizes must be a whole number of pixels, at least 44; got 0"),
    ("06_objective", {"sizes": [64, 64]}, r"sizes must name each value once; got \[64, 64\]"),
    ("06_objective", {"counts": [4, 0]}, "each of counts must be a whole number of images, at least 1; got 0"),
    ("06_objective", {"precision": "half"}, "precision must be float32 or bfloat16 or fast; got 'half'"),
    ("07_speed", {"precisions": ["float32", "tf32"]}, "each of precisions must be float32 or bfloat16 or fast"),
    ("09_super_resolution", {"sets": "['urban100']"}, "there is no set 'urban100'; give some of set5, set14, bsd100"),
]


def test_the_paper_profile_has_the_papers_settings():
    paper = {name[:2]: profile_settings(name, "paper") for name in SETTINGS}
    assert paper["01"] == paper["02"] == paper["03"] == {"size": 256, "iterations": 500}
    assert {"size": 256, "steps": 40_000, "warmup_share": 0.0, "norm": "batch"}.items() <= paper["04"].items()
    assert {"size": 256, "large": 512, "iterations": 500}.items() <= paper["05"].items()
    assert paper["06"] == {
        "sizes": [256, 512, 1024],
        "counts": [50, 50, 50],
        "iterations": 500,
        "large_iterations": 500,
    }
    assert paper["07"]["sizes"] == [256, 512, 1024]
    assert {"patch": 288, "steps": 200_000}.items() <= paper["08"].items()
    assert all(len(each) == len(PROFILES) for settings in SETTINGS.values() for each in settings.values())


def test_without_its_parameters_a_notebook_does_not_start(monkeypatch):
    shell = SimpleNamespace(user_ns={"In": ["", "import torch"]})
    monkeypatch.setattr(profiles, "get_ipython", lambda: shell, raising=False)
    with pytest.raises(ReplicationError, match="run the cell of the parameters first, which sets `profile`"):
        profiles.start("01_feature_inversion")


def test_none_takes_the_profiles_value_and_a_value_overrides_it():
    run = run_settings("01_feature_inversion", "paper", **(PARAMETERS | {"iterations": 7}))
    assert (run.size, run.iterations, run.content, run.seed) == (256, 7, "chelsea", 0)


def test_text_is_read_as_the_value_that_it_spells():
    """As papermill's -r and -y, and a list on the command line, hand values over."""
    text = {"size": "64", "iterations": "None", "tv_strength": "{'relu2_2': 1e-5}", "seed": "3"}
    run = run_settings("01_feature_inversion", "smoke", **(PARAMETERS | text))
    assert (run.size, run.iterations, run.tv_strength, run.seed) == (64, 20, {"relu2_2": 1e-5}, 3)
    assert checked("05_style_transfer", "smoke", {"contents": "['chelsea', 'coffee']"})["contents"] == [
        "chelsea",
        "coffee",
    ]
    found = checked("06_objective", "smoke", {"sizes": "(64, 128)", "counts": "(2, 2)", "style": "great_wave"})
    assert found["sizes"] == [64, 128]


def test_there_are_no_more_baselines_than_paintings():
    """So that a figure is not judged as one of as many as were asked for."""
    found = checked(
        "05_style_transfer", "overnight", {"styles": ["great_wave"], "baselines": None, "large_baselines": 2}
    )
    assert (found["baselines"], found["large_baselines"]) == (1, 1)


@pytest.mark.parametrize(
    ("notebook", "profile", "message"),
    [
        ("01_feature_inversion", "fast", "unknown profile 'fast'; choose smoke, quick, overnight, paper"),
        ("99_nothing", "quick", "unknown notebook '99_nothing'; there are 01_feature_inversion"),
    ],
)
def test_an_unknown_notebook_or_profile_is_named(notebook, profile, message):
    with pytest.raises(ReplicationError, match=message):
        run_settings(notebook, profile, **PARAMETERS)


@pytest.mark.parametrize(("notebook", "wrong", "message"), WRONG)
def test_what_is_wrong_is_named_before_anything_is_computed(notebook, wrong, message):
    with pytest.raises(ReplicationError, match=message):
        checked(notebook, "quick", wrong)


def test_what_trains_a_style_is_a_painting_and_has_a_network(tmp_path):
    save_image(white_noise(64, 0), tmp_path / "mine.png")
    with pytest.raises(ReplicationError, match="mine.png is damaged or no network of this project"):
        checked("04_style_training", "quick", {"style": str(tmp_path / "mine.png")})


@pytest.mark.parametrize(
    ("only", "parameters", "message"),
    [
        (["05"], {"contents": "chelsea"}, "contents must be a list, each value a name or a path; got 'chelsea'"),
        (["01", "05"], {"size": "20"}, "size must be a whole number of pixels, at least 44; got 20"),
        (["01"], {"content": "cat"}, "there is no image 'cat'"),
        (["01"], {"profile": "paper"}, "profile is no parameter; give --profile paper"),
    ],
)
def test_figures_names_what_is_wrong_before_the_first_notebook(only, parameters, message, capsys):
    with pytest.raises(ReplicationError, match=message):
        run_notebooks("smoke", only, parameters)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_papermill_hands_over_lists_numbers_and_none_in_text_and_nothing_that_is_unknown(tmp_path):
    """By -p, -r and -y, to a notebook that only takes its settings."""
    names = ("styles", "contents", "size", "large", "iterations", "seed")
    parameters = "\n".join(['profile = "quick"', *(f"{name} = None" for name in names)])
    cells = [
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new_code_cell("from replication.report.profiles import start\nrun = start('05_style_transfer')"),
        new_code_cell("print(list(vars(run).values())[5:])"),
    ]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=spec), tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "profile", "smoke"]
    command += ["-p", "styles", "['poppies']", "-r", "contents", "['coffee', 'chelsea']", "-r", "size", "44"]
    command += ["-r", "large", "None", "-y", "{iterations: '7', seed: 3}"]
    result = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr
    (output,) = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    assert output.text == "[['poppies'], ['coffee', 'chelsea'], 44, 128, 7, 3]\n"
    result = subprocess.run([*command, "-p", "contet", "x"], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert "05_style_transfer has no parameter contet; it has profile, styles, contents, size, large" in result.stderr
