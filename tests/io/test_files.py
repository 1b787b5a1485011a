"""Reasons in one line: of errors, and of programs that failed."""

import pytest

from replication.io.files import last_words, reason


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
