"""What super-resolution costs: a training step of each loss, and enlarging images, against plain PyTorch."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from replication.benchmark_style import drop, step
from replication.data import PHOTOGRAPHS, content_picture
from replication.device import default_device, keep_freed_memory
from replication.inference import for_inference
from replication.loss_network import LossNetwork
from replication.networks import SR_FILTERS, SuperResolutionNetwork
from replication.photographs import photographs_of
from replication.provenance import provenance
from replication.ranges import PRECISIONS
from replication.settings import check_profile
from replication.super_resolution import LOSSES, upscale
from replication.super_resolution_training import BATCH_SIZE, FEATURE_LAYER, super_resolution_trainer
from replication.tables import save_table, text_table
from replication.timing import interleaved, peak_memory

PATCH = {"paper": 288, "quick": 96, "smoke": 32}
SIZES = {"paper": ((320, 480), (2048, 2048)), "quick": ((320, 480),), "smoke": ((32, 48),)}  # of the small image

CASES = (("plain PyTorch", "float32"), ("upscale", "float32"), ("upscale", "bfloat16"))
FACTOR = 4


def benchmark_super_resolution(profile: str, repeats: int = 3) -> list[dict[str, Any]]:
    """Time training and enlarging by 4; print the table, save it as `benchmark_super_resolution.json` and `.csv`.

    "training step" is one of the engine's, with batch 4. "plain PyTorch" is the network in evaluation mode as torch's
    modules come, in the default memory format, on the whole image; "upscale" has its batch norm folded, runs in
    channels_last, and in tiles where the image is large.

    Args:
        profile: "paper" (patches of 288; images of 480 x 320 and 2048 x 2048), "quick" or "smoke".
        repeats: timed rounds.

    Returns:
        The rows of the table: seconds (median and quartiles), the ratio to float32 or to plain PyTorch, and of
        enlarging the peak memory, libraries included. Plain PyTorch is not timed where it would take 30 GB.

    Raises:
        ReplicationError: an unknown profile, or a file could not be written.
    """
    check_profile(profile)
    keep_freed_memory()
    device = default_device()
    rows = _training_rows(PATCH[profile], repeats, device)
    for height, width in SIZES[profile]:
        rows += _rows(height, width, repeats, device)
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark super-resolution", profile=profile, seed=0, device=device, repeats=repeats)
    inputs = [content_picture(name) for name in PHOTOGRAPHS]
    phi = LossNetwork([FEATURE_LAYER]).to(device)
    files = save_table("benchmark_super_resolution", rows, provenance(run, phi, inputs))
    print(*files, sep="\n")
    return rows


def _training_rows(patch: int, repeats: int, device: str) -> list[dict[str, Any]]:
    photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
    calls = {}
    for loss in LOSSES:
        for precision in PRECISIONS:
            trainer, _ = super_resolution_trainer(photographs, loss=loss, patch=patch, precision=precision)
            calls[loss, precision] = partial(step, trainer)
    timings = interleaved(calls, repeats, device, f"training, {patch} x {patch}")
    return [
        {"size": f"{patch} x {patch}", "batch": BATCH_SIZE, "precision": precision}
        | {"method": f"training step, {loss} loss"}
        | timing._asdict()
        | {"ratio": timing.seconds / timings[loss, "float32"].seconds, "peak_GB": None}
        for (loss, precision), timing in timings.items()
    ]


def _rows(height: int, width: int, repeats: int, device: str) -> list[dict[str, Any]]:
    size = f"{width} x {height}"
    cases = CASES if height * width < 1e6 else CASES[1:]
    calls = {case: _enlarging(*case, height, width, device) for case in cases}
    timings = interleaved(calls, repeats, device, f"enlarging {size} by {FACTOR}")
    rows = []
    for method, precision in cases:
        timing = timings[method, precision]
        memory = peak_memory(_enlarge_once, method, precision, height, width, device, device=device)
        row = {"size": size, "batch": 1, "precision": precision, "method": method} | timing._asdict()
        rows.append(row | {"ratio": timing.seconds / timings[cases[0]].seconds, "peak_GB": memory / 1e9})
    return rows


def _enlarge_once(method: str, precision: str, height: int, width: int, device: str) -> None:
    keep_freed_memory()
    _enlarging(method, precision, height, width, device)()


def _enlarging(method: str, precision: str, height: int, width: int, device: str) -> Callable[[], None]:
    network = SuperResolutionNetwork(FACTOR).eval().to(device)
    small = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    if method == "upscale":
        fast = for_inference(network, getattr(torch, precision))
        return lambda: drop(upscale(fast, small))
    network.layers[-1] = nn.Conv2d(SR_FILTERS, 3, 9, padding=4).to(device)
    network.to(memory_format=torch.contiguous_format)
    return torch.inference_mode()(lambda: drop(torch.tanh(network.layers(small))))
