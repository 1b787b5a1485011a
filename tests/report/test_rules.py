"""The rules at their limits, on both sides, and the verdict on checks together."""

import math

import pytest

from replication.report import rules
from replication.report.rules import Check, Judgement, judged, judged_after, verdict_on


def below(limit):
    return math.nextafter(limit, -math.inf)


def above(limit):
    return math.nextafter(limit, math.inf)


@pytest.mark.parametrize(
    ("rule", "text", "allowed", "refused"),
    [
        (rules.at_least(35), "at least 35", [35, 36], [below(35)]),
        (rules.at_least(28.4, ".2f"), "at least 28.40", [28.4], [below(28.4)]),
        (rules.at_least(0.97, "+.2f", less=0.25), "at least +0.97 less 0.25", [0.72], [below(0.72)]),
        (rules.at_most(0.1, ".0%"), "at most 10%", [0.1, 0], [above(0.1)]),
        (rules.at_most_times(1.5, 0.5, ".1%", " of it"), "at most 1.5 times the 50.0% of it", [0.75], [above(0.75)]),
        (rules.under(0.3), "under 0.3", [below(0.3)], [0.3]),
        (rules.over(0.2), "over 0.2", [above(0.2)], [0.2, below(0.2)]),
        (rules.within(0.5, 30, ".2f"), "within 0.5 of 30.00", [29.5, 30.5], [below(29.5), above(30.5)]),
        (rules.within_share(0.25), "within 25%", [0.75, 1.25], [below(0.75), above(1.25)]),
        (rules.crosses(0.5, upwards=True), "under and over 0.5", [[0.4, 0.6]], [[0.5, 0.6], [0.4, 0.5], [0.6, 0.4]]),
        (rules.crosses(0.5, upwards=False), "over and under 0.5", [[0.6, 0.4]], [[0.5, 0.4], [0.6, 0.5], [0.4, 0.6]]),
        (rules.most(1.1), "most, at most 1.1", [[1.1, 1, 1]], [[above(1.1), 1, 1], [1, 1, 0.9], [1, 0.9, 1]]),
        (rules.FALLING, "falling", [[3, 2, 1], [3]], [[3, 3, 1], [3, 1, 2]]),
        (rules.EQUAL, "equal", [[1, 1.0, 1]], [[1, 1, above(1)]]),
        (rules.LESS, "less", [[1, above(1)]], [[1, 1], [2, 1]]),
        (rules.MORE, "more", [[above(1), 1]], [[1, 1], [1, 2]]),
        (rules.LEAST, "least", [[1, 2, above(1)]], [[1, 2, 1], [2, 1, 3]]),
        (rules.SOME, "more than none", [above(0)], [0]),
        (rules.HALF, "at most half", [0.5], [above(0.5)]),
    ],
    ids=lambda value: value.text if isinstance(value, rules.Rule) else "",
)
def test_a_rule_says_its_limit_and_allows_what_it_says(rule, text, allowed, refused):
    assert rule.text == text
    assert [rule.allows(value) for value in allowed] == [True] * len(allowed)
    assert [rule.allows(value) for value in refused] == [False] * len(refused)


def test_a_check_is_said_and_judged_by_one_rule():
    assert judged("it is large | huge | {:.1f} dB", 2.0, rules.over(3)) == (
        *("it is large", "huge", "2.0 dB", "over 3"),
        False,
    )
    assert judged("a | b | {:.1f}, {:.1f}", [3.0, 2.0], rules.FALLING) == ("a", "b", "3.0, 2.0", "falling", True)
    assert judged("a | b | {:.1f}", None, rules.over(3)) == ("a", "b", "", "over 3", None)


def test_a_descent_has_a_hundred_iterations_or_is_not_judged():
    checks = [judged("a | b | {}", 1, rules.over(0))]
    assert judged_after(100, checks) == checks
    assert judged_after(99, checks) == [Check("a", "b", "", "over 0", None)]


def check(passed):
    return Check("a", "1", "2", "over 1", passed)


@pytest.mark.parametrize(
    ("passed", "verdict"),
    [
        ([True, True], "replicated"),
        ([True, None], "replicated as far as run"),
        ([True, False], "partly replicated"),
        ([False, None], "not replicated"),
        ([None], "not run at this scale"),
        ([], "not run at this scale"),
    ],
)
def test_the_verdict_on_checks_together(passed, verdict):
    assert verdict_on([check(each) for each in passed]) == verdict


def test_a_judgement_in_words():
    checks = [check(True), Check("b", "", "3", "over 4", False), Check("c", "", "", "", None)]
    judgement = Judgement("fig", "c", checks)
    assert judgement.verdict == (
        "partly replicated: a: 2, over 1; does NOT hold: b: 3, over 4; not run at this scale: c"
    )
    assert str(judgement).splitlines() == ["partly replicated:", *map(str, checks)]
