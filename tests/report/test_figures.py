"""Figures carry their provenance, and the same input gives the same bytes."""

import json
import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from replication.io.files import FIGURES
from replication.io.pictures import content_picture
from replication.io.provenance import commit, provenance
from replication.io.weights import DIGEST
from replication.loss_network import LossNetwork
from replication.report import figures
from replication.report.figures import panels, save_figure, save_table
from replication.report.rules import Check, Judgement
from replication.report.summary import shown_profile


@pytest.fixture
def record(photograph):
    run = SimpleNamespace(notebook="01", profile="smoke", seed=3, device="cpu", iterations=5, size=64)
    return provenance(run, LossNetwork(["relu1_1"]), [content_picture("chelsea")])


def test_provenance_tells_all(record):
    keys = "commit sources notebook profile seed device precision settings versions weights inputs"
    assert set(record) == set(keys.split())
    assert record["precision"] == "float32"
    assert record["settings"] == {"iterations": 5, "size": 64}
    assert record["weights"]["sha256"] == DIGEST
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert record["inputs"][0]["origin"].startswith("scikit-image")
    assert len(record["inputs"][0]["sha256"]) == 64


def test_commit_is_that_of_the_clone_or_unknown(monkeypatch, tmp_path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert commit().removesuffix("+changes") == head
    monkeypatch.setattr("replication.io.provenance.ROOT", tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    assert commit() == "unknown"
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (["init"], [*identity, "commit", "--allow-empty", "--message", "of another project"]):
        subprocess.run(["git", *command], check=True, cwd=tmp_path, capture_output=True)
    assert commit() == "unknown"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    return tmp_path / "smoke"


def test_the_picture_and_the_numbers(folder, photograph, record):
    contents = []
    for _ in range(2):
        figure = panels([[(photograph, "one"), (1 - photograph, "two")]], "title", "a claim " * 20)
        results = [{"psnr": 1 / 3, "layer": "relu1_1"}]
        paths = save_figure(figure, Judgement("fig", "c", []), results=results, sources=record)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert paths == [folder / "fig.png", folder / "fig.json"]
    saved = json.loads(paths[1].read_text())
    assert list(saved) == ["figure", "claim", "verdict", "results", "provenance"]
    assert saved["results"] == [{"psnr": 0.333333, "layer": "relu1_1"}]
    assert json.loads(Image.open(paths[0]).text["Provenance"]) == saved["provenance"] == record


@pytest.mark.parametrize("frame", [list, pd.DataFrame])
def test_a_table_is_json_and_csv_with_what_is_missing_left_out(folder, record, frame):
    rows = [{"layer": "relu1_1", "n": 5, "x": 1 / 3}, {"layer": "a, b", "n": None, "x": 2.0}]
    assert save_table("some", frame(rows), record) == [folder / "some.json", folder / "some.csv"]
    found = json.loads((folder / "some.json").read_text())
    assert list(found) == ["table", "results", "provenance"]
    assert found["table"] == "some"
    assert found["results"] == [{"layer": "relu1_1", "n": 5, "x": 0.333333}, {"layer": "a, b", "n": None, "x": 2.0}]
    n = "5.0" if frame is pd.DataFrame else "5"  # a column of numbers with a gap
    assert (folder / "some.csv").read_bytes() == f'layer,n,x\nrelu1_1,{n},0.333333\n"a, b",,2.0\n'.encode()


def test_a_table_that_is_judged_has_the_verdict_in_its_file(folder, record):
    outcome = Judgement("some", "A claim.", [Check("a", "1", "2", "over 1", True)])
    save_table("some", [{"x": 1}], record, outcome)
    found = json.loads((folder / "some.json").read_text())
    assert list(found) == ["figure", "claim", "verdict", "results", "provenance"]
    assert [found["figure"], found["verdict"]] == ["some", outcome.verdict]


@pytest.mark.parametrize("path", sorted((FIGURES / shown_profile()).glob("*.csv")), ids=lambda path: path.stem)
def test_the_csv_files_are_those_of_the_numbers(folder, path):
    rows = json.loads(path.with_suffix(".json").read_text())["results"]
    _, made = save_table(path.stem, rows, {"profile": "smoke"})
    assert made.read_bytes() == path.read_bytes()
