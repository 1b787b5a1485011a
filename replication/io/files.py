"""Errors in one line, the project's folders, and files that are written completely or not at all."""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "replication" / "shipped"  # what setup.py makes of data/ in an installed package
DATA = SHIPPED if SHIPPED.is_dir() else ROOT / "data"
IN_CHECKOUT = DATA != SHIPPED and (ROOT / "notebooks").is_dir()
FIGURES = ROOT / "figures" if IN_CHECKOUT else Path("figures")  # without a checkout: in the current folder
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LONGEST = 300  # letters
HINTS = ("warning:", "hint:", "note:", "[notice]")
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")  # in torch's errors


class ReplicationError(RuntimeError):
    """Something outside the code is wrong; the message is one line that names the file or value and the remedy."""


def explained(error: BaseException) -> str | None:
    """The message of an error for users, in one line; None if the error is a bug of this project."""
    if isinstance(error, ReplicationError | FloatingPointError | ValueError):  # the last: arguments that do not fit
        return " ".join(str(error).split()) or type(error).__name__
    of_torch = isinstance(error, RuntimeError) and any(sign in str(error) for sign in OUT_OF_MEMORY)
    if of_torch or isinstance(error, MemoryError):
        return "there is not enough memory; free some, or take smaller images, tiles or batches"
    if isinstance(error, OSError):
        names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names or type(error).__name__}: {reason(error)}; check the permissions and the free space"
    return None


def reason(error: BaseException) -> str:
    """The message of an error, in one line without colours; the name of its class if it has none."""
    return one_line(getattr(error, "strerror", None) or str(error)) or type(error).__name__


def cause(error: BaseException) -> str:
    """The reason of the first error in a chain; requests wraps errors in others that only repeat the address."""
    while error.__context__ and not isinstance(error, ReplicationError):
        error = error.__context__
    return reason(error)


def one_line(text: str) -> str:
    """`text` without colours and line breaks, not too long."""
    return " ".join(COLOUR.sub("", text).split())[:LONGEST]


def last_words(output: str) -> str:
    """The line of a program's output that says why it failed: the last one that is not a hint; "" if there is none."""
    lines = [line.strip() for line in COLOUR.sub("", output).splitlines()]
    lines = [line for line in lines if line and not line.lower().startswith(HINTS)]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]  # what follows it are frames
    return (fatal or lines or [""])[-1].removeprefix("ERROR: ")[:LONGEST]


def need_checkout(command: str) -> None:
    """Raise ReplicationError, naming `command`, if this is an installed package and not a checkout of the project."""
    if not IN_CHECKOUT:
        raise ReplicationError(
            f"`{command}` works on the project's own notebooks and networks, which an installed package does not have; "
            "git clone the project and run it there"
        )


def cache_folder() -> Path:
    """The folder for downloads: `REPLICATION_CACHE`, else in the system's cache folder."""
    return Path(os.environ.get("REPLICATION_CACHE") or platformdirs.user_cache_dir("perceptual-losses-replicated"))


def data_folder() -> Path | None:
    """The folder of the optional data sets, `REPLICATION_DATA`, or None; ReplicationError where it is no folder."""
    value = os.environ.get("REPLICATION_DATA")
    if not value:
        return None
    if not Path(value).is_dir():
        raise ReplicationError(
            f"REPLICATION_DATA is {Path(value).absolute()}, which is not a folder; correct it or unset it"
        )
    return Path(value)


def kept_folder(name: str, profile: str) -> Path:
    """Where an unfinished notebook keeps parts of its work."""
    return FIGURES / profile / "kept" / name


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write a file so that a reader sees either the old or the new content; see `renamed_when_whole`."""
    with renamed_when_whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def renamed_when_whole(path: Path | str) -> Iterator[BinaryIO]:
    """A temporary file beside `path`; when the block ends without error, it is flushed to disk and renamed to `path`.

    Raises:
        ReplicationError: the file could not be written (full disk, no permission); an existing one is unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise ReplicationError(
                f"{path} could not be written ({reason(error)}); check the permissions and the free space"
            ) from error
        raise


def check_writable(path: Path | str) -> None:
    """Raise ReplicationError if the name is too long or a folder's, or its folder cannot be made or written to."""
    path = Path(path)
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    effective = os.access in os.supports_effective_ids
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise ReplicationError(f"{path} cannot be written: {folder} is no folder that can be written into")
    if os.path.isdir(path):
        raise ReplicationError(f"{path} is a folder; give the name of a file")
    longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255  # which Windows has not
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        raise ReplicationError(f"{path} cannot be written: its name is longer than {longest} bytes; shorten it")


def write_json(path: Path | str, record: Any) -> None:
    """Write `record` as indented JSON, its floats `rounded`, as `write_atomically` does."""
    write_atomically(path, (json.dumps(rounded(record), indent=1) + "\n").encode())


def rounded(value: Any) -> Any:
    """`value` with its floats, however deep in lists and dicts, at six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def sha256(content: bytes) -> str:
    """SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
