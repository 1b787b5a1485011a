"""L-BFGS on the pixels: against a solution known in closed form, and on the real loss."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from replication.baseline import Adam, optimise_image, white_noise
from replication.lbfgs import LBFGS
from replication.loss_network import LossNetwork
from replication.losses import feature_reconstruction_loss, total_variation
from replication.metrics import psnr


def test_it_finds_the_minimum_of_a_denoising_problem(photograph):
    """Pixel loss plus total variation is quadratic; scipy's solver in float64 is the reference."""
    size, noisy = 16, (photograph[..., :16, :16] + 0.2 * white_noise(16, 0) - 0.1).double()

    def loss(image):
        return (image - noisy).square().sum(dim=(1, 2, 3)) + 1e-5 * total_variation(image)

    def value_and_gradient(x):
        image = torch.tensor(x).view(1, 3, size, size).requires_grad_()
        value = loss(image)
        value.backward()
        return value.item(), image.grad.flatten().numpy()

    start = white_noise(size, 1).double()
    expected = minimize(value_and_gradient, start.flatten().numpy(), jac=True, method="CG", options={"gtol": 1e-10})
    found, losses = optimise_image(loss, LBFGS(start), 100)
    np.testing.assert_allclose(found.flatten(), np.clip(expected.x, 0, 1), atol=1e-6)
    assert losses[0] == pytest.approx(loss(start).item())
    assert losses[-1] == pytest.approx(expected.fun)


def test_inversion_of_relu2_2_gives_the_photograph_back(photograph):
    network = LossNetwork(["relu2_2"])
    target = network(photograph)["relu2_2"]
    start = white_noise(64, 0)
    before = start.clone()

    def objective(image):
        return feature_reconstruction_loss(network(image)["relu2_2"], target) + 1e-5 * total_variation(image)

    found, losses = optimise_image(objective, LBFGS(start, bounds=(0, 1)), 100)
    again, _ = optimise_image(objective, LBFGS(start, bounds=(0, 1)), 100)
    assert psnr(start, photograph) < 12
    assert psnr(found, photograph) > 20
    assert len(losses) == 101
    assert losses[-1] < 1e-3 * losses[0]
    assert torch.equal(found, again)
    assert torch.equal(start, before)
    assert found.min() >= 0
    assert found.max() <= 1


def test_white_noise_depends_on_the_seed_alone():
    torch.rand(3)
    assert torch.equal(white_noise(32, 5), white_noise(32, 5))
    assert not torch.equal(white_noise(32, 5), white_noise(32, 6))
    assert white_noise((32, 48), 5).shape == (1, 3, 32, 48)


def test_a_loss_that_is_not_finite_names_the_iteration():
    values = iter([1.0, 1.0, float("nan"), 1.0, 1.0])
    with pytest.raises(FloatingPointError, match="noise: the loss is nan at iteration 2"):
        optimise_image(lambda image: image.sum(dim=(1, 2, 3)) * next(values), LBFGS(torch.ones(1, 3, 4, 4)), 4, "noise")


@pytest.mark.parametrize("iterations", [0, -1])
def test_iterations_must_be_positive(iterations):
    with pytest.raises(ValueError, match="iterations must be a whole number of iterations, at least 1"):
        optimise_image(lambda image: image.sum(dim=(1, 2, 3)), LBFGS(torch.zeros(1, 3, 4, 4)), iterations)


def test_adam_is_torchs_with_the_image_clipped():
    target = torch.tensor([-0.5, 0.25, 1.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    adam = Adam(torch.full((1, 3, 4, 4), 0.5), lr=0.05, bounds=(0, 1))
    found, losses = optimise_image(lambda image: (image - target).square().sum(dim=(1, 2, 3)), adam, 200)
    torch.testing.assert_close(found, target.clamp(0, 1), atol=1e-3, rtol=0)
    reference = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([reference], lr=0.05)
    (reference - target).square().sum().backward()
    optimiser.step()
    assert losses[1] == pytest.approx((reference - target).square().sum().item())
