"""Ctrl-C and its like: which end a command in good order, and how long work puts them off until its state is saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def heard() -> list[int]:
    """The signals that end a command in good order: Ctrl-C, SIGTERM, and a closed terminal's; none that is ignored."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows does not have the last
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP are noted, not raised; the function that it gives tells whether one came.

    A second one is raised at once, and one that nobody asked for at the end. A signal that is ignored, as by nohup,
    stays so. Outside the main thread, which alone receives signals, nothing is changed.
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
