"""Tiles: they see what has a say in them and no more, with the statistics of the whole image and one tile's memory."""

import copy
import os
import resource
import tempfile

import pytest
import torch

from replication import networks, style_transfer, super_resolution, tiles
from replication.io.files import ReplicationError
from replication.io.pictures import content_picture
from replication.io.pixels import resize
from replication.io.ranges import RangeError
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.report.timing import peak_memory
from replication.style_transfer import style_network, stylise
from replication.super_resolution import upscale
from replication.tiles import with_statistics


def positive(network):
    """In float64, with weights that are positive and keep the scale: every pixel that can have a say has one."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            sums = (0, 2, 3) if isinstance(layer, torch.nn.ConvTranspose2d) else (1, 2, 3)
            torch.nn.init.uniform_(layer.weight, 0.5, 1)
            layer.weight.data /= layer.weight.sum(sums, keepdim=True)
            torch.nn.init.zeros_(layer.bias)
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(layer.weight)
    return for_inference(network, torch.float64)


def image(height, width):
    return 0.5 + 0.5 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("size", [(44, 152), (152, 44)])
def test_the_reach_of_stylisation_is_the_least_that_is_enough(padding, size, monkeypatch):
    torch.manual_seed(0)
    network, whole = positive(ImageTransformationNetwork(padding=padding)), image(*size)
    wanted = stylise(network, whole, tile=None)
    assert (stylise(network, whole, tile=80) - wanted).abs().max() < 1e-14
    monkeypatch.setattr(style_transfer, "REACH", style_transfer.REACH - 4)
    assert (stylise(network, whole, tile=80) - wanted).abs().max() > 1e-10


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("size", [(6, 40), (40, 6)])
def test_the_reach_of_enlarging_is_the_least_that_is_enough(factor, size, monkeypatch):
    torch.manual_seed(0)
    network, whole = positive(SuperResolutionNetwork(factor)), image(*size)
    wanted = upscale(network, whole, tile=None)
    assert (upscale(network, whole, tile=20) - wanted).abs().max() < 1e-14
    monkeypatch.setattr(super_resolution, "REACH", super_resolution.REACH - 1)
    assert (upscale(network, whole, tile=20) - wanted).abs().max() > 1e-10


def stylise_square(norm, side, tile):
    stylise(for_inference(ImageTransformationNetwork(norm)), torch.rand(1, 3, side, side), tile)


def upscale_square(factor, side, tile):
    upscale(for_inference(SuperResolutionNetwork(factor)), torch.rand(1, 3, side, side), tile)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "kind", "tile", "sides", "factor"),
    [(stylise_square, "instance", 256, (512, 1024), 1), (upscale_square, 8, 32, (64, 128), 8)],
)
def test_memory_grows_with_the_image_and_its_result_alone(call, kind, tile, sides, factor):
    """By 24 bytes a pixel, and what the heap wastes, 82 to 105 here; the whole image at once takes 310."""
    small, large = (peak_memory(call, kind, side, tile) for side in sides)
    assert large - small < 160 * factor**2 * (sides[1] ** 2 - sides[0] ** 2)


def enlarge_by_8_without_onednn(side):
    networks.ONEDNN = False
    with torch.backends.mkldnn.flags(enabled=False):
        upscale_square(8, side, None)


@pytest.mark.slow
def test_without_onednn_the_last_layer_is_not_unfolded_whole():
    """As torch is for Macs. It takes 1.1 GB here, and would take 2.5."""
    assert peak_memory(enlarge_by_8_without_onednn, 64) < 1.6e9


PHOTOGRAPH = resize(content_picture("coffee").image, 300, 421)


@pytest.fixture(scope="module")
def trained():
    return style_network("great_wave_instance")[0]


def random_network(padding, residual):
    """In float64."""
    torch.manual_seed(0)
    network = ImageTransformationNetwork("instance", padding, residual)
    for layer in network.modules():
        if isinstance(layer, torch.nn.InstanceNorm2d):
            torch.nn.init.normal_(layer.bias)
    return for_inference(network, torch.float64)


def exact(network, image):
    """The whole image at once, in float64."""
    return for_inference(network, torch.float64)(image.double())


def distance(a, b):
    """In 8-bit steps, the largest."""
    return 255 * (a - b).abs().max().item()


@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("size", "tile"), [((61, 94), 8), ((45, 44), 11)])
def test_the_statistics_are_those_of_the_whole_image(padding, residual, size, tile):
    """In float64 to rounding, over the positions that each norm sees, with random weights."""
    network, image = random_network(padding, residual), resize(PHOTOGRAPH, *size).double()
    fixed = with_statistics(network, image, tile)
    assert not [layer for layer in fixed.modules() if isinstance(layer, torch.nn.InstanceNorm2d)]
    assert distance(fixed(image), network(image)) < 1e-8


def test_with_a_smaller_reach_they_are_others(monkeypatch):
    network, image = random_network("zero", True), resize(PHOTOGRAPH, 61, 94).double()
    monkeypatch.setattr(tiles, "REACH", tiles.REACH - 1)
    assert distance(with_statistics(network, image, 8)(image), network(image)) > 0.01


@pytest.mark.parametrize("tile", [64, 296])
def test_tiles_of_a_trained_network_are_the_whole_image(trained, tile):
    assert distance(stylise(for_inference(trained), PHOTOGRAPH, tile), exact(trained, PHOTOGRAPH)) < 0.05


def test_in_bfloat16_they_are_as_near_to_float32_as_the_whole_image_is(trained):
    wanted, half = for_inference(trained)(PHOTOGRAPH), for_inference(trained, torch.bfloat16)
    errors = [(image - wanted).abs().mean() for image in (stylise(half, PHOTOGRAPH, 128), half(PHOTOGRAPH))]
    assert errors[0] < 1.1 * errors[1] < 2 / 255


@pytest.mark.parametrize("spot", [1.0, 0.0])
def test_an_image_that_is_nearly_even_is_no_exception(trained, spot):
    """Where a channel hardly varies, its norm magnifies rounding three hundred times."""
    page = torch.ones(1, 3, 200, 300)
    page[..., 70, 90] = spot
    assert distance(stylise(for_inference(trained), page, 96), exact(trained, page)) < 1


def test_an_image_that_fits_into_a_tile_is_taken_whole(trained):
    network, image = for_inference(trained), resize(PHOTOGRAPH, 90, 128)
    assert torch.equal(stylise(network, image, 128), network(image))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system does not reserve space for a file")
def test_the_temporary_file_goes_and_its_lack_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    network, image = for_inference(trained), resize(PHOTOGRAPH, 64, 96)
    stylise(network, image, 64)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(ReplicationError, match=rf"me.jpg takes 0.0 GB of disk .* {tmp_path} .* set TMPDIR"):
            stylise(network, image, 64, "me.jpg")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [stylise, upscale])
def test_a_batch_and_a_tile_that_is_no_multiple_of_4_are_refused(call):
    with pytest.raises(ValueError, match=r"one RGB image has the shape \(1, 3, H, W\); got \(2, 3, 100, 100\)"):
        call(None, torch.rand(2, 3, 100, 100), 64)
    with pytest.raises(RangeError, match="a multiple of 4; got 50"):
        call(None, PHOTOGRAPH, 50)


def test_batch_norm_in_training_mode_is_refused(trained):
    """It would take the statistics of each tile, and keep them; what has none is the same in either mode."""
    image = torch.rand(1, 3, 64, 64)
    for call, network in ((stylise, style_network("great_wave")[0]), (upscale, SuperResolutionNetwork())):
        with pytest.raises(ValueError, match="is in training mode; take what `for_inference` makes of it"):
            call(network.train(), image)
    assert torch.equal(stylise(copy.deepcopy(trained).train(), image), stylise(trained, image))


def test_what_comes_out_can_be_changed_and_trained_towards(trained):
    made = stylise(for_inference(trained), resize(PHOTOGRAPH, 64, 96))
    made[..., :8, :] = 0
    made.requires_grad_().square().sum().backward()
    assert made.grad is not None
