"""What the tests share: real weights and photographs, the command line as a process, what all workers need once."""

import functools
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from commands import ROOT, run_command
from filelock import FileLock

from replication.io.files import cache_folder
from replication.io.interrupts import heard

MARKED = "REPLICATION_DATA_OF_MARKED_TESTS"
OUT_OF_REACH = "http://127.0.0.1:9"  # a proxy that is not there


def pytest_configure():
    """One thread of a CPU for each worker and what it starts; the data folder out of sight of all but marked tests.

    Notebooks and commands run in other folders, so paths are made absolute.
    """
    for name in [name for name in os.environ if name.startswith(("TQDM_", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"))]:
        del os.environ[name]
    os.environ["OMP_NUM_THREADS"] = "1"  # torch is not imported yet
    os.environ["REPLICATION_DEVICE"] = "cpu"  # what needs a GPU asks for it
    os.environ["COLUMNS"] = "80"  # of the terminal, in which help and errors are set
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in a shell's background jobs
    for name in ("REPLICATION_CACHE", "REPLICATION_VGG16"):
        if path := os.environ.get(name):
            os.environ[name] = os.path.abspath(path)
    if folder := os.environ.pop("REPLICATION_DATA", ""):
        os.environ[MARKED] = os.path.abspath(folder)


def pytest_collection_modifyitems(items):
    """The slow ones begin, so that the workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _seed():
    """The same random numbers in a test, whatever the worker ran before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _data_folder(request, monkeypatch):
    """`REPLICATION_DATA` for the tests marked `data`, if it has the folders that the mark names."""
    if marker := request.node.get_closest_marker("data"):
        folder = os.environ.get(MARKED)
        lacking = [name for name in marker.args if folder and not Path(folder, name).is_dir()]
        if folder is None or lacking:
            pytest.skip(f"needs {', '.join(lacking) or 'the sets'} under REPLICATION_DATA")
        monkeypatch.setenv("REPLICATION_DATA", os.environ[MARKED])


@pytest.fixture(autouse=True)
def _main_leaves_nothing():
    """The level of the log and the signals' handlers, which `main` sets in this process, are as before."""
    logger, handlers = logging.getLogger("replication"), {number: signal.getsignal(number) for number in heard()}
    level = logger.level
    yield
    logger.setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def put(monkeypatch):
    """`put(DATA=folder)`: another folder in every module of the project that has this name for one."""

    def everywhere(**folders):
        for module in [module for name, module in sys.modules.items() if name.startswith("replication.")]:
            for name in folders.keys() & vars(module).keys():
                monkeypatch.setattr(module, name, folders[name])

    return everywhere


@pytest.fixture(scope="session")
def weights():
    """The paper's VGG-16, fetched where the cache does not have it."""
    from replication.io.weights import vgg16_weights

    return vgg16_weights()


@pytest.fixture
def weights_file(weights, monkeypatch):
    """The weights for processes that are given another cache."""
    path = os.environ.get("REPLICATION_VGG16") or str(cache_folder() / "vgg16.safetensors")
    monkeypatch.setenv("REPLICATION_VGG16", path)


@pytest.fixture(scope="session")
def photograph():
    """scikit-image's cat, 64 x 64."""
    from replication.io.pictures import content_picture
    from replication.io.pixels import square

    return square(content_picture("chelsea").image, 64)


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """`once(name, make)`: the folder that `make(folder)` has filled, for whichever worker asked first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def folder(name, make):
        path, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                make(path)
                made.touch()
        return path

    return folder


def copy_project(folder):
    """The project without its repository, and without figures."""
    for name in ("replication", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").symlink_to(ROOT / "data")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the project, to make figures in."""
    copy_project(tmp_path / "checkout")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "checkout"))
    return tmp_path / "checkout"


@pytest.fixture(scope="session")
def smoke(once, weights, worker_id):
    """`smoke("03")`: the folder of what that notebook made in its one run, profile smoke, as a stranger has it.

    That is without the data folder and the servers of the sets, in a copy of the project. The summary, `smoke("10")`,
    has the files of all others beside its own. What the command said is in `said.txt`.
    """
    from replication.report.runner import SUMMARY

    summary = SUMMARY[:2]
    others = sorted({path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")} - {summary})
    if worker_id == "gw1":
        others.reverse()  # so that two workers that wait for the summary share what it needs

    def execute(number, folder):
        copy_project(folder)
        made = folder / "figures" / "smoke"
        for other in others if number == summary else ():
            shutil.copytree(figures(other), made, dirs_exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("REPLICATION_DATA", raising=False)
            patch.setenv("PYTHONPATH", str(folder))
            command = ("figures", "--profile", "smoke", "--only", number)
            result = run_command(*command, cwd=folder, https_proxy=OUT_OF_REACH, no_proxy="", NO_PROXY="")
        assert result.returncode == 0, result.stdout + result.stderr
        (made / "said.txt").write_text(result.stdout)

    def figures(number):
        for other in others if number == summary else ():
            figures(other)
        return once(f"notebook {number}", functools.partial(execute, number)) / "figures" / "smoke"

    return figures
