"""The rules by which the figures are judged, and the ledger of all claims."""

import json

import pytest

from replication import ledger
from replication.claims import CLAIMS, judge_record
from replication.files import ROOT
from replication.judgement import word

PAPER = sorted(path for path in (ROOT / "figures" / "paper").glob("*.json") if path.stem in CLAIMS)


def record(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_a_verdict_follows_from_the_numbers_in_the_file(path):
    judgement = judge_record(record(path))
    assert judgement.figure == path.stem
    assert judgement.claim == CLAIMS[path.stem].text
    assert record(path)["verdict"].split(": ")[0] == judgement.verdict.split(": ")[0]
    assert all(check.ours and check.rule for check in judgement.checks if check.holds is not None)


def failing(figure, change):
    """The sentences of a figure that do not hold once its numbers are changed."""
    found = record(ROOT / "figures" / "paper" / f"{figure}.json")
    change(found["results"])
    return [check.says for check in judge_record(found).checks if check.holds is False]


@pytest.mark.parametrize(
    ("figure", "change", "sentence"),
    [
        ("fig3_feature_inversion", lambda rows: rows[0].update(psnr=34.9), "looks the same"),
        ("fig3_feature_inversion", lambda rows: rows[2].update(psnr=30), "the higher the layer"),
        ("fig3_feature_inversion", lambda rows: rows[-1].update(histogram_distance=0.4), "colour"),
        ("fig3_feature_inversion", lambda rows: rows[-1].update(gradient_correlation=0.1), "layout"),
        ("fig4_style_reconstruction", lambda rows: rows[1].update(style_loss_ratio=0.2), "style is matched"),
        ("fig4_style_reconstruction", lambda rows: rows[3].update(relu5_1_distance=2), "larger structures"),
        ("gatys_baseline", lambda found: found["images"][0].update(share_after_500=0.2), "converge"),
        ("gatys_baseline", lambda found: found.update(share_of_values_out_of_range_unclipped=0), "leave"),
        ("style_training", lambda found: found["operations_by_downsampling"].update({"4": 1}), "cost the same"),
        ("style_training", lambda found: found["final_loss_by_network"].update(residual=1), "shortcuts"),
        ("fig5_objective", lambda rows: rows[1].update({"network over the last": 3}), "at 512 x 512"),
        ("fig6_style_transfer", lambda rows: rows[0].update({"style left": 0.3}), "gives the style"),
        ("fig7_style_transfer_512", lambda rows: rows[0].update({"share at 512": 5}), "as good"),
        ("table1_speed", lambda rows: rows[0].update({"speed-up over 500": 900}), "at 256 x 256"),
        ("table1_speed", lambda rows: rows[2].update({"network / iteration": 0.6}), "half the time"),
    ],
)
def test_a_number_that_breaks_the_rule_breaks_the_sentence(figure, change, sentence):
    before, after = failing(figure, lambda results: None), failing(figure, change)
    (broken,) = set(after) - set(before)
    assert sentence in broken


def test_what_was_not_run_is_told_from_what_does_not_hold():
    found = record(ROOT / "figures" / "paper" / "fig5_objective.json")
    found["results"] = [row for row in found["results"] if row["size"] != 512]
    those = [check.holds for check in judge_record(found).checks if "512" in check.says]
    assert those == [None, None]
    assert word(those) == "not run at this scale"


def test_the_ledger_has_a_row_for_every_figure_and_sentence(monkeypatch, tmp_path):
    rows = ledger.ledger("paper")
    assert {row["figure"] for row in rows} == CLAIMS.keys()
    assert len(rows) > 2 * len(CLAIMS)
    objective = [row for row in rows if row["figure"] == "fig5_objective"]
    assert "images 3 for 50" in objective[0]["scale"]
    assert {row["verdict"] for row in objective} >= {"partly replicated", "not replicated", "not run at this scale"}
    monkeypatch.setattr(ledger, "ROOT", tmp_path)
    assert {row["verdict"] for row in ledger.ledger("paper")} == {"not run at this scale"}
