"""Processes of their own, forked from one that has imported torch, so that each does not take seconds to begin."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from replication.files import ROOT

TIMEOUT = 300  # seconds
AT_THE_START = ("PYTHON", "LC_", "LANG", "OMP_")  # so begin the variables that a process reads once
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["replication.runner", "replication.full_scale", "torch._dynamo", "pytest"])


class Process:
    """A call of a function of a module, with this environment."""

    def __init__(self, function, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        self.outputs = [Path(self.folder.name, name) for name in ("stdout", "stderr")]
        self.process = SERVER.Process(target=_call, args=(dict(os.environ), self.outputs, function, arguments))
        self.process.start()

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def running(self):
        return self.process.is_alive()

    def wait(self):
        """What `subprocess.run` returns; the exit status of an exception is 1."""
        self.process.join(TIMEOUT)
        if self.process.is_alive():
            self.process.kill()
            raise subprocess.TimeoutExpired(self.process.name, TIMEOUT)
        said = [path.read_text() for path in self.outputs]
        self.folder.cleanup()
        return subprocess.CompletedProcess(self.process.name, self.process.exitcode, *said)


def _call(environment, outputs, function, arguments):
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _main(arguments, environment):
    from replication.__main__ import main

    os.environ.update(environment)
    sys.exit(main(arguments))


def run_command(*arguments, cwd=ROOT, launcher=(), **environment):
    """`python -m replication ...` in a process of its own, or by a launcher of several.

    It is forked, unless another folder, a launcher, or a variable that counts when Python starts is given.
    """
    arguments = [str(argument) for argument in arguments]
    environment = {name: str(value) for name, value in environment.items()}
    if cwd == ROOT and not launcher and not any(name.startswith(AT_THE_START) for name in environment):
        return Process(_main, arguments, environment).wait()
    command, env = [sys.executable, "-m", *launcher, "replication", *arguments], os.environ | environment
    return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)
