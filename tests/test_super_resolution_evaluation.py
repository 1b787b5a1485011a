"""The tables of super-resolution: rows, verdicts, the grid, examples, and what stands in for the sets."""

import numpy as np
import pytest
import skimage
import torch
from replication.io.pictures import content_picture

from replication import super_resolution_claims as claims
from replication import super_resolution_evaluation as module
from replication.evaluation import (
    NO_SET,
    examples,
    grid,
    heading,
    luminance_scores,
    perceptual_distance,
    pictures_of,
    score_rows,
    sharpness,
)
from replication.io.downloads import DownloadError, TestPicture
from replication.io.images import resize
from replication.report.claims import MATCHED, figures_met, orderings, preferred
from replication.super_resolution import bicubic, low_resolution

PHOTOGRAPH = resize(content_picture("coffee").image, 96, 128)
SETS = {"set5": [TestPicture(content_picture("coffee")._replace(image=PHOTOGRAPH), False)]}


def methods(factor):
    """Bicubic, the same darker, and the same in one colour less: three that differ."""

    def enlarged(small):
        return bicubic(small, factor)

    return {
        "bicubic": enlarged,
        "pixel": lambda small: 0.9 * enlarged(small),
        "feature": lambda small: 0.8 * enlarged(small),
    }


def test_a_row_holds_the_means_beside_the_papers(monkeypatch):
    monkeypatch.setattr(claims, "DIGESTS", {"set5": {"coffee": "..."}})
    rows = {row["method"]: row for row in score_rows(SETS, 4, methods(4))}
    assert list(rows) == ["bicubic", "pixel", f"pixel{MATCHED}", "feature", f"feature{MATCHED}"]
    large = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert rows["bicubic"]["psnr"] == luminance_scores(large, PHOTOGRAPH, 4)["psnr"]
    assert rows["bicubic"]["paper_psnr"] == 28.43
    assert rows[f"feature{MATCHED}"]["paper_ssim"] == 0.7680
    assert rows["bicubic"]["images"] == 1
    assert rows["bicubic"]["sharpness"] == sharpness(large, PHOTOGRAPH)
    assert rows["feature"]["psnr"] < rows["pixel"]["psnr"] < rows[f"pixel{MATCHED}"]["psnr"]


def row(factor, method, psnr, *, ssim=0.5, perceptual=None, sharpness=0.5):
    papers = dict(zip(claims.NAMES, claims.PAPER[factor]["set5"], strict=True))[method.removesuffix(MATCHED)]
    found = {"factor": factor, "set": "set5", "method": method, "psnr": psnr, "ssim": ssim, "perceptual": perceptual}
    found |= {"sharpness": sharpness, "grid": 1.0}
    return found | {"paper_psnr": papers[0], "paper_ssim": papers[1]}


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
    met = {check.says: check for check in figures_met(rows) if check.holds is not None}
    assert {says: check.holds for says, check in met.items()} == {
        "x4, Set5, pixel: PSNR": True,
        "x4, Set5, srcnn: PSNR": False,
        "x4, Set5, feature: PSNR": False,
        "x8, Set5, pixel: PSNR over bicubic": True,
        "x8, Set5, feature: PSNR over bicubic": True,
    }
    assert met["x8, Set5, pixel: PSNR over bicubic"][1:4] == ("+0.97 dB", "+1.00 dB", "at least +0.97")
    assert [len(figures_met(those)) for those in (rows, [])] == [15, 15]  # what is not there was not run
    in_part = [each | {"paper_psnr": None} for each in rows]
    assert {check.holds for check in figures_met(in_part)} == {None}


def test_the_orderings_are_the_papers():
    rows = [
        row(8, "bicubic", 24.4, perceptual=0.3),
        row(8, f"pixel{MATCHED}", 25.4, ssim=0.6, perceptual=0.2),
        row(8, f"feature{MATCHED}", 23.8, ssim=0.7, perceptual=0.1, sharpness=0.9),
    ]
    found = [check for check in orderings(rows, 8) if check.says.startswith("x8, Set5")]
    assert [check.holds for check in found] == [True] * 7
    assert found[0].paper == "-0.54 dB"
    assert [check.holds for check in orderings(rows, 8) if check not in found] == [None] * 2
    for change, broken in (
        ({"psnr": 24.5}, 0),
        ({"ssim": 0.55}, 3),
        ({"sharpness": 0.4}, 4),
        ({"sharpness": 1.2}, 4),
        ({"perceptual": 0.25}, 5),
        ({"grid": 9.0}, 6),
    ):
        changed = orderings([*rows[:2], rows[2] | change], 8)
        assert [i for i, check in enumerate(changed) if check.holds is False] == [broken]
    lower = orderings([rows[0], rows[1] | {"psnr": 23.0}, rows[2]], 8)
    assert [i for i, check in enumerate(lower) if check.holds is False] == [1, 2]
    without = orderings([each | {"perceptual": None} for each in rows], 8)
    assert [check.holds for check in without[:7]] == [True] * 5 + [None, True]


@pytest.mark.parametrize("change", [{"set": NO_SET}, {}], ids=["stand-ins", "a part of the set"])
def test_neither_stand_ins_nor_a_part_of_a_set_are_judged(change):
    rows = [row(factor, method, 25.0) for factor in (4, 8) for method in ("bicubic", "pixel", "feature")]
    rows = [each | change | {"paper_psnr": None, "paper_ssim": None, "nearer_than_srcnn": 1.0} for each in rows]
    checks = [*orderings(rows, 4), *orderings(rows, 8), *figures_met(rows), preferred(rows)]
    assert [(check.ours, check.holds) for check in checks] == [("", None)] * len(checks)
    assert not [check for check in checks if NO_SET in check.says]


def test_in_place_of_the_user_study_stands_the_share_of_pictures_nearer_than_srcnn(monkeypatch):
    distances = iter([0.5, 0.4, 0.3, 0.2, 0.3, 0.2, 0.1, 0.4])  # srcnn, bicubic, feature, matched; twice
    monkeypatch.setattr(module, "perceptual_distance", lambda y_hat, y: next(distances))
    those = {"srcnn": lambda small: bicubic(small, 4)} | methods(4)
    del those["pixel"]
    sets = {"bsd100": [SETS["set5"][0]] * 2}
    found = {row["method"]: row["nearer_than_srcnn"] for row in score_rows(sets, 4, those)}
    assert found == {"srcnn": None, "bicubic": 1.0, "feature": 1.0, f"feature{MATCHED}": 0.5}
    feature = row(4, f"feature{MATCHED}", 25.0) | {"set": "bsd100"}
    assert [preferred([feature | {"nearer_than_srcnn": share}]).holds for share in (0.89, 0.9)] == [False, True]
    assert preferred([feature | {"nearer_than_srcnn": 0.5}]).ours == "50%"
    assert preferred([]).holds is preferred([feature | {"nearer_than_srcnn": None}]).holds is None


def test_the_grid_is_what_repeats_with_the_period_and_is_not_in_the_original():
    """A checkerboard of one grey level has half of that as its standard deviation."""
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(48, 64).expand(1, 3, -1, -1)
    darker = 0.9 * PHOTOGRAPH
    assert grid(darker + board / 255, darker, 4) == pytest.approx(0.5, abs=1e-4)
    assert grid(darker + board / 255, darker, 3) < 0.02
    assert grid(darker, darker, 4) == 0


def test_the_sharpness_falls_with_blur():
    blurred = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert sharpness(PHOTOGRAPH, PHOTOGRAPH) == 1
    assert 0.2 < sharpness(blurred, PHOTOGRAPH) < 0.9


def test_the_examples_are_the_whole_and_a_close_look_with_their_scores():
    (first, close), scores, others = examples({"bsd100": [picture("img_070")]}, 8, methods(8))
    assert others == {}
    assert [label.split("\n")[0] for _, label in first] == ["img_070", "bicubic", "pixel", "feature"]
    assert first[1][1].split("\n")[1] == "{psnr:.2f} / {ssim:.4f}".format(**scores["img_070"]["bicubic"])
    assert {image.shape[2:] for image, _ in first} == {(96, 128)}
    assert len({image.shape for image, _ in close}) == 1
    assert close[0][0].shape[2] < 48


def picture(name):
    return TestPicture(SETS["set5"][0].picture._replace(name=name), False)


def test_an_example_that_is_not_there_is_replaced_by_one_that_is_not_shown_and_named():
    sets = {"set5": [picture("bird"), picture("baby")]}
    rows, scores, others = examples(sets, 4, methods(4))
    assert list(scores) == ["baby", "bird"]
    assert [rows[i][0][1] for i in (0, 2)] == ["baby\nPSNR / SSIM", "bird\nfor Set14's comic\nPSNR / SSIM"]
    assert others == {"Set14's comic": "bird"}
    rows, scores, others = examples(SETS, 4, methods(4))
    assert [len(rows), list(scores)] == [2, ["coffee"]]
    assert others == {"Set5's baby": "coffee", "Set14's comic": "nothing"}


def test_what_set_is_not_to_be_had_is_left_out_and_without_any_photographs_stand_in(monkeypatch, caplog):
    def set5_alone(name):
        if name != "set5":
            raise DownloadError(f"no {name}")
        return SETS[name]

    monkeypatch.setattr(module, "evaluation_set", set5_alone)
    assert pictures_of(["set5", "set14"]) == (SETS, {"Set14": "nothing"})
    assert "Set14 is left out: no set14" in caplog.text
    found, others = pictures_of(["set14", "bsd100"], 2)
    assert [picture.name for picture, _ in found[NO_SET]] == ["astronaut", "chelsea"]
    assert others == {"Set14, BSD100": f"astronaut, chelsea (scikit-image {skimage.__version__})"}
    rows = score_rows({NO_SET: SETS["set5"]}, 4, methods(4))
    assert {(row["set"], row["paper_psnr"], row["paper_ssim"]) for row in rows} == {(NO_SET, None, None)}


def test_a_title_names_the_sets_and_how_much_of_them_there_is(monkeypatch):
    monkeypatch.setattr(module, "DIGESTS", {"set5": dict.fromkeys("abcde"), "set14": {"x": None}})
    sets = {"set5": [picture("a")], "set14": [picture("x")]}
    assert heading(sets) == "Set5 (1 of 5), Set14"
    assert heading({NO_SET: [picture("a")]}) == "scikit-image's photographs"


def test_the_perceptual_distance_grows_with_blur():
    pytest.importorskip("stlpips_pytorch")
    distances = [perceptual_distance(bicubic(resize(PHOTOGRAPH, 96 // n, 128 // n), n), PHOTOGRAPH) for n in (1, 2, 4)]
    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert np.all(np.diff(distances) > 0)
