"""What the tests share: real weights and photographs, the command line as a process, what all workers need once."""

import os
import shutil

import pytest
from commands import TIMEOUT, run_command  # noqa: F401
from filelock import FileLock

from replication.files import ROOT, cache_folder

MARKED = "REPLICATION_DATA_OF_MARKED_TESTS"


def pytest_configure():
    """One thread for each worker and for what it starts; the data folder out of sight of all but marked tests."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch is not imported yet
    if folder := os.environ.pop("REPLICATION_DATA", ""):
        os.environ[MARKED] = os.path.abspath(folder)


def pytest_collection_modifyitems(items):
    """The slow ones begin, so that the workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _data_folder(request, monkeypatch):
    """`REPLICATION_DATA` for the tests marked `data`."""
    if request.node.get_closest_marker("data"):
        if MARKED not in os.environ:
            pytest.skip("needs the sets under REPLICATION_DATA")
        monkeypatch.setenv("REPLICATION_DATA", os.environ[MARKED])


@pytest.fixture(scope="session")
def weights():
    """The paper's VGG-16, fetched where the cache does not have it."""
    from replication.weights import vgg16_weights

    return vgg16_weights()


@pytest.fixture
def weights_file(weights, monkeypatch):
    """The weights for processes that are given another cache."""
    path = os.environ.get("REPLICATION_VGG16") or str(cache_folder() / "vgg16.safetensors")
    monkeypatch.setenv("REPLICATION_VGG16", path)


@pytest.fixture(scope="session")
def photograph():
    """scikit-image's cat, 64 x 64."""
    from replication.data import content_picture
    from replication.images import square

    return square(content_picture("chelsea").image, 64)


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """`once(name, make)`: a folder that `make(folder)` has filled, for whichever worker asked first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def folder(name, make):
        path = shared / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                unfinished = tmp_path_factory.mktemp(name)
                make(unfinished)
                unfinished.rename(path)
        return path

    return folder


def copy_project(folder):
    """The code, the notebooks and the data in another folder, which then has figures of its own; gives the folder."""
    for name in ("replication", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "data").symlink_to(ROOT / "data")
    return folder


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project, to make figures in."""
    return copy_project(tmp_path / "checkout")
