"""The one error that a user can mend, and the reasons that it gives."""

import re

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LONGEST = 300  # letters
HINTS = ("warning:", "hint:", "note:", "[notice]")


class ReplicationError(RuntimeError):
    """Something outside the code is wrong: a file, a download, a setting.

    The message is one line. It names the file or value and says what to do. The command line prints it
    without a traceback; anything else that is raised is a defect of this project.
    """


def reason(error: BaseException) -> str:
    """What an error says, in one line without colours; where it says nothing, of what kind it is."""
    return one_line(getattr(error, "strerror", None) or str(error)) or type(error).__name__


def one_line(text: str) -> str:
    """Text without colours and line breaks, not too long."""
    return " ".join(COLOUR.sub("", text).split())[:LONGEST]


def last_words(output: str) -> str:
    """The line of a program's output that says why it failed, without colours: the last that is no hint, or none."""
    lines = [line.strip() for line in COLOUR.sub("", output).splitlines()]
    lines = [line for line in lines if line and not line.lower().startswith(HINTS)]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]  # what follows it are frames
    return (fatal or lines or [""])[-1].removeprefix("ERROR: ")[:LONGEST]
