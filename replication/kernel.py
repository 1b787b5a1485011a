"""papermill's engine of this project: the notebook's process, always of this Python, and why it died if it did."""

import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from tqdm import tqdm

from replication.errors import ReplicationError, last_words, reason

ENGINE = "replication"  # its name


class _Client(PapermillNotebookClient):
    """papermill's client, which also shows the notebook's own progress bar in the terminal."""

    def __init__(self, manager: Any, kernel: AsyncKernelManager, bar: tqdm, **options: Any):
        super().__init__(manager, km=kernel, on_cell_executed=self._count, **options)
        self.owns_km = True  # so that the kernel ends with the notebook
        self.bar = bar

    def process_message(self, message: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Pass on the text of displays that are rewritten in place, which is what a progress bar is."""
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data") and content.get("transient"):
            self.bar.set_description_str(content["data"].get("text/plain", ""))
        return super().process_message(message, cell, cell_index)

    def _count(self, **_: Any) -> None:
        self.bar.set_description_str("", refresh=False)
        self.bar.update()


class _Engine(Engine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, deadline: float, bar: tqdm, start_timeout: int = 60, **_: Any
    ) -> Any:
        with TemporaryDirectory() as folder, Path(folder, "stderr").open("w+b") as errors:
            kernel = _own_kernel(Path(folder))
            client = _Client(
                nb_man,
                kernel,
                bar,
                startup_timeout=start_timeout,
                timeout_func=lambda cell: max(1, int(deadline - time.monotonic())),
                iopub_timeout=60,
                shutdown_kernel="immediate",
                extra_arguments=["--log-level=ERROR"],
            )
            try:
                return client.execute(stderr=errors)
            except (RuntimeError, NoSuchKernel) as error:
                raise ReplicationError(_cause(error, kernel, errors)) from error


def _own_kernel(folder: Path) -> AsyncKernelManager:
    """The kernel of this Python, whatever else has its name on Jupyter's path; its connection file lies in `folder`."""
    return AsyncKernelManager(
        kernel_name=NATIVE_KERNEL_NAME,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        connection_file=str(folder / "kernel.json"),
    )


def _cause(error: Exception, kernel: AsyncKernelManager, errors: BinaryIO) -> str:
    """Why a kernel could not be started, or died."""
    if isinstance(error, NoSuchKernel):
        return f"{sys.executable} has no ipykernel, or a broken one; pip install --force-reinstall ipykernel"
    process = kernel.provisioner and kernel.provisioner.process
    code = process.poll() if process else None
    errors.seek(0)
    said = last_words(errors.read().decode(errors="replace"))
    if code is None:
        ended = f"its kernel failed ({reason(error)})"
    elif code == -signal.SIGKILL:
        ended = "its kernel died of SIGKILL, probably since memory ran out; free memory or lower `size`"
    elif code < 0:
        ended = f"its kernel died of {signal.Signals(-code).name}"
    else:
        ended = f"its kernel ended with exit code {code}"
    return f"{ended}: {said}" if said else ended


papermill_engines.register(ENGINE, _Engine)
