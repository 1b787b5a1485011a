"""The scores of style networks, and the tables of super-resolution: rows, examples, and what stands in for the sets."""

import pytest
import skimage
import torch

from replication import evaluation
from replication.evaluation import (
    AUTHORS,
    MATCHED,
    NO_SET,
    heading,
    matched_rows,
    pictures_of,
    score_rows,
    style_scores,
)
from replication.io.downloads import SetPicture
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.io.pictures import content_picture, style_picture
from replication.io.pixels import resize, square
from replication.losses import Objective
from replication.metrics import luminance_scores, sharpness, without_grid
from replication.networks import ImageTransformationNetwork, for_inference
from replication.super_resolution import bicubic, low_resolution, pretrained_network, upscale

PHOTOGRAPH = resize(content_picture("coffee").image, 96, 128)
SETS = {"set5": [SetPicture(content_picture("coffee")._replace(image=PHOTOGRAPH), False)]}


def methods(factor):
    """Bicubic, the same darker, and the same in one colour less: three that differ."""

    def enlarged(small):
        return bicubic(small, factor)

    return {
        "bicubic": enlarged,
        "pixel": lambda small: 0.9 * enlarged(small),
        "feature": lambda small: 0.8 * enlarged(small),
    }


def test_a_row_holds_the_means(monkeypatch):
    monkeypatch.setattr(evaluation, "DIGESTS", {"set5": {"coffee": "..."}})
    rows = {row["method"]: row for row in score_rows(SETS, 4, methods(4))}
    assert list(rows) == ["bicubic", "pixel", f"pixel{MATCHED}", "feature", f"feature{MATCHED}"]
    large = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert rows["bicubic"]["psnr"] == luminance_scores(large, PHOTOGRAPH, 4)["psnr"]
    assert (rows["bicubic"]["images"], rows["bicubic"]["whole"], rows["bicubic"]["psnr_sd"]) == (1, True, 0)
    clean = luminance_scores(without_grid(large, 4), PHOTOGRAPH, 4)
    assert rows["bicubic"]["notch_psnr"] == pytest.approx(clean["psnr"] - rows["bicubic"]["psnr"])
    assert rows["bicubic"]["sharpness"] == sharpness(large, PHOTOGRAPH)
    assert rows["feature"]["psnr"] < rows["pixel"]["psnr"] < rows[f"pixel{MATCHED}"]["psnr"]


@pytest.mark.parametrize("factor", [4, 8])
def test_each_method_is_the_network_of_its_name(factor):
    small, found = resize(PHOTOGRAPH, 12, 16), evaluation.methods(factor, "cpu")
    assert list(found) == ["bicubic", "pixel", *(["srcnn"] if factor == 4 else []), "feature"]
    for loss in ("pixel", "feature"):
        expected = upscale(for_inference(pretrained_network(factor, loss)[0]), small)
        torch.testing.assert_close(found[loss](small), expected)


@pytest.mark.parametrize(("blur", "grey"), [(2.0, False), (0.0, True)])
def test_rows_are_of_blurred_inputs_and_of_grey_pictures_as_they_are(blur, grey):
    sets = {"set5": [SETS["set5"][0]._replace(grey=grey)]}
    (row,) = score_rows(sets, 4, {"bicubic": methods(4)["bicubic"]}, blur)
    large = bicubic(low_resolution(PHOTOGRAPH, 4, blur), 4)
    assert row["psnr"] == luminance_scores(large, PHOTOGRAPH, 4, grey)["psnr"]


def test_the_study_is_against_the_authors_srcnn_where_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    save_image(0.99 * PHOTOGRAPH, tmp_path / "sr_reference" / "x4" / "set5" / "srcnn" / "coffee.png")
    monkeypatch.setattr(evaluation, "perceptual_distance", lambda a, b: (a - b).abs().mean().item())
    those = {"srcnn": methods(4)["feature"], "bicubic": methods(4)["bicubic"]}
    found = {row["method"]: row["nearer_than_srcnn"] for row in score_rows(SETS, 4, those)}
    assert found == {"srcnn": 0.0, "bicubic": 0.0, AUTHORS: None}


def test_the_grid_of_the_upsampling_is_no_detail():
    grid = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    y, grid = 0.8 * PHOTOGRAPH + 0.1, 0.02 * (grid - grid.mean()).repeat(24, 32)
    plain, worse = (evaluation.mean_scores([image], [y], 4)["detail"] for image in (0.9 * y, 0.9 * y + grid))
    assert worse == pytest.approx(plain, abs=1e-3)
    assert sharpness(0.9 * y + grid, y) > plain + 0.05


def test_rows_by_method_are_those_of_matched_histograms_where_there_are():
    names = ["bicubic", "pixel", f"pixel{MATCHED}"]
    rows = [{"factor": 4, "set": "set5", "method": name, "psnr": i} for i, name in enumerate(names)]
    found = matched_rows(rows)
    assert {key: row["psnr"] for key, row in found.items()} == {(4, "set5", "bicubic"): 0, (4, "set5", "pixel"): 2}


def test_the_deviation_is_that_over_the_images_and_the_authors_outputs_are_scored(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    folder = tmp_path / "sr_reference" / "x4" / "set5" / "srcnn"
    folder.mkdir(parents=True)
    save_image(0.499 * PHOTOGRAPH, folder / "dark.png")
    dark = SETS["set5"][0]._replace(picture=SETS["set5"][0].picture._replace(image=0.5 * PHOTOGRAPH, name="dark"))
    two = {"set5": [*SETS["set5"], dark]}
    (row,) = score_rows(two, 4, {"bicubic": methods(4)["bicubic"]})[:1]
    each = [score_rows({"set5": [one]}, 4, {"bicubic": methods(4)["bicubic"]}) for one in two["set5"]]
    psnrs = [rows[0]["psnr"] for rows in each]
    assert "images of the authors' SRCNN are missing, so it is left out" in caplog.text
    assert AUTHORS not in {row["method"] for row in score_rows(two, 4, {"bicubic": methods(4)["bicubic"]})}
    assert row["psnr"] == pytest.approx(sum(psnrs) / 2)
    assert row["ssim"] == pytest.approx(sum(rows[0]["ssim"] for rows in each) / 2)
    assert row["psnr_sd"] == pytest.approx(abs(psnrs[0] - psnrs[1]) / 2)
    assert [len(rows) for rows in each] == [1, 2]
    assert each[1][1]["method"] == AUTHORS
    assert each[1][1]["psnr"] > 45


def test_in_place_of_the_user_study_stands_the_share_of_pictures_nearer_than_srcnn(monkeypatch):
    distances = iter([0.5, 0.4, 0.3, 0.2, 0.3, 0.2, 0.1, 0.4])  # srcnn, bicubic, feature, matched; twice
    monkeypatch.setattr(evaluation, "perceptual_distance", lambda y_hat, y: next(distances))
    those = {"srcnn": lambda small: bicubic(small, 4)} | methods(4)
    del those["pixel"]
    sets = {"bsd100": [SETS["set5"][0]] * 2}
    found = {row["method"]: row["nearer_than_srcnn"] for row in score_rows(sets, 4, those)}
    assert found == {"srcnn": None, "bicubic": 1.0, "feature": 1.0, f"feature{MATCHED}": 0.5}


def picture(name):
    return SetPicture(SETS["set5"][0].picture._replace(name=name), False)


def test_what_set_is_not_to_be_had_is_left_out_and_without_any_photographs_stand_in(monkeypatch, caplog):
    def set5_alone(name):
        if name != "set5":
            raise ReplicationError(f"no {name}")
        return SETS[name]

    monkeypatch.setattr(evaluation, "evaluation_set", set5_alone)
    assert pictures_of(["set5", "set14"]) == (SETS, {"Set14": "nothing"})
    assert "Set14 is left out: no set14" in caplog.text
    found, others = pictures_of(["set14", "bsd100"], 2)
    assert [picture.name for picture, _ in found[NO_SET]] == ["astronaut", "chelsea"]
    assert others == {"Set14, BSD100": f"astronaut, chelsea (scikit-image {skimage.__version__})"}
    rows = score_rows({NO_SET: SETS["set5"]}, 4, methods(4))
    assert {(row["set"], row["whole"]) for row in rows} == {(NO_SET, False)}


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
