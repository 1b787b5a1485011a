"""The claims judged by the figures' files, and by numbers that break a rule."""

import json

import pytest

from replication.evaluation import MATCHED, NAMES, NO_SET, PAPER
from replication.io.files import FIGURES
from replication.io.pictures import VALIDATION
from replication.report.claims import CLAIMS, judge_record, orderings, preferred
from replication.report.rules import verdict_on
from replication.report.summary import shown_profile

FOLDER = FIGURES / shown_profile()


def record(figure):
    return json.loads((FOLDER / f"{figure}.json").read_text())


@pytest.mark.parametrize("figure", CLAIMS)
def test_the_verdict_in_a_figures_file_is_that_of_todays_rules(figure):
    found = record(figure)
    judgement = judge_record(found)
    assert judgement.figure == found["figure"] == figure
    assert judgement.claim == found["claim"]
    assert judgement.verdict == found["verdict"]


def failing(figure, change):
    """The sentences of a figure that do not hold once its numbers are changed."""
    found = record(figure)
    change(found["results"])
    return [check.statement for check in judge_record(found).checks if check.passed is False]


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
    assert [(check.statement[-9:], check.passed) for check in those] == [
        ("256 x 256", True),
        ("512 x 512", False),
        ("24 x 1024", None),
        ("256 x 256", True),
    ]
    assert verdict_on(CLAIMS["fig5_objective"].judge(rows, {"iterations": 49})) == "not run at this scale"


def test_table_1_is_whole_and_its_images_a_second_are_for_a_gpu():
    row = {"over plain 500": 2000, "network / iteration": 0.3, "speed-up over 500": 1100}
    rows = [row | {"size": size, "network": 0.1} for size in (256, 512)]
    those = {check.statement: check for check in CLAIMS["table1_speed"].judge(rows, {"device": "cpu"})}
    assert [check.passed for check in those.values()] == [True, True, None, None, True, None]
    (frames,) = (c for c in CLAIMS["table1_speed"].judge(rows, {"device": "NVIDIA H100"}) if "a second" in c.statement)
    assert (frames.ours, frames.passed) == ("10", False)


def test_training_is_judged_by_the_two_that_were_trained_alike():
    pixel, feature = {"psnr": 25.0, "sharpness": 0.5}, {"psnr": 24.0, "sharpness": 0.4}
    for steps, holds in ((300, [True, False]), (9, [None, None])):
        scores = {f"pixel, {steps} steps": pixel, f"feature, {steps} steps": feature}
        those = CLAIMS["super_resolution_training"].judge({"scores": scores}, {"steps": steps})
        assert [check.passed for check in those] == holds


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
    found = record(figure)
    before = [check.passed for check in judge_record(found).checks]
    found["provenance"]["settings"] |= settings
    change(found["results"])
    after = [check.passed for check in judge_record(found).checks]
    assert after.count(None) == before.count(None) + count


@pytest.mark.parametrize(("iterations", "share", "holds"), [(20, 0.2, None), (20, 0.1, True), (500, 0.2, False)])
def test_a_baseline_has_500_iterations_to_converge(iterations, share, holds):
    results = {"images": [{f"share_after_{iterations}": share}], "share_of_values_out_of_range_unclipped": 0.1}
    converged, _ = CLAIMS["gatys_baseline"].judge(results, {"iterations": iterations})
    assert converged.passed is holds


def test_fig5_is_not_judged_by_other_photographs_than_the_papers_kind():
    rows = [{"size": 256, "iterations that the network equals": 60, "network over the last": 1.9}]
    settings = {"iterations": 500, "stand_ins": {"The Muse": "great_wave"}}
    assert [check.passed for check in CLAIMS["fig5_objective"].judge(rows, settings)] == [True, None, None, True]
    settings["stand_ins"][VALIDATION] = "astronaut"
    assert [check.passed for check in CLAIMS["fig5_objective"].judge(rows, settings)] == [None] * 4


def row(factor, method, psnr, *, ssim=0.5, perceptual=None, sharpness=0.5):
    papers = dict(zip(NAMES, PAPER[factor]["set5"], strict=True))[method.removesuffix(MATCHED)]
    found = {"factor": factor, "set": "set5", "method": method, "psnr": psnr, "ssim": ssim, "perceptual": perceptual}
    found |= {"sharpness": sharpness, "grid": 1.0}
    return found | {"paper_psnr": papers[0], "paper_ssim": papers[1]}


def met(rows):
    return CLAIMS["table_super_resolution"].judge(rows, {})


def test_the_verdicts_judge_matched_histograms_and_at_x8_the_gain_over_bicubic():
    rows = [
        row(4, "bicubic", 28.4),
        row(4, "pixel", 20.0),
        row(4, f"pixel{MATCHED}", 28.41),
        row(4, f"feature{MATCHED}", 26.7),
        row(4, "srcnn", 29.9),
        row(8, "bicubic", 24.4),
        row(8, f"pixel{MATCHED}", 25.4),
        row(8, f"feature{MATCHED}", 23.8),
    ]
    ran = {check.statement: check for check in met(rows) if check.passed is not None}
    assert {says: check.passed for says, check in ran.items()} == {
        "x4, Set5, pixel: PSNR": True,
        "x4, Set5, srcnn: PSNR": False,
        "x4, Set5, feature: PSNR": False,
        "x8, Set5, pixel: PSNR over bicubic": True,
        "x8, Set5, feature: PSNR over bicubic": True,
    }
    assert ran["x8, Set5, pixel: PSNR over bicubic"][1:4] == ("+0.97 dB", "+1.00 dB", "at least +0.97")
    assert [len(met(those)) for those in (rows, [])] == [15, 15]  # what is not there was not run
    in_part = [each | {"paper_psnr": None} for each in rows]
    assert {check.passed for check in met(in_part)} == {None}


def test_the_orderings_are_the_papers():
    rows = [
        row(8, "bicubic", 24.4, perceptual=0.3),
        row(8, f"pixel{MATCHED}", 25.4, ssim=0.6, perceptual=0.2),
        row(8, f"feature{MATCHED}", 23.8, ssim=0.7, perceptual=0.1, sharpness=0.9),
    ]
    found = [check for check in orderings(rows, 8) if check.statement.startswith("x8, Set5")]
    assert [check.passed for check in found] == [True] * 7
    assert found[0].paper == "-0.54 dB"
    assert [check.passed for check in orderings(rows, 8) if check not in found] == [None] * 2
    for change, broken in (
        ({"psnr": 24.5}, 0),
        ({"ssim": 0.55}, 3),
        ({"sharpness": 0.4}, 4),
        ({"sharpness": 1.2}, 4),
        ({"perceptual": 0.25}, 5),
        ({"grid": 9.0}, 6),
    ):
        changed = orderings([*rows[:2], rows[2] | change], 8)
        assert [i for i, check in enumerate(changed) if check.passed is False] == [broken]
    lower = orderings([rows[0], rows[1] | {"psnr": 23.0}, rows[2]], 8)
    assert [i for i, check in enumerate(lower) if check.passed is False] == [1, 2]
    without = orderings([each | {"perceptual": None} for each in rows], 8)
    assert [check.passed for check in without[:7]] == [True] * 5 + [None, True]


@pytest.mark.parametrize("change", [{"set": NO_SET}, {}], ids=["stand-ins", "a part of the set"])
def test_neither_stand_ins_nor_a_part_of_a_set_are_judged(change):
    rows = [row(factor, method, 25.0) for factor in (4, 8) for method in ("bicubic", "pixel", "feature")]
    rows = [each | change | {"paper_psnr": None, "paper_ssim": None, "nearer_than_srcnn": 1.0} for each in rows]
    checks = [*orderings(rows, 4), *orderings(rows, 8), *met(rows), preferred(rows)]
    assert [(check.ours, check.passed) for check in checks] == [("", None)] * len(checks)
    assert not [check for check in checks if NO_SET in check.statement]


def test_in_place_of_the_user_study_the_share_of_pictures_is_judged():
    feature = row(4, f"feature{MATCHED}", 25.0) | {"set": "bsd100"}
    assert [preferred([feature | {"nearer_than_srcnn": share}]).passed for share in (0.89, 0.9)] == [False, True]
    assert preferred([feature | {"nearer_than_srcnn": 0.5}]).ours == "50%"
    assert preferred([]).passed is preferred([feature | {"nearer_than_srcnn": None}]).passed is None
