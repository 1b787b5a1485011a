"""Super-resolution: the networks, the low-resolution images, tiles, histograms, SRCNN, training and both commands."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import run_command
from PIL import Image
from safetensors.torch import load_file
from skimage.color import rgb2ycbcr, ycbcr2rgb
from skimage.exposure import match_histograms
from skimage.filters import gaussian

from replication.config import SuperResolutionConfig
from replication.evaluation import mean_scores
from replication.histograms import BAND, histogram_matched
from replication.io.checkpoints import load_network, save_network, steps_trained, training_log
from replication.io.files import ReplicationError, sha256
from replication.io.images import load_image, save_image
from replication.io.photographs import photographs_of
from replication.io.pictures import PHOTOGRAPHS, content_picture
from replication.io.pixels import resize, square, to_pixels
from replication.io.ranges import RangeError
from replication.loss_network import LossNetwork
from replication.losses import feature_reconstruction_loss, lattice
from replication.networks import SRCNN, ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.super_resolution import (
    PRETRAINED,
    SRCNNUpscaler,
    bicubic,
    cropped,
    low_resolution,
    luminance,
    pretrained_network,
    super_resolution_trainer,
    train_super_resolution,
    upscale,
    upscale_files,
)

PHOTOGRAPH = resize(content_picture("coffee").image, 133, 201)


def network(factor, dtype=torch.float32):
    """One whose running statistics are those of photographs, if nothing else is."""
    torch.manual_seed(1)
    network = SuperResolutionNetwork(factor)
    with torch.no_grad():
        for _ in range(30):
            network(resize(content_picture("rocket").image, 24, 32).expand(2, -1, -1, -1))
    return for_inference(network, dtype)


@pytest.mark.parametrize(("factor", "parameters"), [(4, 401_859), (8, 438_915)])
def test_the_networks_are_those_of_the_authors(factor, parameters):
    network = SuperResolutionNetwork(factor)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    y_hat = network(torch.rand(2, 3, 36, 20))
    assert y_hat.shape == (2, 3, 36 * factor, 20 * factor)
    assert y_hat.min() >= 0
    assert y_hat.max() <= 1


@pytest.mark.parametrize(("kernels", "parameters"), [((9, 5, 5), 57_281), ((9, 1, 5), 8_129)])
def test_srcnn_is_that_of_dong(kernels, parameters):
    network = SRCNN(kernels)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network(torch.rand(2, 1, 20, 31)).shape == (2, 1, 20, 31)


def test_low_resolution_is_a_gaussian_and_an_antialiased_bicubic_in_8_bits():
    y = cropped(PHOTOGRAPH, 4)
    assert y.shape[2:] == (132, 200)
    blurred = gaussian(y[0].double().numpy(), 1, truncate=4, mode="mirror", channel_axis=0)
    for blur, image in ((0, y), (1, torch.from_numpy(blurred)[None])):
        wanted = resize(image.double(), 33, 50) * 255
        found = low_resolution(y, 4, blur) * 255
        torch.testing.assert_close(found, found.round(), rtol=0, atol=1e-4)
        assert (found - wanted).abs().max() < 0.51


def test_luminance_is_scikit_images():
    wanted = rgb2ycbcr(PHOTOGRAPH[0].permute(1, 2, 0).double().numpy())[..., 0] / 255
    np.testing.assert_allclose(luminance(PHOTOGRAPH)[0, 0].numpy(), wanted, atol=1e-6)


def test_srcnn_changes_the_luminance_alone():
    torch.manual_seed(0)
    network = SRCNN()
    with pytest.raises(ValueError, match="the sides must be multiples of 4; got "):
        low_resolution(PHOTOGRAPH[..., :-1], 4)
    small = low_resolution(cropped(PHOTOGRAPH, 4), 4)
    large = bicubic(small, 4)
    ycbcr = rgb2ycbcr(large[0].permute(1, 2, 0).double().numpy())
    ycbcr[..., 0] = 255 * network(luminance(large))[0, 0].detach().numpy()
    wanted = np.clip(ycbcr2rgb(ycbcr), 0, 1)
    np.testing.assert_allclose(SRCNNUpscaler(network)(small)[0].permute(1, 2, 0).numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize("factor", [4, 8])
def test_tiles_are_the_whole_image(factor):
    """In float64 to rounding."""
    exact, small = network(factor, torch.float64), resize(PHOTOGRAPH, 33, 35).double()
    assert (upscale(exact, small, tile=16) - upscale(exact, small, tile=None)).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_are_the_whole_image_within_1_of_255_in_the_precisions_of_the_command(dtype):
    fast, small = network(4, dtype), resize(PHOTOGRAPH, 50, 70)
    assert (upscale(fast, small, tile=32) - upscale(fast, small, tile=None)).abs().max() < 1 / 255


def test_tiles_of_srcnn_are_the_whole_image():
    found, small = SRCNNUpscaler(SRCNN().eval().double()), resize(PHOTOGRAPH, 33, 35).double()
    assert (upscale(found, small, tile=16) - upscale(found, small, tile=None)).abs().max() < 1e-12


@pytest.mark.parametrize("match", [True, False])
def test_any_trained_network_enlarges_files_and_grey_stays_grey(tmp_path, match):
    """SRCNN, and the shipped networks at both factors; a coloured photograph stays coloured."""
    colour = resize(PHOTOGRAPH, 24, 32)
    save_image(colour, tmp_path / "colour.png")
    Image.fromarray(to_pixels(colour)).convert("L").save(tmp_path / "grey.png")
    files = [tmp_path / "colour.png", tmp_path / "grey.png"]
    for name, options in {
        "srcnn": {"network": PRETRAINED / "srcnn_x4.safetensors"},
        "x4": {"loss": "pixel"},
        "x8": {"factor": 8},
    }.items():
        assert upscale_files(files, tmp_path / name, match_histogram=match, **options) == []
        grey = load_image(tmp_path / name / "grey.png")
        assert torch.equal(grey[:, :2], grey[:, 1:])
        enlarged = bicubic(load_image(tmp_path / "grey.png"), 8 if name == "x8" else 4)
        assert (grey - enlarged).abs().mean() < 0.05
        large = load_image(tmp_path / name / "colour.png")
        assert not torch.equal(large[:, :2], large[:, 1:])
    expected = SRCNNUpscaler(load_network(PRETRAINED / "srcnn_x4.safetensors", SRCNN)[0])(load_image(files[0]))
    if not match:
        assert (load_image(tmp_path / "srcnn" / "colour.png") - expected).abs().max() < 0.51 / 255


@pytest.mark.parametrize(
    ("loss", "precision"),
    [(None, "float32"), ("feature", "bfloat16"), ("feature_penalised", "float32"), ("pixel", "float32")],
)
def test_the_network_is_that_of_the_loss_by_default_of_feature(tmp_path, loss, precision):
    save_image(resize(PHOTOGRAPH, 24, 32), tmp_path / "a.png")
    options = {"loss": loss, "precision": precision, "match_histogram": False}
    assert upscale_files(tmp_path / "a.png", tmp_path / "b.png", **options) == []
    network = for_inference(pretrained_network(4, loss or "feature")[0], getattr(torch, precision))
    expected = upscale(network, load_image(tmp_path / "a.png"))
    assert (load_image(tmp_path / "b.png") - expected).abs().max() < 0.51 / 255


def test_histogram_matching_is_scikit_images_on_8_bits():
    small = low_resolution(resize(PHOTOGRAPH, BAND + 8, 200), 4)
    large = (0.8 * bicubic(small, 4) + 0.1).clamp(0, 1)
    found = histogram_matched(large, small)
    wanted = match_histograms(*(to_pixels(image).astype(float) for image in (large, small)), channel_axis=-1)
    np.testing.assert_allclose(255 * found[0].permute(1, 2, 0).numpy(), wanted, rtol=1e-6)
    assert (found.mean((2, 3)) - small.mean((2, 3))).abs().max() < 1 / 255


@pytest.mark.parametrize("path", sorted(PRETRAINED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_the_shipped_networks_are_small_and_say_how_they_came_about(path):
    kind = SRCNN if path.stem == "srcnn_x4" else SuperResolutionNetwork
    network, record = load_network(path, kind)
    config = SuperResolutionConfig(**record["config"])
    if kind is SuperResolutionNetwork:
        assert path.stem == f"x{network.factor}_{config.loss}{'_penalised' * (config.lattice_weight > 0)}"
    assert path.stat().st_size < 4e6
    assert record["provenance"]["settings"]["photographs"]["sha256"]
    assert re.fullmatch("[0-9a-f]{40}", record["provenance"]["commit"])
    assert record["final_losses"]["reconstruction"] == record["log"]["reconstruction"][-1]
    assert config.steps == record["log"]["step"][-1]


def test_all_networks_of_the_paper_are_shipped():
    names = [path.stem for path in sorted(PRETRAINED.glob("*.safetensors"))]
    assert names == [
        "srcnn_x4",
        "x4_feature",
        "x4_feature_penalised",
        "x4_pixel",
        "x8_feature",
        "x8_feature_penalised",
        "x8_pixel",
    ]


@pytest.mark.parametrize("factor", [4, 8])
def test_the_penalised_network_leaves_no_grid_at_hardly_more_of_its_loss(factor):
    """On photographs unlike those that it was trained on, made smaller as in training."""
    pictures = [square(content_picture(name).image, 288) for name in PHOTOGRAPHS]
    phi, found = LossNetwork(["relu2_2"]), {}
    for loss in ("feature", "feature_penalised", "pixel"):
        network = for_inference(pretrained_network(factor, loss)[0])
        small = [low_resolution(y, factor, 1.0) for y in pictures]
        large = [histogram_matched(upscale(network, each), each) for each in small]
        pairs = [(phi(a)["relu2_2"], phi(b)["relu2_2"]) for a, b in zip(large, pictures, strict=True)]
        losses = [feature_reconstruction_loss(*pair).item() for pair in pairs]
        found[loss] = mean_scores(large, pictures, factor) | {"loss": sum(losses)}
    plain, ours, pixel = found.values()
    assert ours["grid"] < min(1.5, plain["grid"] / 3)  # grey levels
    assert plain["psnr"] < ours["psnr"] < pixel["psnr"]
    assert ours["loss"] < 1.05 * plain["loss"]


@pytest.mark.parametrize(
    ("factor", "loss", "message"),
    [
        (3, "pixel", "factor must be 4 or 8; got 3"),
        (4, "srcnn", "loss must be feature or feature_penalised or pixel; got 'srcnn'"),
    ],
)
def test_a_network_that_there_is_not_is_refused(factor, loss, message):
    with pytest.raises(ReplicationError, match=message):
        pretrained_network(factor, loss)


@pytest.fixture(scope="module")
def photographs():
    return photographs_of([content_picture(name) for name in ("chelsea", "coffee")], 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "style"}, "loss must be feature or pixel or srcnn; got 'style'"),
        ({"patch": 32, "lattice_weight": 1}, "patch must be at least 32 . factor with a lattice_weight; got 32"),
        ({"patch": 128}, "crops of 128 x 128 do not fit into photographs of 96 pixels a side"),
        ({"loss": "srcnn", "kernels": (9, 4, 5)}, "kernels must be 9 5 5 or 9 1 5; got 9 4 5"),
    ],
)
def test_what_cannot_be_trained_is_refused(photographs, options, message):
    with pytest.raises(RangeError, match=message):
        super_resolution_trainer(photographs, SuperResolutionConfig(**options))


@pytest.mark.parametrize("loss", ["pixel", "srcnn", "feature"])
def test_the_loss_falls(photographs, loss):
    config = SuperResolutionConfig(loss=loss, patch=32, batch_size=2)
    trainer, _ = super_resolution_trainer(photographs, config, log_every=10)
    log = trainer.run(until=60)
    assert log[-1]["reconstruction"] < 0.7 * log[0]["reconstruction"]


def test_the_losses_are_those_of_section_3(photographs, weights):
    """Of the first step, from the networks' own output; the loss network is on the scale 0..255."""
    for loss in ("pixel", "feature"):
        trainer, phi = super_resolution_trainer(photographs, SuperResolutionConfig(loss=loss, patch=32), log_every=1)
        y = trainer.batch(0)
        y_hat = trainer.network(low_resolution(y, 4, 1.0)).detach()
        if phi:
            y_hat, y = (phi(image)["relu2_2"] for image in (y_hat, y))
        wanted = (y_hat - y).double().square().sum((1, 2, 3)) / y[0].numel()
        assert trainer.run(until=1)[0]["reconstruction"] == pytest.approx(wanted.mean().item(), rel=1e-4)


def test_a_training_is_of_its_seed_and_architecture(photographs):
    config = SuperResolutionConfig(loss="pixel", patch=32, seed=1, upsampling="resize")
    (one, _), (other, _) = (super_resolution_trainer(photographs, replace(config, seed=seed)) for seed in (1, 2))
    assert one.network.configuration == {"factor": 4, "upsampling": "resize"}
    assert one.network(torch.rand(2, 3, 8, 9)).shape == (2, 3, 32, 36)
    assert not torch.equal(*(next(each.network.parameters()) for each in (one, other)))
    assert torch.equal(one.batch(0), photographs.batch(0, config.batch_size, 32, 1))
    assert not torch.equal(one.batch(0), other.batch(0))
    of_dong = SuperResolutionConfig(loss="srcnn", patch=32, kernels=(9, 1, 5))
    srcnn, _ = super_resolution_trainer(photographs, of_dong)
    assert srcnn.network.configuration == {"kernels": [9, 1, 5]}


def test_srcnn_repeats_the_border():
    luminance = torch.full((1, 1, 20, 24), 0.5)
    luminance[..., 0], luminance[..., -1] = 0.2, 0.9  # which a reflection would not show again
    torch.manual_seed(0)
    srcnn = SRCNN()
    padded = torch.from_numpy(np.pad(luminance.numpy(), [(0, 0), (0, 0), (8, 8), (8, 8)], mode="edge"))
    with torch.no_grad():
        torch.testing.assert_close(srcnn(luminance), srcnn.layers(padded))


@pytest.mark.parametrize("factor", [4, 8])
def test_the_penalty_is_on_the_lattice_that_the_photograph_has_not(photographs, weights, factor):
    config = SuperResolutionConfig(loss="pixel", patch=48, factor=factor, lattice_weight=3)
    trainer, _ = super_resolution_trainer(photographs, config, log_every=1)
    y = trainer.batch(0)
    difference = trainer.network(low_resolution(y, factor, 1.0)).detach() - y
    line = trainer.run(until=1)[0]
    assert line["lattice"] == pytest.approx(3 * lattice(difference, factor).mean().item(), rel=1e-4)
    assert line["reconstruction"] == pytest.approx(difference.square().mean().item(), rel=1e-4)


def test_two_halves_are_the_whole_and_the_record_says_how_it_came_about(photographs, tmp_path):
    options = {"loss": "pixel", "patch": 32, "batch_size": 2, "precision": "bfloat16"}
    for name, stages in (("whole", [6]), ("halves", [3, 6])):
        for steps in stages:
            config = SuperResolutionConfig(steps=steps, **options)
            train_super_resolution(photographs, tmp_path / f"{name}.safetensors", config)
    whole, halves = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    _, record = load_network(tmp_path / "whole.safetensors", SuperResolutionNetwork)
    assert SuperResolutionConfig(**record["config"]) == config
    assert (record["config"]["factor"], record["config"]["blur"]) == (4, 1.0)
    assert record["provenance"]["precision"] == "bfloat16"


def test_a_trained_network_can_be_the_start_of_the_same_factor(photographs, tmp_path):
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("first", "second", "third")}
    options = {"patch": 32, "batch_size": 2, "steps": 1}
    train_super_resolution(photographs, paths["first"], SuperResolutionConfig(loss="pixel", **options))
    start, first = load_network(paths["first"], SuperResolutionNetwork)
    options["initial"] = str(paths["first"])
    config = SuperResolutionConfig(loss="feature", **options)
    trainer, _ = super_resolution_trainer(photographs, config)
    assert all(map(torch.equal, trainer.network.state_dict().values(), start.state_dict().values()))
    assert trainer.inputs["initial"] == sha256(paths["first"].read_bytes())
    train_super_resolution(photographs, paths["second"], config)
    _, second = load_network(paths["second"], SuperResolutionNetwork)
    assert second["initial"] == first
    assert second["config"]["initial"] == "first"
    assert training_log(second)["step"] == [1]
    assert steps_trained(second) == 2
    train_super_resolution(photographs, paths["third"], SuperResolutionConfig(loss="pixel", **options))
    assert training_log(load_network(paths["third"], SuperResolutionNetwork)[1])["step"] == [1, 2]
    with pytest.raises(ReplicationError, match=r"first.safetensors has {'factor': 4, .*}; wanted is {'factor': 8, "):
        super_resolution_trainer(photographs, SuperResolutionConfig(loss="pixel", factor=8, **options))


def test_a_network_of_another_kind_is_named(tmp_path):
    save_network(ImageTransformationNetwork(), tmp_path / "style.safetensors", {})
    with pytest.raises(ReplicationError, match="another kind of network, ImageTransformationNetwork; wanted is Super"):
        load_network(tmp_path / "style.safetensors", SuperResolutionNetwork)


def test_the_commands_train_and_enlarge_and_name_what_they_cannot_take(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("chelsea", "coffee"):
        save_image(square(content_picture(name).image, 72), tmp_path / "in" / f"{name}.png")
    net = tmp_path / "net.safetensors"
    options = ["--loss", "pixel", "--patch", "32", "--batch-size", "2", "--steps", "2"]
    command = ["train-super-resolution", "--images", str(tmp_path / "in"), "--out", str(net), *options]
    done = run_command(*command, REPLICATION_CACHE=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert json.loads(net.with_suffix(".jsonl").read_text())["step"] == 2

    transparent = Image.new("RGBA", (9, 7), (200, 40, 40, 128))
    transparent.save(tmp_path / "in" / "small.png")
    done = run_command("upscale", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--network", str(net))
    assert done.returncode == 0, done.stderr
    assert {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()} == {
        "chelsea.png": (288, 288),
        "coffee.png": (288, 288),
        "small.png": (36, 28),
    }
    plain = ["upscale", str(tmp_path / "in" / "coffee.png"), "-o", str(tmp_path / "plain.png"), "--network", str(net)]
    assert run_command(*plain, "--no-match-histogram").returncode == 0
    assert not torch.equal(load_image(tmp_path / "plain.png"), load_image(tmp_path / "out" / "coffee.png"))

    for wrong, message in (
        (["--factor", "8"], "net.safetensors enlarges by 4, not by 8; give --factor 4"),
        (["--factor", "3"], "error: factor must be 4 or 8; got 3"),
    ):
        failed = run_command(*plain, *wrong)
        assert failed.returncode != 0
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
