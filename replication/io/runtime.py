"""What the process runs on: the device, its memory, compilation, and progress bars."""

import ctypes
import gc
import io
import os
import platform
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from replication.io.files import ReplicationError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # mallopt(3)
DEVICE = "REPLICATION_DEVICE"  # the variable that holds the device asked for
MODES = {"default": "default", "graphs": "reduce-overhead"}  # of torch.compile; the second captures CUDA graphs


def default_device() -> str:
    """The device of `use_device`, else "cuda" where there is a GPU, else "cpu"."""
    return os.environ.get(DEVICE) or ("cuda" if torch.cuda.is_available() else "cpu")


def use_device(device: str) -> None:
    """Compute on "cpu", "cuda" or "mps", in the processes that this one starts, too.

    Raises:
        ReplicationError: this machine, or this torch, has no such device.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise ReplicationError(f"there is no device {device} for torch {torch.__version__} here; leave --device out")
    os.environ[DEVICE] = device


def precision_of(asked: str, device: str) -> str:
    """The precision of convolutions on a device, "float32" or "bfloat16".

    "fast" means bfloat16 if the processor computes in it, else float32, since other processors emulate bfloat16.
    """
    if asked != "fast":
        return asked
    on_cpu = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    on_gpu = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if on_gpu or (device == "cpu" and on_cpu) else "float32"


def dtype_of(asked: str, device: str) -> torch.dtype:
    """`precision_of` as a `torch.dtype`."""
    return getattr(torch, precision_of(asked, device))


def keep_freed_memory() -> None:
    """Let the process keep the memory of freed tensors for the next ones, where the C library is glibc.

    On a CPU every large tensor otherwise starts with fresh pages, which the system has to clear.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def give_back_memory() -> None:
    """Give what `keep_freed_memory` has kept back to the system."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def free_memory() -> None:
    """Give back the GPU memory that is not in use, with what compiled functions hold."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _NotebookBar(tqdm):
    """tqdm that draws itself by updating one display of the running cell."""

    def __init__(self, *args, **kwargs):
        self.handle = None
        super().__init__(*args, file=io.StringIO(), ascii=False, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Called by tqdm."""
        from IPython.display import display

        data = {"text/plain": msg if msg is not None else str(self)}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)


@contextmanager
def deterministic_cudnn() -> Iterator[None]:
    """Within the block, cuDNN uses deterministic algorithms only."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, new tensors are made on the CPU, random ones from `seed`; then the generator is restored."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def training_mode(network: nn.Module) -> Iterator[None]:
    """Within the block, a network is in training mode; afterwards its former mode is restored."""
    mode = network.training
    network.train()
    try:
        yield
    finally:
        network.train(mode)


def progress_bar(total: int, label: str, done: int = 0, shown: bool = True) -> tqdm:
    """A tqdm bar for a `with` statement: `total` iterations, of which `done` are finished; hidden if not `shown`."""
    settings = {"total": total, "desc": label, "initial": done, "mininterval": 0.5}
    settings |= {} if shown else {"disable": True}  # else TQDM_DISABLE decides
    try:
        notebook = get_ipython().__class__.__name__ == "ZMQInteractiveShell"
    except NameError:
        notebook = False
    return _NotebookBar(**settings, ncols=80) if notebook else tqdm(**settings)


def check_compilation(mode: str, device: str) -> None:
    """Raise if networks cannot be compiled in one of `MODES` on a device.

    Raises:
        ValueError: CUDA graphs are asked for without a GPU.
        ReplicationError: there is no C++ compiler, or Python's headers are missing.
    """
    if mode == "graphs" and device != "cuda":
        raise ValueError("CUDA graphs need a GPU; compile with the default")
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise ReplicationError("torch.compile needs a C++ compiler; install g++, or do without --compiled")
    folders = {sysconfig.get_path("include"), sysconfig.get_path("include", scheme="posix_prefix")}
    if not any(Path(folder, "Python.h").exists() for folder in folders):
        raise ReplicationError("torch.compile needs Python's headers; install python3-dev, or do without --compiled")
