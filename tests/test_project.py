"""The files around the code agree with each other and hold nothing that they should not."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
from commands import TIMEOUT
from packaging.requirements import Requirement

import replication
from replication.io.files import ROOT
from replication.report.profiles import PROFILES, SETTINGS
from replication.report.summary import SHOWN
from replication.style_transfer import style_names

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAX_CODE_CELLS, MAX_CELL_LINES = 20, 25
MAX_HELPER_LINES = 3


def tracked(*patterns):
    """The files of the commit; `--git-dir` finds them where the checkout is another user's, as in a container."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository")
    git = ["git", f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}", "ls-files", "--", *patterns]
    names = subprocess.run(git, check=True, cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in names.stdout.splitlines()]


COMMIT = "[0-9a-f]{40}"  # without "+changes", and not "unknown"


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
        "matplotlib_inline": "matplotlib-inline",
        "skimage": "scikit-image",
        "stlpips_pytorch": "stlpips-pytorch",
        "pillow_heif": "pillow-heif",
    }
    distributions = {Requirement(text).name for text in PROJECT["dependencies"]}
    distributions |= {"onnxscript", "stlpips-pytorch"}  # who lacks these is told
    standard_or_own = {"replication", "IPython"}  # IPython comes with ipykernel, of which it is the shell
    for path in (ROOT / "replication").rglob("*.py"):
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
    assert all(len(cell.source.splitlines()) <= MAX_CELL_LINES for cell in code)
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
    """The JSON files of the profile that the README shows which hold a "figure" or a "table", with their paths."""
    found = [(path, json.loads(path.read_text())) for path in tracked(f"figures/{SHOWN}/*.json")]
    assert found
    return [(path, record) for path, record in found if kind in record]


def test_executed_copies_and_figures_belong_together():
    for path, record in records("figure"):
        assert list(record) == ["figure", "claim", "verdict", "measures", "results", "provenance"]
        assert record["figure"] == path.stem
        assert record["provenance"]["profile"] == SHOWN
        assert re.fullmatch(COMMIT, record["provenance"]["commit"])
        assert path.with_suffix(".png").exists() or path.with_suffix(".csv").exists()
        assert (path.parent / "notebooks" / f"{record['provenance']['notebook']}.ipynb").exists()


def test_a_table_lies_beside_its_csv_file():
    for path, record in records("table"):
        assert list(record) == ["table", "results", "provenance"]
        assert record["table"] == path.stem
        assert path.with_suffix(".csv").exists()
        assert re.fullmatch(COMMIT, record["provenance"]["commit"])


def test_the_citation_is_of_this_version_and_of_the_paper_in_the_readme():
    citation, readme = (re.sub(r"\s+", " ", (ROOT / name).read_text()) for name in ("CITATION.cff", "README.md"))
    assert f"version: {PROJECT['version']} license: {PROJECT['license']} " in citation
    title, year = re.search(r"Johnson, Alahi and Fei-Fei, \*([^*]*)\* \(ECCV (\d+),", readme).groups()
    assert f"title: {title} " in citation
    assert f"year: {year} " in citation


def test_no_file_names_this_machine_or_a_registry():
    home = re.compile(
        r"/(home|root|work|Users)/\w|https?://(pypi|files\.pythonhosted|registry\.npmjs|deb\.debian)\.org"
    )
    for path in tracked("*.py", "*.ipynb", "*.json", "*.md", "*.toml", "*.yml", "*.cff", "*.txt", "Makefile", "docs/*"):
        assert not home.search(path.read_text()), path


def test_what_the_texts_name_is_there():
    for path in tracked("README.md", "CONTRIBUTING.md", "data/README.md", "notebooks/*.ipynb"):
        for name in re.findall(
            r"`(replication/[a-z_/]+\.py|data/[\w/]+\.\w+)`|\]\(((?:figures|notebooks|data)/[\w/]+\.\w+)\)",
            path.read_text(),
        ):
            assert (ROOT / "".join(name)).exists(), (path, name)


def texts():
    """What readers follow links in: the file, and its text."""
    for path in tracked("*.md", "*.ipynb"):
        if path.suffix == ".md":
            yield path, path.read_text()
        else:
            yield path, "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


def test_every_link_to_a_file_leads_somewhere():
    followed = 0
    for path, text in texts():
        links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
        for link in filter(None, (("".join(each)).split("#")[0] for each in links)):
            if not re.match(r"[a-z]+:", link):
                assert (path.parent / link).exists(), (path, link)
                followed += 1
    assert followed > 100


def test_every_name_that_the_package_gives_is_there():
    for names in replication.MODULES.values():
        for name in names:
            assert name in dir(replication)
            getattr(replication, name)


FAKE = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
"-m pip") echo "$$" >> installed; sleep 1;;
esac
"""


def test_two_makes_side_by_side_set_up_once(tmp_path):
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(FAKE)
    (tmp_path / "python").chmod(0o755)
    command = ["make", "PYTHON=./python", ".venv/.ready"]
    of_outer_make = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    env = {name: value for name, value in os.environ.items() if name not in of_outer_make} | {"LC_ALL": "C"}
    options = {"cwd": tmp_path, "env": env, "stdout": subprocess.PIPE, "text": True}
    pair = [subprocess.Popen(command, **options) for _ in range(2)]
    said = [process.communicate(timeout=TIMEOUT)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sum("waiting for another make, which sets up .venv" in each for each in said) == 1
    assert len((tmp_path / "installed").read_text().splitlines()) == 2  # what the project needs, and the project
    assert not (tmp_path / ".venv.lock").exists()
    assert "up to date" in subprocess.run(command, check=True, **options).stdout


def test_the_page_offers_the_projects_styles():
    offered = re.findall(r'data-style="(\w+)"', (ROOT / "docs" / "index.html").read_text())
    assert sorted(f"{name}_instance" for name in offered) == [
        name for name in style_names() if name.endswith("_instance")
    ]


def test_the_page_asks_no_other_server():
    """It promises that no picture leaves the device."""
    text = "".join((ROOT / "docs" / name).read_text() for name in ("index.html", "page.js"))
    assert set(re.findall(r"https?://[^\s\"'<>`]+", text)) == {"https://arxiv.org/abs/1603.08155"}
