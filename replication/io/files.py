"""The one error that a user can mend, and how errors, and the programs that we run, are told in one line."""

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

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LONGEST = 300  # letters
HINTS = ("warning:", "hint:", "note:", "[notice]")


class ReplicationError(RuntimeError):
    """Something outside the code is wrong: a file, a download, a setting.

    The message is one line. It names the file or value and says what to do. The command line prints it
    without a traceback; anything else that is raised is a defect of this project.
    """


def explained(error: BaseException) -> str | None:
    """What to tell a user of an error, in one line; None where it is a defect of this project.

    Memory that ran out, on the processor or a GPU, and what the operating system refuses are not.
    """
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return "there is not enough memory; free some, or take smaller images, tiles or batches"
    if isinstance(error, OSError):
        names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names or type(error).__name__}: {reason(error)}; check the permissions and the free space"
    if isinstance(error, ReplicationError | FloatingPointError | ValueError):  # the last: arguments that do not fit
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _out_of_memory(error: BaseException) -> bool:
    """torch raises RuntimeError, or a class of its own below it."""
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )


def reason(error: BaseException) -> str:
    """What an error says, in one line without colours; where it says nothing, of what kind it is."""
    return one_line(getattr(error, "strerror", None) or str(error)) or type(error).__name__


def cause(error: BaseException) -> str:
    """The reason at the root of an error: requests wraps it in others that name the address again and again."""
    while error.__context__ and not isinstance(error, ReplicationError):
        error = error.__context__
    return reason(error)


def one_line(text: str) -> str:
    """Text without colours and line breaks, not too long."""
    return " ".join(COLOUR.sub("", text).split())[:LONGEST]


def last_words(output: str) -> str:
    """The line of a program's output that says why it failed, without colours: the last that is no hint, or none."""
    lines = [line.strip() for line in COLOUR.sub("", output).splitlines()]
    lines = [line for line in lines if line and not line.lower().startswith(HINTS)]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]  # what follows it are frames
    return (fatal or lines or [""])[-1].removeprefix("ERROR: ")[:LONGEST]


ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "replication" / "shipped"  # what setup.py makes of data/ in an installed package
DATA = SHIPPED if SHIPPED.is_dir() else ROOT / "data"
IN_CHECKOUT = DATA != SHIPPED and (ROOT / "notebooks").is_dir()
FIGURES = ROOT / "figures" if IN_CHECKOUT else Path("figures")  # without a checkout: where the user stands


def need_checkout(command: str) -> None:
    """Refuse a command that works on the project's notebooks, networks or README where there is the package alone.

    Raises:
        ReplicationError: there is.
    """
    if not IN_CHECKOUT:
        raise ReplicationError(
            f"`{command}` works on the project's own notebooks and networks, which an installed package does not have; "
            "git clone the project and run it there"
        )


def cache_folder() -> Path:
    """The folder for downloads: `REPLICATION_CACHE`, else the system's cache folder for this project."""
    return Path(os.environ.get("REPLICATION_CACHE") or platformdirs.user_cache_dir("perceptual-losses-replicated"))


def data_folder() -> Path | None:
    """The folder of the optional data sets, `REPLICATION_DATA`, or None where the variable is not set.

    Raises:
        ReplicationError: the variable names something that is not a folder.
    """
    value = os.environ.get("REPLICATION_DATA")
    if not value:
        return None
    if not Path(value).is_dir():
        raise ReplicationError(
            f"REPLICATION_DATA is {Path(value).absolute()}, which is not a folder; correct it or unset it"
        )
    return Path(value)


def kept_folder(name: str, profile: str) -> Path:
    """Where a notebook or a benchmark keeps parts of its work, for when it is stopped; removed once it is done."""
    return FIGURES / profile / "kept" / name


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, flush it to the disk, then rename it.

    A reader sees the old file or the new one, never a part; a failure leaves the old one as it was.

    Raises:
        ReplicationError: the file could not be written (full disk, no permission).
    """
    with renamed_when_whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def renamed_when_whole(path: Path | str) -> Iterator[BinaryIO]:
    """A temporary file beside `path`, which is flushed and takes its name when the block has ended without error.

    Raises:
        ReplicationError: the file could not be written (full disk, no permission).
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
    """Refuse a file that could not be written, before what goes into it is computed.

    Raises:
        ReplicationError: its name is too long, it is a folder, or its folder cannot be made or written into.
    """
    path = Path(path)
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    effective = os.access in os.supports_effective_ids
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise ReplicationError(f"{path} cannot be written: {folder} is no folder that can be written into")
    if os.path.isdir(path):
        raise ReplicationError(f"{path} is a folder; give the name of a file")
    longest = os.pathconf(folder, "PC_NAME_MAX")
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        raise ReplicationError(f"{path} cannot be written: its name is longer than {longest} bytes; shorten it")


def write_json(path: Path | str, record: Any) -> None:
    """Write `record` as indented JSON, its floats `rounded`; see `write_atomically`."""
    write_atomically(path, (json.dumps(rounded(record), indent=1) + "\n").encode())


def rounded(value: Any) -> Any:
    """`value` with its floats, however deep in lists and dicts, at six significant digits: more is hard to read."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def sha256(content: bytes) -> str:
    """The SHA-256 digest of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
