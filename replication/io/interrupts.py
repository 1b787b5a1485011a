"""Ctrl-C and similar signals: which of them end a command in good order, and how work defers them to save its state."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def heard() -> list[int]:
    """The signals that end a command in good order: Ctrl-C, SIGTERM, and SIGHUP (closed terminal), unless ignored."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows does not have the last
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Defer Ctrl-C, SIGTERM and SIGHUP within the block; the function that it yields tells whether one has come.

    A second signal raises KeyboardInterrupt at once. A signal that the function was not asked about raises it at the
    end of the block. A signal that is ignored, as by nohup, stays ignored. Outside the main thread, which alone
    receives signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted: list[int] = []
    asked = False

    def interrupted() -> bool:
        nonlocal asked
        asked = bool(noted)
        return asked

    def note(number: int, frame: Any) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    before = {number: signal.signal(number, note) for number in heard()}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted and not asked:  # what comes next must not begin
        raise KeyboardInterrupt
