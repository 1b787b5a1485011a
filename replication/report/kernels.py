"""A notebook's kernel under papermill: its progress in the terminal, its time limit, and why it died, if it did."""

import signal
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

from replication.io.files import ReplicationError, last_words, reason

ENGINE = "replication"  # papermill's name of ours


class _Client(PapermillNotebookClient):
    """papermill's client, which takes this Python's kernel, and shows the notebook's progress bar in the terminal."""

    def __init__(self, manager: Any, folder: Path, **options: Any):
        super().__init__(manager, on_cell_executed=self._clear, **options)
        self.bar, self.folder = manager.pbar, folder

    def create_kernel_manager(self) -> Any:
        """The manager of this Python's own ipykernel, whatever other kernel of that name is on Jupyter's path.

        It uses Unix sockets if the folder can hold them: a TCP port that is free when the manager looks may belong to
        another program when the kernel opens it.
        """
        self.kernel = super().create_kernel_manager()
        specs = type(self.kernel.kernel_spec_manager)(kernel_dirs=[])
        try:
            specs.get_kernel_spec(self.kernel_name)
        except KeyError as error:
            advice = "pip install --force-reinstall ipykernel"
            raise ReplicationError(f"{sys.executable} has no ipykernel, or a broken one; {advice}") from error
        self.kernel.kernel_spec_manager, self.kernel.connection_file = specs, str(self.folder / "kernel.json")
        if _takes_sockets(self.folder):
            self.kernel.transport = "ipc"
        return self.kernel

    def process_message(self, message: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Pass on the text of displays that are rewritten in place, which is what a progress bar is."""
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data") and content.get("transient"):
            self.bar.set_description_str(content["data"].get("text/plain", ""))
        return super().process_message(message, cell, cell_index)

    def _clear(self, **_: Any) -> None:
        self.bar.set_description_str("", refresh=False)


def _takes_sockets(folder: Path) -> bool:
    """Whether a folder can hold Unix sockets: not on Windows, with a long path, or on some file systems."""
    name = folder / "kernel-ipc-5"  # the longest that there will be
    try:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(str(name))
    except (AttributeError, OSError):
        return False
    name.unlink()
    return True


class _Engine(Engine):
    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, deadline: float, **_: Any) -> Any:
        with TemporaryDirectory() as folder, Path(folder, "stderr").open("wb") as errors:
            client = _Client(
                nb_man,
                Path(folder),
                kernel_name=kernel_name,
                timeout_func=lambda cell: max(1, int(deadline - time.monotonic())),
                iopub_timeout=60,
                shutdown_kernel="immediate",
                extra_arguments=["--log-level=ERROR"],
            )
            try:
                return client.execute(stderr=errors)
            except ReplicationError:
                raise
            except RuntimeError as error:
                raise ReplicationError(_cause(error, client.kernel.provisioner, Path(errors.name))) from error


def _cause(error: Exception, provisioner: Any, errors: Path) -> str:
    """Why a kernel did not start, or died."""
    process = provisioner and provisioner.process
    code = process.poll() if process else None
    if code is None:
        ended = f"its kernel failed ({reason(error)})"
    elif code < 0:
        advice = ", probably since memory ran out; free memory or lower `size`" if code == -signal.SIGKILL else ""
        ended = f"its kernel died of {signal.Signals(-code).name}{advice}"
    else:
        ended = f"its kernel ended with exit code {code}"
    return f"{ended}: {last_words(errors.read_text(errors='replace'))}".removesuffix(": ")


papermill_engines.register(ENGINE, _Engine)
