"""The command line as a real process, without the seconds in which each process would import torch."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from replication.files import ROOT

TIMEOUT = 300  # seconds
AT_THE_START = ("PYTHON", "LC_", "LANG", "OMP_")  # how the variables begin that a process reads once
PRELOADED = ["replication.runner", "replication.full_scale", "torch._dynamo"]  # which import all the others

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(PRELOADED)


def run_command(*arguments, cwd=ROOT, launcher=(), **environment):
    """`python -m replication ...` in a process of its own, or by a launcher of several.

    It is forked from a process that has imported everything, unless a launcher, another folder, or a variable that
    counts when Python starts is given.
    """
    arguments = [str(argument) for argument in arguments]
    env = os.environ | {name: str(value) for name, value in environment.items()}
    if launcher or cwd != ROOT or any(name.startswith(AT_THE_START) for name in environment):
        command = [sys.executable, "-m", *launcher, "replication", *arguments]
        return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        process = server.Process(target=_command, args=(arguments, dict(env), outputs))
        process.start()
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in outputs))


def _command(arguments, environment, outputs):
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    from replication.__main__ import main

    sys.exit(main(arguments))
