"""The image files of a folder."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from replication.io.images import FORMATS, format_of

log = logging.getLogger(__name__)

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")


def image_files(folder: Path | str, unreadable: Callable[[str], None] = log.warning, told: bool = True) -> list[Path]:
    """The images of a folder and its subfolders, by extension, in the order of their paths.

    Hidden files and folders, and those of operating systems, are left out. A folder that is linked to counts once.

    Args:
        folder: where to look.
        unreadable: called with one line for each subfolder that cannot be read and each broken link.
        told: whether to log which files of other kinds are left out.
    """
    found, others = [], Counter()
    for path in _files(Path(folder), unreadable):
        if format_of(path) in FORMATS:
            found.append(path)
        else:
            others[path.suffix.lower() or "no suffix"] += 1
    if told and others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        log.warning("left out of %s, files of other kinds: %s", folder, kinds)
    return sorted(found)


def _files(folder: Path, unreadable: Callable[[str], None]) -> Iterator[Path]:
    """All files that are not hidden; links to folders come last, so that a folder is found under its real path."""

    def closed(error: OSError) -> None:
        unreadable(f"{error.filename} cannot be read ({error.strerror}); check its permissions")

    waiting, seen = [folder], set()
    while waiting:
        for parent, folders, files in os.walk(waiting.pop(0), onerror=closed):
            here = os.path.realpath(parent)
            if here in seen:
                folders.clear()
                continue
            seen.add(here)
            try:
                os.stat(os.path.join(parent, os.curdir))
            except OSError as error:  # the names in it can be read, and what they name cannot
                unreadable(f"{parent} cannot be entered ({error.strerror}); check its permissions")
                folders.clear()
                continue
            folders[:] = [name for name in sorted(folders) if not _hidden(name)]
            waiting += [Path(parent, name) for name in folders if os.path.islink(os.path.join(parent, name))]
            for path in (Path(parent, name) for name in files if not _hidden(name)):
                if path.is_file():
                    yield path
                elif path.is_symlink():
                    unreadable(f"{path} is a link that leads nowhere; correct or remove it")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FOLDERS
