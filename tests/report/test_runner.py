"""The runner, with real kernels: what is refused, what is kept, and what happens when things go wrong."""

import os
import re
import sys
import tempfile
import time

import nbformat
import papermill
import pytest
from commands import run_command
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from replication.baseline import white_noise
from replication.io import files, provenance
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.io.provenance import device_name
from replication.io.runtime import default_device
from replication.report import profiles, runner
from replication.report.runner import ENGINE

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "error: unknown profile 'fast'; choose smoke, quick, overnight, paper"),
        (["--profile", "smoke", "--only", "01,77"], "error: unknown notebook 77; there are 01_feature_inversion, "),
        (["--profile", "smoke", "-p", "iteration", "3"], "error: 01_feature_inversion has no parameter iteration; it "),
        (["--profile", "smoke", "-p", "content", "chelsea"], "error: 02_style_reconstruction has no parameter content"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(arguments, message):
    result = run_command("figures", *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert "[1/" not in result.stdout


@pytest.fixture
def project(tmp_path, monkeypatch, put):
    """A project with the notebooks of one code cell that a test asks for."""
    (tmp_path / "notebooks").mkdir()
    put(ROOT=tmp_path, DATA=tmp_path / "data", FIGURES=tmp_path / "figures")

    def make(**sources):
        for name, source in sources.items():
            parameters = new_code_cell('profile = "quick"\ncontent = "chelsea"', metadata={"tags": ["parameters"]})
            cells = [new_markdown_cell("# A test (Fig. 0)"), parameters, new_code_cell(source)]
            nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tmp_path / "notebooks" / f"{name[1:]}.ipynb")
            monkeypatch.setitem(profiles.SETTINGS, name[1:], {})
        return tmp_path / "figures" / "smoke" / "notebooks"

    return make


def test_the_kernel_is_this_python(project):
    project(_01_a="import sys; print(sys.executable, profile)")
    assert runner.run_notebooks("overnight")
    executed = nbformat.read(runner.FIGURES / "overnight" / "notebooks" / "01_a.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == f"{sys.executable} overnight\n"


@pytest.mark.slow
def test_a_failing_cell_is_reported_and_the_others_are_run(project, capsys):
    folder = project(_01_a="print(1)", _02_b="print(2)")
    assert runner.run_notebooks("smoke")
    before = (folder / "01_a.ipynb").read_bytes()
    project(_01_a="1 / 0")
    assert not runner.run_notebooks("smoke")
    output = capsys.readouterr().out
    assert "01_a failed: cell [3], ZeroDivisionError: division by zero" in output
    assert re.search(r"02_b +done", output)
    assert (folder / "01_a.ipynb").read_bytes() == before
    assert (folder / "01_a.failed.ipynb").exists()
    project(_01_a="print(3)")
    assert runner.run_notebooks("smoke", only=["01"])
    assert sorted(path.name for path in folder.iterdir()) == ["01_a.ipynb", "02_b.ipynb"]


@pytest.mark.slow
def test_what_was_executed_in_the_same_environment_is_kept(project, capsys, monkeypatch):
    project(_01_a="x = 1", _02_b="print(1)")
    assert runner.run_notebooks("smoke", only=["01"])
    capsys.readouterr()

    def told(**options):
        """The plan's lines and those of the summary, by the first words."""
        assert runner.run_notebooks("smoke", resume=True, **options)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        return [line[1] for line in lines if line[:1] in (["01_a"], ["02_b"])]

    assert told() == ["kept", "run", "kept", "done"]
    assert told() == ["kept", "kept", "kept", "kept"]
    notebook = runner.ROOT / "notebooks" / "01_a.ipynb"
    notebook.write_text(notebook.read_text().replace("# A test (Fig. 0)", "# Told anew, [code](../replication/a.py)"))
    assert told() == ["kept", "kept", "kept", "kept"]
    copy = nbformat.read(runner.FIGURES / "smoke" / "notebooks" / "01_a.ipynb", 4)
    assert [cell.source for cell in copy.cells[::3]] == ["# Told anew, [code](../../../replication/a.py)", "x = 1"]
    project(_01_a="x = 2")
    assert told() == ["run", "kept", "done", "kept"]
    (runner.ROOT / "replication").mkdir()
    (runner.ROOT / "replication" / "losses.py").write_text("")
    assert told(only=["01"]) == ["run", "done"]
    (runner.ROOT / "data" / "checkpoints").mkdir(parents=True)
    (runner.ROOT / "data" / ".DS_Store").write_text("a Mac's")
    assert told(only=["01"]) == ["kept", "kept"]
    (runner.ROOT / "data" / "checkpoints" / "wave.safetensors").write_text("")
    assert told(only=["01"]) == ["run", "done"]
    monkeypatch.chdir(runner.ROOT)
    for seed in (0, 1):
        save_image(white_noise(44, seed), runner.ROOT / "me.jpg")
        assert told(only=["01"], parameters={"content": "me.jpg"}) == ["run", "done"]
        assert told(only=["01"], parameters={"content": "me.jpg"}) == ["kept", "kept"]
    monkeypatch.setenv("REPLICATION_DATA", str(runner.ROOT))
    (runner.ROOT / "photograph.bmp").write_text("one")
    assert told(only=["01"]) == ["run", "done"]
    (runner.ROOT / "photograph.bmp").write_text("two")
    assert told(only=["01"]) == ["run", "done"]
    monkeypatch.setattr(provenance, "version", lambda name: "0")
    assert told(only=["01"]) == ["run", "done"]
    assert told(only=["01"]) == ["kept", "kept"]


@pytest.mark.slow
def test_braces_in_the_projects_path_and_a_damaged_copy_stop_nothing(project, put, tmp_path, caplog):
    project(_01_a="x = 1")
    root = tmp_path / "{work}"
    (tmp_path / "notebooks").rename(root.mkdir() or root / "notebooks")
    put(ROOT=root, DATA=root / "data", FIGURES=root / "figures")
    copy = root / "figures" / "smoke" / "notebooks" / "01_a.ipynb"
    copy.parent.mkdir(parents=True)
    copy.write_text("<<<<<<< HEAD")
    assert runner.run_notebooks("smoke")
    assert f"{copy} cannot be read" in caplog.text
    assert nbformat.read(copy, 4).cells[-1].source == "x = 1"


@pytest.mark.slow
def test_what_it_made_has_to_be_there_as_it_was(project, capsys):
    project(_01_a=f"open('{runner.ROOT}/figures/smoke/a.csv', 'w').write('1')")
    made = runner.ROOT / "figures" / "smoke" / "a.csv"
    for change, result in ((None, "done"), (None, "kept"), ("2", "done"), (None, "kept"), ("", "done")):
        if change:
            made.write_text(change)
        elif change == "":
            made.unlink()
        assert runner.run_notebooks("smoke", resume=True)
        assert capsys.readouterr().out.splitlines()[-1].split()[1] == result
    assert made.read_text() == "1"


def test_what_another_run_makes_meanwhile_is_not_taken_for_its_own(project, capsys):
    others = '{"results": [], "provenance": {"notebook": "02_other"}}'
    source = (
        f"for name, text in (('mine.png', '1'), ('a.json', '{others}'), ('a.png', '1')):\n"
        f"    open('{runner.ROOT}/figures/smoke/' + name, 'w').write(text)"
    )
    folder = project(_01_test=source)
    runner.run_notebooks("smoke")
    made = nbformat.read(folder / "01_test.ipynb", 4).metadata["replication"]["made"]
    assert list(made) == ["figures/smoke/mine.png"]
    assert "a.png" not in capsys.readouterr().out


def test_two_runs_are_not_at_one_notebook(project, capsys):
    folder = project(_01_test="pass")
    folder.mkdir(parents=True)
    with FileLock(folder / ".01_test.lock"):
        assert not runner.run_notebooks("smoke")
    assert "failed: another run is at 01_test in smoke; wait for it" in capsys.readouterr().out
    assert runner.run_notebooks("smoke")
    assert [path.name for path in folder.iterdir()] == ["01_test.ipynb"]


def test_the_ledger_is_executed_anew_when_a_figure_has_changed(project, capsys, monkeypatch):
    project(_01_a="x = 1", _02_b="print(1)")
    monkeypatch.setattr(runner, "SUMMARY", "02_b")
    figure = runner.ROOT / "figures" / "smoke" / "fig3_feature_inversion.json"
    for text, results in (("{}", ["done", "done"]), ("{}", ["kept", "kept"]), ("[]", ["kept", "done"])):
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.write_text(text)
        assert runner.run_notebooks("smoke", resume=True)
        assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[-2:]] == results


@pytest.mark.slow
def test_the_plan_says_what_the_last_time_took_and_what_was_kept_is_removed(project, capsys):
    project(_01_a="import time; time.sleep(1)")
    kept = files.kept_folder("01_a", "smoke")
    kept.mkdir(parents=True)
    assert runner.run_notebooks("smoke")
    assert not kept.exists()
    first = capsys.readouterr().out
    assert runner.run_notebooks("smoke")
    (before,), (plan,) = (
        [line.split() for line in text.splitlines() if line.split()[:2] == ["01_a", "run"]]
        for text in (first, capsys.readouterr().out)
    )
    assert before == ["01_a", "run"]
    assert 1 / 60 < float(plan[2]) < 1
    assert plan[3:] == device_name(default_device()).split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "limit", "message"),
    [
        (KILLED, None, "its kernel died of SIGKILL"),
        ("import time; time.sleep(1000)", 5, "it took longer than its limit of 5 s; raise it with --time-limit"),
    ],
)
def test_a_dead_kernel_and_a_slow_one_are_noticed(project, capsys, source, limit, message):
    project(_01_a=source)
    start = time.monotonic()
    assert not runner.run_notebooks("smoke", time_limit=limit)
    assert f"01_a failed: {message}" in capsys.readouterr().out
    assert time.monotonic() - start < 300


def test_an_error_on_the_way_out_of_an_interrupt_is_an_interrupt(project, monkeypatch):
    project(_01_a="", _02_b="")

    def interrupted_and_disk_full(*_, **__):
        try:
            raise KeyboardInterrupt
        finally:
            raise OSError("disk full")

    monkeypatch.setattr(runner.papermill, "execute_notebook", interrupted_and_disk_full)
    with pytest.raises(KeyboardInterrupt):
        runner.run_notebooks("smoke")


@pytest.fixture
def run(tmp_path):
    """Run a notebook of one cell; gives the text of its output."""

    def execute(source):
        nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=KERNEL), tmp_path / "in.ipynb")
        options = {"deadline": time.monotonic() + 60}
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


TRANSPORT = "import ipykernel, json; print(json.load(open(ipykernel.get_connection_file()))['transport'])"


@pytest.mark.skipif(os.name != "posix", reason="has no sockets that are files")
def test_a_kernel_opens_no_port_that_another_program_could_take_first(run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert run(TRANSPORT) == "ipc\n"


def test_a_long_folder_of_temporary_files_stops_no_kernel(run, tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert run(TRANSPORT) == "tcp\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (KILLED, "its kernel died of SIGKILL, probably since memory"),
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
    with pytest.raises(ReplicationError, match="has no ipykernel, or a broken one; pip install --force-reinstall ip"):
        run("print(1)")
