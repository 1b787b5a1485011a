"""The words of a command line, before the commands take them."""

import os
from collections.abc import Sequence
from itertools import pairwise

from replication.io.ranges import RangeError

SHORT = {"-o": "--out", "-p": "--parameter"}


def words(arguments: Sequence[str], several: Sequence[str]) -> list[str]:
    """The arguments, with ~ expanded where shells leave it alone, as in `--out=~/file`.

    Args:
        several: options that may be given more than once.

    Raises:
        RangeError: any other option is given more than once, since only the last would count.
    """
    names = [_name(each) for each in arguments]
    for name in names:
        if name.startswith("--") and name not in several and names.count(name) > 1:
            raise RangeError(f"{name} is given {names.count(name)} times; give it once, several values by commas")
    pairs = (each.partition("=") for each in arguments)
    return [
        f"{name}={os.path.expanduser(value)}" if value.startswith("~/") else name + equals + value
        for name, equals, value in pairs
    ]


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value of an option, given as `--option value` or `--option=value`; None if it is not given."""
    parts = [part for each in arguments for part in each.split("=", 1)]
    return dict(pairwise(parts)).get(option)


def names_in(text: str) -> list[str]:
    """The names in a text, separated by commas.

    Raises:
        RangeError: there are none.
    """
    if not (names := [name for name in text.split(",") if name]):
        raise RangeError(f"only must name one at least, or be left out for all; got {text!r}")
    return names


def _name(argument: str) -> str:
    """The option that an argument gives, in the spelling of the help."""
    name = SHORT.get(argument[:2], argument.partition("=")[0])  # "-oa.png" is short for "-o a.png"
    return name.replace("_", "-").replace("--no-", "--")
