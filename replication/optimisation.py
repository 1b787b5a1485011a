"""Optimisation of an image: the pixels that minimise a loss, found by L-BFGS (Figs. 3 and 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from replication.progress import progress_bar

HISTORY = 100  # curvature pairs, as in the published code's baseline


def white_noise(size: int, seed: int) -> Tensor:
    """An image (1, 3, size, size) of independent uniform values in [0, 1], the same on every device for one seed."""
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def optimise_image(
    loss: Callable[[Tensor], Tensor], start: Tensor, iterations: int, label: str = ""
) -> tuple[Tensor, list[float]]:
    """Minimise `loss` over the pixels, from `start`, by L-BFGS with step 1 and no line search, as the published code.

    The pixels are free while the optimiser runs: clipping them at each iteration, which section 4.1 does for the style
    transfer baseline, falsifies the curvature pairs and leaves deep layers stuck when the start is white noise.

    Args:
        loss: maps an image (1, 3, H, W) to its loss, (1,) or a scalar.
        start: (1, 3, H, W) in [0, 1]; not changed.
        iterations: number of iterations, each one evaluation of the loss and its gradient.
        label: what the progress bar says.

    Returns:
        The image, clipped to [0, 1] at the end, and the loss before each iteration.

    Raises:
        ValueError: `iterations` is not positive.
        FloatingPointError: the loss is not finite; the message names the iteration.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1; got {iterations}")
    image = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([image], lr=1, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(image).sum()
        value.backward()
        return value

    losses = []
    with progress_bar(iterations, label) as bar:
        for iteration in range(iterations):
            losses.append(optimiser.step(closure).item())
            if not torch.isfinite(torch.tensor(losses[-1])):
                raise FloatingPointError(f"{label}: the loss is {losses[-1]} at iteration {iteration}")
            bar.set_postfix(loss=f"{losses[-1]:.3g}", refresh=False)
            bar.update()
    return image.detach().clamp(0, 1), losses
