"""The queue of trainings, at tiny scale: gone on with where it stopped, and what becomes the project's network."""

import signal
from dataclasses import replace

import pytest
from commands import run_command, start_command

from replication.config import SuperResolutionConfig
from replication.io.checkpoints import NETWORKS, load_network
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.io.pictures import PHOTOGRAPHS, content_picture
from replication.io.pixels import square
from replication.networks import SRCNN, ImageTransformationNetwork, SuperResolutionNetwork
from replication.report import recipes
from replication.report.recipes import QUEUES, train_all

SMALL = SuperResolutionConfig(loss="srcnn", steps=2, patch=32)


@pytest.fixture
def images(tmp_path, monkeypatch, weights_file):
    """A folder with three photographs."""
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for name in PHOTOGRAPHS[:3]:
        save_image(square(content_picture(name).image, 72), tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_projects_networks_are_of_todays_recipes():
    """But for one, which started from an older network with the pixel loss. A paper's training may replace each."""
    there = [name for name in QUEUES["overnight"] if (NETWORKS / f"{name}.json").exists()]
    assert len(there) > 15
    for name in {*there} - {"super_resolution/x8_feature"}:
        jobs = [queue[name] for queue in (QUEUES["overnight"], QUEUES["paper"]) if name in queue]
        assert any(recipes._is_of(NETWORKS / f"{name}.json", job) for job in jobs), name


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_killed_and_says_what_it_will_do(checkout, images):
    before, out = tree(NETWORKS), checkout / "training"
    command = ("train-all", "--images", images, "--profile", "smoke")
    process = start_command(*command, cwd=checkout)
    process.wait_for(out / "first.json")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "super_resolution" / "third.json").exists()
    first = (out / "first.safetensors").read_bytes()
    resumed = run_command(*command, cwd=checkout)
    assert resumed.returncode == 0, resumed.stderr
    plan = [line.split() for line in resumed.stdout.splitlines()[:4]]
    assert plan[0] == ["job", "steps", "done", "minutes", "left"]
    assert plan[1] == ["first", "2", "2", "0"]
    assert plan[3][:3] == ["super_resolution/third", "1", "0"]
    assert "[1/3]" not in resumed.stdout
    assert "[3/3] super_resolution/third" in resumed.stdout
    assert (out / "first.safetensors").read_bytes() == first
    _, start = load_network(out / "first.safetensors", ImageTransformationNetwork)
    second, record = load_network(out / "style" / "second.safetensors", ImageTransformationNetwork)
    assert second.configuration["norm"] == "instance"
    assert record["initial"] == start
    network, _ = load_network(out / "super_resolution" / "third.safetensors", SuperResolutionNetwork)
    assert network.factor == 4
    made = tree(out)
    again = run_command(*command, cwd=checkout)
    assert again.returncode == 0, again.stderr
    assert [line.split()[1:] for line in again.stdout.splitlines()[1:]] == [["2", "2", "0"], *[["1", "1", "0"]] * 2]
    assert tree(out) == made
    assert tree(NETWORKS) == before


def test_unknown_names_and_profiles_are_refused(tmp_path):
    with pytest.raises(ReplicationError, match="unknown network nothing; there are first, style/second, super"):
        train_all("nowhere", "smoke", tmp_path / "out", ["third", "nothing"])
    with pytest.raises(ReplicationError, match="unknown profile 'full'; choose smoke, quick, overnight, paper"):
        train_all("nowhere", "full", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("profile", QUEUES)
def test_a_finished_network_takes_the_place_of_the_projects_where_it_is_of_its_size(
    images, tmp_path, monkeypatch, put, profile
):
    networks, out = tmp_path / "networks", tmp_path / "out"
    put(NETWORKS=networks)
    jobs = {"base_128": SMALL, "super_resolution/srcnn_x4": SMALL}
    monkeypatch.setitem(recipes.QUEUES, profile, jobs)
    train_all(str(images), profile, out, ["srcnn_x4"])
    assert not (out / "base_128.safetensors").exists()
    train_all(str(images), profile, out)
    assert (out / "base_128.safetensors").exists()
    wanted = {f"super_resolution/srcnn_x4{suffix}" for suffix in (".json", ".safetensors")}
    found = tree(networks) if networks.exists() else {}
    assert found == ({name: tree(out)[name] for name in wanted} if profile in ("overnight", "paper") else {})
    train_all(str(images), profile, tmp_path / "other", ["srcnn_x4"])
    assert (tmp_path / "other").exists() == (profile in ("smoke", "quick"))
    monkeypatch.setitem(recipes.QUEUES, profile, {"super_resolution/srcnn_x4": replace(SMALL, patch=48)})
    with pytest.raises(ReplicationError, match="srcnn_x4.state.safetensors belongs to a run with another patch"):
        train_all(str(images), profile, out)


def test_overnight_the_projects_own_network_stays_and_the_word_says_where_the_other_is(images, tmp_path, put, capsys):
    put(NETWORKS=tmp_path / "networks")
    name, found = "super_resolution/srcnn_x4", []
    for profile, seed in (("overnight", 0), ("overnight", 1), ("paper", 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(recipes.QUEUES, profile, {name: replace(SMALL, seed=seed)})
            train_all(str(images), profile, tmp_path / f"out {seed}")
        found.append(tree(tmp_path / "networks"))
    assert found[0] == found[1] != found[2]
    assert f"{tmp_path / 'out 1' / name}.safetensors: the project's own stays" in capsys.readouterr().out


def test_a_network_that_enlarges_starts_from_one_that_the_project_has(images, tmp_path, monkeypatch, put):
    put(NETWORKS=tmp_path / "networks")
    jobs = {"super_resolution/first": SMALL, "super_resolution/second": replace(SMALL, steps=1, initial="first")}
    monkeypatch.setitem(recipes.QUEUES, "overnight", jobs)
    train_all(str(images), "overnight", tmp_path / "one", ["first"])
    train_all(str(images), "overnight", tmp_path / "other", ["second"])
    first, second = (load_network(tmp_path / "networks" / f"{name}.safetensors", SRCNN)[1] for name in jobs)
    assert second["initial"] == first
    assert second["config"]["initial"] == "first"
    train_all(str(images), "overnight", tmp_path / "third", ["second"])
    assert not (tmp_path / "third").exists()


def test_every_network_of_the_project_has_a_recipe_that_a_stranger_can_run():
    """A network starts from one of its queue before it, or from one that comes with the project."""
    for queue in QUEUES.values():
        known = {"base"}
        for name, job in queue.items():
            start = getattr(getattr(job, "config", job), "initial", None)
            assert start is None or start in known
            known |= {name, name.split("/")[-1]}
    assert {"style/great_wave", "style/great_wave_instance", "super_resolution/srcnn_x4"} <= QUEUES["paper"].keys()
    made = {name for profile in ("overnight", "paper") for name in QUEUES[profile]}
    assert {path.relative_to(NETWORKS).with_suffix("").as_posix() for path in NETWORKS.rglob("*.safetensors")} <= made


def test_a_network_that_could_not_be_put_in_its_place_is_put_there_by_the_next_call(images, tmp_path, put, monkeypatch):
    put(NETWORKS=tmp_path / "networks")
    monkeypatch.setitem(QUEUES, "paper", {"super_resolution/third": SMALL})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "write_atomically", full_disk)
        with pytest.raises(ReplicationError, match="no space"):
            train_all(str(images), "paper", tmp_path / "out")
    train_all(str(images), "paper", tmp_path / "out")
    made = [
        (folder / "super_resolution" / "third.safetensors").read_bytes()
        for folder in (tmp_path / "out", tmp_path / "networks")
    ]
    assert made[0] == made[1]


def test_a_finished_network_of_the_project_is_not_replaced_by_one_of_another_recipe(images, tmp_path, put):
    put(NETWORKS=tmp_path / "networks")
    name = "super_resolution/third"
    for profile, folder, seed in (("overnight", "old", 0), ("paper", "new", 1), ("paper", "old", 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(QUEUES, profile, {name: replace(SMALL, seed=seed)})
            train_all(str(images), profile, tmp_path / folder)
    assert tree(tmp_path / "networks") == {
        path: made for path, made in tree(tmp_path / "new").items() if path in (f"{name}.json", f"{name}.safetensors")
    }


def test_where_the_projects_networks_cannot_be_written_is_told_before_one_is_trained(
    images, tmp_path, put, monkeypatch
):
    (tmp_path / "networks").write_text("no folder")
    put(NETWORKS=tmp_path / "networks")
    monkeypatch.setitem(QUEUES, "paper", {"super_resolution/third": SMALL})
    with pytest.raises(ReplicationError, match=r"networks.* cannot be written"):
        train_all(str(images), "paper", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def full_disk(path, data):
    raise ReplicationError("no space")
