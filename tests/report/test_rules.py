"""The rules at their limits, on both sides, and the verdict on several together."""

import math

import pytest

from replication.report.rules import DIFFERS, EXCEEDED, NOT_REPLICATED, NOT_RUN, REPLICATED, rule, verdict_on


def below(limit):
    return math.nextafter(limit, -math.inf)


def above(limit):
    return math.nextafter(limit, math.inf)


@pytest.mark.parametrize(
    ("given", "text", "verdicts"),
    [
        (
            {"near": 2, "within": 0.5},
            "2 ± 0.5",
            {below(1.5): DIFFERS, 1.5: REPLICATED, 2.5: REPLICATED, above(2.5): DIFFERS},
        ),
        (
            {"near": 2, "within": 0.5, "better": "more"},
            "2 ± 0.5",
            {below(1.5): NOT_REPLICATED, 1.5: REPLICATED, 2.5: REPLICATED, above(2.5): EXCEEDED},
        ),
        (
            {"between": [50, 100], "better": "less"},
            "50 to 100",
            {below(50): EXCEEDED, 50: REPLICATED, 100: REPLICATED, above(100): NOT_REPLICATED},
        ),
        ({"above": 35}, "over 35", {above(35): REPLICATED, 35: NOT_REPLICATED, 0: NOT_REPLICATED}),
        ({"below": 35}, "under 35", {below(35): REPLICATED, 35: NOT_REPLICATED, 36: NOT_REPLICATED}),
        (
            {"above": 0, "margin": 0.25},
            "over 0 by 0.25",
            {above(0.25): REPLICATED, 0.25: DIFFERS, -0.25: DIFFERS, below(-0.25): NOT_REPLICATED},
        ),
        (
            {"below": 0, "margin": 0.25},
            "under 0 by 0.25",
            {above(0.25): NOT_REPLICATED, 0.25: DIFFERS, -0.25: DIFFERS, below(-0.25): REPLICATED},
        ),
    ],
)
def test_a_rule_says_its_limits_and_judges_on_both_sides(given, text, verdicts):
    found = rule(given)
    assert found.text == text
    assert {value: found.verdict(value) for value in verdicts} == verdicts


def test_limits_are_said_in_the_format_of_the_number():
    assert rule({"near": 0.97, "within": 0.1}, "+.2f").text == "+0.97 ± 0.1"
    assert rule({"near": 0.8114, "within": 0.00015}, ".4f").text == "0.8114 ± 0.00015"
    assert rule({"above": 0, "margin": 0.07}, "+.1%").text == "over +0.0% by 7%"
    assert rule({"above": 0, "margin": 0.00005}, "+.5f").text == "over +0.00000 by 0.00005"


@pytest.mark.parametrize(
    "given",
    [
        {"near": 2},
        {"near": 2, "within": 1, "better": "higher"},
        {"near": 2, "within": 1, "margin": 1},
        {"above": 1, "below": 2},
        {"above": 1, "better": "more"},
        {"over": 1},
        {},
    ],
)
def test_what_is_no_rule_is_refused(given):
    with pytest.raises((ValueError, KeyError)):
        rule(given)


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        ([REPLICATED, EXCEEDED], "replicated"),
        ([EXCEEDED, EXCEEDED], "exceeded"),
        ([REPLICATED, NOT_RUN], "replicated as far as run"),
        ([REPLICATED, DIFFERS], "partly replicated"),
        ([EXCEEDED, NOT_REPLICATED], "partly replicated"),
        ([DIFFERS, NOT_RUN], "differs"),
        ([DIFFERS, NOT_REPLICATED], "not replicated"),
        ([NOT_RUN], "not run at this scale"),
        ([], "not run at this scale"),
    ],
)
def test_the_verdict_on_several_together(verdicts, word):
    assert verdict_on(verdicts) == word
