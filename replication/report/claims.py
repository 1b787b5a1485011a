"""What the paper claims, read from `claims/<notebook>.toml`, and the verdict on what was measured."""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from replication.io.files import ReplicationError, reason
from replication.report.rules import EXCEEDED, NOT_RUN, REPLICATED, Rule, rule, verdict_on

FOLDER = Path(__file__).parent / "claims"
Measure = float | tuple[float, float] | None  # number, or (number, deviation over images or seeds); None: not run


@dataclass(frozen=True, kw_only=True)
class Check:
    """One testable sentence, as a claims file gives it."""

    key: str
    """the name under which its notebook gives the number"""
    statement: str
    paper: str
    """its value, or its words in short"""
    ours: str
    """the format of the number, "{:.1f} dB\""""
    rule: Rule
    """see `rule`"""
    why: str
    """where its limits come from"""
    at: str
    """the heading of the notebook's section that measures it"""
    source: str
    """the paper's section, figure or table; by default that of the claim"""
    headline: bool = True
    """False for a proxy: a check that stands in for what the paper says, or that the paper never stated"""
    needs: Mapping[str, Any] = field(default_factory=dict)
    """the least values that settings of the run must have; for a list, the values that it must contain"""
    no_stand_in: Sequence[str] = ()
    """inputs of the paper for which no stand-in is accepted"""
    group: str = ""
    """the statement that all numbers of its group share; "" outside of groups"""

    def missing(self, settings: Mapping[str, Any]) -> str:
        """What a run with these settings lacks for this check to be judged; "" if nothing."""
        for name, wanted in self.needs.items():
            had = settings[name]
            many = isinstance(wanted, list)
            if had is None or not (set(wanted) <= set(had) if many else had >= wanted):
                return f"{name} {had} for {wanted}"
        absent = [
            f"{ours} for {papers}" for papers, ours in settings["stand_ins"].items() if papers in self.no_stand_in
        ]
        return "; ".join(absent)


class Claim(NamedTuple):
    """What the paper says of a figure or a table, and the checks of it."""

    notebook: str
    title: str
    section: str
    text: str
    checks: tuple[Check, ...]


class Finding(NamedTuple):
    """A check and what was measured."""

    check: Check
    ours: str  # "" where it was not run
    verdict: str
    reason: str  # why it was not run
    value: float | None

    def __str__(self) -> str:
        """The statement, what was measured and the rule; the verdict comes first unless it is "replicated"."""
        check = self.check
        if self.verdict == NOT_RUN:
            return f"{NOT_RUN}: {check.statement} ({self.reason})"
        word = "" if self.verdict == REPLICATED else f"{self.verdict}: "
        return f"{word}{check.statement}: {self.ours} ({check.rule.text})"


class Judgement(NamedTuple):
    """What the checks of a figure say of the paper's claim."""

    claim: Claim
    findings: list[Finding]
    stand_ins: dict[str, str]

    @property
    def verdict(self) -> str:
        """The joint verdict on the headline checks."""
        return verdict_on(found.verdict for found in self.findings if found.check.headline)

    @property
    def sentence(self) -> str:
        """The verdict and what was seen, in one line."""
        return f"{self.verdict}: {'; '.join(map(str, self.findings))}"

    @property
    def first(self) -> Finding:
        """The finding shown in captions and the overview: the first headline check that was run, else the first."""
        headlines = [found for found in self.findings if found.check.headline]
        return next((found for found in headlines if found.ours), headlines[0])

    @property
    def held(self) -> tuple[int, int]:
        """How many of the headline checks that were run hold, and how many were run."""
        ran = [found.verdict for found in self.findings if found.check.headline and found.verdict != NOT_RUN]
        return sum(verdict in (REPLICATED, EXCEEDED) for verdict in ran), len(ran)

    @property
    def caption(self) -> str:
        """The paper's claim, ours, the verdict, and what took the place of the paper's input."""
        hold, ran = self.held
        first = f"{self.first.ours}, {self.first.verdict} (claimed: {self.first.check.statement})"
        ours = f"Ours: {first}; {hold} of {ran} claims hold." if ran else ""
        claim = f"Paper ({self.claim.section}): {self.claim.text}"
        places = [f"In place of {papers}: {ours}." for papers, ours in self.stand_ins.items()]
        return " ".join(filter(None, [claim, ours, f"Verdict: {self.verdict}.", *places]))


@cache
def claims() -> dict[str, Claim]:
    """All claims, by figure, in the order of the notebooks; ReplicationError names a file that does not give them."""
    found = {}
    for path in sorted(FOLDER.glob("*.toml")):
        try:
            found |= {name: _claim(path.stem, given) for name, given in tomllib.loads(path.read_text()).items()}
        except (AttributeError, IndexError, TypeError, KeyError, ValueError) as error:
            raise ReplicationError(f"{path}: {type(error).__name__}: {reason(error)}") from error
    return found


def _claim(notebook: str, given: dict[str, Any]) -> Claim:
    checks = [_check(each, given["section"]) for each in given.get("checks", [])]
    checks += [_check(each, given["section"]) for row in given.get("numbers", []) for each in _each(row)]
    if not any(check.headline for check in checks):
        raise ValueError(f"{given['title']} needs a headline check, on which its verdict rests")
    return Claim(notebook, given["title"], given["section"], given["claim"], tuple(checks))


def _each(row: dict[str, Any]) -> list[dict[str, Any]]:
    """One check for each of the paper's values in a row."""
    found = []
    for name, value in row["values"].items():
        texts = {key: row[key].format(name=name) for key in ("key", "statement")}
        texts["group"] = row["statement"].format(name="each")
        rest = {key: given for key, given in row.items() if key != "values"}
        found.append({"paper": row["ours"].format(value)} | rest | texts | {"rule": row["rule"] | {"near": value}})
    return found


def _check(given: dict[str, Any], section: str) -> Check:
    return Check(**{"source": section} | given | {"rule": rule(given["rule"], _format(given["ours"]))})


def _format(text: str) -> str:
    """The format of the number in a text, "+.1f" of "{:+.1f} dB"."""
    if found := re.search(r"\{:?([^}]*)\}", text):
        return found[1]
    raise ValueError(f"no {{}} for the number in {text!r}")


def judge(figure: str, measures: Mapping[str, Measure], settings: Mapping[str, Any]) -> Judgement:
    """The verdict on a figure.

    Args:
        figure: one of `claims()`.
        measures: the number of each check, by its key.
        settings: of the run; its `stand_ins` too, if there are any.

    Raises:
        ValueError: there is no such figure, or the measures are not those of its checks.
    """
    if figure not in claims():
        raise ValueError(f"no claims of {figure!r}; there are those of {', '.join(claims())}")
    claim, settings = claims()[figure], {"stand_ins": {}} | dict(settings)
    keys = [check.key for check in claim.checks]
    if sorted(keys) != sorted(measures):
        differing = ", ".join(sorted(set(keys) ^ set(measures)))
        raise ValueError(
            f"the measures of {figure} are not those of its checks in claims/{claim.notebook}.toml: {differing}"
        )
    findings = [_finding(check, measures[check.key], settings) for check in claim.checks]
    return Judgement(claim, findings, settings["stand_ins"])


def _finding(check: Check, measure: Measure, settings: Mapping[str, Any]) -> Finding:
    value, *deviation = measure if isinstance(measure, Sequence) else (measure,)
    reason = check.missing(settings) or ("not measured in this run" if value is None else "")
    if not reason and not math.isfinite(value):
        reason = f"measured as {value}"
    if reason:
        return Finding(check, "", NOT_RUN, reason, None)
    ours = check.ours.format(value)
    if deviation and deviation[0]:  # of one there is none
        ours += f" (deviation {deviation[0]:{_format(check.ours).lstrip('+')}})"
    return Finding(check, ours, check.rule.verdict(value), "", value)


def mean_and_deviation(values: Iterable[float]) -> Measure:
    """The mean and sample standard deviation of two or more values; a single value alone; None for no values."""
    found = [float(value) for value in values]
    return (float(np.mean(found)), float(np.std(found, ddof=1))) if len(found) > 1 else next(iter(found), None)


def judge_record(record: dict[str, Any]) -> Judgement:
    """The verdict on what a figure's JSON file holds."""
    source = record["provenance"]
    return judge(record["figure"], record["measures"], source["settings"] | {"stand_ins": source.get("stand_ins", {})})
