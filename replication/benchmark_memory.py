"""What memory each command takes that computes: on images of growing size, and for a step of each training."""

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from replication.benchmark_style import TRAINING_SIZE, step
from replication.benchmark_super_resolution import PATCH
from replication.data import PHOTOGRAPHS, content_picture, style_picture
from replication.device import default_device
from replication.errors import ReplicationError
from replication.images import resize, save_image
from replication.loss_network import LossNetwork
from replication.objective import STYLE_LAYERS
from replication.photographs import photographs_of
from replication.provenance import provenance
from replication.ranges import FACTORS
from replication.settings import check_profile
from replication.style_training import style_trainer
from replication.super_resolution_training import super_resolution_trainer
from replication.tables import save_table, text_table
from replication.timing import peak_memory

SIDES = {"paper": (1024, 2048, 4096, 8192), "quick": (512, 1536), "smoke": (64,)}  # pixels of the result
STYLE = "great_wave"  # with batch norm; beside it the one with instance norm
COMMANDS = {
    **{f"stylize --style {style}": 1 for style in (STYLE, f"{STYLE}_instance")},
    **{f"upscale --factor {factor}": factor for factor in FACTORS},
}
PICTURE = "coffee"


def benchmark_memory(profile: str) -> list[dict[str, Any]]:
    """Measure the commands; print the table, save it as `figures/<profile>/benchmark_memory.json` and `.csv`.

    Each runs with its defaults, in float32, in a process of its own. `stylize` and `upscale` go from one JPEG file to
    another, `upscale` from one that is smaller by its factor; of the trainings there is one step, with batch 4.

    Args:
        profile: "paper" (results of 1024 to 8192 pixels a side), "quick" or "smoke".

    Returns:
        The rows of the table: pixels a side of the result, or of what is trained on, seconds with the start of the
        process, and the peak memory, libraries included.

    Raises:
        ReplicationError: an unknown profile, a command failed, or a file could not be written.
    """
    check_profile(profile)
    device = default_device()
    with tempfile.TemporaryDirectory() as folder:
        rows = [_command_row(command, side, Path(folder), device) for side in SIDES[profile] for command in COMMANDS]
    rows.append(_row("train-style", TRAINING_SIZE[profile], device, _train_style, TRAINING_SIZE[profile], device))
    for factor in FACTORS:
        command = f"train-super-resolution --factor {factor}"
        rows.append(_row(command, PATCH[profile], device, _train_super_resolution, factor, PATCH[profile], device))
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark memory", profile=profile, seed=0, device=device)
    inputs = [content_picture(name) for name in PHOTOGRAPHS] + [style_picture(STYLE)]
    files = save_table("benchmark_memory", rows, provenance(run, LossNetwork(STYLE_LAYERS).to(device), inputs))
    print(*files, sep="\n")
    return rows


def _command_row(command: str, side: int, folder: Path, device: str) -> dict[str, Any]:
    source = folder / f"{side // COMMANDS[command]}.jpg"
    if not source.exists():
        save_image(resize(content_picture(PICTURE).image, int(source.stem), int(source.stem)), source)
    arguments = [*command.split(), str(source), "--out", str(folder / "result.jpg"), "--overwrite"]
    return _row(command, side, device, _run, arguments)


def _row(command: str, side: int, device: str, *call: Any) -> dict[str, Any]:
    start = time.perf_counter()
    peak = peak_memory(*call, device=device)
    seconds = time.perf_counter() - start
    return {"command": command, "side": side, "seconds": seconds, "peak_GB": peak / 1e9}


def _run(arguments: list[str]) -> None:
    from replication.__main__ import main

    if main(arguments):
        raise ReplicationError(f"{' '.join(arguments)} failed")


def _train_style(size: int, device: str) -> None:
    photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
    step(style_trainer(style_picture(STYLE), photographs, size=size)[0])


def _train_super_resolution(factor: int, patch: int, device: str) -> None:
    photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
    step(super_resolution_trainer(photographs, loss="feature", factor=factor, patch=patch)[0])
