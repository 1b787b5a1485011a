"""Checks of what the paper says against what was measured, and the verdict on them together."""

from collections.abc import Sequence
from typing import NamedTuple

FEWEST = 100  # iterations of a descent from noise, or steps of a training; with fewer there is nothing to judge yet


class Check(NamedTuple):
    """One testable sentence.

    Attributes:
        says: the sentence.
        paper: the paper's value, or its words.
        ours: the value measured.
        rule: what it has to be.
        holds: whether it is; None where it was not run at this scale.
    """

    says: str
    paper: str
    ours: str
    rule: str
    holds: bool | None

    def __str__(self) -> str:
        """What the sentence says, what was measured and the rule; first of all if it does not hold or was not run."""
        failed = {True: "", False: "does NOT hold: ", None: "not run at this scale: "}[self.holds]
        return f"{failed}{self.says}" + (f": {self.ours}, {self.rule}" if self.holds is not None else "")


class Judgement(NamedTuple):
    """What the checks of a figure say of the paper's claim."""

    figure: str
    claim: str
    checks: list[Check]
    stand_ins: dict[str, str] = {}  # noqa: RUF012  # an input of the paper, and what took its place

    @property
    def verdict(self) -> str:
        """The verdict in words, and what was seen, in one line."""
        return f"{word([check.holds for check in self.checks])}: {'; '.join(map(str, self.checks))}"

    @property
    def caption(self) -> str:
        """The claim, and what took the place of the paper's input."""
        return " ".join([self.claim, *self._places()])

    def __str__(self) -> str:
        """The verdict in a word or two, the checks, and what took the place of the paper's input, each in a line."""
        verdict = word([check.holds for check in self.checks])
        return "\n".join([f"{verdict}:", *map(str, self.checks), *self._places()])

    def _places(self) -> list[str]:
        return [f"In place of {papers}: {ours}." for papers, ours in self.stand_ins.items()]


def judged_after(number: int, checks: list[Check]) -> list[Check]:
    """The checks of a descent or a training; not run at this scale where it had less than `FEWEST` iterations."""
    return checks if number >= FEWEST else [check._replace(holds=None) for check in checks]


def word(holds: Sequence[bool | None]) -> str:
    """The verdict on checks together: "replicated", "partly replicated", "not replicated" or "not run at this scale".

    It is "replicated as far as run" where some were not run and all others hold.
    """
    ran = [each for each in holds if each is not None]
    if not ran:
        return "not run at this scale"
    if all(ran):
        return "replicated" if len(ran) == len(holds) else "replicated as far as run"
    return "partly replicated" if any(ran) else "not replicated"
