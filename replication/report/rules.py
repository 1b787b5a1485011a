"""Rules as data: two limits, the verdicts below, between and above them, and the joint verdict on several checks."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

REPLICATED, PARTLY, EXCEEDED, DIFFERS = "replicated", "partly replicated", "exceeded", "differs"
NOT_REPLICATED, NOT_RUN = "not replicated", "not run at this scale"
KINDS = ("near", "between", "above", "below")


class Rule(NamedTuple):
    """The verdicts on numbers: `under` below `low`, `over` above `high`, and `inside` in between."""

    low: float
    high: float
    under: str
    inside: str
    over: str
    text: str

    def verdict(self, value: float) -> str:
        """The verdict on a number."""
        if value < self.low:
            return self.under
        return self.inside if value <= self.high else self.over


def rule(given: dict[str, Any], form: str = "g") -> Rule:
    """The rule that a claims file gives.

    Args:
        given: `near`, the paper's value, with `within`, a tolerance; or `between`, two limits. Outside of them is
            *differs*; with `better`, "more" or "less", it is *exceeded* on that side, *not replicated* on the other.
            Or `above` or `below`, a limit, with an optional `margin`: a number nearer to the limit than that, on either
            side, *differs*.
        form: the format of the limits in the rule's text; tolerances and margins are given in full.

    Raises:
        ValueError: it is none of these.
    """
    kind, *more = [name for name in KINDS if name in given] or [""]
    allowed = {"near": {"within", "better"}, "between": {"better"}}.get(kind, {"margin"})
    if not kind or more or not given.keys() <= allowed | {kind} or given.get("better", "more") not in ("more", "less"):
        raise ValueError(f"no rule: {given}")
    if kind in ("above", "below"):
        return _past(kind, given[kind], given.get("margin", 0), form)
    if kind == "near":
        low, high = given["near"] - given["within"], given["near"] + given["within"]
        text = f"{given['near']:{form}} ± {_in_full(given['within'], form)}"
    else:
        low, high = given["between"]
        text = f"{low:{form}} to {high:{form}}"
    outside = {"more": (NOT_REPLICATED, EXCEEDED), "less": (EXCEEDED, NOT_REPLICATED), None: (DIFFERS, DIFFERS)}
    under, over = outside[given.get("better")]
    return Rule(low, high, under, REPLICATED, over, text)


def _in_full(width: float, form: str) -> str:
    """A tolerance or margin with all its digits, which the number's own format may not have."""
    share = form.endswith("%")
    return np.format_float_positional(round(100 * width, 9) if share else width, trim="-") + "%" * share


def _past(kind: str, limit: float, margin: float, form: str) -> Rule:
    inside = DIFFERS if margin else NOT_REPLICATED
    by = f" by {_in_full(margin, form)}" if margin else ""
    if kind == "above":
        return Rule(limit - margin, limit + margin, NOT_REPLICATED, inside, REPLICATED, f"over {limit:{form}}{by}")
    return Rule(limit - margin, limit + margin, REPLICATED, inside, NOT_REPLICATED, f"under {limit:{form}}{by}")


def verdict_on(verdicts: Iterable[str]) -> str:
    """The joint verdict on several checks; if some were not run, on the others."""
    verdicts = list(verdicts)
    ran = [verdict for verdict in verdicts if verdict != NOT_RUN]
    if not ran:
        return NOT_RUN
    good = [verdict in (REPLICATED, EXCEEDED) for verdict in ran]
    if all(good):
        word = EXCEEDED if set(ran) == {EXCEEDED} else REPLICATED
        return word if len(ran) == len(verdicts) else f"{word} as far as run"
    if any(good):
        return PARTLY
    return DIFFERS if set(ran) == {DIFFERS} else NOT_REPLICATED
