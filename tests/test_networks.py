"""The image transformation network against the supplement's table 1 and the published code's initialisation."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from replication.io.files import ReplicationError
from replication.io.pixels import square, to_pixels
from replication.loss_network import LossNetwork
from replication.networks import (
    ImageTransformationNetwork,
    OutputConvolution,
    ResidualBlock,
    SuperResolutionNetwork,
    for_inference,
    receptive_field,
)


def sizes(network, size):
    """(channels, side) after each convolution, in order."""
    found = []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [m.register_forward_hook(lambda m, x, y: found.append(tuple(y.shape[1:3]))) for m in convolutions]
    output = network(torch.rand(2, 3, size, size))
    for hook in hooks:
        hook.remove()
    assert output.shape == (2, 3, size, size)
    return found


@pytest.mark.parametrize(
    ("padding", "side", "blocks"), [("reflection", 336, range(82, 62, -2)), ("zero", 256, [64] * 10)]
)
def test_the_network_is_that_of_the_supplement_and_with_zero_padding_of_arxiv_v1(padding, side, blocks):
    network = ImageTransformationNetwork(padding=padding)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_679_235
    front = [(32, side), (64, side // 2), (128, side // 4)]
    assert sizes(network, 256) == [*front, *((128, block) for block in blocks), (64, 128), (32, 256), (3, 256)]


@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("size", [(64, 64), (44, 63), (57, 98), (130, 45)])
def test_the_output_has_the_size_of_the_input_and_lies_in_range(padding, size):
    image = torch.rand(2, 3, *size)
    output = ImageTransformationNetwork(padding=padding)(image)
    assert output.shape == image.shape
    assert output.min() >= 0
    assert output.max() <= 1


def test_only_a_norm_that_follows_a_convolution_is_folded():
    """In a block that begins with the norm, or has the ReLU in between, it stays."""
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3))
    for _ in range(3):
        block(torch.rand(4, 3, 16, 16))
    found, x = for_inference(block), torch.rand(2, 3, 16, 16)
    assert [type(layer) for layer in found] == [nn.Conv2d, nn.Identity, nn.ReLU, nn.BatchNorm2d, nn.Conv2d]
    torch.testing.assert_close(found(x), block.eval()(x), rtol=1e-4, atol=1e-5)


def test_a_residual_block_adds_its_cropped_input_and_applies_no_relu_after():
    block = ResidualBlock(8, "batch")
    nn.init.zeros_(block.layers[-1].weight)
    nn.init.zeros_(block.layers[-1].bias)
    x = torch.randn(2, 8, 12, 14)
    assert torch.equal(block(x), x[..., 2:-2, 2:-2])
    assert not ResidualBlock(8, "batch", residual=False)(x).lt(0).any()


def test_the_last_convolution_is_torchs_forward_and_backward():
    ours = OutputConvolution(5).double()
    torchs = nn.Conv2d(5, 3, 9, padding=4).double()
    torchs.load_state_dict(ours.state_dict())
    x, gradient = (torch.randn(2, channels, 12, 18, dtype=torch.float64) for channels in (5, 3))
    found = []
    for layer in (ours, torchs):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(gradient)
        found.append((y, leaf.grad, layer.weight.grad, layer.bias.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_without_onednn_bands_of_the_output_convolution_are_the_whole(monkeypatch):
    torch.manual_seed(0)
    layer, images = OutputConvolution(5).double(), torch.rand(2, 5, 22, 14, dtype=torch.float64)
    monkeypatch.setattr("replication.networks.ONEDNN", True)
    whole, bands, conv2d = layer(images), [], F.conv2d
    monkeypatch.setattr("replication.networks.ONEDNN", False)
    monkeypatch.setattr(F, "conv2d", lambda x, *rest, **more: bands.append(x) or conv2d(x, *rest, **more))
    for rows in (1, 2, 4, 100):
        bands.clear()
        monkeypatch.setattr("replication.networks.BAND", rows * 2 * 5 * 10 * 10 * 7)
        torch.testing.assert_close(layer(images), whole, rtol=0, atol=1e-12)
        assert len(bands) == math.ceil(11 / rows)


def test_with_instance_norm_each_image_goes_by_its_own_statistics_in_evaluation_too():
    network = ImageTransformationNetwork(norm="instance").eval()
    images = torch.rand(3, 3, 48, 48)
    alone = torch.cat([network(image) for image in images.split(1)])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(network(images), network.train()(images), rtol=0, atol=1e-6)


def test_with_instance_norm_an_image_alone_has_the_gradient_that_it_has_in_a_batch():
    network = ImageTransformationNetwork(norm="instance").double()
    images, gradients = torch.rand(2, 3, 44, 44, dtype=torch.float64), []
    for batch in (images, images[:1]):
        network.zero_grad()
        network(batch)[0].square().sum().backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in network.named_parameters()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_with_instance_norm_it_is_exported_for_any_number_of_images():
    network, images = ImageTransformationNetwork(norm="instance").eval(), torch.rand(3, 3, 44, 44)
    batch = {"image": {0: torch.export.Dim("batch", min=1, max=8)}}
    exported = torch.export.export(network, (images[:2],), dynamic_shapes=batch).module()
    for part in (images, images[:1]):
        torch.testing.assert_close(exported(part), network(part), rtol=0, atol=1e-5)


def test_with_batch_norm_evaluation_goes_by_running_statistics():
    network = ImageTransformationNetwork()
    images = torch.rand(3, 3, 48, 48)
    network(images)
    network.eval()
    alone = torch.cat([network(image) for image in images.split(1)])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-5)
    assert (network(images) - network.train()(images)).abs().max() > 1e-3


def test_the_initialisation_is_torch7s():
    """Uniform within 1 / sqrt(fan-in) where the fan-in of a transposed convolution counts its inputs; norms U(0, 1)."""
    torch.manual_seed(0)
    for module in ImageTransformationNetwork().modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            bound = (module.in_channels * module.kernel_size[0] ** 2) ** -0.5
            assert 0.99 * bound < module.weight.abs().max() <= bound
            assert module.bias.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        if isinstance(module, nn.BatchNorm2d):
            assert 0 <= module.weight.min() < 0.2
            assert 0.8 < module.weight.max() <= 1
            assert not module.bias.any()


def test_inside_autocast_the_output_is_float32_and_close():
    network = ImageTransformationNetwork()
    image = torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image)
    assert output.dtype == torch.float32
    assert (output - network(image)).abs().mean() < 2 / 255


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (1, 3, 43, 64), r"at least 44 x 44 pixels; got \(1, 3, 43, 64\)"),
        ({"padding": "zero"}, (1, 3, 64, 3), r"at least 4 x 4 pixels"),
        ({}, (1, 1, 64, 64), r"takes images \(B, 3, H, W\)"),
        ({}, (3, 64, 64), r"takes images \(B, 3, H, W\)"),
    ],
)
def test_shapes_it_cannot_take_are_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        ImageTransformationNetwork(**options)(torch.rand(shape))


@pytest.mark.parametrize("options", [{"norm": "layer"}, {"padding": "reflect"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ReplicationError, match="must be (batch or instance|reflection or zero); got"):
        ImageTransformationNetwork(**options)


def test_the_receptive_field_grows_by_twice_the_downsampling_for_each_3x3_convolution():
    plain = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(4)))
    assert [receptive_field(plain[:n]) for n in (1, 2, 3, 4)] == [3, 5, 7, 9]
    network = ImageTransformationNetwork()
    assert [receptive_field(network.layers[:n]) for n in (1, 4, 7, 10, 14)] == [9, 11, 15, 31, 95]


def test_pixels_are_no_images():
    """In whole numbers 2 x - 1 and 255 x wrap around without a word."""
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    for take in (ImageTransformationNetwork(), SuperResolutionNetwork(), LossNetwork(["relu1_1"])):
        with pytest.raises(ValueError, match=r"takes images in \[0, 1\]; got torch.uint8"):
            take(pixels)
    for take in (to_pixels, partial(square, size=32)):
        with pytest.raises(ValueError, match=r"in \[0, 1\]; got .*uint8"):
            take(pixels)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_smallest_image_is_one_that_it_takes(norm):
    network = ImageTransformationNetwork(norm, padding="zero").eval()
    side = network.smallest
    assert network(torch.rand(1, 3, side, side)).shape == (1, 3, side, side)
    with pytest.raises(ValueError, match=f"at least {side} x {side} pixels"):
        network(torch.rand(1, 3, side - 1, side - 1))
