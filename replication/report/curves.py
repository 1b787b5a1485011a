"""The objective of the baseline over its iterations, for many images (section 4.1, Fig. 5).

These curves do not depend on the network, so those that take long are computed once, by `train-all`, and come with the
project.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from replication.baseline import ITERATIONS, gatys, image_digest
from replication.config import PAPER
from replication.io.checkpoints import load_checkpoint, save_checkpoint
from replication.io.files import DATA, ReplicationError, reason, rounded, sha256, write_atomically
from replication.io.pictures import given_photographs, style_picture, validation_pictures
from replication.io.pixels import square
from replication.io.provenance import code, device_name, provenance, sources_digest
from replication.io.ranges import check
from replication.io.runtime import default_device, keep_freed_memory
from replication.loss_network import LossNetwork
from replication.losses import Objective

FOLDER = DATA / "baseline_curves"
VERSION = 1  # of the baseline; raise it when its values change by more than rounding


class Curves(NamedTuple):
    """What `objective_curves` found.

    Attributes:
        objective: after 0, 1, ... iterations, (iterations + 1, B), on the CPU.
        first: the baseline's image for the first of the images, (1, 3, H, W), where it was asked for.
        known: how many curves were not computed, but come with the project.
    """

    objective: Tensor
    first: Tensor | None
    known: int


def objective_curves(
    content: Tensor,
    style: Tensor,
    *,
    batch_size: int,
    kept: Path,
    label: str,
    image: bool = True,
    iterations: int = ITERATIONS,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **weights: Any,
) -> Curves:
    """The baseline's curve for each image; curves that come with the project are not computed again.

    Finished curves are kept, so that a call that was stopped can be repeated to continue.

    Args:
        content: (B, 3, H, W) in [0, 1].
        style: (1, 3, H', W') in [0, 1], on the same device.
        batch_size: images solved side by side.
        kept: a folder for the curves that are finished. Those of other arguments, code or device stay unused.
        label: what the progress bar says.
        image: whether to return the baseline's image for the first of the images, which then has to be computed.
        iterations, seed: see `gatys`.
        dtype, weights: see `Objective`.

    Raises:
        ReplicationError: a kept file is damaged, or cannot be written.
        RangeError: `batch_size` is not positive.
        ValueError, FloatingPointError: see `gatys`.
    """
    check(batch_size=batch_size)
    curves = known_curves(style, seed, iterations, dtype=dtype, **weights)
    found = [curves.get(image_digest(y)) for y in content.split(1)]
    computed = [number for number, curve in enumerate(found) if curve is None or (image and number == 0)]
    options = {"iterations": iterations, "seed": seed, "dtype": dtype} | weights
    first = None
    if computed:
        solved, start = _solved(content[computed], style, batch_size=batch_size, kept=kept, label=label, **options)
        first = start if image else None
        for number, curve in zip(computed, solved.unbind(1), strict=True):
            found[number] = curve
    return Curves(torch.stack([curve[: iterations + 1] for curve in found], 1), first, len(content) - len(computed))


def _solved(
    content: Tensor, style: Tensor, *, batch_size: int, kept: Path, label: str, **options: Any
) -> tuple[Tensor, Tensor]:
    """The curves of these images, (iterations + 1, B), and the baseline's image for the first of them."""
    common = {name: str(value) for name, value in options.items()} | {"style": image_digest(style)}
    common |= {"sources": sources_digest(), "device": device_name(content.device.type)}
    found = []
    for number, part in enumerate(content.split(batch_size), 1):
        settings = common | {"content": image_digest(part)}
        path = kept / f"{sha256(json.dumps(settings).encode())[:16]}.safetensors"
        tensors = load_checkpoint(path, settings)
        if tensors is None:
            of = f"{label}, part {number} of {-(-len(content) // batch_size)}"
            solved = gatys(part, style, label=of, **options)
            tensors = {"objective": solved.losses.total, "image": solved.image[:1].cpu()}
            save_checkpoint(path, tensors, settings)
        found.append(tensors)
    return torch.cat([tensors["objective"] for tensors in found], 1), found[0]["image"]


def baseline_curves(style: str, count: int, size: int, iterations: int) -> Path:
    """Compute the missing curves with the published code's weights; each is saved as soon as it is finished.

    They are computed in float32, from the noise of seed 0.

    Args:
        style: see `style_picture`.
        count: validation photographs.
        size: pixels a side of their squares.
        iterations: how long a curve is at least.

    Returns:
        The file, data/baseline_curves/<style>_<size>.json.

    Raises:
        RangeError: a number is outside of its range.
        ReplicationError: there are too few photographs, or the file is damaged, of
            other settings, or cannot be written.
    """
    check(count=count, size=size, iterations=iterations)
    keep_freed_memory()
    device, painting = default_device(), style_picture(style)
    path = FOLDER / f"{painting.name}_{size}.json"
    y_style = square(painting.image, PAPER.style_size).to(device)
    settings = curve_settings(y_style) | {"size": size}
    kept = _read(path) if path.exists() else {"settings": settings, "curves": {}}
    if kept["settings"] != settings:
        raise ReplicationError(f"{path} has curves of other settings; remove it to compute them anew")
    if len(given_photographs("val")) < count:
        if sum(len(curve["objective"]) > iterations for curve in kept["curves"].values()) >= count:
            return path
        raise ReplicationError(f"{count} photographs are wanted in val/ under REPLICATION_DATA")
    pictures, _ = validation_pictures(count)
    run = SimpleNamespace(command="train-all", device=device, code=code(), **settings)
    network = LossNetwork(PAPER.style_layers).to(device)
    for number, picture in enumerate(pictures, 1):
        y = square(picture.image, size).to(device)
        digest = image_digest(y)
        if digest not in kept["curves"] or len(kept["curves"][digest]["objective"]) <= iterations:
            label = f"{picture.name}, {number} of {count}"
            solved = gatys(y, y_style, iterations=iterations, label=label)
            ends = {name: values[-1, 0].item() for name, values in solved.losses._asdict().items()}
            curve = {"objective": solved.losses.total[:, 0].tolist(), "terms": ends}
            record = kept | {"provenance": provenance(run, network, [painting])}  # that of the newest curve
            by = {"name": picture.name} | {name: record["provenance"][name] for name in ("commit", "device")}
            kept["curves"][digest] = by | rounded(curve)
            write_atomically(path, json.dumps(record).encode())
    return path


def curve_settings(style: Tensor, seed: int = 0, **objective: Any) -> dict[str, Any]:
    """The settings, in JSON types, that curves of one size must have in common.

    Args:
        style: (1, 3, H, W) in [0, 1].
        seed: of the white noise.
        objective: arguments of `Objective`.
    """
    settings = {"version": VERSION, "style": image_digest(style), "seed": seed}
    return json.loads(json.dumps(settings | Objective(style, **objective).settings()))


def known_curves(style: Tensor, seed: int, iterations: int, **objective: Any) -> dict[str, Tensor]:
    """The project's curves with these settings and at least so many iterations, by the photograph's digest.

    Raises:
        ReplicationError: a file is damaged.
    """
    wanted, found = curve_settings(style, seed, **objective), {}
    for path in sorted(FOLDER.glob("*.json")):
        kept = _read(path)
        if wanted.items() <= kept["settings"].items():
            curves = {digest: torch.tensor(curve["objective"]) for digest, curve in kept["curves"].items()}
            found |= {digest: curve for digest, curve in curves.items() if len(curve) > iterations}
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
        return {name: kept[name] for name in ("settings", "curves")}
    except (OSError, ValueError, KeyError) as error:
        raise ReplicationError(f"{path} is damaged ({reason(error)}); fetch it again, or remove it") from error
