"""The two recipes of `train-style`, by the real command, and what is given beside them."""

import json

import pytest
from commands import run_command

from replication.io.files import ReplicationError, sha256
from replication.io.images import save_image, square
from replication.io.photographs import content_picture
from replication.io.ranges import check
from replication.style_transfer import BASE_NETWORK, PAPER, QUICK, recipe


def test_what_is_given_takes_the_place_of_the_recipes():
    assert recipe("paper") == PAPER
    assert recipe("paper", steps=7, seed=1) == PAPER | {"steps": 7, "seed": 1}
    assert recipe("quick") == QUICK
    assert recipe("quick", lattice_weight=0)["lattice_weight"] == 0


def test_the_quick_recipe_fits_to_the_steps_and_the_norm():
    assert recipe("quick", steps=7)["cooldown"] == 7
    assert recipe("quick", steps=7, cooldown=2)["cooldown"] == 2
    assert recipe("quick", norm="batch")["batch_size"] == 4
    assert recipe("quick", norm="batch", batch_size=2)["batch_size"] == 2


def test_their_numbers_are_in_their_ranges():
    check(**PAPER)
    check(**QUICK)


def test_unknown_recipes_are_refused():
    with pytest.raises(ReplicationError, match="recipe must be paper or quick; got 'slow'"):
        recipe("slow")


@pytest.fixture
def train(tmp_path):
    (tmp_path / "in").mkdir()
    save_image(square(content_picture("chelsea").image, 72), tmp_path / "in" / "chelsea.png")
    arguments = ["--style", "great_wave", "--images", tmp_path / "in", "--out", tmp_path / "net.safetensors"]
    small = ["--size", 64, "--style-size", 64, "--steps", 1]

    def settings(*more):
        done = run_command("train-style", *map(str, [*arguments, *small, *more]), REPLICATION_CACHE=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "net.json").read_text())
        for path in tmp_path.glob("net.*"):
            path.unlink()
        return record["provenance"]["settings"] | record["network"], record, done.stderr

    return settings


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_without_a_gpu_the_command_trains_quickly_from_the_base_and_says_so(train):
    settings, record, said = train()
    assert "no GPU: the quick recipe, 1 steps" in said
    wanted = {"norm": "instance", "optimizer": "muon", "bfloat16": True, "batch_size": 1, "flip": True}
    wanted |= {"lattice_weight": QUICK["lattice_weight"], "initial": sha256(BASE_NETWORK.read_bytes())}
    assert wanted.items() <= settings.items()
    assert record["final_losses"]["lattice"] > 0
    again, *_ = train("--initial", "random", "--no-flip", "--lattice-weight", 0)
    assert "initial" not in again
    assert "lattice_weight" not in again
    assert not again["flip"]


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_the_papers_recipe_is_the_papers(train):
    settings, _, said = train("--recipe", "paper")
    assert "recipe" not in said
    wanted = {"norm": "batch", "optimizer": "adam", "learning_rate": 1e-3, "bfloat16": False, "batch_size": 4}
    assert (wanted | {"flip": False, "cooldown": 0, "warmup": 0}).items() <= settings.items()
    assert not {"initial", "lattice_weight"} & settings.keys()
    assert settings["photographs"]["fit"] == "stretch"
