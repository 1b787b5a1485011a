"""The objective of the baseline over its iterations, for many images (section 4.1, Fig. 5)."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replication.baseline import gatys, image_digest
from replication.checkpoint import load_checkpoint, save_checkpoint
from replication.files import sha256
from replication.provenance import device_name, sources_digest
from replication.ranges import check


def objective_curves(
    content: Tensor, style: Tensor, *, together: int, kept: Path, label: str, **options: Any
) -> tuple[Tensor, Tensor]:
    """Run the baseline on each image; what is done is kept, so that a call that was stopped goes on.

    Args:
        content: (B, 3, H, W) in [0, 1].
        style: (1, 3, H', W') in [0, 1], on the same device.
        together: images solved side by side.
        kept: a folder for the curves that are finished. Those of other arguments, code or device stay unused.
        label: what the progress bar says.
        options: see `gatys`.

    Returns:
        The objective after 0, 1, ... iterations, (iterations + 1, B), on the CPU; the first image that was found,
        (1, 3, H, W).

    Raises:
        ReplicationError: a kept file is damaged, or cannot be written.
        RangeError: `together` is not positive.
        ValueError, FloatingPointError: see `gatys`.
    """
    check(together=together)
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
