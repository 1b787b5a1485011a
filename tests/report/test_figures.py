"""Figures carry their provenance, and the same input gives the same bytes."""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from replication.io.files import ROOT
from replication.io.pictures import content_picture
from replication.io.provenance import code, commit, origin, provenance, sources_digest, versions
from replication.io.weights import DIGEST
from replication.loss_network import LossNetwork
from replication.report import figures
from replication.report.claims import claims
from replication.report.figures import DPI, Panel, Plot, conclude, panels, save_figure
from replication.report.profiles import run_settings


@pytest.fixture
def record(photograph):
    run = SimpleNamespace(notebook="01", profile="smoke", seed=3, device="cpu", code=code(), iterations=5, size=64)
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


def test_versions_name_cuda_and_cudnn_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    without = versions()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    of_gpu = {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    assert versions() == without | of_gpu
    assert not without.keys() & of_gpu


def git(folder, *arguments):
    """As anybody has it: a hook's variables name another repository, and a user may have all commits signed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, cwd=folder, env=own, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone of the repository")
def test_commit_is_that_of_the_clone_or_unknown(monkeypatch, tmp_path):
    assert commit().removesuffix("+changes") == git(ROOT, f"--git-dir={ROOT / '.git'}", "rev-parse", "HEAD")
    monkeypatch.setattr("replication.io.provenance.ROOT", tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    assert commit() == "unknown"
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "--message", "of another project")
    assert commit() == "unknown"


def test_a_clone_that_is_not_clean_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("replication.io.provenance.ROOT", tmp_path)
    for command in (["init"], ["commit", "--allow-empty", "-m", "a"], ["config", "status.showUntrackedFiles", "no"]):
        git(tmp_path, *command)
    assert not commit().endswith("+changes")
    (tmp_path / "replication").mkdir()
    (tmp_path / "replication" / "new.py").touch()
    assert commit().endswith("+changes")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "b")
    assert not commit().endswith("+changes")
    (tmp_path / ".git" / "index").write_bytes(b"damaged")
    assert commit().endswith("+changes")


def test_a_run_is_of_the_code_that_it_began_with(monkeypatch):
    run = run_settings("06_objective", "smoke", styles=["great_wave"], seed=0)
    began = run.code
    monkeypatch.setattr("replication.io.provenance.commit", lambda: "later")
    record = provenance(run, LossNetwork(["relu1_1"]), [])
    assert (record["commit"], record["sources"]) == (began["commit"], began["sources"])
    assert "code" not in record["settings"]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    return tmp_path / "smoke"


def drawn(photograph):
    wide = torch.nn.functional.pad(photograph, (0, photograph.shape[3]))
    rows = [[Panel(photograph, "one", "30 dB", (0.1, 0.2, 0.3)), (1 - photograph, "two"), None], [Panel(wide, scale=2)]]
    curve = {"ours": ([1, 2, 4], [3.0, 2.0, 1.0])}
    plots = [Plot("curves", "x", "y", curve, {"network": 2}, {"ours": ([2, 1, 0.5], [4, 3, 2]), "network": (1, 3)})]
    return panels(rows, "title", "a claim " * 20, plots, names=["first", "second"])


def test_the_picture_and_the_numbers(folder, photograph, record):
    contents, paths = [], [folder / "fig.png", folder / "fig.json"]
    for _ in range(2):
        save_figure("fig", drawn(photograph), [{"psnr": 1 / 3, "layer": "relu1_2"}], record)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    saved = json.loads(paths[1].read_text())
    assert list(saved) == ["picture", "results", "provenance"]
    assert saved["results"] == [{"psnr": 0.333333, "layer": "relu1_2"}]
    assert json.loads(Image.open(paths[0]).text["Provenance"]) == saved["provenance"] == record


def test_all_lines_of_a_plot_are_drawn_and_banded():
    lines = {str(number): number for number in range(1, 6)}
    bands = {name: (0.9 * height, 1.1 * height) for name, height in lines.items()}
    figure = panels([], "title", "", [Plot("many", "x", "y", {"ours": ([1, 2], [1, 2])}, lines, bands)])
    (ax,) = [each for each in figure.axes if each.get_legend()]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", *lines]
    assert len(ax.collections) == len(bands)


def test_images_stand_apart_in_their_own_proportions(photograph):
    figure = drawn(photograph)
    width, height = figure.get_size_inches()
    boxes = [ax.get_position() for ax in figure.axes[:3]]
    sizes = [(round(box.width * width, 3), round(box.height * height, 3)) for box in boxes]
    side = round(256 / DPI, 3)  # so that pixels of the paper's size are those of the figure
    assert sizes == [(side, side), (side, side), (round(512 / DPI, 3), side)]
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[2].y1 < boxes[0].y0
    texts = [text.get_text() for text in figure.texts]
    assert {"first", "second"} <= set(texts)
    (rectangle,) = figure.axes[0].patches
    assert rectangle.get_xy() == pytest.approx((0.2 * 64, 0.1 * 64))


def test_a_figure_closes_with_its_verdict(folder, photograph, record, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", shown.append)
    monkeypatch.setattr(figures, "provenance", lambda *_: record)
    figure, claim = next((name, claim) for name, claim in claims().items() if name.startswith("fig3"))
    run, measures = (
        SimpleNamespace(iterations=500, size=256, stand_ins={"a": "b"}),
        dict.fromkeys((check.key for check in claim.checks), None),
    )
    conclude(figure, run, [], measures=measures, rows=[[(photograph, "")]])
    saved = json.loads((folder / f"{figure}.json").read_text())
    assert list(saved) == ["figure", "claim", "verdict", "measures", "results", "provenance"]
    assert saved["verdict"].startswith("not run at this scale: ")
    assert "in place of a: b" in shown[0].to_html()
    with pytest.raises(ValueError, match="the measures of fig3"):
        conclude(figure, run, [], measures={}, rows=[[(photograph, "")]])


def test_the_digest_of_the_sources_is_of_what_they_do(monkeypatch, tmp_path):
    monkeypatch.setattr("replication.io.provenance.ROOT", tmp_path)
    monkeypatch.setattr("replication.io.provenance.DATA", tmp_path / "data")
    (tmp_path / "replication").mkdir()
    (tmp_path / "data").mkdir()
    code = tmp_path / "replication" / "a.py"
    code.write_text('"""Doc."""\nX = 1\n')
    first = sources_digest()
    code.write_text('"""Another."""\n\nX = 1  # one\n')
    (tmp_path / "data" / ".DS_Store").write_text("a Mac's")
    (tmp_path / "replication" / ".#a.py").symlink_to("emacs@nowhere.1234")
    (tmp_path / "replication" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "replication" / ".ipynb_checkpoints" / "a-checkpoint.py").write_text("X = 3")
    (tmp_path / "data" / "README.md").write_text("text")
    assert sources_digest() == first
    code.write_text('"""Doc."""\nX = 2\n')
    changed = sources_digest()
    (tmp_path / "data" / "a.jpg").write_text("an image")
    assert len({first, changed, sources_digest()}) == 3


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "float32"), ((8, 0), "float32 (TF32)")])
def test_only_a_gpu_that_has_tf32_rounds_to_it(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert origin("cuda", "float32")["precision"] == precision
    assert origin("cuda", "bfloat16")["precision"] == "bfloat16"
