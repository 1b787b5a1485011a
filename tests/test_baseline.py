"""L-BFGS on the pixels, and the baseline on real images: what it reaches, that it goes on where it stopped."""

import math
import re
import signal
import time

import numpy as np
import pytest
import torch
from commands import Process
from filelock import FileLock
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize

from replication import baseline
from replication.baseline import Adam, gatys, iterations_to, optimise_image, white_noise
from replication.io import provenance
from replication.io.checkpoints import load_origins
from replication.io.files import ReplicationError
from replication.io.pictures import content_picture, style_picture
from replication.io.pixels import square
from replication.io.ranges import RangeError
from replication.io.runtime import precision_of
from replication.lbfgs import LBFGS
from replication.loss_network import LossNetwork
from replication.losses import Objective, feature_reconstruction_loss, total_variation
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
    seen = {}
    again, _ = optimise_image(objective, LBFGS(start, bounds=(0, 1)), 100, visit=lambda k, x: seen.update({k: x}))
    assert list(seen) == list(range(101))
    assert torch.equal(seen[0], start)
    assert torch.equal(seen[100], found)
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
    noise = white_noise(256, 5)
    quarters = torch.histc(noise, 4, 0, 1) / noise.numel()
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.01, rtol=0)


def test_a_loss_that_is_not_finite_names_the_iteration():
    values = iter([1.0, 1.0, float("nan"), 1.0, 1.0])
    with pytest.raises(FloatingPointError, match="noise: the loss is nan at iteration 2"):
        optimise_image(lambda image: image.sum(dim=(1, 2, 3)) * next(values), LBFGS(torch.ones(1, 3, 4, 4)), 4, "noise")


def test_adam_is_torchs_with_the_image_clipped():
    target = torch.tensor([-0.5, 0.25, 1.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    adam = Adam(torch.full((1, 3, 4, 4), 0.5), lr=0.05, bounds=(0, 1))
    found, losses = optimise_image(lambda image: (image - target).square().sum(dim=(1, 2, 3)), adam, 200)
    torch.testing.assert_close(found, target.clamp(0, 1), atol=1e-3, rtol=0)
    assert (adam.x.min(), adam.x.max()) == (0, 1)
    assert losses[-1] == pytest.approx(2 * 16 * 0.5**2, abs=0.01)  # of the two channels that end at a bound
    reference = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([reference], lr=0.05)
    (reference - target).square().sum().backward()
    optimiser.step()
    assert losses[1] == pytest.approx((reference - target).square().sum().item())


def test_an_interrupt_during_the_last_evaluation_is_not_lost(photograph, monkeypatch):
    monkeypatch.setattr(baseline, "REPORT", math.inf)
    monkeypatch.setattr(baseline, "_finite_mean", lambda losses, label: signal.raise_signal(signal.SIGINT) or 0.0)
    with pytest.raises(KeyboardInterrupt):
        gatys(photograph, square(style_picture("great_wave").image, 48), iterations=1)


def test_a_run_that_goes_on_with_other_code_says_so(photograph, tmp_path, monkeypatch, caplog):
    options = {"style": square(style_picture("great_wave").image, 48), "checkpoint": tmp_path / "a"}
    gatys(photograph, iterations=1, **options)
    gatys(photograph, iterations=2, **options)
    assert not caplog.records
    monkeypatch.setattr(provenance, "sources_digest", lambda: "another")
    gatys(photograph, iterations=3, **options)
    assert "a: begun with other code, data, versions or device" in caplog.text
    assert [each["sources"] for each in load_origins(tmp_path / "a")][1:] == ["another"]


def test_two_processes_do_not_keep_one_state(photograph, tmp_path):
    options = {"style": square(style_picture("great_wave").image, 48), "checkpoint": tmp_path / "a"}
    with FileLock(tmp_path / ".a.lock"), pytest.raises(ReplicationError, match="another process keeps its state in "):
        gatys(photograph, iterations=1, **options)
    gatys(photograph, iterations=1, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


ITERATIONS = 60


def run(folder, iterations=ITERATIONS):
    """With a checkpoint; in a process of its own, so that it can be stopped."""
    result = gatys(
        square(content_picture("chelsea").image, 64),
        square(style_picture("great_wave").image, 48),
        iterations=iterations,
        history=20,
        keep=(0, 10, iterations),
        checkpoint=folder / "run.checkpoint",
        save_every=0.2,
    )
    tensors = {"image": result.image, **result.losses._asdict()}
    save_file(tensors | {f"after {k}": image for k, image in result.images.items()}, folder / "run.result")


@pytest.fixture(scope="module")
def y_style():
    return square(style_picture("great_wave").image, 48)


@pytest.fixture(scope="module")
def undisturbed(once):
    return load_file(once("undisturbed", run) / "run.result")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(undisturbed, tmp_path, number):
    process = Process(run, tmp_path)
    process.wait_for(tmp_path / "run.checkpoint")
    while not len(load_file(tmp_path / "run.checkpoint")["losses"]):  # on a slow machine the first has none yet
        assert process.running()
        time.sleep(0.01)
    process.send_signal(number)
    stopped = process.wait()
    if number != signal.SIGKILL:
        assert re.search(
            r"KeyboardInterrupt: stopped after \d+ iterations; the same call goes on from .*run", stopped.stderr
        )
    done = len(load_file(tmp_path / "run.checkpoint")["losses"])
    assert 0 < done < ITERATIONS
    assert not (tmp_path / "run.result").exists()
    run(tmp_path)
    resumed = load_file(tmp_path / "run.result")
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in resumed)


@pytest.mark.slow
def test_a_finished_run_can_be_made_longer(undisturbed, tmp_path):
    run(tmp_path, iterations=30)
    run(tmp_path)
    assert torch.equal(load_file(tmp_path / "run.result")["image"], undisturbed["image"])


def test_a_checkpoint_of_another_run_is_refused(photograph, y_style, tmp_path):
    path = tmp_path / "run.safetensors"
    gatys(photograph, y_style, iterations=4, checkpoint=path)
    before = path.read_bytes()
    for options, message in [
        ({"seed": 1}, "belongs to a run with another seed"),
        ({"style_weight": 2.0, "history": 7}, "belongs to a run with another history, style_weight"),
        ({"iterations": 3}, "is at iteration 4, past 3"),
        ({"iterations": 9, "keep": (2, 9)}, "is at iteration 4, past the image after 2"),
    ]:
        with pytest.raises(ReplicationError, match=message):
            gatys(photograph, y_style, **{"iterations": 9, "checkpoint": path} | options)
    path.write_bytes(before[: len(before) // 2])
    with pytest.raises(ReplicationError, match=r"run.safetensors is damaged or no checkpoint .* remove it to"):
        gatys(photograph, y_style, iterations=9, checkpoint=path)


@pytest.mark.slow
def test_the_objective_falls_below_15_percent_of_the_content_images(photograph, y_style):
    result = gatys(photograph, y_style, iterations=100, keep=(0, 100), seed=3)
    objective = Objective(y_style)
    target = objective.content_target(photograph)
    share = result.losses.total[-1] / objective(photograph, target).total
    assert result.losses.total.shape == (101, 1)
    assert share.item() < 0.15
    assert torch.equal(result.images[0], white_noise(64, 3))
    assert torch.equal(result.images[100].clamp(0, 1), result.image)
    assert objective(result.image, target).total.item() == pytest.approx(result.losses.total[-1].item(), rel=1e-5)
    assert result.losses.total[0].item() == pytest.approx(objective(white_noise(64, 3), target).total.item(), rel=1e-5)


@pytest.mark.slow
def test_the_image_stays_in_range_only_if_it_is_clipped(photograph, y_style):
    clipped, unclipped = (
        gatys(photograph, y_style, iterations=30, keep=(30,), clip=clip).images[30] for clip in (True, False)
    )
    assert clipped.min() == 0
    assert clipped.max() == 1
    assert unclipped.min() < 0
    assert unclipped.max() > 1


@pytest.mark.slow
def test_a_batch_is_as_many_single_runs(y_style):
    """In float64: rounding grows along the trajectory, and a batch is rounded otherwise than its images are."""
    contents = torch.cat([square(content_picture(name).image, 48) for name in ("chelsea", "coffee", "rocket")]).double()
    settings = {"iterations": 10, "history": 4, "dtype": torch.float64}
    together = gatys(contents, y_style.double(), **settings)
    for i in range(3):
        alone = gatys(contents[i : i + 1], y_style.double(), **settings)
        torch.testing.assert_close(alone.losses.total[:, 0], together.losses.total[:, i], rtol=1e-8, atol=0)
        torch.testing.assert_close(alone.image[0], together.image[i], rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "iterations", "tolerance"), [("float64", 20, 1e-9), ("float32", 5, 0.005)])
def test_the_objective_falls_as_with_torchs_lbfgs(photograph, y_style, dtype, iterations, tolerance):
    """In float32 rounding grows with each iteration, and differs between machines: five are compared, and loosely."""
    dtype = getattr(torch, dtype)
    objective = Objective(y_style.to(dtype), dtype=dtype)
    target = objective.content_target(photograph.to(dtype))
    x = white_noise(64, 0).to(dtype).requires_grad_()
    optimiser = torch.optim.LBFGS([x], max_iter=1, history_size=100, tolerance_grad=0, tolerance_change=0)

    def closure():
        optimiser.zero_grad()
        loss = objective(x, target).total.sum()
        loss.backward()
        return loss

    expected = [optimiser.step(closure).item() for _ in range(iterations)]
    settings = {"iterations": iterations, "clip": False, "dtype": dtype}
    found = gatys(photograph.to(dtype), y_style.to(dtype), **settings).losses.total[:-1, 0]
    assert found.tolist() == pytest.approx(expected, rel=tolerance)


@pytest.mark.slow
@pytest.mark.skipif(precision_of("fast", "cpu") == "float32", reason="this processor emulates bfloat16, slowly")
def test_with_bfloat16_convolutions_it_ends_within_2_percent(photograph, y_style):
    objective = Objective(y_style)
    target = objective.content_target(photograph)
    ends = [
        objective(gatys(photograph, y_style, iterations=100, dtype=dtype).image, target).total.item()
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert ends[1] == pytest.approx(ends[0], rel=0.02)


def test_what_it_cannot_take_is_refused(photograph, y_style):
    with pytest.raises(RangeError, match=r"keep must lie in 0 to 5; got \[0, 6\]"):
        gatys(photograph, y_style, iterations=5, keep=(0, 6))
    with pytest.raises(ValueError, match="the content image has pixels that are not finite"):
        gatys(photograph * torch.nan, y_style, iterations=1)
    with pytest.raises(ValueError, match="the content image has values from"):
        gatys(255 * photograph, y_style, iterations=1)


def test_it_runs_where_gradients_are_off(photograph, y_style):
    expected = gatys(photograph, y_style, iterations=2).image
    with torch.no_grad():
        assert torch.equal(gatys(photograph, y_style, iterations=2).image, expected)


def test_an_objective_that_turns_nan_is_reported_and_the_last_good_state_kept(
    photograph, y_style, monkeypatch, tmp_path
):
    step = LBFGS.step

    def broken(self, gradient):
        step(self, gradient * torch.nan if self.iterations == 3 else gradient)

    monkeypatch.setattr(LBFGS, "step", broken)
    path = tmp_path / "run.safetensors"
    with pytest.raises(FloatingPointError, match="baseline: the loss is nan at iteration 4"):
        gatys(photograph, y_style, iterations=6, checkpoint=path, save_every=0)
    state = load_file(path)
    assert state["iterations"] == 3
    assert state["x"].isfinite().all()


def test_the_iterations_to_a_loss():
    curve = torch.tensor([9.0, 5.0, 6.0, 3.0])
    assert [iterations_to(curve, value) for value in (10, 9, 5, 4.9, 3, 1)] == [0, 0, 1, 3, 3, 4]


def test_an_optimizer_that_has_stepped_is_refused(photograph):
    method = Adam(photograph, 0.1)
    optimise_image(lambda x: x.square().sum((1, 2, 3)), method, 2)
    with pytest.raises(RangeError, match="the optimizer has taken 2 steps"):
        optimise_image(lambda x: x.square().sum((1, 2, 3)), method, 3)


def test_numbers_of_numpy_make_a_state_that_can_be_gone_on_with(photograph, y_style, tmp_path):
    options = {"history": np.int64(5), "tv_weight": np.float32(1e-5), "checkpoint": tmp_path / "a"}
    first = gatys(photograph, y_style, iterations=2, **options)
    assert len(gatys(photograph, y_style, iterations=3, **options).losses.total) == len(first.losses.total) + 1


def test_a_state_that_cannot_be_written_is_named_before_anything_is_computed(
    photograph, y_style, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(baseline, "descend", None)
    with pytest.raises(ReplicationError, match="file.a cannot be written"):
        gatys(photograph, y_style, iterations=2, checkpoint=tmp_path / "file" / "a")
