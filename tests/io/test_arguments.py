"""The words of a command line, before the commands take them."""

from pathlib import Path

import pytest

from replication.io.arguments import names_in, value_of, words
from replication.io.ranges import RangeError


@pytest.mark.parametrize(
    "arguments",
    [
        ["--images", "a", "--images", "b"],
        ["--images=a", "--images", "b"],
        ["-o", "a", "--out=b"],
        ["--style_size", "1", "--style-size=2"],
        ["--flip", "--no-flip"],
    ],
)
def test_an_option_that_is_given_twice_is_refused(arguments):
    with pytest.raises(RangeError, match="is given 2 times"):
        words(arguments, ())


def test_some_options_may_be_given_twice():
    arguments = ["-p", "iterations", "10", "-p", "size", "64", "--style=a", "--style", "b"]
    assert words(arguments, ("--parameter", "--style")) == arguments


def test_the_home_folder_is_found_behind_an_equals_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert words(["--out=~/a.safetensors", "~/b", "--style=~c"], ()) == [
        f"--out={Path.home()}/a.safetensors",
        "~/b",
        "--style=~c",
    ]


def test_names_are_parted_by_commas_and_there_is_one_at_least():
    assert names_in("01,,02_style") == ["01", "02_style"]
    for text in ("", ",", ",,"):
        with pytest.raises(RangeError, match="only must name one at least"):
            names_in(text)


@pytest.mark.parametrize("given", [["train-style", "--recipe", "quick"], ["train_style", "--recipe=quick"]])
def test_an_option_has_the_value_that_follows_it(given):
    assert value_of("--recipe", given) == "quick"
    assert value_of("--device", given) is None
