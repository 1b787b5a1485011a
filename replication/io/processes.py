"""Several processes: how those of `torchrun` come together and share a batch, and what one process alone may do."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, distributed

from replication.io.files import ReplicationError, reason
from replication.io.ranges import RangeError
from replication.io.runtime import default_device

log = logging.getLogger(__name__)


@contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Inside, no other process is at this work; of several of `torchrun` the first one stands for all.

    Args:
        path: of the lock, a file that is there for as long.
        refusal: what the error says where another process is.

    Raises:
        ReplicationError: another process is at it.
    """
    if not first_process():
        yield
        return
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ReplicationError(refusal) from None
    except (OSError, NotImplementedError) as error:  # some file systems have no locks
        log.warning("no lock in %s (%s): make sure that no other process works there", path.parent, reason(error))
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()
            lock.release()


@contextmanager
def process_group() -> Iterator[None]:
    """Inside, the processes of `torchrun` are one group, on its GPUs or on the CPU; nothing where it does not run."""
    launched, on_gpus = distributed.is_torchelastic_launched(), default_device() == "cuda"
    if launched and on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if launched:
        distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield
    finally:
        if launched:
            distributed.destroy_process_group()


def first_process() -> bool:
    """Whether this is the process that writes files and shows progress."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def check_parts(batch_size: int, norm: str = "") -> None:
    """Raise RangeError where the processes cannot share a batch out, or batch norm would have one image in each."""
    launched = distributed.is_torchelastic_launched()
    processes = int(os.environ["WORLD_SIZE"]) if launched else 1
    if batch_size % processes:
        raise RangeError(f"a batch of {batch_size} cannot be shared out equally to {processes} processes")
    if launched and norm == "batch" and batch_size == processes:
        raise RangeError(
            f"batch_size must be two for each of {processes} processes, or norm instance; got {batch_size}"
        )


def own_part(images: Tensor) -> Tensor:
    """This process's part of a batch."""
    if not distributed.is_initialized():
        return images
    processes = distributed.get_world_size()
    if len(images) % processes:
        raise RangeError(f"a batch of {len(images)} cannot be shared out equally to {processes} processes")
    return images.chunk(processes)[distributed.get_rank()]
