"""The cache: read without its lock, made again where it is damaged, cleared of what killed processes had begun."""

import logging
import os
import subprocess
import sys

import pytest
from commands import run_command
from filelock import FileLock

from replication.baseline import white_noise
from replication.io.downloads import cached
from replication.io.files import ReplicationError
from replication.io.images import save_image

KEY = "0123456789abcdef"


def read(path):
    """The contents of a file that ends in a full stop."""
    if not path.is_file() or not path.read_text().endswith("."):
        raise ReplicationError(f"{path} is cut short")
    return path.read_text()


def make(path):
    path.write_text("Made.")


def test_what_is_there_is_read_while_others_hold_the_lock(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("There.")
    with FileLock(tmp_path / "a.lock"):
        assert cached(path, read, None) == "There."


def test_what_is_missing_is_made_and_what_is_damaged_is_named_and_made_again(tmp_path, caplog):
    path = tmp_path / "folder" / "a.txt"
    assert cached(path, read, make) == "Made."
    assert not caplog.text
    path.write_text("Hal")
    with caplog.at_level(logging.WARNING):
        assert cached(path, read, make) == "Made."
    assert f"{path} is cut short; it is made again" in caplog.text


def test_what_another_process_has_made_meanwhile_is_taken(tmp_path):
    answers = iter([ReplicationError("not yet"), None])

    def read_later(path):
        if error := next(answers):
            raise error
        return "theirs"

    assert cached(tmp_path / "a.txt", read_later, None) == "theirs"


def test_what_killed_processes_have_begun_is_removed_and_nothing_else(tmp_path):
    mine, neighbours, running, others = (
        tmp_path / name for name in (".a.txt.begun", f".{KEY}.pixels.begun", ".fedcba9876543210.json.begun", ".b.rc")
    )
    for path in (neighbours, running, others):
        path.write_text("begun")
        (tmp_path / f"{path.name.split('.')[1]}.lock").touch()
    mine.mkdir()
    (mine / "part").touch()
    with FileLock(tmp_path / "fedcba9876543210.lock"):
        cached(tmp_path / "a.txt", read, make)
    assert [path.exists() for path in (mine, neighbours, running, others)] == [False, False, True, True]


def test_a_place_that_cannot_be_written_is_one_line_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "a.lock").mkdir()
    for path, reason in (
        (tmp_path / "file" / "a.txt", "File exists"),
        (tmp_path / "file" / "below" / "a.txt", "Not a directory"),
        (tmp_path / "a.txt", "Is a directory"),
    ):
        with pytest.raises(ReplicationError, match=f"the cache {path.parent} cannot be written .{reason}.; .*CACHE"):
            cached(path, read, make)


@pytest.mark.parametrize("command", ["weights", "train-style", "train-super-resolution"])
def test_the_commands_say_in_one_line_that_the_cache_cannot_be_written(tmp_path, command):
    (tmp_path / "file").touch()
    (tmp_path / "photographs").mkdir()
    save_image(white_noise(300, 0), tmp_path / "photographs" / "a.png")
    training = ["--images", str(tmp_path / "photographs"), "--out", str(tmp_path / "a.safetensors")]
    style = ["--style", "great_wave"] if command == "train-style" else []
    arguments = [command] if command == "weights" else [command, *training, *style]
    result = run_command(*arguments, REPLICATION_CACHE=tmp_path / "file" / "below", REPLICATION_VGG16="")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: the cache {tmp_path / 'file' / 'below'}")
    assert "cannot be written (Not a directory); mend that, or set REPLICATION_CACHE to a folder that can be" in line


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path):
    """A file may not grow past a limit, as on a disk without space."""
    (tmp_path / "photographs").mkdir()
    save_image(white_noise(300, 0), tmp_path / "photographs" / "a.png")
    arguments = [
        "train-super-resolution",
        "--images",
        str(tmp_path / "photographs"),
        "--out",
        str(tmp_path / "a.safetensors"),
    ]
    code = (
        "import resource, sys; from replication.__main__ import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (10**4, 10**4)); sys.exit(main({arguments!r}))"
    )
    env = os.environ | {"REPLICATION_CACHE": str(tmp_path / "cache")}
    result = subprocess.run([sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.endswith("pixels could not be written (File too large); check the permissions and the free space")
    assert {path.suffix for path in (tmp_path / "cache" / "photographs").iterdir()} <= {".lock"}
