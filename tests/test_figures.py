"""Figures carry their provenance, and the same input gives the same bytes."""

import json
import subprocess
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from replication.io.pictures import content_picture

from replication import figures
from replication.io.provenance import commit, provenance
from replication.io.weights import DIGEST
from replication.loss_network import LossNetwork
from replication.report.claims import Check, Judgement, word
from replication.report.figures import panels, save_figure
from replication.report.tables import text_table


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


def test_the_picture_and_the_numbers(monkeypatch, tmp_path, photograph, record):
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "figures")
    contents = []
    for _ in range(2):
        figure = panels([[(photograph, "one"), (1 - photograph, "two")]], "title", "a claim " * 20)
        results = [{"psnr": 1 / 3, "layer": "relu1_1"}]
        paths = save_figure(figure, Judgement("fig", "c", []), results=results, provenance=record)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "figures/smoke/fig.png",
        "figures/smoke/fig.json",
    ]
    saved = json.loads(paths[1].read_text())
    assert list(saved) == ["figure", "claim", "verdict", "results", "provenance"]
    assert saved["results"] == [{"psnr": 0.333333, "layer": "relu1_1"}]
    assert json.loads(Image.open(paths[0]).text["Provenance"]) == saved["provenance"] == record


def test_verdicts():
    checks = [Check("a", "1", "2", "over 1", True), Check("b", "", "3", "over 4", False), Check("c", "", "", "", None)]
    judgement = Judgement("fig", "c", checks)
    assert judgement.verdict == (
        "partly replicated: a: 2, over 1; does NOT hold: b: 3, over 4; not run at this scale: c"
    )
    assert str(judgement).splitlines() == ["partly replicated:", *map(str, checks)]
    assert [word(holds) for holds in ([True, True], [True, None], [False, None], [None], [])] == [
        "replicated",
        "replicated as far as run",
        "not replicated",
        "not run at this scale",
        "not run at this scale",
    ]


def test_text_table():
    rows = [{"layer": "relu1_1", "psnr": 41.23456, "n": 5}, {"layer": "x", "psnr": 3.0, "n": 10}]
    assert text_table(rows).splitlines() == [
        "layer    psnr   n",
        "-------  ----  --",
        "relu1_1  41.2   5",
        "x           3  10",
    ]
