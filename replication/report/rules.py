"""Rules that say themselves and judge a number, and the verdict on the sentences of a claim together."""

import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

FEWEST = 100  # iterations of a descent from noise, or steps of a training; with fewer there is nothing to judge yet


class Rule(NamedTuple):
    """What a value has to be, in words, and whether it is."""

    text: str
    allows: Callable[[Any], bool]


def at_least(limit: float, form: str = "g", less: float = 0) -> Rule:
    """Not under a limit, or not by more than `less`; `form` is the format of the limit in the text."""
    margin = f" less {less:g}" if less else ""
    return Rule(f"at least {limit:{form}}{margin}", lambda value: value >= limit - less)


def _against(words: str, holds: Callable[[Any, Any], bool]) -> Callable[..., Rule]:
    """What makes rules of a limit and its format, `under(0.1, ".0%")`."""

    def rule(limit: float, form: str = "g") -> Rule:
        return Rule(f"{words} {limit:{form}}", lambda value: holds(value, limit))

    return rule


at_most, under, over = _against("at most", operator.le), _against("under", operator.lt), _against("over", operator.gt)


def at_most_times(factor: float, base: float, form: str = "g", where: str = "") -> Rule:
    """Not over a multiple of another value; `form` is the format of that value in the text, `where` follows it."""
    return Rule(f"at most {factor:g} times the {base:{form}}{where}", lambda value: value <= factor * base)


def within(margin: float, wanted: float, form: str = "g") -> Rule:
    """No further than `margin` from what is wanted."""
    return Rule(f"within {margin:g} of {wanted:{form}}", lambda value: abs(value - wanted) <= margin)


def within_share(share: float) -> Rule:
    """A ratio no further than `share` from 1."""
    return Rule(f"within {share:.0%}", lambda ratio: abs(ratio - 1) <= share)


def crosses(limit: float, *, upwards: bool) -> Rule:
    """Two values on either side of a limit, the first under it where they go `upwards`."""
    text = "under and over" if upwards else "over and under"
    return Rule(f"{text} {limit:g}", lambda ends: ends[not upwards] < limit < ends[upwards])


def most(limit: float) -> Rule:
    """The first value more than all others, and not over a limit."""
    return Rule(f"most, at most {limit:g}", lambda values: max(values[1:]) < values[0] <= limit)


FALLING = Rule("falling", lambda values: all(after < before for before, after in pairwise(values)))
EQUAL = Rule("equal", lambda values: len(set(values)) == 1)
LESS = Rule("less", lambda pair: pair[0] < pair[1])  # the first of two
MORE = Rule("more", lambda pair: pair[0] > pair[1])
LEAST = Rule("least", lambda values: values[0] < min(values[1:]))  # the first of some
SOME = Rule("more than none", lambda value: value > 0)
HALF = Rule("at most half", lambda value: value <= 0.5)


class Check(NamedTuple):
    """One testable sentence."""

    statement: str
    paper: str  # its value, or its words
    ours: str  # the value measured; "" where it was not run at this scale
    rule: str  # what it has to be
    passed: bool | None  # whether it is; None where it was not run at this scale

    def __str__(self) -> str:
        """What the sentence says, what was measured and the rule; first of all if it does not hold or was not run."""
        failed = {True: "", False: "does NOT hold: ", None: "not run at this scale: "}[self.passed]
        return f"{failed}{self.statement}" + (f": {self.ours}, {self.rule}" if self.passed is not None else "")


def judged(words: str, value: Any, rule: Rule) -> Check:
    """The check of a sentence.

    Args:
        words: "statement | paper | ours", see `Check`; ours is a format string of the value, or of its items.
        value: as `rule` takes it; None where it was not run at this scale.
    """
    statement, paper, ours = words.split(" | ")
    if value is None:
        return Check(statement, paper, "", rule.text, None)
    items = value if isinstance(value, list) else [value]
    return Check(statement, paper, ours.format(*items), rule.text, rule.allows(value))


def judged_after(number: int, checks: list[Check]) -> list[Check]:
    """The checks of a descent or a training; not run at this scale where it had less than `FEWEST` iterations."""
    return checks if number >= FEWEST else [check._replace(ours="", passed=None) for check in checks]


def verdict_on(checks: Sequence[Check]) -> str:
    """The verdict on checks together; where some were not run, on the others."""
    ran = [check.passed for check in checks if check.passed is not None]
    if not ran:
        return "not run at this scale"
    if all(ran):
        return "replicated" if len(ran) == len(checks) else "replicated as far as run"
    return "partly replicated" if any(ran) else "not replicated"


class Judgement(NamedTuple):
    """What the checks of a figure say of the paper's claim."""

    figure: str
    claim: str
    checks: list[Check]
    stand_ins: dict[str, str] = {}  # noqa: RUF012  # an input of the paper, and what took its place

    @property
    def word(self) -> str:
        """The verdict in a word or two; see `verdict_on`."""
        return verdict_on(self.checks)

    @property
    def verdict(self) -> str:
        """The verdict in words, and what was seen, in one line."""
        return f"{self.word}: {'; '.join(map(str, self.checks))}"

    @property
    def caption(self) -> str:
        """The claim, and what took the place of the paper's input."""
        return " ".join([self.claim, *self._places])

    def __str__(self) -> str:
        """The verdict in a word or two, the checks, and what took the place of the paper's input, each in a line."""
        return "\n".join([f"{self.word}:", *map(str, self.checks), *self._places])

    @property
    def _places(self) -> list[str]:
        return [f"In place of {papers}: {ours}." for papers, ours in self.stand_ins.items()]
