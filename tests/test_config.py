"""The two recipes of `train-style`, by the real command, and what is given beside them; networks to start from."""

import json
from dataclasses import replace

import pytest
from commands import run_command

from replication.config import PAPER, QUICK, RECIPES, StyleConfig, SuperResolutionConfig
from replication.io.checkpoints import load_network, save_network
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.io.pictures import content_picture
from replication.io.pixels import square
from replication.io.ranges import RangeError
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork
from replication.style_transfer import BASE, style_network, train_style_from_files
from replication.super_resolution import train_super_resolution_from_files


def test_batch_norm_takes_a_batch():
    with pytest.raises(RangeError, match="batch_size must be at least 2 with batch norm, .*; got 1"):
        StyleConfig(batch_size=1)
    with pytest.raises(RangeError, match="batch_size must be at least 2 with batch norm"):
        replace(QUICK, norm="batch")
    assert replace(QUICK, norm="batch", batch_size=2).network["norm"] == "batch"


def test_a_configuration_comes_back_from_json_and_takes_no_blur_for_the_losss_own():
    for config in (PAPER, QUICK, SuperResolutionConfig(), SuperResolutionConfig(loss="srcnn", kernels=(9, 1, 5))):
        assert type(config)(**json.loads(json.dumps(vars(config)))) == config
    assert [SuperResolutionConfig(loss=loss).blur for loss in ("feature", "pixel", "srcnn")] == [1, 1, 0]
    assert SuperResolutionConfig(loss="srcnn", blur=0.5).blur == 0.5


@pytest.fixture
def train(tmp_path):
    (tmp_path / "in").mkdir()
    save_image(square(content_picture("chelsea").image, 72), tmp_path / "in" / "chelsea.png")
    arguments = ["--style", "great_wave", "--images", tmp_path / "in", "--out", tmp_path / "net.safetensors"]
    small = ["--size", 64, "--style-size", 64, "--steps", 1]

    def trained(*more):
        """The configuration, as the record has it, the record, and what was said."""
        done = run_command("train-style", *map(str, [*arguments, *small, *more]), REPLICATION_CACHE=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "net.json").read_text())
        for path in tmp_path.glob("net.*"):
            path.unlink()
        return StyleConfig(**record["config"]), record, done.stderr

    return trained


SMALL = {"steps": 1, "size": 64, "style_size": 64}


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_without_a_gpu_the_command_trains_quickly_from_the_base_and_says_so(train):
    config, record, said = train()
    assert "the quick recipe: 1 steps, of which 2,500 take an hour and a half on one core in float32" in said
    assert config == replace(RECIPES["quick"], **SMALL)
    assert record["initial"] == load_network(BASE, ImageTransformationNetwork)[1]
    assert record["final_losses"]["lattice"] > 0
    changed, again, _ = train("--initial", "None", "--no-flip", "--lattice-weight", 0)
    assert changed == replace(config, initial=None, flip=False, lattice_weight=0.0)
    assert "initial" not in again
    assert "lattice" not in again["final_losses"]
    assert train("--initial", "poppies")[1]["initial"] == style_network("poppies")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
@pytest.mark.parametrize("given", [["--recipe", "paper"], ["--recipe=paper"]])
def test_the_papers_recipe_is_the_papers(train, given):
    config, record, said = train(*given)
    assert "recipe" not in said
    assert config == replace(PAPER, **SMALL)
    assert (config.norm, config.optimizer, config.batch_size, config.learning_rate) == ("batch", "adam", 4, 1e-3)
    assert "initial" not in record
    assert record["provenance"]["settings"]["photographs"]["fit"] == "stretch"


def test_the_defaults_are_the_papers():
    """Its settings, and where it is silent those of the published code."""
    both = {"batch_size": 4, "learning_rate": 1e-3, "lr_decay": 0.0, "optimizer": "adam", "flip": False}
    both |= {"initial": None, "lattice_weight": 0.0, "precision": "float32"}
    style = {"steps": 40_000, "size": 256, "fit": "stretch", "style_size": 256, "content_layer": "relu3_3", "warmup": 0}
    style |= {"style_layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), "content_weight": 1.0, "style_weight": 5.0}
    style |= {"tv_weight": 1e-6, "norm": "batch", "padding": "reflection", "residual": True}
    enlarging = {"steps": 200_000, "factor": 4, "loss": "feature", "patch": 288, "count": 10_000, "blur": 1.0}
    enlarging |= {"upsampling": "transposed"}
    assert (both | style).items() <= vars(PAPER).items()
    assert (both | enlarging).items() <= vars(SuperResolutionConfig()).items()


def test_a_start_that_is_not_there_is_named_before_photographs_are_looked_for(tmp_path):
    start, out = str(tmp_path / "start.safetensors"), str(tmp_path / "a.safetensors")
    with pytest.raises(ReplicationError, match="start.safetensors does not exist"):
        train_style_from_files("great_wave", "nowhere", out, StyleConfig(initial=start))
    with pytest.raises(ReplicationError, match="start.safetensors does not exist"):
        train_super_resolution_from_files("nowhere", out, SuperResolutionConfig(initial=start))
    save_network(SuperResolutionNetwork(8), start, {})
    with pytest.raises(ReplicationError, match=r"start.safetensors has {'factor': 8, .*}; wanted is {'factor': 4, "):
        train_super_resolution_from_files("nowhere", out, SuperResolutionConfig(initial=start))
