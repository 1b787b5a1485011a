"""The baseline's objective over its iterations, for photographs that networks are judged by: computed once and kept.

It depends on painting, photograph, weights and seed alone, not on the network (section 4.1, Fig. 5).
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from replication.baseline import ITERATIONS, gatys, image_digest
from replication.data import style_picture, validation_pictures
from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError, reason
from replication.files import DATA, need_checkout, write_atomically
from replication.images import square
from replication.loss_network import LossNetwork
from replication.objective import STYLE_LAYERS, Objective
from replication.provenance import provenance
from replication.ranges import check
from replication.style_training import SIZE

FOLDER = DATA / "baseline_curves"
VERSION = 1  # of the baseline; another one where its values change by more than rounding
DIGITS = 5


def baseline_curves(style: str, count: int, size: int, *, precision: str = "float32", seed: int = 0) -> Path:
    """Compute the curves that are not there yet, with the published code's weights; each is kept when it is done.

    Args:
        style: see `style_picture`.
        count: validation photographs.
        size: pixels a side of their squares.
        precision: of the convolutions. L-BFGS takes another way in bfloat16, so that it has curves of its own.
        seed: of the white noise.

    Returns:
        The file, data/baseline_curves/<style>_<size>.json.

    Raises:
        RangeError: a number is outside of its range.
        ReplicationError: the package alone is installed, there are too few photographs, or the file is damaged, of
            other settings, or cannot be written.
    """
    check(count=count, size=size, precision=precision, seed=seed)
    need_checkout("baseline-curves")
    keep_freed_memory()
    device, painting = default_device(), style_picture(style)
    path = FOLDER / f"{painting.name}_{size}.json"
    pictures, missing = validation_pictures(count)
    if missing or len(pictures) < count:
        raise ReplicationError(f"{count} photographs are wanted in val/ under REPLICATION_DATA")
    y_style = square(painting.image, SIZE).to(device)
    dtype = getattr(torch, precision)
    settings = curve_settings(y_style, seed, dtype=dtype) | {"size": size}
    kept = _read(path) if path.exists() else {"settings": settings, "curves": {}}
    if kept["settings"] != settings:
        raise ReplicationError(f"{path} has curves of other settings; remove it to compute them anew")
    run = SimpleNamespace(command="baseline-curves", device=device, **settings)
    network = LossNetwork(STYLE_LAYERS, dtype=dtype).to(device)
    for number, picture in enumerate(pictures, 1):
        y = square(picture.image, size).to(device)
        if (digest := image_digest(y)) not in kept["curves"]:
            label = f"{picture.name}, {number} of {count}"
            solved = gatys(y, y_style, iterations=ITERATIONS, seed=seed, dtype=dtype, label=label)
            curve = [float(f"{value:.{DIGITS}g}") for value in solved.losses.total[:, 0].tolist()]
            kept["curves"][digest] = {"name": picture.name, "objective": curve}
            record = kept | {"provenance": provenance(run, network, [painting])}
            write_atomically(path, json.dumps(record).encode())
    return path


def curve_settings(style: Tensor, seed: int = 0, **objective: Any) -> dict[str, Any]:
    """What curves of a size have in common, as JSON takes it.

    Args:
        style: (1, 3, H, W) in [0, 1].
        seed: of the white noise.
        objective: arguments of `Objective`.
    """
    settings = {"version": VERSION, "style": image_digest(style), "seed": seed} | Objective(
        style, **objective
    ).settings()
    return json.loads(json.dumps(settings))


def known_curves(style: Tensor, seed: int = 0, **objective: Any) -> dict[str, Tensor]:
    """The curves of these settings that come with the project, (501,), by the digest of the photograph.

    Raises:
        ReplicationError: a file is damaged.
    """
    wanted, found = curve_settings(style, seed, **objective), {}
    for path in sorted(FOLDER.glob("*.json")):
        kept = _read(path)
        if wanted.items() <= kept["settings"].items():
            found |= {digest: torch.tensor(curve["objective"]) for digest, curve in kept["curves"].items()}
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
        return {name: kept[name] for name in ("settings", "curves")}
    except (OSError, ValueError, KeyError) as error:
        raise ReplicationError(f"{path} is damaged ({reason(error)}); fetch it again, or remove it") from error
