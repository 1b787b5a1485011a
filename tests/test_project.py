"""The files around the code agree with each other and hold nothing that they should not."""

import ast
import json
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
from packaging.requirements import Requirement

from replication import readme
from replication.io.files import ROOT
from replication.report.profiles import PROFILES, SETTINGS
from replication.report.summary import ledger, sources

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAX_CODE_CELLS = 20
MAX_HELPER_LINES = 3


def tracked(*patterns):
    names = subprocess.run(["git", "ls-files", "--", *patterns], check=True, cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in names.stdout.splitlines()]


def declared():
    return {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]}


def test_environment_yml_and_pyproject_ask_for_the_same():
    entries = re.findall(r"^ +- ([a-z].*[^:])$", (ROOT / "environment.yml").read_text(), flags=re.MULTILINE)
    entries = [entry for entry in entries if entry not in ("conda-forge", "pip")]
    assert sorted(entries) == sorted({*declared(), f"python{PROJECT['requires-python']}"})


def test_the_pinned_versions_meet_the_ranges():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = [Requirement(line) for line in lines]
    for wanted in map(Requirement, declared()):
        found = [next(iter(pin.specifier)).version for pin in pinned if pin.name == wanted.name]
        assert found, f"{wanted.name} is not pinned"
        assert all(wanted.specifier.contains(version) for version in found)


def test_what_is_imported_is_declared():
    modules = {
        "PIL": "pillow",
        "skimage": "scikit-image",
        "stlpips_pytorch": "stlpips-pytorch",
        "pillow_heif": "pillow-heif",
    }
    distributions = {Requirement(text).name for text in (*declared(), *PROJECT["optional-dependencies"]["perceptual"])}
    standard_or_own = {"replication", "IPython"}  # IPython comes with ipykernel, of which it is the shell
    for path in (ROOT / "replication").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in (name.split(".")[0] for name in names):
                if name not in standard_or_own and name not in sys.stdlib_module_names:
                    assert modules.get(name, name) in distributions, (path, name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_story(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert path.stem in SETTINGS
    assert not any(cell.outputs or cell.execution_count for cell in code), "stored with outputs"
    assert len(code) <= MAX_CODE_CELLS
    assert re.search(r"(Fig\.|Table) \d", cells[0].source)
    assert all(f"`{profile}`" in cells[0].source for profile in PROFILES)
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    for node in ast.parse(parameters.source).body:
        assert isinstance(node, ast.Assign)
        ast.literal_eval(node.value)
    functions = [
        node for cell in code for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef)
    ]
    assert all(node.end_lineno - node.lineno < MAX_HELPER_LINES for node in functions)


def records(kind):
    """The JSON files of the paper profile that hold a "figure" or a "table", with their paths."""
    found = [(path, json.loads(path.read_text())) for path in tracked("figures/paper/*.json")]
    return [(path, record) for path, record in found if kind in record]


def test_executed_copies_and_figures_of_the_paper_profile_belong_together():
    for path, record in records("figure"):
        assert list(record) == ["figure", "claim", "verdict", "results", "provenance"]
        assert record["figure"] == path.stem
        assert record["provenance"]["profile"] == "paper"
        assert not record["provenance"]["commit"].endswith("+changes")
        assert path.with_suffix(".png").exists()
        assert (path.parent / "notebooks" / f"{record['provenance']['notebook']}.ipynb").exists()


def test_the_readme_holds_the_tables_of_the_figures(monkeypatch, tmp_path):
    copy = tmp_path / "README.md"
    text = (ROOT / "README.md").read_text()
    without, tables = re.subn(
        r"(written by `python -m replication readme` -->).*?(<!-- [-a-z]+ end -->)", r"\1\2", text, flags=re.S
    )
    assert tables == 7
    copy.write_text(without)
    monkeypatch.setattr(readme, "README", copy)
    readme.write_readme()
    assert copy.read_text() == text


def test_the_readme_repeats_what_the_benchmark_holds():
    text = (ROOT / "README.md").read_text()
    for path, record in records("table"):
        assert list(record) == ["table", "results", "provenance"]
        assert record["table"] == path.stem
        assert path.with_suffix(".csv").exists()
        assert not record["provenance"]["commit"].endswith("+changes")
        if record["table"] != "benchmark_baseline":
            continue
        rows = {(row["size"], row["precision"], row["method"]): row for row in record["results"]}
        for size, precision in {key[:2]: None for key in rows if key[2] == "plain PyTorch"}:
            ours, torchs, plain = (
                rows[size, precision, name] for name in ("ours", "torch.optim.LBFGS", "plain PyTorch")
            )
            ratios = " | ".join(f"{row['ratio']:.2f}" for row in (ours, torchs, plain))
            line = f"| {size} x {size} | {precision} | {ours['seconds']:.3g} | {ratios} | {ours['peak_GB']:.1f} |"
            assert line in text


def test_the_readme_repeats_what_table_1_holds():
    text = (ROOT / "README.md").read_text()
    rows = json.loads((ROOT / "figures" / "paper" / "table1_speed.json").read_text())["results"]
    assert rows
    for row in rows:
        seconds = " | ".join(f"{row[name]:.3g}" for name in ("iteration", "500 iterations", "network"))
        ratios = ", ".join(f"{row[f'speed-up over {number}']:.0f}" for number in (100, 300, 500))
        usual = f"{row['over plain 500']:.0f}"
        assert f"| {row['size']} x {row['size']} | {row['precision']} | {seconds} | {ratios} | {usual} |" in text


def test_the_readme_repeats_what_the_benchmark_of_style_transfer_holds():
    text = (ROOT / "README.md").read_text()
    record = json.loads((ROOT / "figures" / "paper" / "benchmark_style.json").read_text())
    rows = {(row["size"], row["precision"], row["method"]): row for row in record["results"]}
    for size in [size for size, _, method in rows if method == "plain PyTorch"]:
        cases = (("float32", "plain PyTorch"), ("float32", "stylise"), ("bfloat16", "stylise"))
        plain, ours, half = (rows[size, *case] for case in cases)
        seconds = " | ".join(f"{row['seconds']:.3g}" for row in (plain, ours, half))
        line = f"| {size} x {size} | {seconds} | {plain['seconds'] / half['seconds']:.1f} | {half['peak_GB']:.1f} |"
        assert line in text
    steps = [rows[256, precision, "training step"] for precision in ("float32", "bfloat16")]
    said = " and ".join(f"{row['seconds']:.3g} s in {row['precision']} ({row['ratio']:.2f})" for row in steps)
    assert f"A training step takes {said}" in " ".join(text.split())


def test_the_readme_repeats_what_the_benchmark_of_super_resolution_holds():
    text = (ROOT / "README.md").read_text()
    record = json.loads((ROOT / "figures" / "paper" / "benchmark_super_resolution.json").read_text())
    rows = {(row["size"], row["precision"], row["method"]): row for row in record["results"]}
    for size in [size for size, precision, method in rows if (precision, method) == ("bfloat16", "upscale")]:
        plain, ours, half = (
            rows.get((size, *case))
            for case in (("float32", "plain PyTorch"), ("float32", "upscale"), ("bfloat16", "upscale"))
        )
        cells = [f"{plain['seconds']:.3g}" if plain else "", f"{ours['seconds']:.3g}", f"{half['seconds']:.3g}"]
        cells += [f"{plain['seconds'] / half['seconds']:.1f}" if plain else "", f"{half['peak_GB']:.1f}"]
        assert f"| {' | '.join([size, *cells])} |" in text


def test_the_readme_repeats_what_the_benchmark_of_the_convolutions_holds():
    text = (ROOT / "README.md").read_text()
    record = json.loads((ROOT / "figures" / "paper" / "benchmark_convolutions.json").read_text())
    assert f"Measured on: {record['provenance']['device']}." in text
    rows = record["results"]
    works = {(row["work"], row["precision"]) for row in rows}
    assert len(works) == 5 * len({row["precision"] for row in rows})
    for work, precision in works:
        bare, eager, compiled = (
            next(row for row in rows if (row["work"], row["precision"], row["method"]) == (work, precision, method))
            for method in ("bare convolutions", "eager", "compiled")
        )
        start = f"| {work} | {eager['size']} | {precision} | {eager['seconds']:.3g} |"
        ratios = [f"{row['seconds'] / bare['seconds']:.2f}" for row in (eager, compiled)]
        assert f"{start} {' | '.join(ratios)} |" in text


def test_the_ledger_is_that_of_the_figures():
    record = json.loads((ROOT / "figures" / "paper" / "claims.json").read_text())
    assert record["results"] == ledger("paper")
    assert record["provenance"]["figures"] == sources("paper")


def test_no_file_names_this_machine_or_a_registry():
    home = re.compile(
        r"/(home|root|work|Users)/\w|https?://(pypi|files\.pythonhosted|registry\.npmjs|deb\.debian)\.org"
    )
    for path in tracked("*.py", "*.ipynb", "*.json", "*.md", "*.toml", "*.yml", "*.txt", "Makefile"):
        assert not home.search(path.read_text()), path


def test_modules_stay_short():
    for path in (ROOT / "replication").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
