"""Figs. 8 and 9: the examples laid out, the paper's numbers beside ours, and the numbers that are judged."""

import ast
from itertools import product

import nbformat
import pytest
import torch

from replication.evaluation import AUTHORS, MATCHED
from replication.io.downloads import SetPicture
from replication.io.files import ROOT
from replication.io.pictures import content_picture
from replication.io.pixels import resize
from replication.metrics import sharpness
from replication.report import enlargements
from replication.report.claims import claims
from replication.report.enlargements import FIGURES, beside_papers, examples, measures, papers
from replication.super_resolution import bicubic

PHOTOGRAPH = resize(content_picture("coffee").image, 96, 128)
SETS = ("set5", "set14", "bsd100")


def picture(name):
    return SetPicture(content_picture("coffee")._replace(image=PHOTOGRAPH, name=name), False)


def methods(factor):
    names = ("bicubic", "pixel", *(("srcnn",) if factor == 4 else ()), "feature")
    return {name: lambda small: bicubic(small, factor) for name in names}


def row(factor, name, method, **changed):
    found = {"factor": factor, "set": name, "method": method, "psnr": 25.0, "psnr_sd": 1.0, "ssim": 0.5, "ssim_sd": 0.1}
    found |= {"notch_psnr": 0.1, "notch_psnr_sd": 0.0, "notch_ssim": 0.01, "notch_ssim_sd": 0.0, "grid": 1.0}
    return found | {"nearer_than_srcnn": 0.9, "images": 5, "whole": True} | changed


def rows(factor):
    """The feature loss is a decibel under the pixel loss, and has more of a grid."""
    found = []
    for name in SETS:
        found += [row(factor, name, "bicubic"), row(factor, name, f"pixel{MATCHED}", psnr=26.0, ssim=0.6)]
        found += [row(factor, name, f"feature{MATCHED}", ssim=0.55, grid=3.0, nearer_than_srcnn=0.95)]
        if factor == 4:
            found += [row(factor, name, "srcnn", psnr=27.0), row(factor, name, AUTHORS, psnr=27.5)]
    return found


def test_the_papers_numbers_are_those_of_the_claims_and_at_x8_sums():
    assert papers(4)["bicubic", "Set14"] == {"psnr": 25.99, "ssim": 0.7031}
    assert papers(4)[AUTHORS, "comic"] == {"psnr": 22.53, "ssim": 0.6524}
    assert papers(8)["pixel", "Set5"] == pytest.approx({"psnr": 24.77, "ssim": 0.6864})
    assert papers(8)["feature", "img_070"] == pytest.approx({"psnr": 21.90, "ssim": 0.6083})
    found = {(each["set"], each["method"]): each for each in beside_papers(rows(8))}
    assert found["bsd100", f"pixel{MATCHED}"]["paper_psnr"] == pytest.approx(22.54)
    both = beside_papers([row(4, "set5", "pixel"), row(4, "set5", f"pixel{MATCHED}")])
    assert [each["paper_psnr"] for each in both] == [None, 28.40]  # the paper's have matched histograms
    part = beside_papers([row(4, "set5", "bicubic", whole=False)])[0]
    assert (part["paper_psnr"], part["paper_ssim"]) == (None, None)


def test_the_speed_ups_of_the_claims_are_those_of_the_papers_seconds():
    """As far as its seconds of the network, which have one or two digits, go."""
    printed = {
        check.key: float(check.paper.split()[0]) for check in claims()["table1_speed"].checks if "," in check.key
    }
    sources = [cell.source for cell in nbformat.read(ROOT / "notebooks" / "07_speed.ipynb", 4).cells]
    (cell,) = [source for source in sources if source.startswith("TABLE_1 = ")]
    table = ast.literal_eval(ast.parse(cell).body[0].value)
    for size, times in table.items():
        columns = ("100 iterations", "300 iterations", "500 iterations", "network")
        assert times == tuple(printed[f"{column}, {size}"] for column in columns)
    for size, number in product((256, 512, 1024), (100, 300, 500)):
        seconds = printed[f"{number} iterations, {size}"] / printed[f"network, {size}"]
        assert seconds == pytest.approx(printed[f"speed-up over {number}, {size}"], rel=0.1)


@pytest.mark.parametrize("factor", [4, 8])
def test_the_measures_are_those_of_the_checks_and_none_where_no_set_is_whole(factor):
    keys = {check.key for check in claims()[FIGURES[factor]].checks}
    assert measures(factor, rows(factor), {}).keys() == keys
    part = [each | {"whole": False} for each in rows(factor)]
    assert measures(factor, part, {}) == dict.fromkeys(measures(factor, rows(factor), {}))


def test_each_measure_is_what_its_key_says():
    found = measures(4, rows(4), {})
    assert found["PSNR bicubic Set5"] == (25.0, 1.0)
    assert found["PSNR SRCNN BSD100"] == (27.5, 1.0)
    assert found["PSNR order"] == -1
    assert found["SSIM order"] == pytest.approx(-0.05)
    assert (found["grid"], found["own SRCNN"]) == (2, -0.5)
    assert found["notch PSNR"] == pytest.approx((0.1, 0))
    assert found["user study separates"] == pytest.approx(0.05)
    assert found["PSNR bicubic baby"] is None
    without = [each for each in rows(4) if each["method"] != AUTHORS]  # our SRCNN does not take their place
    assert measures(4, without, {})["user study"] is None
    found = measures(8, rows(8), {})
    assert found["PSNR gain pixel Set14"] == 1
    assert found["SSIM gain feature Set14"] == pytest.approx(0.05)
    assert (found["PSNR against bicubic"], found["SSIM against bicubic"]) == pytest.approx((0, 0.05))
    assert found["SSIM order, Set5 and Set14"] == pytest.approx(-0.05)
    worst = [*rows(4), row(4, "set14", f"feature{MATCHED}", psnr=26.5)]
    assert measures(4, worst, {})["PSNR order"] == 0.5
    other = row(4, "set14", f"feature{MATCHED}", ssim=0.7, grid=1.5, notch_psnr=0.4, images=15)
    found = measures(4, [*rows(4), other], {})
    assert (found["SSIM order"], found["grid"]) == pytest.approx((0.1, 0.5))
    mean = (0.1 + 0.1 + 3 * 0.4) / 5  # over 5, 5 and 15 images
    spread = ((2 * (0.1 - mean) ** 2 + 3 * (0.4 - mean) ** 2) / 5) ** 0.5
    assert found["notch PSNR"] == pytest.approx((mean, spread))


def test_the_close_look_is_judged_without_its_grid(monkeypatch):
    monkeypatch.setattr("replication.evaluation.TRAINED", ())  # matched histograms would change the grid
    grid = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    grid = 0.02 * (grid - grid.mean()).repeat(12, 16)
    ways = {"bicubic": lambda small: 0.8 * bicubic(small, 8) + 0.1}
    ways |= {"pixel": lambda small: ways["bicubic"](small) + grid, "feature": ways["bicubic"]}
    _, _, found, _ = examples({"bsd100": [picture("baboon")]}, 8, ways, rows(8))
    assert found["baboon"]["pixel"]["detail"] == pytest.approx(found["baboon"]["bicubic"]["detail"], abs=1e-3)


def test_the_details_and_the_boundary_are_judged_by_the_examples():
    own = {m: {"psnr": 1.0, "ssim": 0.1, "detail": d} for m, d in (("bicubic", 0.5), ("pixel", 0.6), ("feature", 0.9))}
    assert measures(4, rows(4), {"baby": own})["details: eyelashes"] == pytest.approx(0.3)
    own["pixel"] |= {"boundary": 0.5, "trees": 0.5}
    own["feature"] |= {"boundary": 0.8, "trees": 0.55}
    assert measures(8, rows(8), {"img_070": own})["boundary against trees"] == pytest.approx(0.5)


def test_the_examples_are_the_whole_with_its_box_and_a_close_look_with_all_scores():
    lines, names, found, others = examples({"bsd100": [picture("baboon")]}, 8, methods(8), rows(8))
    assert (others, names) == ({"BSD100's img_070": "baboon"}, ["baboon, for img_070", ""])
    first, close = lines
    assert [panel.above for panel in first][:2] == ["Ground truth", "Bicubic"]
    assert first[0].box
    assert {panel.image.shape[2:] for panel in first} == {(96, 128)}
    assert {panel.image.shape[2:] for panel in close} == {(28, 28)}
    texts = [panel.below.split("\n") for panel in close]
    assert texts[0][:4] == ["PSNR / SSIM", "this image", " ", "Set5 mean"]
    assert texts[1][1] == "{psnr:.2f} / {ssim:.4f}".format(**found["baboon"]["bicubic"])
    assert texts[1][3:5] == ["25.00 / 0.5000", "(23.80 / 0.6455)"]
    assert len({len(text) for text in texts}) == 1


def test_an_example_that_is_not_there_is_replaced_by_one_that_is_not_shown_and_named():
    sets = {"set5": [picture("bird"), picture("baby")]}
    _, names, found, others = examples(sets, 4, methods(4), rows(4))
    assert (list(found), names[::2]) == (["baby", "bird"], ["baby", "bird, for comic"])
    assert others == {"Set14's comic": "bird"}
    lines, _, found, others = examples({"set5": [picture("coffee")]}, 4, methods(4), rows(4))
    assert (len(lines), list(found)) == (2, ["coffee"])
    assert others == {"Set5's baby": "coffee", "Set14's comic": "nothing"}


def test_the_mask_tells_the_riders_boundary_from_the_trees():
    regions = enlargements._regions(torch.zeros(1, 3, 320, 480))
    assert {where.shape for where in regions.values()} == {(320, 480)}
    assert not (regions["boundary"] & regions["trees"]).any()
    assert regions["trees"][:110, 120:].mean() > 0.7
    assert not regions["trees"][120:].any()
    assert 0.02 < regions["boundary"].mean() < 0.1
    noise = torch.rand(1, 3, 320, 480)
    assert sharpness(noise, noise, regions["trees"]) == 1
