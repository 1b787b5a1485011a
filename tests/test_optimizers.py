"""Muon's steps against the singular value decomposition, and what of a network it leaves to Adam."""

import pytest
import torch
from torch import nn

from replication.config import TrainingConfig
from replication.io.files import ReplicationError
from replication.optimizers import Optimizers


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 16, 9), nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 8, 3, stride=2))
    return layers.to(memory_format=torch.channels_last)


def with_gradients(layers):
    torch.manual_seed(1)
    for parameter in layers.parameters():
        parameter.grad = torch.randn_like(parameter)
    return layers


def optimizers(layers, **config):
    return Optimizers(with_gradients(layers), TrainingConfig(steps=1, **config))


def change(layers, **config):
    """How one step changes each parameter."""
    before = {name: p.detach().clone() for name, p in layers.named_parameters()}
    optimizers(layers, **config).step()
    return {name: p.detach() - before[name] for name, p in layers.named_parameters()}


def matrix(name, kernel):
    """(outputs, the rest); a transposed convolution has its outputs second."""
    return (kernel.transpose(0, 1) if name.startswith("2.") else kernel).flatten(1)


@pytest.mark.parametrize("name", ["0.weight", "2.weight"])
def test_a_step_of_muon_has_the_singular_vectors_of_the_gradient_and_values_near_one(name):
    layers = network()
    step = -matrix(name, change(layers, optimizer="muon", kernel_rate=0.01)[name]) / 0.01
    u, s, v = torch.linalg.svd(matrix(name, dict(layers.named_parameters())[name].grad), full_matrices=False)
    found = u.T @ step @ v.T
    assert found.diagonal().min() > 0.6
    assert found.diagonal().max() < 1.3
    assert (found - found.diagonal().diag()).abs().max() < 1e-4
    assert s.max() / s.min() > 1.4  # so that the gradient itself would not do


def test_in_bfloat16_it_is_torchs_muon():
    layers = network()
    kernels = {name: p for name, p in layers.named_parameters() if p.ndim == 4}
    copies = {name: nn.Parameter(matrix(name, kernel.detach()).clone()) for name, kernel in kernels.items()}
    ours = optimizers(layers, optimizer="muon", precision="bfloat16")
    torchs = torch.optim.Muon(copies.values(), lr=5e-3, weight_decay=0)
    for _ in range(3):
        for name, kernel in kernels.items():
            kernel.grad = torch.randn_like(kernel)
            copies[name].grad = matrix(name, kernel.grad)
        ours.step()
        torchs.step()
    assert all(torch.equal(matrix(name, kernel), copies[name]) for name, kernel in kernels.items())


def test_a_tall_kernel_takes_longer_steps():
    tall = nn.Sequential(nn.Conv2d(1, 36, 3))
    step = matrix("0.weight", change(tall, optimizer="muon", kernel_rate=0.01)["0.weight"])
    assert torch.linalg.svdvals(step).median() == pytest.approx(0.01 * 2, rel=0.3)  # sqrt(36 / 9)


def test_a_share_of_the_rates_makes_all_steps_shorter():
    def moved(share):
        layers = network()
        before = {name: p.detach().clone() for name, p in layers.named_parameters()}
        optimizers(layers, optimizer="muon").step(share)
        return {name: p.detach() - before[name] for name, p in layers.named_parameters()}

    whole, half = moved(1), moved(0.5)
    for name in whole:
        torch.testing.assert_close(half[name], whole[name] / 2, rtol=1e-2, atol=1e-6)


def test_biases_and_norms_are_adams():
    muon, adam = change(network(), optimizer="muon"), change(network())
    kernels = {"0.weight", "2.weight"}
    assert all(torch.equal(muon[name], adam[name]) != (name in kernels) for name in muon)
    assert adam["0.bias"].abs().max() == pytest.approx(1e-3, rel=1e-2)


def test_the_momentum_is_a_running_mean_and_goes_on_from_its_state():
    whole, halves = network(), network()
    first, one = optimizers(halves, optimizer="muon"), optimizers(whole, optimizer="muon")
    first.step(0.5)
    one.step(0.5)
    gradient = with_gradients(whole)[0].weight.grad.flatten(1)
    torch.testing.assert_close(one.state()["0.weight.momentum_buffer"], 0.05 * gradient)
    for layers in (whole, halves):
        for parameter in layers.parameters():
            parameter.grad = parameter.grad.flip(0)
    second = Optimizers(halves, TrainingConfig(steps=1, optimizer="muon"))
    second.load_state({name: value.clone() for name, value in first.state().items()})
    second.step()
    one.step()
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))


def test_unknown_optimizers_are_refused():
    with pytest.raises(ReplicationError, match="optimizer must be adam or muon; got 'sgd'"):
        optimizers(network(), optimizer="sgd")
