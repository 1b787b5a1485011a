"""The rules by which the figures are judged, and the ledger of all claims."""

import json

import pytest
from replication.io.pictures import VALIDATION

from replication import ledger
from replication.io.files import ROOT
from replication.report.claims import CLAIMS, judge_record, word

PAPER = sorted(path for path in (ROOT / "figures" / "paper").glob("*.json") if path.stem in CLAIMS)


def record(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_a_verdict_follows_from_the_numbers_in_the_file(path):
    judgement = judge_record(record(path))
    assert judgement.figure == path.stem
    assert judgement.claim == CLAIMS[path.stem].text
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
        ("fig3_feature_inversion", lambda rows: rows[-1].update(ssim=0.6), "texture and exact shape"),
        ("fig3_feature_inversion", lambda rows: rows[-1].update(gradient_correlation=0.1), "layout"),
        ("fig4_style_reconstruction", lambda rows: rows[1].update(style_loss_ratio=0.2), "style is matched"),
        ("fig4_style_reconstruction", lambda rows: rows[1].update(spatial_correlation=-0.4), "layout is not kept"),
        ("fig4_style_reconstruction", lambda rows: rows[3].update(relu5_1_distance=2), "larger structures"),
        ("gatys_baseline", lambda found: found["images"][0].update(share_after_500=0.2), "converge"),
        ("gatys_baseline", lambda found: found.update(share_of_values_out_of_range_unclipped=0), "leave"),
        ("style_training", lambda found: found["operations_by_downsampling"].update({"4": 1}), "cost the same"),
        ("style_training", lambda found: found["receptive_field"].update({"5 blocks": 96}), "widens"),
        ("style_training", lambda found: found["objective_after_steps"].update({"300": 1e6}), "gives a photograph"),
        ("style_training", lambda found: found["final_loss_by_network"].update(residual=1), "shortcuts"),
        ("fig6_style_transfer", lambda rows: rows[0].update({"style left": 0.3}), "gives the style"),
        ("fig7_style_transfer_512", lambda rows: rows[0].update({"share at 512": 5}), "as good"),
        ("table1_speed", lambda rows: rows[0].update({"speed-up over 500": 900}), "at 256 x 256"),
        ("table1_speed", lambda rows: rows[2].update({"over plain 500": 900}), "usual baseline"),
        ("table1_speed", lambda rows: rows[2].update({"network / iteration": 0.6}), "half the time"),
    ],
)
def test_a_number_that_breaks_the_rule_breaks_the_sentence(figure, change, sentence):
    before, after = failing(figure, lambda results: None), failing(figure, change)
    (broken,) = set(after) - set(before)
    assert sentence in broken


def test_fig5_is_judged_by_the_iterations_that_the_network_equals():
    rows = [
        {"size": 256, "iterations that the network equals": 60, "network over the last": 1.9},
        {"size": 512, "iterations that the network equals": 49, "network over the last": 3.0},
    ]
    those = CLAIMS["fig5_objective"].judge(rows, {"iterations": 500})
    assert [(check.says[-9:], check.holds) for check in those] == [
        ("256 x 256", True),
        ("512 x 512", False),
        ("24 x 1024", None),
        ("256 x 256", True),
    ]
    assert word([check.holds for check in CLAIMS["fig5_objective"].judge(rows, {"iterations": 49})]) == word([])


def test_table_1_is_whole_and_its_images_a_second_are_for_a_gpu():
    row = {"over plain 500": 2000, "network / iteration": 0.3, "speed-up over 500": 1100}
    rows = [row | {"size": size, "network": 0.1} for size in (256, 512)]
    those = {check.says: check for check in CLAIMS["table1_speed"].judge(rows, {"device": "cpu"})}
    assert [check.holds for check in those.values()] == [True, True, None, None, True, None]
    (frames,) = (c for c in CLAIMS["table1_speed"].judge(rows, {"device": "NVIDIA H100"}) if "a second" in c.says)
    assert (frames.ours, frames.holds) == ("10", False)


def test_training_is_judged_by_the_two_that_were_trained_alike():
    pixel, feature = {"psnr": 25.0, "sharpness": 0.5}, {"psnr": 24.0, "sharpness": 0.4}
    for steps, holds in ((300, [True, False]), (9, [None, None])):
        scores = {f"pixel, {steps} steps": pixel, f"feature, {steps} steps": feature}
        those = CLAIMS["super_resolution_training"].judge({"scores": scores}, {"steps": steps})
        assert [check.holds for check in those] == holds


SMALLER = [  # a change of the settings or the numbers, and the sentences that it takes away
    ("fig3_feature_inversion", {"iterations": 99}, lambda rows: None, 5),
    ("fig4_style_reconstruction", {"iterations": 99}, lambda rows: None, 3),
    ("style_training", {"steps": 99}, lambda found: found.update(objective_after_steps={"99": 0.0}), 1),
    ("style_training", {"compare_steps": 99}, lambda found: None, 1),
    ("fig6_style_transfer", {"iterations": 499}, lambda rows: None, 2),
    ("fig7_style_transfer_512", {"size": 128, "large": 256}, lambda rows: [row.update(SHARES) for row in rows], 1),
    ("table1_speed", {}, lambda rows: [row.update(size=64) for row in rows], 5),
]
SHARES = {"share at 128": 0.2, "share at 256": 0.2}


@pytest.mark.parametrize(("figure", "settings", "change", "count"), SMALLER)
def test_what_too_small_a_run_cannot_tell_is_not_judged_for_or_against_the_paper(figure, settings, change, count):
    found = record(ROOT / "figures" / "paper" / f"{figure}.json")
    before = [check.holds for check in judge_record(found).checks]
    found["provenance"]["settings"] |= settings
    change(found["results"])
    after = [check.holds for check in judge_record(found).checks]
    assert after.count(None) == before.count(None) + count


@pytest.mark.parametrize(("iterations", "share", "holds"), [(20, 0.2, None), (20, 0.1, True), (500, 0.2, False)])
def test_a_baseline_has_500_iterations_to_converge(iterations, share, holds):
    results = {"images": [{f"share_after_{iterations}": share}], "share_of_values_out_of_range_unclipped": 0.1}
    converged, _ = CLAIMS["gatys_baseline"].judge(results, {"iterations": iterations})
    assert converged.holds is holds


def test_fig5_is_not_judged_by_other_photographs_than_the_papers_kind():
    rows = [{"size": 256, "iterations that the network equals": 60, "network over the last": 1.9}]
    settings = {"iterations": 500, "stand_ins": {"The Muse": "great_wave"}}
    assert [check.holds for check in CLAIMS["fig5_objective"].judge(rows, settings)] == [True, None, None, True]
    settings["stand_ins"][VALIDATION] = "astronaut"
    assert [check.holds for check in CLAIMS["fig5_objective"].judge(rows, settings)] == [None] * 4


def test_the_scale_is_that_of_what_was_run():
    scales = {row["figure"]: row["scale"] for row in ledger.ledger("paper")}
    assert "photographs" in scales["style_training"]
    assert "photographs" in scales["fig5_objective"]
    assert "training steps for 40000" in scales["fig6_style_transfer"]


def test_the_ledger_has_a_row_for_every_figure_and_sentence(monkeypatch, tmp_path):
    rows = ledger.ledger("paper")
    for path in PAPER:
        (heading,) = (row for row in rows if row["claim"] == CLAIMS[path.stem].text)
        sentences = [row for row in rows if row["figure"] == path.stem and row is not heading]
        assert [row["claim"] for row in sentences] == [check.says for check in judge_record(record(path)).checks]
    text = ledger.ledger_text(rows)
    assert text.count("REPLICATED") + text.count("NOT RUN") == len(CLAIMS)
    monkeypatch.setattr(ledger, "FIGURES", tmp_path)
    assert {row["verdict"] for row in ledger.ledger("paper")} == {"not run at this scale"}
