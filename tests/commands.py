"""Processes that are forked from one which has imported the libraries, so that they do not take seconds to begin."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 900  # seconds, for several notebooks on a slow machine
AT_THE_START = ("PYTHON", "LC_", "LANG", "OMP_")  # so begin the variables that a process reads once
LIBRARIES = [
    "torch",
    "torch._dynamo",
    "torchvision",
    "skimage.metrics",
    "scipy.stats",
    "papermill",
    "matplotlib.pyplot",
]
SERVER = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")  # Apple's do not bear a fork
SERVER.set_forkserver_preload([*LIBRARIES, "pytest"])


class Process:
    """A call of a function of a module, with the environment of this process."""

    def __init__(self, function, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        self.outputs = [Path(self.folder.name, name) for name in ("stdout", "stderr")]
        self.process = SERVER.Process(target=_call, args=(dict(os.environ), self.outputs, function, arguments))
        self.process.start()

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def running(self):
        return self.process.is_alive()

    def wait_for(self, path):
        """Until it has written a file."""
        deadline = time.monotonic() + TIMEOUT
        while not path.exists():
            assert self.running()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def wait(self):
        """What `subprocess.run` returns; the exit status of an exception is 1."""
        try:
            self.process.join(TIMEOUT)
            if self.running():
                raise subprocess.TimeoutExpired(self.process.name, TIMEOUT)
        finally:
            self.process.kill()
        said = [path.read_text() for path in self.outputs]
        self.folder.cleanup()
        return subprocess.CompletedProcess(self.process.name, self.process.exitcode, *said)


def _call(environment, outputs, function, arguments):
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _command(arguments, cwd, environment):
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path.insert(0, os.fspath(cwd))
    sys.argv[1:] = arguments
    runpy.run_module("replication", run_name="__main__", alter_sys=True)


def start_command(*arguments, cwd=ROOT, **environment):
    """`python -m replication ...` in a forked process."""
    texts = {name: str(value) for name, value in environment.items()}
    return Process(_command, [str(argument) for argument in arguments], cwd, texts)


def run_command(*arguments, cwd=ROOT, launcher=(), **environment):
    """What `python -m replication ...` said, or a launcher of several, in a process of its own.

    It is forked, unless a launcher or a variable that counts when Python starts is given.
    """
    if not launcher and not any(name.startswith(AT_THE_START) for name in environment):
        return start_command(*arguments, cwd=cwd, **environment).wait()
    command = [sys.executable, "-m", *launcher, "replication", *arguments]
    env = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)
