"""The scores of style networks, and the tables of super-resolution: rows, examples, and what stands in for the sets."""

import pytest
import skimage
import torch

from replication import evaluation
from replication.evaluation import (
    MATCHED,
    NO_SET,
    examples,
    heading,
    matched_rows,
    pictures_of,
    score_rows,
    style_scores,
)
from replication.io.downloads import DownloadError, TestPicture
from replication.io.images import resize, square
from replication.io.pictures import content_picture, style_picture
from replication.losses import Objective
from replication.metrics import luminance_scores, sharpness
from replication.networks import ImageTransformationNetwork
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
    monkeypatch.setattr(evaluation, "DIGESTS", {"set5": {"coffee": "..."}})
    rows = {row["method"]: row for row in score_rows(SETS, 4, methods(4))}
    assert list(rows) == ["bicubic", "pixel", f"pixel{MATCHED}", "feature", f"feature{MATCHED}"]
    large = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert rows["bicubic"]["psnr"] == luminance_scores(large, PHOTOGRAPH, 4)["psnr"]
    assert rows["bicubic"]["paper_psnr"] == 28.43
    assert rows[f"feature{MATCHED}"]["paper_ssim"] == 0.7680
    assert rows["bicubic"]["images"] == 1
    assert rows["bicubic"]["sharpness"] == sharpness(large, PHOTOGRAPH)
    assert rows["feature"]["psnr"] < rows["pixel"]["psnr"] < rows[f"pixel{MATCHED}"]["psnr"]


def test_rows_by_method_are_those_of_matched_histograms_where_there_are():
    names = ["bicubic", "pixel", f"pixel{MATCHED}"]
    rows = [{"factor": 4, "set": "set5", "method": name, "psnr": i} for i, name in enumerate(names)]
    found = matched_rows(rows)
    assert {key: row["psnr"] for key, row in found.items()} == {(4, "set5", "bicubic"): 0, (4, "set5", "pixel"): 2}


def test_in_place_of_the_user_study_stands_the_share_of_pictures_nearer_than_srcnn(monkeypatch):
    distances = iter([0.5, 0.4, 0.3, 0.2, 0.3, 0.2, 0.1, 0.4])  # srcnn, bicubic, feature, matched; twice
    monkeypatch.setattr(evaluation, "perceptual_distance", lambda y_hat, y: next(distances))
    those = {"srcnn": lambda small: bicubic(small, 4)} | methods(4)
    del those["pixel"]
    sets = {"bsd100": [SETS["set5"][0]] * 2}
    found = {row["method"]: row["nearer_than_srcnn"] for row in score_rows(sets, 4, those)}
    assert found == {"srcnn": None, "bicubic": 1.0, "feature": 1.0, f"feature{MATCHED}": 0.5}


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

    monkeypatch.setattr(evaluation, "evaluation_set", set5_alone)
    assert pictures_of(["set5", "set14"]) == (SETS, {"Set14": "nothing"})
    assert "Set14 is left out: no set14" in caplog.text
    found, others = pictures_of(["set14", "bsd100"], 2)
    assert [picture.name for picture, _ in found[NO_SET]] == ["astronaut", "chelsea"]
    assert others == {"Set14, BSD100": f"astronaut, chelsea (scikit-image {skimage.__version__})"}
    rows = score_rows({NO_SET: SETS["set5"]}, 4, methods(4))
    assert {(row["set"], row["paper_psnr"], row["paper_ssim"]) for row in rows} == {(NO_SET, None, None)}


def test_a_title_names_the_sets_and_how_much_of_them_there_is(monkeypatch):
    monkeypatch.setattr(evaluation, "DIGESTS", {"set5": dict.fromkeys("abcde"), "set14": {"x": None}})
    sets = {"set5": [picture("a")], "set14": [picture("x")]}
    assert heading(sets) == "Set5 (1 of 5), Set14"
    assert heading({NO_SET: [picture("a")]}) == "scikit-image's photographs"


def test_scores_are_means_of_the_terms_and_a_lattice_shows_in_the_peaks(weights):
    torch.manual_seed(0)
    network = ImageTransformationNetwork("instance").eval()
    pictures = [content_picture(name) for name in ("chelsea", "coffee")]
    objective = Objective(square(style_picture("great_wave").image, 64))
    scores = style_scores(network, objective, pictures, [64, 96])
    totals, styles = [], []
    for picture in pictures:
        y = square(picture.image, 64)
        with torch.no_grad():
            terms = objective(network(y), objective.content_target(y))
        totals.append(terms.total.item())
        styles.append(terms.style.item())
    assert scores["objective"] == pytest.approx(sum(totals) / 2, rel=1e-4)
    assert scores["style"] == pytest.approx(sum(styles) / 2, rel=1e-4)
    assert scores["objective"] == pytest.approx(
        scores["content"] + scores["style"] + scores["total_variation"], rel=1e-4
    )
    assert [*scores][4:] == ["peak 2 at 64", "peak 4 at 64", "peak 2 at 96", "peak 4 at 96"]
    assert scores["peak 2 at 96"] > 2  # random transposed convolutions make one


def test_the_objective_of_each_image_is_that_of_its_own_photograph(weights):
    objective = Objective(square(style_picture("great_wave").image, 64))
    images, photographs = (
        [square(content_picture(name).image, 64) for name in names]
        for names in (("coffee", "chelsea"), ("chelsea", "chelsea"))
    )
    found = evaluation.objective_values(objective, images, photographs)
    with torch.no_grad():
        together = objective(torch.cat(images), objective.content_target(torch.cat(photographs)))
    torch.testing.assert_close(found, together.total, rtol=1e-4, atol=0)
    assert together.content[0] > 1e4 * together.content[1]
