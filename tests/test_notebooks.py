"""The notebooks and their runner, with real kernels: what is made, and what happens when things go wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import TIMEOUT, run_command
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from replication import files, provenance, runner, settings
from replication import ledger as module_of_ledger
from replication.claims import CLAIMS
from replication.device import default_device
from replication.files import ROOT
from replication.images import save_image
from replication.ledger import ledger
from replication.optimisation import white_noise
from replication.provenance import device_name

SMOKE = ROOT / "figures" / "smoke"
FIG3_KEYS = {
    *("layer", "psnr", "ssim", "histogram_distance", "gradient_correlation"),
    *("loss_first", "loss_last", "iterations"),
}


PICTURES = {"05_style_transfer": 2, "09_super_resolution": 3}  # that a notebook shows; the others show one


@pytest.fixture(scope="module")
def smoke():
    """One run of all notebooks, profile smoke."""
    result = run_command("figures", "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_notebook_runs_and_says_what_it_made(smoke):
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert f"{notebook.stem}: {runner.heading(notebook)}" in smoke
        executed = nbformat.read(SMOKE / "notebooks" / notebook.name, as_version=4)
        assert executed.metadata.papermill.output_path == f"figures/smoke/notebooks/{notebook.name}"
        assert str(executed.cells).count("'image/png'") == PICTURES.get(notebook.stem, 1)
    assert "figures/smoke/fig3_feature_inversion.png" in smoke
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    summary = [line.split() for line in smoke.splitlines()[-len(notebooks) :]]
    more = {"05_style_transfer": "5", "07_speed": "4", "09_super_resolution": "8", "10_paper_against_ours": "4"}
    assert [(name, result, files) for name, result, _, files in summary] == [
        (notebook.stem, "done", more.get(notebook.stem, "3")) for notebook in notebooks
    ]


def test_the_results_of_fig3_and_fig4(smoke):
    fig3, fig4 = (json.loads((SMOKE / name).read_text()) for name in FILES)
    assert [row["layer"] for row in fig3["results"]] == ["relu2_2", "relu3_3", "relu4_3", "relu5_1", "relu5_3"]
    assert all(set(row) >= FIG3_KEYS for row in fig3["results"])
    assert [row["layer"] for row in fig4["results"]] == ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
    for record in (fig3, fig4):
        assert record["provenance"]["settings"]["iterations"] == 20
        assert all(row["loss_last"] < row["loss_first"] for row in record["results"])
        picture = Image.open(SMOKE / f"{record['figure']}.png")
        assert json.loads(picture.text["Provenance"]) == record["provenance"]


def test_the_results_of_the_baseline(smoke):
    record = json.loads((SMOKE / "gatys_baseline.json").read_text())
    results = record["results"]
    assert [(row["painting"], row["photograph"]) for row in results["images"]] == [
        (style, content) for style in ("great_wave", "village_street_in_auvers") for content in ("chelsea", "astronaut")
    ]
    for row in results["images"]:
        assert row["total"] == pytest.approx(row["content"] + row["style"] + row["total_variation"], rel=1e-4)
        assert row["share_after_20"] == pytest.approx(row["total"] / row["content_image"], rel=1e-4)
        assert row["share_after_20"] < 0.5 * row["share_after_2"]
    assert 0 < results["share_of_values_out_of_range_unclipped"] < 0.2
    assert len(results["final_objective_by_method"]) == 4
    assert len(record["provenance"]["inputs"]) == 4


def test_the_results_of_style_training(smoke):
    results = json.loads((SMOKE / "style_training.json").read_text())["results"]
    assert len(set(results["operations_by_downsampling"].values())) == 1
    assert list(results["receptive_field"].values()) == [9, 11, 15, 31, 47, 63, 79, 95]
    assert results["final_loss_by_network"].keys() == {"residual", "non-residual"}
    assert len(results["shipped_log"]["style"]) > 10


def test_the_results_of_style_transfer(smoke):
    fig6, fig7 = (
        json.loads((SMOKE / f"{name}.json").read_text())["results"]
        for name in ("fig6_style_transfer", "fig7_style_transfer_512")
    )
    assert len(fig6) == len(fig7) == 5
    for row in fig6:
        assert row["network, objective"] < row["photograph, objective"]
        assert row["style left"] < 1
    assert all(row["share at 128"] < 1 for row in fig7)


def test_the_results_of_the_objective(smoke):
    (row,) = json.loads((SMOKE / "fig5_objective.json").read_text())["results"]
    assert row["fewest"] <= row["iterations that the network equals"] <= row["most"] <= 6
    assert row["network"] < row["photograph"]


def test_the_results_of_the_speed(smoke):
    record = json.loads((SMOKE / "table1_speed.json").read_text())
    assert [(row["size"], row["precision"]) for row in record["results"]] == [(64, "float32"), (64, "bfloat16")]
    for row in record["results"]:
        assert row["500 iterations"] == pytest.approx(500 * row["iteration"], rel=1e-4)
        assert row["speed-up over 100"] == pytest.approx(row["100 iterations"] / row["network"], rel=1e-4)
        assert row["over plain 500"] > 0
    assert (SMOKE / "table1_speed.csv").read_text().startswith("size,precision,iteration,100 iterations,")


def test_the_results_of_super_resolution_training(smoke):
    results = json.loads((SMOKE / "super_resolution_training.json").read_text())["results"]
    assert next(iter(results["scores"])) == "bicubic"
    assert len(results["scores"]) == 5
    assert all(score.keys() == {"psnr", "ssim", "sharpness"} for score in results["scores"].values())
    for log in results["shipped_log"].values():
        assert log["reconstruction"][-1] < log["reconstruction"][0]


def test_the_results_of_super_resolution(smoke):
    record = json.loads((SMOKE / "table_super_resolution.json").read_text())
    trained = ["pixel", "pixel, histogram matched", "feature", "feature, histogram matched"]
    assert [(row["factor"], row["method"]) for row in record["results"]] == [
        *((4, method) for method in ("bicubic", *trained[:2], "srcnn", *trained[2:])),
        *((8, method) for method in ("bicubic", *trained)),
    ]
    assert {"x4_pixel", "x4_feature", "x8_pixel", "x8_feature", "srcnn_x4"} == record["provenance"]["networks"].keys()
    assert record["verdict"].startswith("not run at this scale")  # one picture is not the set
    text = (SMOKE / "table_super_resolution.csv").read_text()
    assert text.startswith("set,factor,method,psnr,ssim,paper_psnr,paper_ssim,")
    for name, methods in (("fig8_super_resolution_x4", 4), ("fig9_super_resolution_x8", 3)):
        results = json.loads((SMOKE / f"{name}.json").read_text())["results"]
        assert all(len(scores) == methods for scores in results["examples"].values())


def test_the_ledger_of_all_claims(smoke):
    record = json.loads((SMOKE / "claims.json").read_text())
    assert {row["figure"] for row in record["results"]} == CLAIMS.keys()
    assert record["results"] == ledger("smoke")
    assert (SMOKE / "claims.csv").read_text().startswith("figure,claim,paper,ours,rule,verdict,scale")
    assert set(record["provenance"]["figures"]) == CLAIMS.keys()


FILES = ("fig3_feature_inversion.json", "fig4_style_reconstruction.json")


def test_a_second_run_gives_the_same_bytes(smoke):
    """One notebook of each kind: optimisation, both trainings, and the batched baseline."""
    names = ("fig3_feature_inversion", "style_training", "fig5_objective", "super_resolution_training")
    paths = [SMOKE / f"{name}{suffix}" for name in names for suffix in (".json", ".png")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    assert run_command("figures", "--profile", "smoke", "--only", "01,04,06,08").returncode == 0
    for path, (content, stamp) in before.items():
        assert path.stat().st_mtime_ns > stamp
        assert path.read_bytes() == content


def papermill(folder, *parameters):
    """Plain papermill, from another folder."""
    notebook = ROOT / "notebooks" / "01_feature_inversion.ipynb"
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", "-p", "profile", "smoke", *parameters]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)


def test_plain_papermill_gives_the_same_figure(smoke, tmp_path):
    path = SMOKE / FILES[0]
    first = path.read_bytes()
    result = papermill(tmp_path, "-p", "iterations", "20")
    assert result.returncode == 0, result.stderr
    assert path.read_bytes() == first
    assert papermill(tmp_path, "-r", "iterations", "2").returncode == 0
    assert json.loads(path.read_text())["provenance"]["settings"]["iterations"] == 2
    path.write_bytes(first)


def test_plain_papermill_does_not_take_a_strange_parameter(smoke, tmp_path):
    before = (SMOKE / FILES[0]).stat().st_mtime_ns
    result = papermill(tmp_path, "-p", "iteration", "3")
    assert result.returncode != 0
    assert "ReplicationError: 01_feature_inversion has no parameter iteration; it has profile, content" in result.stderr
    assert (SMOKE / FILES[0]).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "error: unknown profile 'fast'; choose paper, quick, smoke"),
        (["--profile", "smoke", "--only", "01,77"], "error: unknown notebook 77; there are 01_feature_inversion, "),
        (["--profile", "smoke", "-p", "iteration", "3"], "error: 01_feature_inversion has no parameter iteration; it "),
        (["--profile", "smoke", "-p", "content", "chelsea"], "error: 02_style_reconstruction has no parameter content"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(arguments, message):
    result = run_command("figures", *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert "[1/" not in result.stdout


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the notebooks of one code cell that a test asks for."""
    (tmp_path / "notebooks").mkdir()
    for module in (runner, files, provenance, module_of_ledger):
        for name, folder in {"ROOT": tmp_path, "DATA": tmp_path / "data", "FIGURES": tmp_path / "figures"}.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, folder)

    def make(**sources):
        for name, source in sources.items():
            parameters = new_code_cell('profile = "quick"\ncontent = "chelsea"', metadata={"tags": ["parameters"]})
            cells = [new_markdown_cell("# A test (Fig. 0)"), parameters, new_code_cell(source)]
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "notebooks" / f"{name[1:]}.ipynb")
            monkeypatch.setitem(settings.SETTINGS, name[1:], {key: {} for key in settings.PROFILES})
        return tmp_path / "figures" / "smoke" / "notebooks"

    return make


def test_the_kernel_is_this_python(project):
    folder = project(_01_a="import sys; print(sys.executable, profile)")
    assert runner.run_notebooks("smoke")
    assert nbformat.read(folder / "01_a.ipynb", 4).cells[-1].outputs[0].text == f"{sys.executable} smoke\n"


def test_a_failing_cell_is_reported_and_the_others_are_run(project, capsys):
    folder = project(_01_a="print(1)", _02_b="print(2)")
    assert runner.run_notebooks("smoke")
    before = (folder / "01_a.ipynb").read_bytes()
    project(_01_a="1 / 0")
    assert not runner.run_notebooks("smoke")
    output = capsys.readouterr().out
    assert "01_a failed: cell [3], ZeroDivisionError: division by zero" in output
    assert "02_b      done" in output
    assert (folder / "01_a.ipynb").read_bytes() == before
    assert (folder / "01_a.failed.ipynb").exists()
    project(_01_a="print(3)")
    assert runner.run_notebooks("smoke", only=["01"])
    assert sorted(path.name for path in folder.iterdir()) == ["01_a.ipynb", "02_b.ipynb"]


def test_what_was_executed_in_the_same_circumstances_is_kept(project, capsys, monkeypatch):
    project(_01_a="x = 1", _02_b="print(1)")
    assert runner.run_notebooks("smoke", only=["01"])
    capsys.readouterr()

    def told(**options):
        """The plan's lines and those of the summary, by the first words."""
        assert runner.run_notebooks("smoke", resume=True, **options)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        return [line[1] for line in lines if line[:1] in (["01_a"], ["02_b"])]

    assert told() == ["kept", "run", "kept", "done"]
    assert told() == ["kept", "kept", "kept", "kept"]
    project(_01_a="x = 2")
    assert told() == ["run", "kept", "done", "kept"]
    (runner.ROOT / "replication").mkdir()
    (runner.ROOT / "replication" / "losses.py").write_text("")
    assert told(only=["01"]) == ["run", "done"]
    (runner.ROOT / "data" / "checkpoints").mkdir(parents=True)
    (runner.ROOT / "data" / "checkpoints" / "wave.safetensors").write_text("")
    assert told(only=["01"]) == ["run", "done"]
    monkeypatch.chdir(runner.ROOT)
    for seed in (0, 1):
        save_image(white_noise(44, seed), runner.ROOT / "me.jpg")
        assert told(only=["01"], parameters={"content": "me.jpg"}) == ["run", "done"]
        assert told(only=["01"], parameters={"content": "me.jpg"}) == ["kept", "kept"]
    monkeypatch.setenv("REPLICATION_DATA", str(runner.ROOT))
    (runner.ROOT / "photograph.jpg").write_text("")
    assert told(only=["01"]) == ["run", "done"]
    monkeypatch.setattr(provenance, "version", lambda name: "0")
    assert told(only=["01"]) == ["run", "done"]
    assert told(only=["01"]) == ["kept", "kept"]


def test_the_ledger_is_executed_anew_when_a_figure_has_changed(project, capsys, monkeypatch):
    project(_01_a="x = 1", _02_b="print(1)")
    monkeypatch.setattr(runner, "LEDGER", "02_b")
    figure = runner.ROOT / "figures" / "smoke" / "fig3_feature_inversion.json"
    for text, results in (("{}", ["done", "done"]), ("{}", ["kept", "kept"]), ("[]", ["kept", "done"])):
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.write_text(text)
        assert runner.run_notebooks("smoke", resume=True)
        assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[-2:]] == results


def test_the_plan_says_what_the_last_time_took_and_what_was_kept_is_removed(project, capsys):
    project(_01_a="import time; time.sleep(3)")
    kept = files.kept_folder("01_a", "smoke")
    kept.mkdir(parents=True)
    assert runner.run_notebooks("smoke")
    assert not kept.exists()
    first = capsys.readouterr().out
    assert runner.run_notebooks("smoke")
    (before,), (plan,) = (
        [line.split() for line in text.splitlines() if line.split()[:2] == ["01_a", "run"]]
        for text in (first, capsys.readouterr().out)
    )
    assert before == ["01_a", "run"]
    assert 3 / 60 < float(plan[2]) < 1
    assert plan[3:] == device_name(default_device()).split()


def test_a_dead_kernel_is_noticed(project, capsys):
    project(_01_a="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    start = time.monotonic()
    assert not runner.run_notebooks("smoke")
    assert "01_a failed: its kernel died" in capsys.readouterr().out
    assert time.monotonic() - start < 60


def test_a_notebook_has_a_time_limit(project, capsys):
    project(_01_a="import time; time.sleep(100)")
    start = time.monotonic()
    assert not runner.run_notebooks("smoke", time_limit=5)
    assert "01_a failed: it took longer than its limit of 5 s; raise it with --time-limit" in capsys.readouterr().out
    assert time.monotonic() - start < 60


def test_an_error_on_the_way_out_of_an_interrupt_is_an_interrupt(project, monkeypatch):
    project(_01_a="", _02_b="")

    def interrupted_and_disk_full(*_, **__):
        try:
            raise KeyboardInterrupt
        finally:
            raise OSError("disk full")

    monkeypatch.setattr(runner.papermill, "execute_notebook", interrupted_and_disk_full)
    with pytest.raises(KeyboardInterrupt):
        runner.run_notebooks("smoke")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_kernel_and_keeps_what_was_there(smoke, number):
    before = {path: path.read_bytes() for path in SMOKE.rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "replication", "figures", "--profile", "smoke", "--only", "01"]
    command += ["-p", "iterations", "1000000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        output = b""
        while b"relu2_2:" not in output:
            output += os.read(process.stderr.fileno(), 4096)
        kernels = subprocess.run(["pgrep", "-P", str(process.pid)], check=True, capture_output=True, text=True)
        process.send_signal(number)
        _, rest = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert b"interrupted; finished notebooks are kept" in rest
    assert b"Traceback" not in rest
    assert not [pid for pid in kernels.stdout.split() if os.path.exists(f"/proc/{pid}")]
    assert {path: path.read_bytes() for path in SMOKE.rglob("*") if path.is_file()} == before
