"""How long calls take, what they compute, and the memory that they need."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from replication.io.files import ReplicationError
from replication.io.ranges import check
from replication.io.runtime import free_memory, progress_bar

Call = Callable[[], int | None]  # returns how often it did its work; None for once


class Timing(NamedTuple):
    """The median of the repeats and their quartiles."""

    seconds: float
    lower_quartile: float
    upper_quartile: float


def interleaved(
    calls: dict[str, Call], repeats: int = 5, device: str = "cpu", label: str = "timing"
) -> dict[str, Timing]:
    """Time calls in turn, round by round, so that what disturbs the machine disturbs all of them alike.

    One round is for warming up.

    Args:
        calls: functions by name. One that returns n has done its work n times, and is timed for one of them.
        repeats: rounds that count, at least 2.
        device: "cpu" or "cuda", which is synchronised before and after each call.
        label: what the progress bar says.

    Raises:
        RangeError: fewer repeats.
    """
    check(repeats=repeats)
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with progress_bar((repeats + 1) * len(calls), label) as bar:
        for _ in range(repeats + 1):
            for name, call in calls.items():
                synchronise()
                start = time.perf_counter()
                times = call()
                synchronise()
                seconds[name].append((time.perf_counter() - start) / (times or 1))
                bar.update()
    timings = {}
    for name, values in seconds.items():
        lower, median, upper = quantiles(values[1:], n=4, method="inclusive")
        timings[name] = Timing(median, lower, upper)
    return timings


def convolution_flops(call: Callable[[], Any]) -> int:
    """Floating-point operations of the convolutions in `call`, backward too; a multiplication and an addition are 2."""
    with FlopCounterMode(display=False) as counter:
        call()
    return sum(flops for operation, flops in counter.get_flop_counts()["Global"].items() if "conv" in str(operation))


def bare_convolutions(call: Callable[[], Any]) -> Callable[[], None]:
    """A function that runs only the convolutions of `call`, forward and backward, on random tensors of equal layout."""
    with _Recorder() as recorder:
        call()

    @torch.no_grad()
    def bare() -> None:
        for operation, arguments, options in recorder.calls:
            operation(*arguments, **options)

    return bare


class _Recorder(TorchDispatchMode):
    """Records the convolutions that are called, with random tensors of the same shape, strides and type."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []
        self.tensors: dict[Any, Tensor] = {}

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if "conv" in str(operation):
            noise = [self._noise_like(value) if isinstance(value, Tensor) else value for value in arguments]
            self.calls.append((operation, noise, options))
        return operation(*arguments, **options)

    def _noise_like(self, value: Tensor) -> Tensor:
        make = (value.shape, value.stride(), value.dtype)
        if make not in self.tensors:
            self.tensors[make] = torch.randn_like(value)
        return self.tensors[make]


def convolution_cost(channels: int, side: int) -> int:
    """Floating-point operations of a 3x3 convolution of `channels` filters on as many channels of `side` x `side`."""
    convolution = nn.Conv2d(channels, channels, 3, padding=1, device="meta")
    return convolution_flops(lambda: convolution(torch.empty(1, channels, side, side, device="meta")))


def peak_memory(call: Callable[..., Any], *arguments: Any, device: str = "cpu") -> int:
    """The memory that `call(*arguments)` needs, in bytes.

    On a GPU this is the peak of its tensors. On a CPU it is the peak of a fresh process, libraries included; there
    `call` has to be a function of a module.

    Raises:
        ReplicationError: the process died.
    """
    if device == "cuda":
        free_memory()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call(*arguments)
        return torch.cuda.max_memory_allocated() - before
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_peak_of_process, call, arguments).result()
    except BrokenProcessPool as error:
        said = "the process whose memory is measured died, probably since that ran out; free memory"
        raise ReplicationError(said) from error


def _peak_of_process(call: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    call(*arguments)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent before the process was exec'ed
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
