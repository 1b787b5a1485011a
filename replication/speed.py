"""Table 1: the network against the optimisation baseline, in seconds."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from replication.benchmark_baseline import METHODS
from replication.inference import for_inference
from replication.lbfgs import HISTORY
from replication.networks import ImageTransformationNetwork
from replication.optimisation import white_noise
from replication.style_transfer import stylize
from replication.timing import interleaved

NUMBERS = (100, 300, 500)  # of iterations, table 1
RUNS = 5  # of the network in a timed call


def speed_rows(
    network: ImageTransformationNetwork, sizes: Sequence[int], precision: str, repeats: int, device: str
) -> list[dict[str, Any]]:
    """Rows of table 1, one a size.

    Timed are iterations of the baseline with its full history, a few in each round, and the network; all in turn, at
    one precision. The seconds of 100, 300 and 500 iterations are that many times the median.

    Args:
        network: a style network.
        sizes: pixels a side.
        precision: "float32" or "bfloat16", of the convolutions on both sides.
        repeats: timed rounds.
        device: "cpu" or "cuda".

    Returns:
        For each size the seconds of an iteration, of 100, 300 and 500 iterations and of the network, the speed-ups, the
        network's share of an iteration, and the same speed-ups over the baseline as it is usually written.
    """
    fast = for_inference(network, getattr(torch, precision)).to(device)
    return [_row(fast, size, precision, repeats, device) for size in sizes]


def _row(fast: ImageTransformationNetwork, size: int, precision: str, repeats: int, device: str) -> dict[str, Any]:
    calls = {name: METHODS[name](precision, size, device, HISTORY) for name in ("ours", "plain PyTorch")}
    for call in calls.values():
        call.fill()
    image = white_noise(size, 0).to(device)
    seconds = {
        name: timing.seconds
        for name, timing in interleaved(
            calls | {"network": lambda: _run(fast, image)}, repeats, device, f"{size} x {size}, {precision}"
        ).items()
    }
    iteration, once = seconds["ours"], seconds["network"]
    row: dict[str, Any] = {"size": size, "precision": precision, "iteration": iteration}
    row |= {f"{number} iterations": number * iteration for number in NUMBERS} | {"network": once}
    row |= {f"speed-up over {number}": number * iteration / once for number in NUMBERS}
    row |= {"network / iteration": once / iteration}
    return row | {f"over plain {number}": number * seconds["plain PyTorch"] / once for number in NUMBERS}


def _run(network: ImageTransformationNetwork, image: Tensor) -> int:
    for _ in range(RUNS):
        stylize(network, image, tile=None)
    return RUNS
