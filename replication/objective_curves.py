"""The objective of the baseline over its iterations, for many images (section 4.1, Fig. 5)."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from replication.baseline import ITERATIONS, gatys, image_digest
from replication.baseline_curves import known_curves
from replication.checkpoint import load_checkpoint, save_checkpoint
from replication.files import sha256
from replication.provenance import device_name, sources_digest
from replication.ranges import check


class Curves(NamedTuple):
    """What `objective_curves` found.

    Attributes:
        objective: after 0, 1, ... iterations, (iterations + 1, B), on the CPU.
        first: the baseline's image for the first of the images, (1, 3, H, W).
        known: how many curves were not computed, but come with the project.
    """

    objective: Tensor
    first: Tensor
    known: int


def objective_curves(
    content: Tensor,
    style: Tensor,
    *,
    together: int,
    kept: Path,
    label: str,
    iterations: int = ITERATIONS,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **weights: Any,
) -> Curves:
    """The baseline's curve for each image; what comes with the project is not computed, but for the first image's.

    What is done is kept, so that a call that was stopped goes on.

    Args:
        content: (B, 3, H, W) in [0, 1].
        style: (1, 3, H', W') in [0, 1], on the same device.
        together: images solved side by side.
        kept: a folder for the curves that are finished. Those of other arguments, code or device stay unused.
        label: what the progress bar says.
        iterations, seed: see `gatys`.
        dtype, weights: see `Objective`.

    Raises:
        ReplicationError: a kept file is damaged, or cannot be written.
        RangeError: `together` is not positive.
        ValueError, FloatingPointError: see `gatys`.
    """
    check(together=together)
    curves = known_curves(style, seed, dtype=dtype, **weights) if iterations <= ITERATIONS else {}
    found = [curves.get(image_digest(y)) for y in content.split(1)]
    computed = [number for number, curve in enumerate(found) if curve is None or number == 0]
    options = {"iterations": iterations, "seed": seed, "dtype": dtype} | weights
    objective, first = _solved(content[computed], style, together=together, kept=kept, label=label, **options)
    for number, curve in zip(computed, objective.unbind(1), strict=True):
        found[number] = curve
    return Curves(torch.stack([curve[: iterations + 1] for curve in found], 1), first, len(content) - len(computed))


def _solved(
    content: Tensor, style: Tensor, *, together: int, kept: Path, label: str, **options: Any
) -> tuple[Tensor, Tensor]:
    """The curves of these images, (iterations + 1, B), and the baseline's image for the first of them."""
    common = {name: str(value) for name, value in options.items()} | {"style": image_digest(style)}
    common |= {"sources": sources_digest(), "device": device_name(content.device.type)}
    found = []
    for number, part in enumerate(content.split(together), 1):
        settings = common | {"content": image_digest(part)}
        path = kept / f"{sha256(json.dumps(settings).encode())[:16]}.safetensors"
        tensors = load_checkpoint(path, settings)
        if tensors is None:
            of = f"{label}, part {number} of {-(-len(content) // together)}"
            solved = gatys(part, style, label=of, **options)
            tensors = {"objective": solved.losses.total, "image": solved.image[:1].cpu()}
            save_checkpoint(path, tensors, settings)
        found.append(tensors)
    return torch.cat([tensors["objective"] for tensors in found], 1), found[0]["image"]
