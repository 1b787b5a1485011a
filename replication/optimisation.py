"""Optimisation of an image: the pixels that minimise a loss (Figs. 3 and 4, and the baseline of section 4.1)."""

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from replication.progress import progress_bar
from replication.ranges import check

REPORT = 0.5  # seconds between two looks at the losses, the only time that the device is waited for


class Method(Protocol):
    """What moves a batch of images: `LBFGS` or `Adam`."""

    x: Tensor
    iterations: int

    def step(self, gradient: Tensor) -> None:
        """Move `x`, given the gradient there."""


class Adam:
    """torch.optim.Adam with the images clipped to `bounds` after each step; see `LBFGS` for the interface.

    Raises:
        RangeError: `lr` is not in (0, 1].
    """

    def __init__(self, x: Tensor, lr: float, bounds: tuple[float, float] | None = None):
        check(lr=lr)
        self.x, self.bounds, self.iterations = x.detach().clone(), bounds, 0
        self.optimiser = torch.optim.Adam([self.x], lr=lr)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move `x`, given the gradient there."""
        self.x.grad = gradient
        self.optimiser.step()
        if self.bounds:
            self.x.clamp_(*self.bounds)
        self.iterations += 1


def white_noise(size: int | tuple[int, int], seed: int) -> Tensor:
    """An image of independent uniform values in [0, 1], the same on every device for one seed.

    Args:
        size: pixels a side, or height and width.
        seed: of the generator.

    Returns:
        (1, 3, H, W), float32, on the CPU.

    Raises:
        RangeError: a seed that the generator does not take.
    """
    check(seed=seed)
    height, width = (size, size) if isinstance(size, int) else size
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def optimise_image(
    loss: Callable[[Tensor], Tensor], method: Method, iterations: int, label: str = ""
) -> tuple[Tensor, list[float]]:
    """Minimise a loss over the pixels of an image, or of several, each with its own loss.

    Args:
        loss: maps images (B, 3, H, W) to their losses, (B,).
        method: holds the images to start from, "LBFGS(start)".
        iterations: number of iterations, each one evaluation of the loss and its gradient.
        label: what the progress bar says.

    Returns:
        The images, clipped to [0, 1], and the loss, mean over them, after 0, 1, ... `iterations` iterations.

    Raises:
        RangeError: `iterations` is not positive.
        FloatingPointError: the loss is not finite; the message names the iteration.
    """
    losses = empty_losses(iterations, method.x, 1)
    descend(lambda image: loss(image)[:, None], method, losses, label)
    return method.x.clamp(0, 1), losses[:, :, 0].mean(1).tolist()


def empty_losses(iterations: int, x: Tensor, terms: int) -> Tensor:
    """Where `descend` writes: (iterations + 1, B, terms).

    Raises:
        RangeError: `iterations` is not positive.
    """
    check(iterations=iterations)
    return x.new_full((iterations + 1, len(x), terms), torch.nan)


def descend(
    loss: Callable[[Tensor], Tensor],
    method: Method,
    losses: Tensor,
    label: str = "",
    visit: Callable[[int, Tensor], None] = lambda iteration, x: None,
) -> None:
    """Let `method` go on from the iteration that it has reached to the last row of `losses`.

    Args:
        loss: maps images (B, 3, H, W) to the terms of their losses, (B, K), whose sum is minimised.
        method: moves the images.
        losses: (iterations + 1, B, K), on their device; row k is filled with the terms after k iterations.
        label: what the progress bar says.
        visit: called with the number of iterations done and the images, before each iteration and after the last.

    Raises:
        FloatingPointError: a loss is not finite; the message names the iteration.
    """
    last, reported = len(losses) - 1, time.monotonic()
    with progress_bar(last, label, method.iterations) as bar:
        for iteration in range(method.iterations, last + 1):
            visit(iteration, method.x)
            x = method.x.detach().requires_grad_()
            terms = loss(x)
            losses[iteration] = terms.detach()
            if iteration < last:
                method.step(*torch.autograd.grad(terms.sum(), x))
            if iteration == last or time.monotonic() - reported > REPORT:
                mean = _finite_mean(losses[: iteration + 1], label)
                bar.set_postfix(loss=f"{mean:.3g}", refresh=False)
                bar.update(min(iteration + 1, last) - bar.n)
                reported = time.monotonic()


def _finite_mean(losses: Tensor, label: str) -> float:
    """The newest loss, mean over the images; looks at all of them for one that is not finite."""
    totals = losses.sum(2)
    finite = totals.isfinite().all(1)
    if not finite.all():
        iteration = int(finite.int().argmin())
        value = totals[iteration][~totals[iteration].isfinite()][0].item()
        raise FloatingPointError(f"{label}: the loss is {value} at iteration {iteration}")
    return totals[-1].mean().item()
