"""What notebook 07 measures: all work against its convolutions, Table 1, and the memory of the commands."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from replication.baseline import white_noise
from replication.io.files import ReplicationError
from replication.io.images import resize, save_image
from replication.io.pictures import content_picture
from replication.io.ranges import FACTORS
from replication.io.runtime import free_memory, keep_freed_memory
from replication.networks import ImageTransformationNetwork, for_inference
from replication.report.timing import Call, bare_convolutions, convolution_flops, interleaved, peak_memory
from replication.report.works import STYLE, WORKS, drop, repeated
from replication.style_transfer import stylise, stylise_files
from replication.super_resolution import upscale_files

NUMBERS = (100, 300, 500)  # of iterations, Table 1
TABLE_1 = {  # the paper's: seconds on a Titan X for each of NUMBERS, and for the network, by pixels a side
    256: (3.17, 9.52, 15.86, 0.015),
    512: (10.97, 32.91, 54.85, 0.05),
    1024: (42.89, 128.66, 214.44, 0.21),
}
MATRIX = {"cuda": 8192, "cpu": 2048}  # rows and columns of the product that gives the peak


def work_rows(work: str, size: int, precision: str, device: str, *, repeats: int) -> list[dict[str, Any]]:
    """Time a kind of work against its `bare_convolutions` and the device's peak, all in turn.

    The peak is that of a large product of matrices at the same precision.

    Args:
        work: one of `WORKS`.
        size: pixels a side, of the small image where it is enlarged.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda".
        repeats: timed rounds.

    Returns:
        A row a method: seconds (median and quartiles), their ratio to the bare convolutions', the share of the peak,
        and the peak memory, on a CPU with the libraries.
    """
    builders = WORKS[work]
    calls = {name: build(size, precision, device) for name, build in builders.items()}
    times = calls["ours"]() or 1
    bare = bare_convolutions(calls["ours"])
    a, b = (torch.randn(MATRIX[device], MATRIX[device], device=device).to(getattr(torch, precision)) for _ in range(2))
    timed = {"product": lambda: drop(a @ b), "bare convolutions": lambda: drop(bare()) or times} | calls
    for call in timed.values():
        call()
    timings = interleaved(timed, repeats, device, f"{work}, {size} x {size}, {precision}")
    peak = 2 * MATRIX[device] ** 3 / timings.pop("product").seconds
    flops = convolution_flops(bare) / times
    del calls, timed
    rows = []
    for method, timing in timings.items():
        row = {"work": work, "size": size, "precision": precision, "method": method} | timing._asdict()
        row |= {"ratio": timing.seconds / timings["bare convolutions"].seconds}
        row |= {"share of peak": flops / timing.seconds / peak, "peak GB": None}
        if method in builders:
            row["peak GB"] = peak_memory(_once, work, method, size, precision, device, device=device) / 1e9
        rows.append(row)
    free_memory()
    return rows


def _once(work: str, method: str, size: int, precision: str, device: str) -> None:
    keep_freed_memory()
    WORKS[work][method](size, precision, device)()


def speed_rows(
    network: ImageTransformationNetwork, sizes: Sequence[int], precision: str, repeats: int, device: str
) -> list[dict[str, Any]]:
    """Rows of Table 1, one a size.

    Timed are iterations of the baseline with its full history, a few in each round, and the network, all in turn.

    Args:
        network: a style network.
        sizes: pixels a side.
        precision: "float32" or "bfloat16", of the convolutions on both sides.
        repeats: timed rounds.
        device: "cpu" or "cuda".

    Returns:
        For each size the seconds of an iteration, of that times 100, 300 and 500, and of the network, the speed-ups,
        the network's share of an iteration, and the same speed-ups over the baseline as it is usually written.
    """
    fast = for_inference(network, getattr(torch, precision)).to(device)
    works, rows = WORKS["iteration of the baseline"], []
    for size in sizes:
        calls: dict[str, Call] = {name: works[name](size, precision, device) for name in ("ours", "plain PyTorch")}
        calls["network"] = repeated(partial(stylise, fast, white_noise(size, 0).to(device), tile=None))
        timings = interleaved(calls, repeats, device, f"{size} x {size}, {precision}")
        iteration, plain, once = (timings[name].seconds for name in calls)
        row: dict[str, Any] = {"size": size, "precision": precision, "iteration": iteration}
        row |= {f"{number} iterations": number * iteration for number in NUMBERS} | {"network": once}
        row |= {f"speed-up over {number}": number * iteration / once for number in NUMBERS}
        row |= {"network / iteration": once / iteration}
        rows.append(row | {f"over plain {number}": number * plain / once for number in NUMBERS})
    return rows


def speed_measures(rows: Sequence[dict[str, Any]], device: str) -> dict[str, float | None]:
    """The numbers of the checks of Table 1, by key, of the rows in float32; None at a size that was not run.

    Args:
        rows: of `speed_rows`.
        device: "cpu" or "cuda"; images a second are a GPU's.
    """
    found = {row["size"]: row for row in rows if row["precision"] == "float32"}
    columns = [text.format(number) for text in ("{} iterations", "speed-up over {}") for number in NUMBERS]
    own = {
        f"{column}, {size}": found[size][column] if size in found else None
        for column in (*columns, "network")
        for size in TABLE_1
    }
    those = [found[size] for size in TABLE_1] if found.keys() >= TABLE_1.keys() else []
    own["share of an iteration"] = max((row["network / iteration"] for row in those), default=None)
    own["speed-up over 500 as usually written"] = min((row["over plain 500"] for row in those), default=None)
    return own | {"images a second": 1 / found[512]["network"] if device == "cuda" and 512 in found else None}


def memory_rows(sides: Sequence[int], device: str) -> list[dict[str, Any]]:
    """The peak memory of the commands on image files, each with its defaults in a process of its own.

    They go from one JPEG file to another, `upscale` from one that is smaller by its factor.

    Args:
        sides: pixels a side of the results.
        device: "cpu" or "cuda".

    Returns:
        Rows of the command, the side, seconds with the start of the process, and the peak memory, libraries included.

    Raises:
        ReplicationError: a command failed.
    """
    styles = (STYLE, f"{STYLE}_instance")
    commands = {f"stylise --style {name}": (1, partial(stylise_files, style=name)) for name in styles}
    commands |= {f"upscale --factor {factor}": (factor, partial(upscale_files, factor=factor)) for factor in FACTORS}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            for command, (factor, call) in commands.items():
                source, result = Path(folder, f"{side // factor}.jpg"), Path(folder, "results", command)
                save_image(resize(content_picture("coffee").image, side // factor, side // factor), source)
                start = time.perf_counter()
                peak = peak_memory(call, [source], result, device=device)
                seconds = time.perf_counter() - start
                if not (result / source.name).exists():
                    raise ReplicationError(f"{command} failed at {side} x {side} pixels")
                rows.append({"command": command, "side": side, "seconds": seconds, "peak GB": peak / 1e9})
    return rows
