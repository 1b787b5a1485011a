"""`torch.compile`, as the project uses it."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from replication.errors import ReplicationError

MODES = {"default": "default", "graphs": "reduce-overhead"}  # the second captures CUDA graphs


def can_compile() -> bool:
    """Whether there is the C++ compiler that `torch.compile` needs."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def compile_in_place(network: nn.Module, mode: str) -> None:
    """Let `torch.compile` join the operations of a network, which takes a C++ compiler and a minute at the first call.

    Args:
        network: on the device where it runs.
        mode: "default", or "graphs", where a GPU also runs them from CUDA graphs. Its results are overwritten by those
            of the next call.

    Raises:
        ValueError: an unknown mode, or graphs without a GPU.
        ReplicationError: there is no C++ compiler.
    """
    network.compile(mode=_checked(mode, next(network.parameters()).device.type), dynamic=False)


def compiled(function: Callable[..., Any], mode: str, device: str) -> Callable[..., Any]:
    """The same of a function that computes on `device`; see `compile_in_place`."""
    return torch.compile(function, mode=_checked(mode, device), dynamic=False)


def _checked(mode: str, device: str) -> str:
    if mode not in MODES:
        raise ValueError(f"a way to compile is {' or '.join(MODES)}; got {mode!r}")
    if mode == "graphs" and device != "cuda":
        raise ValueError("CUDA graphs need a GPU; compile with the default")
    if not can_compile():
        raise ReplicationError("torch.compile needs a C++ compiler; install g++, or do without --compile")
    return MODES[mode]
