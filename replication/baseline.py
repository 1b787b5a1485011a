"""Optimisation of pixels (Figs. 3 and 4), and the baseline of section 4.1: style transfer by Gatys et al."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from replication.io.checkpoints import load_checkpoint, load_origins, save_checkpoint
from replication.io.files import ReplicationError, check_writable, sha256
from replication.io.interrupts import deferred_interrupts
from replication.io.processes import alone
from replication.io.provenance import origin
from replication.io.ranges import RangeError, check
from replication.io.runtime import deterministic_cudnn, progress_bar
from replication.lbfgs import HISTORY, LBFGS
from replication.losses import Objective, Terms, in_range

log = logging.getLogger(__name__)

REPORT = 0.5  # seconds between two reports of the loss; only a report waits for the device
ITERATIONS = 500  # section 4.1


class Adam:
    """torch.optim.Adam for the pixels of images, clipped to `bounds` after each step; see `LBFGS` for the interface.

    Raises:
        RangeError: `lr` is not in (0, 1].
    """

    def __init__(self, x: Tensor, lr: float, bounds: tuple[float, float] | None = None):
        check(lr=lr)
        self.x, self.bounds, self.iterations = x.detach().clone(), bounds, 0
        self.adam = torch.optim.Adam([self.x], lr=lr)

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move `x`, given the gradient there."""
        self.x.grad = gradient
        self.adam.step()
        if self.bounds:
            self.x.clamp_(*self.bounds)
        self.iterations += 1


def white_noise(size: int | tuple[int, int], seed: int) -> Tensor:
    """An image (1, 3, H, W) of independent uniform values in [0, 1], float32, on the CPU; `size` is H = W, or both.

    Raises:
        RangeError: a seed that the generator does not take.
    """
    check(seed=seed)
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, device="cpu", dtype=torch.float32)


def optimise_image(
    loss: Callable[[Tensor], Tensor],
    optimizer: LBFGS | Adam,
    iterations: int,
    label: str = "",
    visit: Callable[[int, Tensor], None] = lambda iteration, x: None,
) -> tuple[Tensor, list[float]]:
    """Minimise a loss over the pixels of an image, or of several, each with its own loss.

    Args:
        loss: maps images (B, 3, H, W) to their losses, (B,).
        optimizer: a new optimizer that holds the initial images, for example `LBFGS(start)`.
        iterations: how many; each evaluates the loss and its gradient once.
        visit: called with the number of iterations done and the images, before each iteration and after the last. The
            next step may change the images in place: clone those to keep.

    Returns:
        The images, clipped to [0, 1], and the loss, averaged over them, after 0, 1, ... `iterations` iterations.

    Raises:
        RangeError: `iterations` is not positive, or the optimizer has taken steps.
        FloatingPointError: the loss is not finite; the message names the iteration.
    """
    check(iterations=iterations)
    if optimizer.iterations:
        raise RangeError(f"the optimizer has taken {optimizer.iterations} steps; make a new one, of its x")
    losses = optimizer.x.new_full((iterations + 1, len(optimizer.x), 1), torch.nan)
    descend(lambda image: loss(image)[:, None], optimizer, losses, label, visit)
    return optimizer.x.clamp(0, 1), losses[:, :, 0].mean(1).tolist()


@torch.enable_grad()
def descend(
    loss: Callable[[Tensor], Tensor],
    optimizer: LBFGS | Adam,
    losses: Tensor,
    label: str,
    visit: Callable[[int, Tensor], None],
) -> None:
    """Run `optimizer` from its present iteration to that of the last row of `losses`; see `optimise_image`.

    Args:
        loss: maps images (B, 3, H, W) to the terms of their losses, (B, K), whose sum is minimised.
        losses: (iterations + 1, B, K), on their device; row k is filled with the terms after k iterations.
    """
    last, reported = len(losses) - 1, time.monotonic()
    with deterministic_cudnn(), progress_bar(last, label, optimizer.iterations) as bar:
        for iteration in range(optimizer.iterations, last + 1):
            visit(iteration, optimizer.x)
            x = optimizer.x.detach().requires_grad_()
            terms = loss(x)
            losses[iteration] = terms.detach()
            if iteration < last:
                optimizer.step(*torch.autograd.grad(terms.sum(), x))
            if iteration == last or time.monotonic() - reported > REPORT:
                mean = _finite_mean(losses[: iteration + 1], label)
                bar.set_postfix(loss=f"{mean:.3g}", refresh=False)
                bar.update(min(iteration + 1, last) - bar.n)
                reported = time.monotonic()


def _finite_mean(losses: Tensor, label: str) -> float:
    """The newest loss, averaged over the images; raises if a loss of any iteration is not finite."""
    totals = losses.sum(2)
    finite = totals.isfinite().all(1)
    if not finite.all():
        iteration = int(finite.int().argmin())
        value = totals[iteration][~totals[iteration].isfinite()][0].item()
        raise FloatingPointError(f"{label}: the loss is {value} at iteration {iteration}")
    return totals[-1].mean().item()


class Result(NamedTuple):
    """The result of `gatys`."""

    image: Tensor  # the last images (B, 3, H, W), clipped to [0, 1]
    losses: Terms  # weighted, after 0, 1, ... iterations, (iterations + 1, B) each, on the CPU
    images: dict[int, Tensor]  # by number of iterations, those in `keep`; as the optimizer held them


def gatys(
    content: Tensor,
    style: Tensor,
    *,
    iterations: int = ITERATIONS,
    history: int = HISTORY,
    clip: bool = True,
    seed: int = 0,
    keep: Sequence[int] = (),
    checkpoint: Path | str | None = None,
    save_every: float = 60,
    label: str = "baseline",
    **objective: Any,
) -> Result:
    """Optimise images, starting from white noise, to the content of `content` and the style of `style`.

    Args:
        content: (B, 3, H, W) in [0, 1]: B independent problems, solved side by side.
        style: (1, 3, H', W') in [0, 1], on the same device.
        iterations: how many; each evaluates the objective and its gradient once, and takes one step of L-BFGS.
        history: number of curvature pairs of L-BFGS; for an image of N values, each takes 8 N bytes.
        clip: whether the pixels are clipped to their range at each iteration, as in the paper.
        seed: seed of the white noise, which is the same for all images of the batch.
        keep: numbers of iterations after which to keep the images.
        checkpoint: a file for the state, written every `save_every` seconds, on Ctrl-C, SIGTERM and SIGHUP, and at the
            end. If it exists, the run resumes from it, with more iterations if desired, and gives the same images as an
            uninterrupted run.
        objective: weights, layers, `style_form` and `dtype`; see `Objective`.

    Raises:
        RangeError: a number, or one of `keep`, is outside of its range.
        ValueError: the loss network or `LBFGS` does not accept the images, or their values are far outside [0, 1].
        FloatingPointError: the objective is not finite; the message names the iteration.
        ReplicationError: the checkpoint is damaged, belongs to another run, is another process's or cannot be written.
        KeyboardInterrupt: after the checkpoint was written.
    """
    check(iterations=iterations, history=history, seed=seed, save_every=save_every)
    if not set(keep) <= set(range(iterations + 1)):
        raise RangeError(f"keep must lie in 0 to {iterations}; got {list(keep)}")
    function = Objective(style, **objective)
    target = function.content_target(in_range(content, "content image"))
    noise = white_noise(tuple(content.shape[2:]), seed).to(content)
    optimizer = LBFGS(noise.expand_as(content), history, (0.0, 1.0) if clip else None)
    losses = optimizer.x.new_full((iterations + 1, len(content), len(Terms._fields)), torch.nan)
    state = _State(optimizer, losses, keep)
    with ExitStack() as held:
        if checkpoint:
            check_writable(checkpoint)
            settings = {"content": image_digest(content), "style": image_digest(style), "seed": seed}
            settings |= {"history": history, "clip": clip} | function.settings()
            lock = Path(checkpoint).with_name(f".{Path(checkpoint).name}.lock")
            held.enter_context(alone(lock, f"another process keeps its state in {checkpoint}; give another file"))
            state.attach(Path(checkpoint), settings, save_every)
        state.interrupted = held.enter_context(deferred_interrupts())
        descend(lambda x: torch.stack(function(x, target), 1), optimizer, losses, label, state.visit)
    terms = (term.contiguous() for term in losses.cpu().unbind(2))
    return Result(optimizer.x.clamp(0, 1), Terms(*terms), state.images)


def iterations_to(curve: Tensor, value: float) -> int:
    """The number of iterations after which the loss first reaches `value`; one more than were run if it never does.

    Args:
        curve: the losses after 0, 1, ... iterations, (iterations + 1,).
        value: a loss.
    """
    below = (curve <= value).nonzero()
    return int(below[0]) if len(below) else len(curve)


class _State:
    """The state of a run, saved to a file if one is attached."""

    def __init__(self, optimizer: LBFGS, losses: Tensor, keep: Sequence[int]):
        self.optimizer, self.losses, self.keep = optimizer, losses, keep
        self.images: dict[int, Tensor] = {}
        self.path: Path | None = None

    def attach(self, path: Path, settings: dict[str, Any], save_every: float) -> None:
        """Resume from the file, if it exists, and save the state to it from now on."""
        self.path, self.settings, self.save_every, self.saved = path, settings, save_every, time.monotonic()
        here = origin(self.losses.device.type, settings["dtype"].removeprefix("torch."))
        self.origins = [here]
        if (tensors := load_checkpoint(path, settings)) is None:
            return
        self.origins = load_origins(path)
        if not any(each | {"commit": here["commit"]} == here for each in self.origins):
            log.warning("%s: begun with other code, data, versions or device", path)
            self.origins.append(here)
        done = tensors.pop("losses").to(self.losses)
        kept = {int(name.split("_")[1]): tensors.pop(name) for name in [*tensors] if name.startswith("image_")}
        missed = [number for number in self.keep if number < len(done) and number not in kept]
        if missed or len(done) >= len(self.losses):
            wanted = f"the image after {missed[0]}" if missed else f"{len(self.losses) - 1}"
            raise ReplicationError(f"{path} is at iteration {len(done)}, past {wanted}; remove it to start anew")
        self.losses[: len(done)] = done
        self.images |= {number: kept[number].to(self.losses) for number in self.keep if number in kept}
        self.optimizer.load_state(tensors)

    def visit(self, iteration: int, x: Tensor) -> None:
        """Keep images, save the state and stop if asked to; called between iterations, when the state is consistent."""
        if iteration in self.keep:
            self.images[iteration] = x.clone()
        stop = self.interrupted()
        last = iteration == len(self.losses) - 1
        due = stop or last or (self.path and time.monotonic() - self.saved > self.save_every)
        if self.path and due and x.isfinite().all():  # NaNs must not replace the last good state
            images = {f"image_{number}": image for number, image in self.images.items()}
            tensors = self.optimizer.state() | images | {"losses": self.losses[:iteration]}
            save_checkpoint(self.path, tensors, self.settings, self.origins)
            self.saved = time.monotonic()
        if stop:
            advice = f"; the same call goes on from {self.path}" if self.path else ""
            raise KeyboardInterrupt(f"stopped after {iteration} iterations{advice}")


def image_digest(image: Tensor) -> str:
    """SHA-256 of the values of images."""
    return sha256(image.detach().cpu().numpy().tobytes())
