"""The loss network against torchvision's VGG-16 and against printouts of the original weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import vgg16

from replication.io.weights import CONVOLUTIONS
from replication.loss_network import LAYERS, LossNetwork

MEAN = (123.68, 116.779, 103.939)  # of ImageNet's pixels in R, G, B, as the authors of the weights print it


@pytest.fixture(scope="module")
def reference(weights):
    """torchvision's `features` with the same tensors, and the places of the ReLUs by our names."""
    features = vgg16(weights=None).features.eval().to(memory_format=torch.channels_last)
    convolutions = [module for module in features if isinstance(module, torch.nn.Conv2d)]
    for name, module in zip(CONVOLUTIONS, convolutions, strict=True):
        module.load_state_dict({part: weights.tensors[f"{name}.{part}"] for part in ("weight", "bias")})
    relus = [i for i, module in enumerate(features) if isinstance(module, torch.nn.ReLU)]
    return features, dict(zip(LAYERS, relus, strict=True))


def test_weights_are_the_original_ones(weights):
    assert weights.tensors["conv1_1.weight"][0, :, 0, 0].flip(0)[:2].tolist() == pytest.approx([0.42947057, 0.55037946])
    assert weights.tensors["conv5_3.bias"][0].item() == pytest.approx(0.18837857)


@pytest.mark.parametrize("size", [(32, 32), (65, 47), (250, 33)])
def test_features_equal_torchvisions_bit_for_bit(reference, size):
    features, relus = reference
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    found = LossNetwork(LAYERS)(image)
    x = 255 * image - torch.tensor(MEAN).view(1, 3, 1, 1)
    with torch.no_grad():
        for place, module in enumerate(features):
            x = F.max_pool2d(x, 2, ceil_mode=True) if isinstance(module, nn.MaxPool2d) else module(x)  # as Caffe pools
            for layer in (layer for layer in LAYERS if relus[layer] == place):
                assert torch.equal(found[layer], x), layer


def test_order_of_layers_does_not_matter_and_only_those_asked_for_come(photograph):
    network = LossNetwork(["relu3_3", "relu1_2"])
    assert set(network(photograph)) == {"relu1_2", "relu3_3"}
    assert network(photograph)["relu3_3"].shape == (1, 256, 16, 16)


def test_a_call_can_ask_for_some_of_the_layers(photograph):
    network = LossNetwork(["relu1_2", "relu4_3"])
    (only,) = network(photograph, ["relu1_2"]).values()
    assert torch.equal(only, network(photograph)["relu1_2"])
    with pytest.raises(ValueError, match="built for relu1_2, relu4_3; got relu2_2"):
        network(photograph, ["relu2_2"])


def test_the_layers_behind_the_deepest_are_neither_built_nor_run(photograph):
    networks = {layer: LossNetwork([layer]) for layer in ("relu2_2", "relu5_3")}
    assert [len(network.convolutions) for network in networks.values()] == [4, 13]
    ran = []
    for network in networks.values():
        for convolution in network.convolutions.values():
            convolution.register_forward_hook(lambda *_: ran.append(1))
        network(photograph)
    assert len(ran) == 4 + 13


def test_it_is_frozen_and_gives_gradients_to_the_image(photograph):
    network = LossNetwork(["relu2_2"])
    image = photograph.clone().requires_grad_()
    network(image)["relu2_2"].sum().backward()
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_bfloat16_is_near_float32(photograph):
    expected = LossNetwork(["relu4_3"])(photograph)["relu4_3"]
    found = LossNetwork(["relu4_3"], dtype=torch.bfloat16)(photograph)["relu4_3"]
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() / expected.norm() < 0.03


def test_it_runs_in_channels_last_and_gives_what_the_default_format_gives(reference, photograph):
    features, relus = reference
    found = LossNetwork(["relu2_2"])(photograph)["relu2_2"]
    assert found.is_contiguous(memory_format=torch.channels_last)
    contiguous = copy.deepcopy(features[: relus["relu2_2"] + 1]).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        expected = contiguous(255 * photograph - torch.tensor(MEAN).view(1, 3, 1, 1))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_is_near_the_cpu(photograph):
    network = LossNetwork(["relu5_3"])
    expected = network(photograph)["relu5_3"]
    found = network.cuda()(photograph.cuda())["relu5_3"].cpu()
    assert (found - expected).norm() / expected.norm() < 2e-3  # TF32


@pytest.mark.parametrize("layers", [["relu6_1"], ["conv1_1"], [], "relu2_2"])
def test_unknown_layers_are_refused(layers):
    with pytest.raises(ValueError, match="layers must be a list out of relu1_1, .*; got"):
        LossNetwork(layers)


@pytest.mark.parametrize("shape", [(1, 3, 31, 64), (1, 1, 64, 64), (3, 64, 64)])
def test_images_it_cannot_take_are_refused(shape):
    with pytest.raises(ValueError, match="at least 32 x 32 pixels; got"):
        LossNetwork(["relu1_1"])(torch.zeros(shape))
