"""What each kind of work takes, against its bare convolutions and the device's peak: eager, compiled, as graphs."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from replication import benchmark_baseline
from replication.benchmark_style import STYLE, drop, step
from replication.compilation import can_compile, compile_in_place, compiled
from replication.data import PHOTOGRAPHS, content_picture, style_picture
from replication.device import default_device, free_memory, keep_freed_memory
from replication.files import kept_folder, sha256, write_json
from replication.inference import for_inference
from replication.lbfgs import HISTORY
from replication.loss_network import LossNetwork
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork
from replication.objective import STYLE_LAYERS
from replication.optimisation import white_noise
from replication.photographs import photographs_of
from replication.provenance import circumstances, precision_name, provenance
from replication.settings import check_profile
from replication.style_training import style_trainer
from replication.style_transfer import stylize
from replication.super_resolution import upscale
from replication.super_resolution_training import super_resolution_trainer
from replication.tables import save_table, text_table
from replication.timing import convolution_flops, interleaved

SIZES = {  # pixels a side, in the order of WORKS
    "paper": (512, 256, 288, 512, 256),
    "quick": (256, 128, 96, 512, 128),
    "smoke": (64, 64, 32, 64, 32),
}
PRECISIONS = {  # of the convolutions, and whether a GPU rounds float32 to TF32
    "cpu": (("float32", False), ("bfloat16", False)),
    "cuda": (("float32", False), ("float32", True), ("bfloat16", False)),
}
METHODS = {None: "eager", "default": "compiled", "graphs": "CUDA graphs"}  # by how it is compiled
MATRIX = {"cuda": 8192, "cpu": 2048}  # rows and columns of the product that gives the peak; in "smoke" an eighth


def benchmark_convolutions(profile: str, repeats: int = 5) -> list[dict[str, Any]]:
    """Print the table and save it as `figures/<profile>/benchmark_convolutions.json` and `.csv`.

    The bare convolutions of a piece of work are those that it consists of, forward and backward, each called alone on
    tensors of the same shapes and memory formats. The peak is that of a large product of matrices at the same
    precision, timed in turn with them. On a GPU float32 is timed without and with TF32, and everything also as CUDA
    graphs; compiled code is timed in the profile "paper" alone, since compiling takes minutes, and where there is a
    compiler. Rows that are done are kept, so that the same call goes on.

    Args:
        profile: "paper", "quick" or "smoke".
        repeats: timed rounds.

    Returns:
        The rows of the table: seconds (median and quartiles), their ratio to the bare convolutions', and the rate of
        the convolutions' operations as a share of the peak.

    Raises:
        ReplicationError: an unknown profile, or a file could not be written.
    """
    check_profile(profile)
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    device = default_device()
    rows, kept, now = [], kept_folder("benchmark_convolutions", profile), circumstances()
    for dtype, tf32 in PRECISIONS[device]:
        with _tf32(tf32):
            for (work, build), size in zip(WORKS.items(), SIZES[profile], strict=True):
                case = {"work": work, "size": size, "precision": precision_name(dtype, device)}
                path = kept / f"{sha256(json.dumps([now, case, repeats]).encode())[:16]}.json"
                if not path.exists():
                    calls = {mode: build(size, dtype, device, mode) for mode in (None, *_modes(profile, device))}
                    side = MATRIX[device] // (8 if profile == "smoke" else 1)
                    write_json(path, _rows(calls, case, getattr(torch, dtype), device, repeats=repeats, side=side))
                    del calls
                    free_memory()
                rows += json.loads(path.read_text())
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark convolutions", profile=profile, seed=0, device=device, repeats=repeats)
    inputs = [content_picture(name) for name in PHOTOGRAPHS] + [style_picture(STYLE)]
    files = save_table("benchmark_convolutions", rows, provenance(run, LossNetwork(STYLE_LAYERS).to(device), inputs))
    print(*files, sep="\n")
    shutil.rmtree(kept)
    return rows


def bare_convolutions(call: Callable[[], Any]) -> Callable[[], None]:
    """The convolutions in `call`, forward and backward, on tensors of the same shapes and memory formats."""
    with _Recorder() as recorder:
        call()

    @torch.no_grad()
    def bare() -> None:
        for operation, arguments, options in recorder.calls:
            operation(*arguments, **options)

    return bare


def _modes(profile: str, device: str) -> tuple[str, ...]:
    if profile != "paper" or not can_compile():
        return ()
    return ("default", "graphs") if device == "cuda" else ("default",)


def _rows(
    calls: dict[str | None, Callable[[], int | None]],
    case: dict[str, Any],
    dtype: torch.dtype,
    device: str,
    *,
    repeats: int,
    side: int,
) -> list[dict[str, Any]]:
    """Of one work, by how it is compiled: one row a method."""
    eager = calls[None]
    times = eager() or 1
    bare = bare_convolutions(eager)

    def counted() -> int:
        bare()
        return times

    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    named = {"product": lambda: drop(a @ b), "bare convolutions": counted}
    named |= {METHODS[mode]: call for mode, call in calls.items()}
    for call in named.values():
        call()  # compiles, where the second call captures the graphs
    timings = interleaved(named, repeats, device, "{work}, {size} x {size}, {precision}".format(**case))
    peak, flops = 2 * side**3 / timings.pop("product").seconds, convolution_flops(bare) / times
    rows = []
    for method, timing in timings.items():
        row = case | {"method": method} | timing._asdict()
        row |= {"ratio": timing.seconds / timings["bare convolutions"].seconds}
        rate = flops / timing.seconds
        rows.append(row | {"TFLOP_s": rate / 1e12, "share_of_peak": rate / peak})
    return rows


class _Recorder(TorchDispatchMode):
    """Notes the convolutions that are called, with other numbers in tensors of the same make."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []
        self.tensors: dict[Any, Tensor] = {}

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if "conv" in str(operation):
            self.calls.append((operation, [self._noise_like(value) for value in arguments], options))
        return operation(*arguments, **options)

    def _noise_like(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        make = (value.shape, value.stride(), value.dtype)
        if make not in self.tensors:
            self.tensors[make] = torch.randn_like(value)
        return self.tensors[make]


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    flags = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = allowed
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def _iteration(size: int, precision: str, device: str, mode: str | None) -> Callable[[], int]:
    call = benchmark_baseline.METHODS["ours"](precision, size, device, HISTORY)
    call.fill()
    if mode:
        call.loss = compiled(call.loss, mode, device)
    return call


def _style_step(size: int, precision: str, device: str, mode: str | None) -> Callable[[], None]:
    photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
    options = {"size": size, "precision": precision, "compiled": mode}
    return partial(step, style_trainer(style_picture(STYLE), photographs, **options)[0])


def _super_resolution_step(size: int, precision: str, device: str, mode: str | None) -> Callable[[], None]:
    photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
    return partial(step, super_resolution_trainer(photographs, patch=size, precision=precision, compiled=mode)[0])


def _stylisation(size: int, precision: str, device: str, mode: str | None) -> Callable[[], None]:
    network, image = ImageTransformationNetwork().to(device), white_noise(size, 0).to(device)
    fast = for_inference(network, getattr(torch, precision))
    if mode:
        compile_in_place(fast, mode)
    return lambda: drop(stylize(fast, image, tile=None))


def _enlarging(size: int, precision: str, device: str, mode: str | None) -> Callable[[], None]:
    network, image = SuperResolutionNetwork(4).to(device), white_noise(size, 0).to(device)
    fast = for_inference(network, getattr(torch, precision))
    if mode:
        compile_in_place(fast, mode)
    return lambda: drop(upscale(fast, image))


WORKS = {
    "iteration of the baseline": _iteration,
    "training step, style": _style_step,
    "training step, super-resolution": _super_resolution_step,
    "stylisation": _stylisation,
    "enlarging by 4": _enlarging,
}
