"""The main paths on a GPU that this machine may not have: fake tensors, which know their device but hold no values.

A tensor that stays on the CPU meets one on the GPU and is caught.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from replication.baseline import LBFGS, Adam, white_noise
from replication.config import QUICK, StyleConfig, SuperResolutionConfig
from replication.io.photographs import ImageDataset
from replication.io.pictures import style_picture
from replication.io.weights import vgg16_weights
from replication.losses import Objective
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.style_transfer import style_trainer, stylise
from replication.super_resolution import super_resolution_trainer, upscale

SIDE = 64
pytestmark = pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="fake devices need a torch built for CUDA")


@pytest.fixture
def painting(weights_file, monkeypatch):
    weights = vgg16_weights()  # files are read where tensors are real
    monkeypatch.setattr("replication.loss_network.vgg16_weights", lambda: weights)
    return style_picture("poppies")


@pytest.fixture
def gpu(monkeypatch, painting):
    """A GPU without values, for what runs in the test."""

    def convert(module, change, recurse=True):
        """What nn.Module does for `.to`, without exchanging the insides of tensors, which fake ones refuse."""
        for child in module.children():
            convert(child, change)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(change(parameter.detach()), parameter.requires_grad)
        module._buffers.update({name: change(buffer) for name, buffer in module._buffers.items() if buffer is not None})
        return module

    monkeypatch.setattr(nn.Module, "_apply", convert)
    monkeypatch.setattr("replication.losses.in_range", lambda image, name: image)  # this and the next ask for values
    monkeypatch.setattr("replication.io.pictures.pixel_digest", lambda image: "")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    mode = FakeTensorMode(allow_non_fake_inputs=True)  # weights and paintings come from files
    mode.cache_enabled = False  # in inference mode it ends the process
    with mode:
        yield torch.device("cuda")


def photographs(side):
    pixels = torch.zeros(3 * side * side * 3, dtype=torch.uint8)
    return ImageDataset(pixels, [(side, side)] * 3, {}, "cuda")


def step(trainer):
    """One step of a training but for the backward pass, which asks for a real GPU; all that it holds is on the GPU."""
    terms = trainer.losses(trainer._predict, trainer.batch(0), 0)
    for parameter in trainer.network.parameters():
        parameter.grad = torch.rand_like(parameter)
    trainer.optimizers.step(0.5)
    held = [*terms.values(), *trainer.network.parameters(), *trainer.network.buffers(), trainer.bad]
    assert {each.device.type for each in held} == {"cuda"}


def test_what_stays_on_the_cpu_is_caught(gpu):
    with pytest.raises(RuntimeError, match="on the same device"):
        Objective(torch.rand(1, 3, SIDE, SIDE, device=gpu))(torch.rand(1, 3, SIDE, SIDE), torch.rand(1, 256, 16, 16))


@pytest.mark.parametrize("method", [LBFGS, partial(Adam, lr=0.1)])
def test_the_baseline(gpu, method):
    objective = Objective(torch.rand(1, 3, SIDE, SIDE, device=gpu))
    target = objective.content_target(torch.rand(2, 3, SIDE, SIDE, device=gpu))
    optimiser = method(white_noise(SIDE, 0).to(gpu).expand(2, -1, -1, -1), bounds=(0, 1))
    for _ in range(3):
        assert objective(optimiser.x, target).total.device.type == "cuda"
        optimiser.step(torch.rand_like(optimiser.x))
    assert optimiser.x.device.type == "cuda"


@pytest.mark.parametrize("config", [StyleConfig(batch_size=2), replace(QUICK, warmup=10)], ids=["paper", "quick"])
def test_training_a_style(gpu, painting, config):
    config = replace(config, size=SIDE, style_size=SIDE, initial=None)
    trainer, objective = style_trainer(painting, photographs(SIDE), config)
    assert objective.gram_relu1_2.device.type == "cuda"
    step(trainer)


@pytest.mark.parametrize("loss", ["feature", "pixel", "srcnn"])
def test_training_super_resolution(gpu, loss):
    config = SuperResolutionConfig(
        loss=loss, patch=SIDE, batch_size=2, lattice_weight=1.0 if loss == "feature" else 0.0
    )
    step(super_resolution_trainer(photographs(SIDE), config)[0])


@pytest.fixture(params=["batch", "instance"])
def style_net(request):
    return for_inference(ImageTransformationNetwork(request.param).eval(), torch.bfloat16)


@pytest.fixture
def large_net():
    return for_inference(SuperResolutionNetwork(4).eval())


def test_stylising(style_net, gpu):
    assert stylise(style_net.to(gpu), torch.rand(1, 3, 101, 70, device=gpu), None).device.type == "cuda"


@pytest.mark.parametrize("tile", [None, 48])
def test_enlarging(large_net, gpu, tile):
    large = upscale(large_net.to(gpu), torch.rand(1, 3, 101, 70, device=gpu), tile)
    assert (large.shape, large.device.type) == ((1, 3, 404, 280), "cuda")
