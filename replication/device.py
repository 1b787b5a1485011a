"""The device that is computed on, and how the process holds its memory."""

import ctypes
import gc
import platform

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # mallopt(3)


def default_device() -> str:
    """ "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def keep_freed_memory() -> None:
    """Let the process keep the memory of freed tensors for the next ones, instead of giving it back to the system.

    On a CPU every large tensor otherwise starts with fresh pages, which the system has to clear, and the larger the
    images the more that costs. Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def give_back_memory() -> None:
    """Give what `keep_freed_memory` has kept back to the system, before work of another kind makes no use of it."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def free_memory() -> None:
    """Give back the GPU memory that is not in use, with what compiled functions hold."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
