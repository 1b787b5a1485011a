"""Reasons in one line, of errors and of programs that failed; files that are written."""

import os
import stat

import pytest

from replication.io.files import ReplicationError, check_writable, explained, last_words, reason, write_atomically


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device", "a.png"), "No space left on device"),
        (OSError("made by a library"), "made by a library"),
        (MemoryError(), "MemoryError"),
        (OSError(), "OSError"),
        (ValueError("\x1b[31mtwo\nlines\x1b[0m"), "two lines"),
    ],
)
def test_the_reason_of_an_error_is_one_line_and_never_empty(error, expected):
    assert reason(error) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("a\n\x1b[31mERROR: No matching distribution\x1b[0m\x1b[31m\n\x1b[0m", "No matching distribution"),
        ("ERROR: disk is full\n[notice] a new release\nhint: see PEP 668\n", "disk is full"),
        ("Fatal Python error: Aborted\n\nCurrent thread:\n  File a.py", "Fatal Python error: Aborted"),
        ("Traceback\n  File a.py\nImportError: nothing\n", "ImportError: nothing"),
        ("\x1b[0m\n", ""),
    ],
)
def test_the_last_words_of_a_program_are_those_that_say_why(output, expected):
    assert last_words(output) == expected


def test_a_defect_is_not_explained_away_and_all_else_is_one_line():
    assert explained(TypeError("x")) is None
    assert explained(RuntimeError("x")) is None
    assert explained(PermissionError(13, "Permission denied", "a.png")).startswith("a.png: Permission denied; check")
    assert explained(ValueError("two\nlines")) == "two lines"
    assert "not enough memory" in explained(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."))
    assert explained(ReplicationError("a.png: there is not enough memory")) == "a.png: there is not enough memory"


def test_the_umask_holds(tmp_path):
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "a", b"x")
        os.umask(0o002)
        write_atomically(tmp_path / "b", b"x")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [0o600, 0o664]


def test_an_output_below_a_file_and_a_folder_as_a_file_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ReplicationError, match=r"a.png is no folder that can be written into"):
        check_writable(tmp_path / "a.png" / "b.png")
    with pytest.raises(ReplicationError, match=r"is a folder; give the name of a file"):
        check_writable(tmp_path)
