"""The kernel of the notebooks: always of this Python, and it does not die without a reason."""

import sys
import time

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from tqdm import tqdm

from replication.io.files import ReplicationError
from replication.report.runner import ENGINE


@pytest.fixture
def run(tmp_path):
    """Run a notebook of one cell; gives the text of its output."""

    def execute(source):
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=spec), tmp_path / "in.ipynb")
        options = {"deadline": time.monotonic() + 60, "bar": tqdm(disable=True), "progress_bar": False}
        done = papermill.execute_notebook(tmp_path / "in.ipynb", None, engine_name=ENGINE, **options)
        return done.cells[0].outputs[0].text

    return execute


def test_another_kernel_of_its_name_is_not_taken(run, tmp_path, monkeypatch):
    """Nor does it need a home that can be written."""
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "other", "language": "python"}')
    (tmp_path / "file").touch()
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    assert run("import sys; print(sys.executable)") == f"{sys.executable}\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "its kernel died of SIGKILL, probably since memory",
        ),
        ("import os; os.abort()", "its kernel died of SIGABRT"),
        ("import os; os._exit(3)", "its kernel ended with exit code 3"),
    ],
)
def test_a_kernel_that_died_says_of_what(run, source, message):
    with pytest.raises(ReplicationError, match=message):
        run(source)


def test_a_kernel_that_cannot_start_says_why(run, tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise ImportError('\\x1b[31mno zmq here\\x1b[0m')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ReplicationError, match="its kernel ended with exit code 1: ImportError: no zmq here$"):
        run("print(1)")


def test_without_ipykernel_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)
    with pytest.raises(
        ReplicationError, match="has no ipykernel, or a broken one; pip install --force-reinstall ipyke"
    ):
        run("print(1)")
