"""What a reader moves: images, a training, choices that are counted and kept; and the same without a reader."""

import csv
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from replication.config import StyleConfig
from replication.io.files import rounded
from replication.io.photographs import photographs_of
from replication.io.pictures import Picture, content_picture, style_picture
from replication.io.pixels import to_pixels
from replication.networks import for_inference
from replication.report import widgets
from replication.report.widgets import BlindTest, TrainingView, Wipe, attended, labelled, png, side_by_side, wiped
from replication.style_transfer import style_trainer, stylise

DARK, BRIGHT = torch.full((1, 3, 4, 10), 0.2), torch.full((1, 3, 4, 10), 0.8)


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_an_image_is_the_png_of_its_pixels(photograph):
    assert np.array_equal(opened(png(photograph)), to_pixels(photograph))


def test_a_label_is_in_the_corner_and_leaves_the_rest():
    image = torch.full((1, 3, 64, 200), 0.4)
    found = labelled(image, "12 steps")
    assert found[..., :30, :100].max() == 1
    assert found[..., :30, :100].min() == 0
    assert torch.equal(found[..., 30:, :], image[..., 30:, :])
    assert torch.equal(found[..., 150:], image[..., 150:])


def test_images_stand_side_by_side_with_white_between():
    image = side_by_side([DARK, BRIGHT])
    assert image.shape == (1, 3, 4, 10 + widgets.GAP + 10)
    assert torch.equal(image[..., :10], DARK)
    assert torch.equal(image[..., -10:], BRIGHT)
    assert (image[..., 10:-10] == 1).all()


@pytest.mark.parametrize(("share", "row"), [(0, "bbbbbbbbbb"), (0.5, "dddd||bbbb"), (1, "ddddddddd|")])
def test_the_line_parts_two_images_and_leaves_them_as_they_are(share, row):
    values = {"d": 0.2, "b": 0.8, "|": 1.0}
    expected = torch.tensor([values[letter] for letter in row])
    if share == 0:
        expected[0] = 1
    assert torch.equal(wiped(DARK, BRIGHT, share), expected.expand(1, 3, 4, 10))
    assert DARK.unique().numel() == BRIGHT.unique().numel() == 1


def test_the_list_and_the_slider_change_what_is_shown_and_each_name_is_made_once():
    asked = []

    def make(name):
        asked.append(name)
        return {"bright": BRIGHT, "dark": DARK}[name]

    wipe = Wipe(torch.ones_like(DARK), make, ["bright", "dark"], "bright")
    assert asked == ["bright"]
    wipe.share.value = 0.2
    wipe.name.value = "dark"
    assert np.array_equal(opened(wipe.image.value), to_pixels(wiped(torch.ones_like(DARK), DARK, 0.2)))
    wipe.name.value = "bright"
    assert asked == ["bright", "dark"]
    assert torch.equal(wipe.still(), wiped(torch.ones_like(DARK), BRIGHT, 0.2))


@pytest.mark.parametrize("somebody", [False, True])
def test_a_saved_notebook_has_the_picture_and_somebody_who_is_there_the_widget_too(monkeypatch, somebody):
    shown = []
    monkeypatch.setattr(widgets, "attended", lambda: somebody)
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append(data))
    wipe = Wipe(DARK, lambda name: BRIGHT, ["one"], "one")
    wipe._ipython_display_()
    (data,) = shown
    assert np.array_equal(opened(data["image/png"]), to_pixels(wipe.still()))
    assert ("application/vnd.jupyter.widget-view+json" in data) == somebody


def test_nobody_is_there_outside_of_a_notebook_or_where_the_kernel_was_told_so(monkeypatch):
    assert not attended()
    for answer in (False, True):
        shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=answer))
        monkeypatch.setattr(widgets, "get_ipython", lambda shell=shell: shell, raising=False)
        assert attended() == answer


@pytest.fixture
def training(photograph, weights):
    photographs = photographs_of([content_picture("coffee")])
    config = StyleConfig(steps=3, batch_size=1, size=64, style_size=64, norm="instance")
    return lambda: TrainingView(style_trainer(style_picture("ejiri"), photographs, config)[0], photograph, [0, 1, 3])


def test_the_button_trains_and_what_it_has_trained_is_not_trained_again(training, photograph, monkeypatch):
    monkeypatch.setattr(widgets, "attended", lambda: True)
    view, straight = training(), training().trainer
    assert torch.equal(view.still(), photograph)
    view.button.click()
    assert view.trainer.step == 3
    images = view.train()
    assert list(images) == [0, 1, 3]
    assert not torch.equal(images[0], images[1])
    straight.run()
    assert torch.equal(images[3], stylise(for_inference(straight.network), photograph))
    row = side_by_side([photograph, *(labelled(image, f"{stage} steps") for stage, image in images.items())])
    assert np.array_equal(opened(view.image.value), to_pixels(row))
    assert view.button.disabled


def test_where_nobody_presses_the_button_the_training_runs(training):
    view = training()
    assert view.still().shape[3] == 4 * 64 + 3 * widgets.GAP
    assert view.trainer.step == 3


@pytest.fixture
def blind(put, tmp_path):
    put(FIGURES=tmp_path)
    pictures = [Picture(torch.full((1, 3, 16, 16), 0.1 * i), f"picture {i}", "a test") for i in range(5)]

    def grey(value):
        return lambda small: torch.full((1, 3, 16, 16), value)

    methods = {"bicubic": grey(0.5), "srcnn": grey(0.3), "feature": grey(0.9), "pixel": grey(0.5)}

    def test(seed=0, count=4, without=""):
        given = [picture for picture in pictures if picture.name != without]
        return BlindTest(given, count, methods, {"profile": "smoke", "seed": seed})

    return test


def test_the_order_is_drawn_by_seed(blind):
    def orders(test):
        return [(row["picture"], row["left"]) for row in test.rows]

    assert orders(blind()) == orders(blind())
    assert len({tuple(orders(blind(seed))) for seed in range(8)}) > 4
    assert {row["left"] for seed in range(8) for row in blind(seed).rows} == {"srcnn", "feature"}
    assert all({row["left"], row["right"]} == {"srcnn", "feature"} for row in blind().rows)


def test_the_images_are_those_of_the_methods_that_stand_in_the_table(blind):
    """SRCNN's as it is; of the feature loss with the histogram of the small image, as in the paper."""
    test = blind()
    level = 0.1 * int(test.rows[0]["picture"][-1])
    values = {"srcnn": 0.3, "feature": round(255 * level) / 255}
    for image, side in zip(test.pair, ("left", "right"), strict=True):
        assert image.mean().item() == pytest.approx(values[test.rows[0][side]], abs=2e-3)


def test_choices_between_other_networks_or_of_other_pictures_do_not_count(blind, monkeypatch, caplog, tmp_path):
    test = blind()
    for _ in range(3):
        test.choose("left")
    chosen = [row["chosen"] for row in test.rows[:3]]
    later = blind(without=test.rows[1]["picture"])
    assert [row["chosen"] for row in later.rows[:2]] == [chosen[0], chosen[2]]
    assert [row["choices"] for row in later.rows[:2]] == [1, 2]
    assert "choices of other pictures or networks: 1, left out and in " in caplog.text
    aside = json.loads((tmp_path / "smoke" / "table_blind_test.earlier.json").read_text())
    assert [row["chosen"] for row in aside["results"]][:3] == chosen
    monkeypatch.setattr(widgets, "network_digests", lambda: {"srcnn_x4": "another", "x4_feature": "another"})
    assert blind().number == 0
    names = [f"table_blind_test.earlier{number}.json" for number in ("", "-2")]
    kept = [json.loads((tmp_path / "smoke" / name).read_text())["results"] for name in names]
    assert [[row["chosen"] for row in rows if row["chosen"]] for rows in kept] == [chosen, [chosen[0], chosen[2]]]


def test_choices_are_counted_and_written_down_and_another_day_goes_on_with_them(blind, tmp_path):
    test = blind()
    assert str(test) == "No one has chosen yet. Pairs left: 4."
    for wanted in ("feature", "srcnn"):
        row = test.rows[test.number]
        test.buttons[[row["left"], row["right"]].index(wanted)].click()
    assert str(test).startswith("The feature loss was chosen in 1 of 2 pairs, 50%")
    assert "Pair 3 of 4" in test.question.value
    table = tmp_path / "smoke" / "table_blind_test.csv"
    rows = list(csv.DictReader(table.open()))
    assert [row["chosen"] for row in rows] == ["feature", "srcnn", "", ""]
    later = blind(seed=1, count=3)
    before = json.loads(table.with_suffix(".json").read_text())["results"][:2]
    assert rounded(later.rows[:2]) == before
    assert later.number == 2
    names = [row["picture"] for row in later.rows]
    assert len(set(names)) == len(names)
    while later.number is not None:
        later.choose("left")
    assert all(button.disabled for button in later.buttons)
    assert [row["choices"] for row in later.rows] == [*range(1, len(names) + 1)]
    assert later.still().shape[2] == 16


def test_the_interval_is_wilsons(blind):
    test = blind()
    for wanted in ("feature", "feature", "feature", "srcnn"):
        row = test.rows[test.number]
        test.choose("left" if row["left"] == wanted else "right")
    n, p, z = 4, 0.75, 1.959964
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert (test.rows[3]["low"], test.rows[3]["high"]) == pytest.approx((low, high), rel=1e-5)
    assert test.rows[3]["share"] == 0.75


def test_a_still_of_the_blind_test_does_not_say_which_is_which(blind, monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append(data))
    blind()._ipython_display_()
    assert set(shown[0]) == {"text/plain", "image/png"}
    assert shown[0]["text/plain"] == "BlindTest"
