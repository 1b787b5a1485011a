"""The tables of super-resolution: rows, verdicts, the grid, examples, and what stands in for the sets."""

import numpy as np
import pytest
import torch

from replication import super_resolution_evaluation as module
from replication.data import content_picture
from replication.evaluation_sets import DownloadError, TestPicture
from replication.images import resize
from replication.metrics import grid, luminance_scores
from replication.super_resolution import bicubic, low_resolution
from replication.super_resolution_evaluation import (
    MATCHED,
    example_rows,
    figures_met,
    orderings,
    perceptual_distance,
    pictures_of,
    score_rows,
)

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


def test_a_row_holds_the_means_beside_the_papers():
    rows = {row["method"]: row for row in score_rows(SETS, 4, methods(4))}
    assert list(rows) == ["bicubic", "pixel", f"pixel{MATCHED}", "feature", f"feature{MATCHED}"]
    large = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert rows["bicubic"]["psnr"] == luminance_scores(large, PHOTOGRAPH, 4)["psnr"]
    assert rows["bicubic"]["paper_psnr"] == 28.43
    assert rows[f"feature{MATCHED}"]["paper_ssim"] == 0.7680
    assert rows["bicubic"]["images"] == 1
    assert rows["feature"]["psnr"] < rows["pixel"]["psnr"] < rows[f"pixel{MATCHED}"]["psnr"]


def row(factor, method, psnr, *, ssim=0.5, perceptual=None):
    papers = dict(zip(module.NAMES, module.PAPER[factor]["set5"], strict=True))[method.removesuffix(MATCHED)]
    found = {"factor": factor, "set": "set5", "method": method, "psnr": psnr, "ssim": ssim, "perceptual": perceptual}
    return found | {"paper_psnr": papers[0], "paper_ssim": papers[1]}


def test_the_verdicts_judge_matched_histograms_and_at_x8_the_gain_over_bicubic():
    rows = [
        row(4, "bicubic", 28.4, perceptual=0.3),
        row(4, "pixel", 20.0, perceptual=0.1),
        row(4, f"pixel{MATCHED}", 28.41, perceptual=0.2),
        row(4, f"feature{MATCHED}", 26.7, perceptual=0.15),
        row(4, "srcnn", 29.9, perceptual=0.25),
        row(8, "bicubic", 24.4),
        row(8, f"pixel{MATCHED}", 25.4, ssim=0.6),
        row(8, f"feature{MATCHED}", 23.8, ssim=0.7),
    ]
    met = figures_met(rows)
    assert [check.split(":")[0] for check, holds in met.items() if holds] == [
        "x4, Set5, pixel",
        "x8, Set5, pixel",
        "x8, Set5, feature",
    ]
    assert "x8, Set5, pixel: 1.00 dB over bicubic, in the paper 0.97" in met
    assert all(orderings(rows).values())
    assert "x4, Set5: perceptual distance least, 0.150, for feature" in orderings(rows)
    rows[-1] = row(8, f"feature{MATCHED}", 26.0, ssim=0.55)
    assert list(orderings(rows).values()) == [True, True, False, False]


def test_the_grid_is_that_of_the_period():
    """A checkerboard of one grey level has that standard deviation; a photograph next to none."""
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(48, 64).expand(1, 3, -1, -1)
    flat = torch.full((1, 3, 96, 128), 0.5)
    assert grid(flat + board / 255, 4) == pytest.approx(0.5 * 219 / 255, rel=0.02)
    assert grid(flat + board / 255, 3) < 0.02
    assert grid(PHOTOGRAPH, 4) < 0.6 < grid(PHOTOGRAPH + 4 * board / 255, 4)


def test_the_examples_are_the_whole_and_a_close_look():
    first, close = example_rows(SETS, 8, methods(8))
    assert [label.split("\n")[0] for _, label in first] == ["coffee", "bicubic", "pixel", "feature"]
    assert {image.shape[2:] for image, _ in first} == {(96, 128)}
    assert len({image.shape for image, _ in close}) == 1
    assert close[0][0].shape[2] < 48


def test_where_no_set_is_to_be_had_photographs_stand_in(monkeypatch, caplog):
    def nothing(name):
        raise DownloadError("no network")

    monkeypatch.setattr(module, "evaluation_set", nothing)
    found = pictures_of(["set5"], 2)
    assert [picture.name for picture, _ in found["scikit-image"]] == ["astronaut", "chelsea"]
    assert "no network; scikit-image's photographs take their place" in caplog.text
    assert score_rows({"scikit-image": SETS["set5"]}, 4, methods(4))[0]["paper_psnr"] is None


def test_the_perceptual_distance_grows_with_blur():
    pytest.importorskip("stlpips_pytorch")
    distances = [perceptual_distance(bicubic(resize(PHOTOGRAPH, 96 // n, 128 // n), n), PHOTOGRAPH) for n in (1, 2, 4)]
    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert np.all(np.diff(distances) > 0)
