"""What the tests share: the real weights, real photographs, and the command line as a real process."""

import os
import subprocess
import sys

import pytest

from replication.data import content_picture
from replication.files import ROOT
from replication.images import square
from replication.weights import vgg16_weights

TIMEOUT = 300  # seconds


@pytest.fixture(scope="session")
def weights():
    """The paper's VGG-16, fetched where the cache does not have it."""
    return vgg16_weights()


@pytest.fixture(scope="session")
def photograph():
    """scikit-image's cat, 64 x 64."""
    return square(content_picture("chelsea").image, 64)


def run_command(*arguments, cwd=ROOT, launcher=(), **environment):
    """`python -m replication ...` in a process of its own, or by a launcher of several."""
    command = [sys.executable, "-m", *launcher, "replication", *arguments]
    env = os.environ | {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)
