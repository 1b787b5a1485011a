"""Files of the cache: read without a lock; where one is missing or damaged, one process at a time makes it."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from replication.io.files import ReplicationError, reason

log = logging.getLogger(__name__)

KEY = re.compile("[0-9a-f]{16}")  # the name of a file that belongs to certain inputs
Contents = TypeVar("Contents")


def cached(path: Path, read: Callable[[Path], Contents], make: Callable[[Path], Any]) -> Contents:
    """Read a file or folder of the cache; it is made first if it is missing or damaged.

    Args:
        path: the file or folder.
        read: returns the contents, or raises ReplicationError if they are missing or incomplete.
        make: writes it completely or not at all; unfinished files lie beside it as ".<stem of path>.<anything>".

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
    """Hold the lock of a path of the cache; make its folder, and remove unfinished files of killed processes."""
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock"))
            try:
                held.enter_context(lock.acquire(timeout=0))
            except Timeout:
                log.info("waiting for another process, which makes %s", path)
                held.enter_context(lock)
            _remove_begun(path.parent, path.stem)
            for other in path.parent.glob("*.lock"):  # of neighbours, where nobody holds it
                if other.stem != path.stem and KEY.fullmatch(other.stem) and any(path.parent.glob(f".{other.stem}.*")):
                    with suppress(Timeout), FileLock(other, timeout=0):
                        _remove_begun(path.parent, other.stem)
        except (OSError, NotImplementedError) as error:  # the second: a file system without locks
            raise ReplicationError(
                f"the cache {path.parent} cannot be written ({reason(error)}); mend that, or set REPLICATION_CACHE to "
                "a folder that can be"
            ) from error
        yield


def _remove_begun(folder: Path, stem: str) -> None:
    for path in folder.glob(f".{stem}.*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
