"""Several processes: those of `torchrun`, which share a batch, and locks for work that only one process may do."""

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
    """Within the block, no other process does the same work; of `torchrun`'s processes, only the first takes the lock.

    Args:
        path: the lock's file, which exists as long as the block runs.
        refusal: the error message if another process has the lock.

    Raises:
        ReplicationError: another process has the lock.
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
    """Within the block, `torchrun`'s processes form a group, on GPUs or the CPU; without it nothing changes."""
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
    """Raise RangeError if processes cannot share a batch equally, or batch norm would get a single image in each."""
    launched = distributed.is_torchelastic_launched()
    if distributed.is_initialized():
        processes = distributed.get_world_size()
    else:
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
    check_parts(len(images))
    return images.chunk(distributed.get_world_size())[distributed.get_rank()]
