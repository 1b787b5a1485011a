"""The paper's training of the networks of the project, at tiny scale, by the command."""

import json
import shutil
from types import SimpleNamespace

import pytest
from commands import run_command

from replication import full_scale, full_training
from replication.io.checkpoints import load_network
from replication.io.files import ReplicationError
from replication.io.images import save_image, square
from replication.io.photographs import content_picture
from replication.io.provenance import environment, provenance
from replication.io.runtime import default_device
from replication.networks import SRCNN
from replication.report.recipes import train_in_full, trainings
from replication.report.tables import save_table


@pytest.fixture
def images(tmp_path, monkeypatch, weights_file):
    """A folder with one photograph."""
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    save_image(square(content_picture("coffee").image, 300), tmp_path / "images" / "coffee.png")
    return str(tmp_path / "images")


def test_every_network_of_the_project_has_its_training():
    found = {training.name: training for training in trainings()}
    assert len(found) == 10
    assert found["style/great_wave"][1:3] == (40_000, 256)
    assert found["super_resolution/x8_pixel"][1:3] == (200_000, 288)
    assert found["super_resolution/srcnn_x4"].train.keywords == {
        **{"factor": 4, "loss": "srcnn", "patch": 288, "kernels": [9, 5, 5]}
    }
    style = found["style/great_wave_instance"].begin.keywords
    assert (style["norm"], style["style_weight"], style["size"]) == ("instance", 5.0, 256)


@pytest.mark.slow
def test_the_command_says_what_it_will_do_and_goes_on_where_it_was_stopped(images, tmp_path):
    before = {path: path.read_bytes() for path in full_training.NETWORKS.rglob("*.safetensors")}
    command = ["train-in-full", "--images", images, "--out", str(tmp_path / "out"), "--steps", "2", "--size", "64"]
    command += ["--only", "style/great_wave_instance,srcnn_x4"]
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    plan = [line.split() for line in done.stdout.splitlines()]
    assert plan[0] == ["network", "steps", "done", "minutes"]
    assert [row[:3] for row in plan[2:4]] == [
        ["style/great_wave_instance", "2", "0"],
        ["super_resolution/srcnn_x4", "2", "0"],
    ]
    assert plan[4][0] == "together"
    network, record = load_network(tmp_path / "out/super_resolution/srcnn_x4.safetensors", SRCNN)
    assert network.configuration == {"kernels": [9, 5, 5]}
    assert record["provenance"]["settings"]["steps"] == 2
    again = run_command(*command)
    assert [line.split()[1:] for line in again.stdout.splitlines()[2:4]] == [["2", "2", "0"]] * 2
    assert {path: path.read_bytes() for path in full_training.NETWORKS.rglob("*.safetensors")} == before


def test_a_network_with_all_of_its_training_takes_the_place_of_the_old_one(images, tmp_path, monkeypatch):
    (tmp_path / "networks" / "super_resolution").mkdir(parents=True)
    for suffix in (".json", ".safetensors"):
        shutil.copy(
            full_training.NETWORKS / f"super_resolution/srcnn_x4{suffix}", tmp_path / "networks/super_resolution"
        )
    monkeypatch.setattr(full_training, "NETWORKS", tmp_path / "networks")
    monkeypatch.setattr(full_training.super_resolution_training, "STEPS", 2)
    monkeypatch.setattr(full_training.super_resolution_training, "PATCH", 32)
    train_in_full(images, tmp_path / "out")
    path = tmp_path / "out/super_resolution/srcnn_x4.safetensors"
    assert (tmp_path / "networks/super_resolution/srcnn_x4.safetensors").read_bytes() == path.read_bytes()
    assert [training.full for training in trainings()] == [True]
    before = path.read_bytes()
    train_in_full(images, tmp_path / "out", only=["srcnn_x4"])
    assert path.read_bytes() == before
    with pytest.raises(ReplicationError, match="srcnn_x4.safetensors was trained with another patch; remove it, or"):
        train_in_full(images, tmp_path / "out", only=["srcnn_x4"], size=48)
    with pytest.raises(ReplicationError, match="unknown network nothing; there are super_resolution/srcnn_x4"):
        train_in_full(images, tmp_path / "out", only=["nothing"])


@pytest.mark.slow
def test_full_scale_trains_measures_and_draws_and_keeps_what_is_of_today(images, tmp_path, monkeypatch, capsys):
    done = []
    monkeypatch.setattr(full_scale, "train_in_full", lambda *_, **options: done.append(options))
    monkeypatch.setattr(full_scale, "run_notebooks", lambda profile, resume: done.append((profile, resume)) or True)
    for name in ("tables", "full_scale"):
        monkeypatch.setattr(f"replication.{name}.FIGURES", tmp_path / "figures")

    def benchmark_some(profile):
        run = SimpleNamespace(command="benchmark some", profile=profile, seed=0, device=default_device(), precision="")
        save_table("benchmark_some", [{"seconds": len(done)}], provenance(run, None, []))

    monkeypatch.setattr(full_scale, "BENCHMARKS", (benchmark_some,))
    table = tmp_path / "figures" / "smoke" / "benchmark_some.json"
    for _ in range(2):
        full_scale.full_scale(images, profile="smoke", steps=2)
        assert json.loads(table.read_text())["results"] == [{"seconds": 2}]
    assert done == [{"steps": 2}, ("smoke", True)] * 2
    assert capsys.readouterr().out == "benchmark_some: kept\n"
    monkeypatch.setattr(full_scale, "write_readme", lambda: done.append("README"))
    for other in ("sources", "device", "versions"):
        monkeypatch.setattr(full_scale, "circumstances", lambda other=other: environment() | {other: "other"})
        full_scale.full_scale(images, profile="smoke")
        assert json.loads(table.read_text())["results"] == [{"seconds": len(done)}]
    assert "README" not in done
    full_scale.full_scale(images)
    assert done[-1] == "README"
    monkeypatch.setattr(full_scale, "run_notebooks", lambda profile, resume: False)
    with pytest.raises(ReplicationError, match="a notebook failed"):
        full_scale.full_scale(images, profile="smoke")
    with pytest.raises(ReplicationError, match="unknown profile 'full'"):
        full_scale.full_scale(images, profile="full")
