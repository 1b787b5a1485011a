"""Tiles: they see as much as has a say in them and no more, and the memory that they take is that of one of them."""

import pytest
import torch

from replication import style_transfer, super_resolution
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.report.timing import peak_memory
from replication.style_transfer import stylise
from replication.super_resolution import upscale


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
    [
        (stylise_square, "instance", 256, (512, 1024), 1),
        (upscale_square, 8, 32, (64, 128), 8),
    ],
)
def test_memory_grows_with_the_image_and_its_result_alone(call, kind, tile, sides, factor):
    """By their 24 bytes a pixel, and what the heap wastes; the whole image at once takes 300 and more."""
    small, large = (peak_memory(call, kind, side, tile) for side in sides)
    assert large - small < 90 * factor**2 * (sides[1] ** 2 - sides[0] ** 2)
