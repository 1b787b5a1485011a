"""Style transfer: training on a painting, by the real command; images, files and folders with a trained network."""

import json
import logging
import re
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from commands import run_command
from PIL import Image
from safetensors.torch import load_file
from skimage.color import rgb2ycbcr
from torch.utils._python_dispatch import TorchDispatchMode

from replication import style_transfer
from replication.__main__ import main
from replication.config import StyleConfig
from replication.io.checkpoints import load_network, save_checkpoint, save_network
from replication.io.files import ReplicationError
from replication.io.images import load_image, save_image
from replication.io.photographs import photographs_of
from replication.io.pictures import content_picture, style_picture
from replication.io.pixels import resize, square
from replication.io.ranges import RangeError
from replication.losses import Objective, lattice
from replication.networks import ImageTransformationNetwork, for_inference
from replication.style_transfer import (
    PRETRAINED,
    painting_of,
    style_names,
    style_network,
    style_trainer,
    stylise,
    stylise_files,
    train_style_from_files,
)
from replication.super_resolution import pretrained_network, upscale_files
from replication.training import train_network

PHOTOGRAPH = resize(content_picture("coffee").image, 133, 201)
STYLE = style_picture("great_wave")
SMALL = {"size": 64, "style_size": 64}


@pytest.fixture(scope="module")
def trained():
    """A network whose running statistics are those of photographs, if nothing else is."""
    torch.manual_seed(1)
    network = ImageTransformationNetwork()
    with torch.no_grad():
        for _ in range(30):
            network(resize(content_picture("rocket").image, 96, 128).expand(2, -1, -1, -1))
    return network.eval()


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "test.safetensors"
    save_network(trained, path, {"final_losses": {"content": 1.23456789}})
    return path


@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("size", [(133, 201), (128, 128), (97, 64)])
def test_tiles_are_the_whole_image(padding, size):
    """In float64 to rounding; the network has random weights and runs on its running statistics."""
    torch.manual_seed(2)
    network = ImageTransformationNetwork(padding=padding)
    network(torch.rand(2, 3, 64, 64))
    network = for_inference(network, torch.float64)
    image = resize(PHOTOGRAPH, *size).double()
    assert (stylise(network, image, tile=48) - stylise(network, image, tile=None)).abs().max() < 1e-12


def test_tiles_of_a_trained_network_are_the_whole_image_in_both_precisions():
    network = style_network("great_wave")[0]
    for dtype in (torch.float32, torch.bfloat16):
        fast = for_inference(network, dtype)
        assert (stylise(fast, PHOTOGRAPH, tile=64) - stylise(fast, PHOTOGRAPH)).abs().max() < 1 / 255
        assert (stylise(fast, PHOTOGRAPH) - network(PHOTOGRAPH)).abs().mean() < 2 / 255


@pytest.mark.parametrize(("load", "names"), [(style_network, ["great_wave"]), (pretrained_network, [4, "pixel"])])
def test_folding_the_norms_changes_nothing_but_rounding(load, names):
    network, image = load(*names)[0].double(), resize(PHOTOGRAPH, 48, 60).double()
    folded = for_inference(network, torch.float64)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert (folded(image) - network(image)).abs().max() < 1e-9


@pytest.mark.parametrize("name", style_names())
def test_the_shipped_networks_are_small_and_say_how_they_came_about(name):
    network, record = style_network(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_679_235
    assert (PRETRAINED / f"{name}.safetensors").stat().st_size < 4e6
    assert record["final_losses"].keys() - {"lattice"} == {"content", "style", "total_variation"}
    config = StyleConfig(**record["config"])
    assert network.configuration == config.network
    assert config.steps == record["log"]["step"][-1]
    assert record["provenance"]["settings"]["photographs"]["sha256"]
    assert re.fullmatch("[0-9a-f]{40}", record["provenance"]["commit"])
    assert len(record["log"]["step"]) == len(record["log"]["style"]) >= config.steps // 50


def test_float16_storage_changes_the_output_by_less_than_1_of_255(trained, saved):
    found, record = load_network(saved, ImageTransformationNetwork)
    assert record == {"final_losses": {"content": 1.23457}}
    assert (found(PHOTOGRAPH) - trained(PHOTOGRAPH)).abs().max() < 1 / 255


def test_a_style_and_a_painting_may_have_a_dot_in_their_names(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(style_transfer, "PRETRAINED", tmp_path)
    shutil.copy(saved, tmp_path / "van.gogh.safetensors")
    (tmp_path / "styles").mkdir()
    save_image(PHOTOGRAPH, tmp_path / "styles" / "van.gogh.jpg")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    assert style_names() == ["van.gogh"]
    assert style_network("van.gogh")[1] == load_network(saved, ImageTransformationNetwork)[1]
    assert style_picture("van.gogh").name == "van.gogh"


def test_a_painting_is_that_of_the_network_by_its_digest():
    record = style_network("ejiri")[1]
    assert painting_of(record).name == "ejiri"
    for name, digest in (("ejiri", 64 * "0"), ("mine", 64 * "0")):
        other = {"provenance": {"inputs": [{"name": name, "sha256": digest}]}}
        with pytest.raises(ReplicationError, match=f"the painting '{name}' that the network was tr"):
            painting_of(other)


def test_a_painting_is_found_by_a_path_without_a_suffix(tmp_path):
    save_image(PHOTOGRAPH, tmp_path / "painting.png")
    (tmp_path / "painting.png").rename(tmp_path / "painting")
    assert style_picture(str(tmp_path / "painting")).name == "painting"


def test_a_state_of_another_run_is_named_before_photographs_are_looked_for(tmp_path):
    save_checkpoint(tmp_path / "a.state.safetensors", {}, {"tv_weight": 1.0})
    with pytest.raises(ReplicationError, match="a.state.safetensors belongs to a run with another"):
        train_style_from_files("great_wave", "nowhere", tmp_path / "a.safetensors")


def test_files_that_are_no_networks_are_named(tmp_path, saved):
    with pytest.raises(ReplicationError, match="there is no style 'waves': give a .safetensors file or one of"):
        style_network("waves")
    with pytest.raises(ReplicationError, match="nothing.safetensors does not exist"):
        style_network(tmp_path / "nothing.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:10_000])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name in ("cut", "empty"):
        with pytest.raises(ReplicationError, match=f"{name}.safetensors is damaged or no network of this project"):
            style_network(tmp_path / f"{name}.safetensors")
    save_checkpoint(tmp_path / "a.state.safetensors", {}, {})
    with pytest.raises(
        ReplicationError, match="a.state.safetensors is the state of a run; a training writes its network at the end"
    ):
        style_network(tmp_path / "a.state.safetensors")
    with pytest.raises(ReplicationError, match="the network's record names no painting"):
        painting_of(style_network(saved)[1])


@pytest.mark.parametrize("as_before_1_6", [True, False])
def test_networks_of_others_are_refused_with_the_reason(tmp_path, as_before_1_6, capsys):
    shapes = {"conv1": (32, 3, 9, 9), "res1.conv1": (128, 128, 3, 3), "deconv1": (64, 128, 3, 3)}
    weights = {f"{name}.conv2d.weight": torch.rand(shape) for name, shape in shapes.items()}
    weights["in1.running_mean"] = torch.zeros(32)  # that torch had once
    torch.save(weights, tmp_path / "candy.pth", _use_new_zipfile_serialization=not as_before_1_6)
    torch.save({"other": torch.zeros(2)}, tmp_path / "other.pth", _use_new_zipfile_serialization=not as_before_1_6)
    (tmp_path / "mosaic.t7").write_bytes(b"\4\0\0\0\1\0\0\0\3\0\0\0V 1")
    for name, reason in {
        "candy.pth": "is a network of pytorch/examples, which no weights of ours equal: it pads each convolution",
        "mosaic.t7": "is a network of fast-neural-style, in Torch7, which no weights of ours equal: it ends",
        "other.pth": "is damaged or no network of this project",
    }.items():
        arguments = ["stylise", "nowhere.png", "-o", str(tmp_path / "out.png"), "--style", str(tmp_path / name)]
        assert main(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {tmp_path / name} {reason}")
        assert ("train its painting with train-style" in line) == (name != "other.pth")


@pytest.fixture
def folder(tmp_path):
    """Photographs of two kinds, a damaged one, and one that is too small."""
    path = tmp_path / "in"
    path.mkdir()
    save_image(PHOTOGRAPH, path / "a.png")
    save_image(resize(PHOTOGRAPH, 60, 50), path / "b.jpg")
    (path / "c.png").write_bytes(b"no image")
    Image.new("RGB", (30, 90)).save(path / "d.png")
    return path


def test_files_and_folders_are_stylised_and_what_cannot_be_read_is_named(folder, saved, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        failed = stylise_files([folder], tmp_path / "out", saved)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.png", "b.jpg"]
    assert len(failed) == 2
    assert "c.png could not be read as an image" in caplog.text
    assert "d.png is too small: a side needs at least 44 pixels" in caplog.text
    expected = load_network(saved, ImageTransformationNetwork)[0](load_image(folder / "a.png"))
    assert (load_image(tmp_path / "out" / "a.png") - expected).abs().max() < 0.51 / 255


def test_the_command_stylises_a_file_and_fails_for_what_it_cannot_read(folder, saved, tmp_path):
    done = run_command("stylise", folder / "a.png", "-o", tmp_path / "new" / "x.jpg", "--style", saved)
    assert done.returncode == 0, done.stderr
    assert load_image(tmp_path / "new" / "x.jpg").shape == PHOTOGRAPH.shape
    failed = run_command("stylise", folder / "a.png", folder / "c.png", "-o", tmp_path / "out", "--style", saved)
    assert failed.returncode == 1
    assert "c.png could not be read as an image" in failed.stderr
    assert (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("options", [{"strength": 0.25}, {"preserve_colours": True}, {"size": 80}])
def test_a_style_may_be_weaker_keep_the_colours_or_be_of_another_size(folder, saved, tmp_path, options):
    assert stylise_files([folder / "a.png"], tmp_path / "x.png", saved, **options) == []
    found, y = load_image(tmp_path / "x.png"), load_image(folder / "a.png")
    network, _ = load_network(saved, ImageTransformationNetwork)
    if "size" in options:
        y = resize(y, *(round(side * 80 / max(y.shape[2:])) for side in y.shape[2:]))
    whole = network(y).detach()
    if "strength" in options:
        assert (found - (0.25 * whole + 0.75 * y)).abs().max() < 1.01 / 255
    elif "size" in options:
        assert (found - whole).abs().max() < 1.01 / 255
    else:
        kept, given, wanted = (rgb2ycbcr(x[0].permute(1, 2, 0).numpy()) for x in (found, y, whole))
        inside = ((found > 0) & (found < 1)).all(1)[0].numpy()  # where nothing was clipped
        assert inside.mean() > 0.2
        assert np.abs(kept - given)[inside][:, 1:].max() < 1.5
        assert np.abs(kept - wanted)[inside][:, 0].max() < 1.5


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_files_are_stylised_in_the_precision_that_is_asked_for(folder, saved, tmp_path, precision):
    assert stylise_files([folder / "a.png"], tmp_path / "x.png", saved, precision=precision) == []
    network = for_inference(load_network(saved, ImageTransformationNetwork)[0], getattr(torch, precision))
    expected = stylise(network, load_image(folder / "a.png"))
    assert (load_image(tmp_path / "x.png") - expected).abs().max() < 0.51 / 255


@pytest.mark.parametrize("command", [partial(stylise_files, style="poppies_instance"), upscale_files])
def test_a_result_is_made_again_only_where_that_is_asked_for(tmp_path, command):
    save_image(resize(PHOTOGRAPH, 48, 64), tmp_path / "a.png")
    for overwrite in (False, True):
        Image.new("RGB", (5, 5)).save(tmp_path / "b.png")
        assert command(tmp_path / "a.png", tmp_path / "b.png", overwrite=overwrite) == []
        assert (Image.open(tmp_path / "b.png").size == (5, 5)) != overwrite


def test_several_styles_have_a_folder_each(folder, saved, tmp_path):
    options = ["--style", saved, "--style", "great_wave_instance", "--size", "80"]
    done = run_command("stylise", folder / "a.png", "-o", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert made == sorted([f"{saved.stem}/a.png", "great_wave_instance/a.png"])
    (tmp_path / "other").mkdir()
    twin = shutil.copy(saved, tmp_path / "other" / saved.name)
    for styles, into, said in (
        ([saved, "waves"], "out2", "there is no style 'waves'"),
        ([saved, twin], "out2", "two styles have one name"),
        ([saved, "great_wave_instance"], "x.png", "it is the name of one file, for several styles"),
    ):
        with pytest.raises(ReplicationError, match=said):
            stylise_files([folder / "a.png"], tmp_path / into, styles)
        assert not (tmp_path / into).exists()
    for _ in range(2):  # results within the folder of the photographs are no photographs
        stylise_files([folder], folder / "out", [saved, "great_wave_instance"], size=80, overwrite=True)
        made = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.*"))
        assert made == sorted(
            f"{name}/{each}" for name in (saved.stem, "great_wave_instance") for each in ("a.png", "b.jpg")
        )
    (small,) = stylise_files([folder / "a.png"], tmp_path / "z.png", saved, size=50)
    assert "a.png is too small: a side needs at least 44 pixels" in str(small)
    weak = run_command("stylise", folder / "a.png", "-o", tmp_path / "y.png", "--style", saved, "--strength", "1.5")
    assert weak.returncode == 2
    assert "strength must be a finite number, at least 0, at most 1; got 1.5" in weak.stderr


def test_a_device_that_is_not_there_is_an_error_in_one_line(folder, tmp_path):
    command = ("stylise", folder / "a.png", "-o", tmp_path / "x.png", "--style", "great_wave", "--device")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in [device for device in there if not there[device]]:
        refused = run_command(*command, device)
        assert refused.returncode == 1
        assert f"error: there is no device {device} for torch" in refused.stderr
    assert run_command(*command, "cpu").returncode == 0
    assert run_command(*command, "tpu").returncode == 2


@pytest.fixture(scope="module")
def photographs():
    return photographs_of([content_picture(name) for name in ("chelsea", "coffee")], 80)


@pytest.fixture
def project(tmp_path):
    """A place for a training: three photographs in `in`."""
    (tmp_path / "in").mkdir()
    for name in ("chelsea", "coffee", "rocket"):
        save_image(square(content_picture(name).image, 72), tmp_path / "in" / f"{name}.png")
    return tmp_path


def train(project, steps, *more, batch_size=2, launcher=()):
    arguments = ["--style", "great_wave", "--images", project / "in", "--out", project / "net.safetensors"]
    size = ["--size", 64, "--batch-size", batch_size, "--style-size", 64, "--steps", steps]
    command = ["train-style", "--recipe", "paper", *map(str, [*arguments, *size, *more])]
    return run_command(*command, launcher=launcher, REPLICATION_CACHE=project / "cache")


def record_of(project):
    return load_network(project / "net.safetensors", ImageTransformationNetwork)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_the_command_trains_goes_on_and_its_network_stylises(project):
    first = train(project, 2, "--tv-weight", "1e-4")
    assert first.returncode == 0, first.stderr
    second = train(project, 3, "--tv-weight", "1e-4")
    assert second.returncode == 0, second.stderr
    assert load_file(project / "net.state.safetensors")["step"] == 3
    network, record = load_network(project / "net.safetensors", ImageTransformationNetwork)
    assert record == {
        key: value for key, value in json.loads((project / "net.json").read_text()).items() if key in record
    }
    assert [json.loads(line)["step"] for line in (project / "net.jsonl").read_text().splitlines()] == [2, 3]
    config = StyleConfig(**record["config"])
    assert (config.steps, config.batch_size, config.objective["tv_weight"]) == (3, 2, 1e-4)
    assert record["provenance"]["settings"]["photographs"]["count"] == 3
    assert record["provenance"]["inputs"][0]["name"] == "great_wave"
    assert network.configuration == {"norm": "batch", "padding": "reflection", "residual": True}
    other = train(project, 4)
    assert other.returncode == 1
    assert "net.state.safetensors belongs to a run with another tv_weight" in other.stderr
    image = project / "in" / "chelsea.png"
    done = run_command("stylise", image, "-o", project / "out.png", "--style", project / "net.safetensors")
    assert done.returncode == 0, done.stderr
    assert Image.open(project / "out.png").size == (72, 72)


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_under_torchrun_two_processes_log_the_losses_of_one(project):
    """Their gradients are compared in test_training.py."""
    options = ("--norm", "instance", "--learning-rate", "1e-6")
    assert train(project, 2, *options).returncode == 0
    (one,) = record_of(project)["log"]["style"]
    for path in project.glob("net.*"):
        path.unlink()
    launcher = ("torch.distributed.run", "--nproc-per-node", "2", "-m")
    done = train(project, 2, *options, launcher=launcher)
    assert done.returncode == 0, done.stderr
    (two,) = record_of(project)["log"]["style"]
    assert two == pytest.approx(one, rel=1e-3)
    for path in project.glob("net.*"):
        path.unlink()
    odd = train(project, 2, *options, batch_size=3, launcher=launcher)
    assert "a batch of 3 cannot be shared out equally to 2 processes" in odd.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content_layer": "relu9_9"}, "relu9_9"),
        ({"compiled": "graphs"}, "CUDA graphs need a GPU"),
        ({"initial": "base", "residual": False}, "has shortcuts; give --initial None"),
    ],
)
def test_what_cannot_be_had_is_named_before_photographs_are_decoded(tmp_path, options, message):
    with pytest.raises((ValueError, ReplicationError), match=message):
        train_style_from_files("great_wave", str(tmp_path), tmp_path / "a.safetensors", StyleConfig(**options))


def test_batch_norm_wants_two_images_in_each_process(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(RangeError, match="batch_size must be two for each of 4 processes, or norm instance"):
        train_style_from_files("great_wave", str(tmp_path), tmp_path / "a.safetensors", StyleConfig())


def test_the_terms_are_those_of_the_configs_objective_in_its_precision(photographs):
    config = StyleConfig(
        **{"size": 64, "style_size": 48, "steps": 1, "batch_size": 2, "norm": "instance", "content_layer": "relu2_2"},
        **{"style_layers": ("relu1_2", "relu3_3"), "content_weight": 2.0, "style_weight": 3.0, "tv_weight": 1e-3},
    )
    ours, _ = style_trainer(STYLE, photographs, config, log_every=1)
    objective, images = Objective(square(STYLE.image, 48), **config.objective), ours.batch(0)
    with torch.no_grad():
        terms = objective(ours.network(images), objective.content_target(images))._asdict()
    (line,) = ours.run()
    assert [line[name] for name in terms] == pytest.approx([term.mean().item() for term in terms.values()], rel=1e-3)
    _, fast = style_trainer(STYLE, photographs, replace(config, precision="bfloat16"))
    assert next(fast.network.parameters()).dtype == torch.bfloat16


def test_a_training_is_of_its_seed(photographs):
    config = StyleConfig(**SMALL, seed=1)
    (one, _), (other, _) = (style_trainer(STYLE, photographs, replace(config, seed=seed)) for seed in (1, 2))
    assert not torch.equal(*(next(each.network.parameters()) for each in (one, other)))
    assert torch.equal(one.batch(0), photographs.batch(0, config.batch_size, config.size, 1))
    assert not torch.equal(one.batch(0), other.batch(0))


def test_the_penalty_is_on_the_lattice_of_what_the_network_makes(photographs):
    config = StyleConfig(**SMALL, steps=1, batch_size=2, norm="instance", lattice_weight=3.0)
    trainer, _ = style_trainer(STYLE, photographs, config, log_every=1)
    with torch.no_grad():
        expected = 3 * lattice(trainer.network(photographs.batch(0, 2, 64, 0))).mean().item()
    assert trainer.run()[0]["lattice"] == pytest.approx(expected, rel=1e-4)


def test_photographs_are_mirrored_where_that_is_asked_for(photographs):
    for flip in (True, False):
        trainer, _ = style_trainer(STYLE, photographs, StyleConfig(**SMALL, flip=flip))
        batches = [trainer.batch(step) for step in range(4)]
        assert all(torch.equal(each, photographs.batch(i, 4, 64, 0, flip)) for i, each in enumerate(batches))
        assert not all(torch.equal(each, photographs.batch(i, 4, 64, 0, not flip)) for i, each in enumerate(batches))


def test_the_command_names_what_it_cannot_take(project):
    (project / "empty").mkdir()
    for arguments, message in (
        (["--images", project / "none", "--out", project / "a.safetensors"], "none is not a folder"),
        (["--images", project / "empty", "--out", project / "a.safetensors"], "holds no photographs"),
        (["--images", project / "in", "--out", project / "a.pt"], "the suffix of a network's file is .safetensors"),
    ):
        result = run_command("train-style", "--style", "great_wave", *map(str, arguments))
        assert result.returncode == 1
        assert message in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("weights_file")
def test_photographs_smaller_than_the_crops_are_left_out_with_a_word(project):
    """Of both trainings; what has fewer pixels a side than a crop would be enlarged."""
    Image.new("RGB", (400, 2)).save(project / "in" / "strip.png")
    save_image(square(content_picture("chelsea").image, 63), project / "in" / "small.png")
    done = train(project, 1, "--fit", "crop")
    assert done.returncode == 0, done.stderr
    assert "left out: 2 photographs have a side of less than 64 pixels" in done.stderr
    assert record_of(project)["provenance"]["settings"]["photographs"]["count"] == 3
    for command in (["train-style", "--style", "great_wave", "--size", "80"], ["train-super-resolution"]):
        images = ["--images", str(project / "in"), "--out", str(project / "other.safetensors")]
        failed = run_command(*command, *images, REPLICATION_CACHE=project / "cache")
        assert failed.returncode == 1
        size = 80 if "--size" in command else 288
        assert failed.stderr.splitlines()[-1] == (
            f"error: none of the 5 images in {project / 'in'} has {size} pixels a side; give larger ones, or train at "
            "a smaller size"
        )


def test_a_painting_smaller_than_its_strokes_are_taken_is_enlarged_with_a_word(photographs, caplog):
    small = STYLE._replace(image=square(STYLE.image, 60))
    style_trainer(small, photographs, StyleConfig(**SMALL))
    assert "great_wave: its 60 pixels a side become 64" in caplog.text
    caplog.clear()
    style_trainer(STYLE, photographs, StyleConfig(**SMALL))
    assert not caplog.text


def test_crops_larger_than_the_photographs_are_refused_before_the_first_step(photographs):
    with pytest.raises(ReplicationError, match="crops of 96 x 96 do not fit into photographs of 80 pixels a side"):
        style_trainer(STYLE, photographs, StyleConfig(size=96))


def test_the_style_weight_rises_by_the_same_factor_each_step(photographs):
    """With next to no learning rate the terms change by the batch alone, so that their ratio is the factor."""
    configs = [StyleConfig(**SMALL, steps=4, learning_rate=1e-30, warmup=warmup) for warmup in (0, 3)]
    plain, rising = (style_trainer(STYLE, photographs, config, log_every=1)[0].run() for config in configs)
    factors = [line["style"] / other["style"] for line, other in zip(rising, plain, strict=True)]
    assert factors == pytest.approx([1e-3, 1e-2, 1e-1, 1], rel=1e-3)
    assert [line["content"] for line in rising] == pytest.approx([line["content"] for line in plain], rel=1e-3)


@pytest.mark.slow
def test_the_objective_falls(photographs):
    trainer, objective = style_trainer(STYLE, photographs, StyleConfig(**SMALL), log_every=5)
    log = trainer.run(until=15)
    assert sum(log[-1][term] for term in ("content", "style")) < 0.9 * sum(
        log[0][term] for term in ("content", "style")
    )
    image = photographs.batch(99, 1, 64, seed=0)
    assert objective(trainer.network(image), objective.content_target(image)).total.isfinite()


class ReadBacks(TorchDispatchMode):
    """Counts what makes a GPU's host wait: a tensor's value as a Python number."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_reads_nothing_back_from_the_device(photographs, precision):
    config = StyleConfig(size=64, steps=10, warmup=5, lr_decay=0.5, lattice_weight=1, precision=precision)
    trainer, _ = style_trainer(STYLE, photographs, config)
    with ReadBacks() as read_backs:
        trainer.advance()
        assert read_backs.count == 0
        trainer._check("a loss")
        assert read_backs.count == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_a_step_does_not_wait_for_it(photographs, precision):
    trainer, _ = style_trainer(STYLE, photographs.to("cuda"), StyleConfig(size=64, precision=precision))
    trainer.run(until=2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Own(torch.nn.Module):
    """A network that the project does not know."""

    def __init__(self, width):
        super().__init__()
        self.configuration = {"width": width}
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, padding=1), torch.nn.Conv2d(width, 3, 1))

    def forward(self, x):
        return torch.sigmoid(self.layers(x))


def test_a_network_of_ones_own_is_trained_and_read_again(photographs, tmp_path):
    config, path = StyleConfig(**SMALL, steps=2), tmp_path / "own.safetensors"
    trainer, objective = style_trainer(STYLE, photographs, config, Own(8), log_every=1)
    log = train_network(trainer, path, "train-style", objective.network, [STYLE])
    assert len(log) == 2
    found, _ = load_network(path, Own)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, trainer.network.state_dict()[name], rtol=1e-3, atol=1e-6)
    with pytest.raises(ReplicationError, match="own.safetensors holds another kind of network, Own"):
        style_network(path)
    state = tmp_path / "own.state.safetensors"
    style_trainer(STYLE, photographs, config, Own(8), state=state)[0].run(until=1)
    with pytest.raises(ReplicationError, match="own.state.safetensors belongs to a run with another network"):
        style_trainer(STYLE, photographs, config, Own(16), state=state)[0].run()
    with pytest.raises(ValueError, match="a network of your own has its own initial weights; give initial=None"):
        style_trainer(STYLE, photographs, StyleConfig(**SMALL, initial="base"), Own(8))
    with pytest.raises(ReplicationError, match="`configuration` has to hold the arguments of Sequential"):
        style_trainer(STYLE, photographs, config, torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_trained_network_can_be_the_start(photographs, tmp_path, norm):
    first, _ = style_trainer(STYLE, photographs, StyleConfig(**SMALL))
    first.run(until=1)
    save_network(first.network, tmp_path / "first.safetensors", {})
    config = StyleConfig(**SMALL, norm=norm, initial=str(tmp_path / "first.safetensors"))
    second, _ = style_trainer(STYLE, photographs, config)
    for name, value in second.network.state_dict().items():
        torch.testing.assert_close(value, first.network.state_dict()[name], rtol=1e-3, atol=1e-6)
    state = tmp_path / "second.state.safetensors"
    style_trainer(STYLE, photographs, config, state=state)[0].run(until=1)
    second.run(until=1)
    save_network(second.network, tmp_path / "first.safetensors", {})  # another network of the same name
    with pytest.raises(ReplicationError, match="belongs to a run with another initial"):
        style_trainer(STYLE, photographs, config, state=state)[0].run()
