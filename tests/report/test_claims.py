"""Every claim, its rule at its limits, and the stored figures by today's rules."""

import json
import math
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from replication.io.files import FIGURES, ROOT, ReplicationError
from replication.report import claims as module
from replication.report.claims import claims, judge, judge_record, mean_and_deviation
from replication.report.profiles import SETTINGS
from replication.report.rules import NOT_RUN
from replication.report.summary import SHOWN

FOLDER = FIGURES / SHOWN
CHECKS = [(figure, check) for figure, claim in claims().items() for check in claim.checks]
IDS = [f"{figure}: {check.key}" for figure, check in CHECKS]


def cells(notebook, kind):
    found = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    return [cell.source for cell in found if cell.cell_type == kind]


@pytest.mark.parametrize("figure", claims())
def test_the_verdict_in_a_figures_file_is_that_of_todays_rules(figure):
    found = json.loads((FOLDER / f"{figure}.json").read_text())
    judgement = judge_record(found)
    assert found["figure"] == figure
    assert judgement.claim.text == found["claim"]
    assert judgement.sentence == found["verdict"]


def verdict(figure, check, value, **changed):
    """Of a number, in a run of the settings that the check needs."""
    measures = dict.fromkeys((each.key for each in claims()[figure].checks), None) | {check.key: value}
    needed = {name: wanted for each in claims()[figure].checks for name, wanted in each.needs.items()}
    findings = judge(figure, measures, needed | dict(check.needs) | changed).findings
    return next(found.verdict for found in findings if found.check == check)


@pytest.mark.parametrize(("figure", "check"), CHECKS, ids=IDS)
def test_past_its_limit_on_either_side_a_number_has_another_verdict(figure, check):
    low, high = check.rule.low, check.rule.high
    under, over = (
        verdict(figure, check, math.nextafter(end, way)) for end, way in ((low, -math.inf), (high, math.inf))
    )
    inside = verdict(figure, check, (low + high) / 2)
    assert inside not in {under, over} if low < high else under != over
    assert "replicated" in {under, inside, over}
    assert verdict(figure, check, None) == NOT_RUN


@pytest.mark.parametrize(("figure", "check"), CHECKS, ids=IDS)
def test_a_claim_says_all_that_it_has_to(figure, check):
    notebook = claims()[figure].notebook
    headings = re.findall(r"^#+ (.*)$", "\n".join(cells(notebook, "markdown")), flags=re.M)
    assert check.at in headings
    assert check.statement
    assert len(check.why) > 20
    assert 0 < len(check.paper.split()) <= 8
    assert re.search(r"\d|Fig|Table|supplement", check.source)
    parameters = {line.split(" =")[0].removeprefix("run.") for line in "\n".join(cells(notebook, "code")).splitlines()}
    assert set(check.needs) <= parameters | SETTINGS[notebook].keys()


@pytest.mark.parametrize(("figure", "check"), [each for each in CHECKS if each[1].needs])
def test_a_run_that_is_too_small_judges_nothing(figure, check):
    for name, wanted in check.needs.items():
        smaller = wanted[1:] if isinstance(wanted, list) else wanted - 1
        assert verdict(figure, check, check.rule.low, **{name: smaller}) == NOT_RUN


@pytest.mark.parametrize(("figure", "check"), [each for each in CHECKS if each[1].no_stand_in])
def test_what_stands_in_for_the_papers_input_is_not_compared_with_its_numbers(figure, check):
    places = {"stand_ins": dict.fromkeys(check.no_stand_in, "another")}
    assert verdict(figure, check, check.rule.low, **places) == NOT_RUN


def test_measures_are_those_of_the_checks():
    figure, claim = next(iter(claims().items()))
    with pytest.raises(ValueError, match=f"the measures of {figure} are not those of its checks.*: other"):
        judge(figure, dict.fromkeys((check.key for check in claim.checks), None) | {"other": 1.0}, {})
    with pytest.raises(ValueError, match="no claims of 'fig2'"):
        judge("fig2", {}, {})


TOML = """
[table1]
title = "Table 1"
section = "4.1"
claim = "It is fast."
[[table1.checks]]
key = "first"
statement = "it is large"
paper = "large"
ours = "{:.1f} dB"
rule = { above = 3 }
why = "it says so"
at = "Here"
[[table1.checks]]
key = "second"
statement = "it is liked"
paper = "96 %"
source = "4.2"
ours = "{:.0%}"
rule = { near = 0.96, within = 0.02 }
why = "it says so"
at = "Here"
headline = false
needs = { sizes = [256], steps = 100 }
no_stand_in = ["Set5"]
[[table1.numbers]]
key = "x4 {name}"
statement = "PSNR of {name}"
ours = "{:.2f} dB"
values = { bicubic = 28.43, pixel = 28.4 }
rule = { within = 0.1, better = "more" }
why = "it says so"
at = "Here"
"""


@pytest.fixture
def one_claim(monkeypatch, tmp_path):
    (tmp_path / "07_speed.toml").write_text(TOML)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    claims.cache_clear()
    yield claims()["table1"]
    claims.cache_clear()


MEASURES = {"first": [4.0, 0.5], "second": 0.5, "x4 bicubic": 28.4, "x4 pixel": 29}


def test_a_claims_file_becomes_checks_and_checks_a_judgement(one_claim):
    assert (one_claim.notebook, one_claim.section, len(one_claim.checks)) == ("07_speed", "4.1", 4)
    assert [check.source for check in one_claim.checks] == ["4.1", "4.2", "4.1", "4.1"]
    assert [check.group for check in one_claim.checks] == ["", "", "PSNR of each", "PSNR of each"]
    assert (one_claim.checks[3].paper, one_claim.checks[3].rule.text) == ("28.40 dB", "28.40 ± 0.1")
    judgement = judge("table1", MEASURES, {"sizes": [256, 512], "steps": 100})
    assert judgement.verdict == "replicated"
    assert [str(found) for found in judgement.findings] == [
        "it is large: 4.0 dB (deviation 0.5) (over 3.0)",
        "differs: it is liked: 50% (96% ± 2%)",
        "PSNR of bicubic: 28.40 dB (28.43 ± 0.1)",
        "exceeded: PSNR of pixel: 29.00 dB (28.40 ± 0.1)",
    ]
    ours = "Ours: 4.0 dB (deviation 0.5), replicated (claimed: it is large); 3 of 3 claims hold."
    assert judgement.caption == f"Paper (4.1): It is fast. {ours} Verdict: replicated."


def test_what_is_no_number_is_not_judged(one_claim):
    for value in (math.nan, math.inf, (math.nan, 0.5)):
        judgement = judge("table1", MEASURES | {"first": value}, {"sizes": [256], "steps": 100})
        assert re.search(r"not run at this scale: it is large \(measured as (nan|inf)\)", judgement.sentence)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"sizes": [64], "steps": 100}, "sizes [64] for [256]"),
        ({"sizes": [256], "steps": 99}, "steps 99 for 100"),
        ({"sizes": [256], "steps": None}, "steps None for 100"),
        ({"sizes": [256], "steps": 100, "stand_ins": {"Set5": "cat", "The Muse": "wave"}}, "cat for Set5"),
    ],
)
def test_why_a_check_was_not_run(one_claim, settings, reason):
    judgement = judge("table1", MEASURES, settings)
    assert f"not run at this scale: it is liked ({reason})" in judgement.sentence
    assert judgement.verdict == "replicated"  # it is a proxy
    assert ("In place of The Muse: wave." in judgement.caption) == ("stand_ins" in settings)


def test_a_deviation_is_the_samples_and_one_number_has_none():
    values = [1.0, 2.0, 4.0]
    assert mean_and_deviation(torch.tensor(values)) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert np.isnan(mean_and_deviation([1.0, math.nan])).all()
    assert mean_and_deviation([3]) == 3
    assert mean_and_deviation([]) is None


def test_margins_of_super_resolution_are_two_deviations_over_the_seeds_that_are_kept():
    kept = json.loads((ROOT / "data" / "super_resolution_seeds.json").read_text())["scores"]
    pixel, feature = (pd.DataFrame(kept[loss]) for loss in ("pixel", "feature"))
    apart, alone = 2 * (feature - pixel).std(), 2 * pixel.std()
    margins = {
        ("fig8_super_resolution_x4", "SSIM order"): apart["ssim"],
        ("fig8_super_resolution_x4", "grid"): apart["grid"],
        ("fig9_super_resolution_x8", "SSIM order, Set5 and Set14"): apart["ssim"],
        ("fig9_super_resolution_x8", "SSIM order, BSD100"): apart["ssim"],
        ("fig9_super_resolution_x8", "PSNR against bicubic"): alone["psnr"],
        ("fig9_super_resolution_x8", "SSIM against bicubic"): alone["ssim"],
        ("super_resolution_training", "grid"): apart["grid"] / 3**0.5,  # of the mean of three
    }
    for (figure, key), margin in margins.items():
        rule = next(check.rule for check in claims()[figure].checks if check.key == key)
        assert (rule.high - rule.low) / 2 == pytest.approx(margin, rel=0.03), key


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('why = "it says so"\n', "", "missing 1 required keyword-only argument: 'why'"),
        ("{:.1f} dB", "dB", "no {} for the number in 'dB'"),
        ('title = "Table 1"', "", "KeyError: 'title'"),
        ("above = 3", "over = 3", "no rule: {'over': 3}"),
        ('title = "Table 1"', "title = Table 1", "Invalid value"),
    ],
)
def test_a_claims_file_that_gives_no_claims_is_named(old, new, said, monkeypatch, tmp_path):
    (tmp_path / "07_speed.toml").write_text(TOML.replace(old, new, 1))
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(ReplicationError, match=f"07_speed.toml: .*{re.escape(said)}"):
        claims.__wrapped__()


def test_a_figure_has_a_claim_on_which_its_verdict_rests(monkeypatch, tmp_path):
    (tmp_path / "07_speed.toml").write_text(
        TOML.replace("[[table1.checks]]", "[[table1.checks]]\nheadline = false", 1).split("[[table1.numbers")[0]
    )
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    with pytest.raises(ReplicationError, match="Table 1 needs a headline check"):
        claims.__wrapped__()
