"""Projected L-BFGS against torch.optim.LBFGS and against dense BFGS."""

import pytest
import torch

from replication.lbfgs import LBFGS


def quadratic(dimensions):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)
    a = a @ a.T / dimensions + 0.01 * torch.eye(dimensions)
    b = torch.randn(dimensions, generator=generator, dtype=torch.float64)
    return lambda x: ((x @ a) * x).sum(-1) / 2 - x @ b


def rosenbrock(x):
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def start(batch, dimensions, seed=1):
    return torch.randn(batch, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ours(function, method, iterations):
    """The points after each iteration, (iterations, B, ...)."""
    points = []
    for _ in range(iterations):
        x = method.x.clone().requires_grad_()
        method.step(*torch.autograd.grad(function(x).sum(), x))
        points.append(method.x.clone())
    return torch.stack(points)


def torchs(function, x, iterations, history):
    x, points = x.clone().requires_grad_(), []
    settings = {"lr": 1, "max_iter": 1, "history_size": history, "tolerance_grad": 0, "tolerance_change": 0}
    optimiser = torch.optim.LBFGS([x], **settings)

    def closure():
        optimiser.zero_grad()
        value = function(x).sum()
        value.backward()
        return value

    for _ in range(iterations):
        optimiser.step(closure)
        points.append(x.detach().clone())
    return torch.stack(points)


def deviation(a, b):
    """The largest difference over the iterations, relative to the largest coordinate."""
    return ((a - b).abs().amax((1, 2)) / b.abs().amax((1, 2))).max().item()


@pytest.mark.parametrize("history", [1, 5, 100])
def test_the_trajectory_on_a_quadratic_is_torchs(history):
    function, x = quadratic(60), start(1, 60)
    assert deviation(ours(function, LBFGS(x, history), 50), torchs(function, x, 50, history)) < 1e-9


def test_the_history_in_blocks_is_the_history(monkeypatch):
    function, x = quadratic(60), start(2, 60)
    whole = ours(function, LBFGS(x, 5), 50)
    monkeypatch.setattr("replication.lbfgs.BLOCK", 20)
    in_blocks = LBFGS(x, 5)
    assert deviation(ours(function, in_blocks, 50), whole) < 1e-9
    assert in_blocks.s.shape[1] == 3


@pytest.mark.parametrize("history", [5, 10, 100])
@pytest.mark.parametrize("dimensions", [2, 4, 6])
def test_the_trajectory_on_rosenbrock_is_torchs(dimensions, history):
    x = start(1, dimensions)
    points = torchs(rosenbrock, x, 50, history)
    assert rosenbrock(points[-1]) < 0.1 * rosenbrock(x)
    assert deviation(ours(rosenbrock, LBFGS(x, history), 50), points) < 1e-9


def test_where_rosenbrock_magnifies_rounding_the_difference_is_that_of_one_ulp():
    x = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    points = torchs(rosenbrock, x, 50, 100)
    sensitivity = deviation(torchs(rosenbrock, x * (1 + 2.3e-16), 50, 100), points)
    assert sensitivity > 1e-9
    assert deviation(ours(rosenbrock, LBFGS(x), 50), points) < 10 * sensitivity


def test_a_batch_is_as_many_single_problems():
    x = start(3, 8)
    together = ours(rosenbrock, LBFGS(x, 10), 40)
    for i in range(3):
        assert deviation(ours(rosenbrock, LBFGS(x[i : i + 1], 10), 40), together[:, i : i + 1]) < 1e-9


def test_pairs_without_curvature_are_skipped_as_torch_skips_them():
    """The second problem is concave where it starts, so that y's is negative there."""

    def function(x):
        return torch.where(x[:, 0] > 0, rosenbrock(x), x.sum(-1) - 0.1 * x.square().sum(-1))

    x = torch.cat([start(1, 4).abs(), -start(1, 4).abs()])
    method = LBFGS(x, 6)
    points = ours(function, method, 5)
    assert method.row[:, 0].tolist() == [4, 0]
    for i in range(2):
        assert deviation(torchs(function, x[i : i + 1], 5, 6), points[:, i : i + 1]) < 1e-9


def test_with_bounds_each_step_is_the_clipped_step_of_dense_bfgs_on_the_steps_really_taken():
    function, history, bounds = quadratic(20), 7, (0.0, 1.0)
    x = torch.full((1, 20), 0.5, dtype=torch.float64)
    points = torch.cat([x[None], ours(function, LBFGS(x, history, bounds), 30)])[:, 0]
    gradients = torch.stack([torch.autograd.functional.jacobian(lambda z: function(z[None])[0], z) for z in points])
    pairs = []
    for k in range(1, 30):
        s, y = points[k] - points[k - 1], gradients[k] - gradients[k - 1]
        pairs = [*pairs, (s, y)][-history:] if s @ y > 1e-10 else pairs
        s, y = pairs[-1]
        inverse = (s @ y) / (y @ y) * torch.eye(20, dtype=torch.float64)
        for s, y in pairs:
            v = torch.eye(20, dtype=torch.float64) - torch.outer(y, s) / (s @ y)
            inverse = v.T @ inverse @ v + torch.outer(s, s) / (s @ y)
        expected = (points[k] - inverse @ gradients[k]).clamp(*bounds)
        torch.testing.assert_close(points[k + 1], expected, rtol=0, atol=1e-9)
    assert ((points[-1] == 0) | (points[-1] == 1)).sum() > 5
    assert function(points[-1]) < function(points[1])


def test_no_iteration_reads_anything_back():
    """On the meta device there is nothing to read: what depends on a value raises."""
    x = torch.zeros(2, 3, 8, 8, device="meta")
    method = LBFGS(x, 4, (0, 1))
    for _ in range(6):
        method.step(torch.zeros_like(x))
    with pytest.raises(RuntimeError, match="meta"):
        method.x.sum().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_nothing_waits_and_the_steps_are_those_of_the_cpu():
    x = start(2, 96)
    expected = ours(rosenbrock, LBFGS(x, 10, (-1, 1)), 30)
    method = LBFGS(x.cuda(), 10, (-1, 1))
    torch.cuda.set_sync_debug_mode("error")
    try:
        points = ours(rosenbrock, method, 30)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert deviation(points.cpu(), expected) < 1e-6


def test_a_lesser_precision_is_refused():
    with pytest.raises(ValueError, match="L-BFGS takes float32 or float64; got torch.bfloat16"):
        LBFGS(torch.zeros(1, 2, dtype=torch.bfloat16))


def test_its_state_goes_on_elsewhere():
    x = start(2, 6)
    expected = ours(rosenbrock, LBFGS(x, 5), 20)
    first, second = LBFGS(x, 5), LBFGS(torch.zeros_like(x), 5)
    ours(rosenbrock, first, 12)
    second.load_state(first.state())
    assert torch.equal(ours(rosenbrock, second, 8), expected[12:])
