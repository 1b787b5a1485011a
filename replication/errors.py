"""The one error that a user can mend, and how any error is told in one line."""


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
        return f"{names or type(error).__name__}: {error.strerror or error}; check the permissions and the free space"
    if isinstance(error, ReplicationError | FloatingPointError | ValueError):  # the last: arguments that do not fit
        return " ".join(str(error).split())
    return None


def _out_of_memory(error: BaseException) -> bool:
    """torch raises RuntimeError, or a class of its own below it."""
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
