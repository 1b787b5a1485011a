"""Files in the cache: read without a lock; where one is missing or damaged, one process at a time makes it."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from replication.errors import ReplicationError, reason

log = logging.getLogger(__name__)

KEY = re.compile("[0-9a-f]{16}")  # the name of a file that belongs to certain inputs
Contents = TypeVar("Contents")


def cached(path: Path, read: Callable[[Path], Contents], make: Callable[[Path], Any]) -> Contents:
    """What a file or folder of the cache holds; it is made where it is not there or damaged.

    What is whole is read without a lock, so that a cache that cannot be written will do.

    Args:
        path: of the file.
        read: gives the contents, or raises ReplicationError where they are not whole.
        make: writes the file, whole or not at all; what it begins is named ".<stem of path>.<anything>", beside it.

    Raises:
        ReplicationError: it has to be made, and the cache cannot be written; or what `make` raises.
    """
    try:
        return read(path)
    except ReplicationError as error:
        if os.path.exists(path):  # Path.exists raises where a folder may not be entered
            log.warning("%s; it is made again", error)
    with _locked(path):
        with suppress(ReplicationError):  # another process has made it meanwhile
            return read(path)
        make(path)
        return read(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a path of the cache, whose folder is made, and clear of what killed processes had begun."""
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path.with_suffix(".lock")))
            _clear(path)
        except (OSError, NotImplementedError) as error:  # the second: a file system without locks
            raise ReplicationError(
                f"the cache {path.parent} cannot be written ({reason(error)}); mend that, or set REPLICATION_CACHE to "
                "a folder that can be"
            ) from error
        yield


def _clear(path: Path) -> None:
    """Remove what was begun for `path`, whose lock is held, and for its neighbours whose lock nobody holds."""
    for lock in path.parent.glob("*.lock"):
        begun = [*path.parent.glob(f".{lock.stem}.*")]
        if lock.stem == path.stem:
            _remove(begun)
        elif begun and KEY.fullmatch(lock.stem):
            with suppress(Timeout), FileLock(lock, timeout=0):
                _remove(begun)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
