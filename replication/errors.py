"""The one error that a user can mend, and how errors, and the programs that we run, are told in one line."""

import re

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
