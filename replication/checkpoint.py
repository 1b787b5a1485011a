"""The state of a long run in one file, and the interrupts that should not lose it."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from replication.errors import ReplicationError, reason
from replication.files import write_atomically


def save_checkpoint(path: Path | str, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write tensors, and what they belong to, as a safetensors file that is whole or not there.

    Args:
        path: the file.
        tensors: the state.
        settings: what has to be the same for the run to go on from here, as JSON takes it.

    Raises:
        ReplicationError: the file could not be written; an older one is still there.
    """
    write_atomically(path, safetensors.torch.save(tensors, {"settings": json.dumps(settings)}))


def load_checkpoint(path: Path | str, settings: dict[str, Any]) -> dict[str, Tensor] | None:
    """Read what `save_checkpoint` wrote; None where there is no such file.

    Raises:
        ReplicationError: the file is damaged or no checkpoint, or it belongs to other settings, which are named.
    """
    if not Path(path).exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            saved = json.loads((file.metadata() or {})["settings"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ReplicationError(
            f"{path} is damaged or no checkpoint ({reason(error)}); remove it to start anew"
        ) from error
    settings = json.loads(json.dumps(settings))
    other = [name for name in {**saved, **settings} if saved.get(name) != settings.get(name)]
    if other:
        raise ReplicationError(
            f"{path} belongs to a run with another {', '.join(other)}; use another file, or remove it to start anew"
        )
    return tensors


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM are noted rather than raised; the function that it gives tells whether one came.

    So a run can stop where its state is consistent. A second one is raised at once. Outside the main thread, which
    alone receives signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(noted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
