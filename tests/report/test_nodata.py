"""What a stranger sees: no data folder, or a part of one. Whatever takes the place of the paper's input is named."""

import html
import json

import nbformat
import pytest
from conftest import OUT_OF_REACH

from replication.evaluation import NO_SET, pictures_of
from replication.io.images import save_image
from replication.io.photographs import training_photographs
from replication.io.pictures import (
    PHOTOGRAPHS,
    TRAINING,
    VALIDATION,
    Picture,
    content_picture,
    stand_ins,
    validation_pictures,
)
from replication.io.pixels import square
from replication.report import summary
from replication.report.claims import claims, judge_record
from replication.report.rules import NOT_RUN


@pytest.fixture(scope="session")
def stranger(smoke):
    """The figures of notebooks that were run with nothing set and without a network."""
    return smoke("10")


def record(folder, figure):
    return json.loads((folder / f"{figure}.json").read_text())


def shown(folder, notebook):
    """What the cells of an executed notebook show as HTML."""
    cells = nbformat.read(folder / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return html.unescape("".join(output.get("data", {}).get("text/html", "") for output in outputs))


THREE = "astronaut, coffee, rocket (scikit-image"
PLACES = {
    "style_training": {"MS-COCO train2014": THREE, VALIDATION: "astronaut, chelsea"},
    "fig5_objective": {VALIDATION: "astronaut, chelsea (scikit-image", "The Muse": "great_wave (data/styles"},
    "super_resolution_training": {"MS-COCO train2014": THREE, "Set5": "chelsea (scikit-image"},
    "table_super_resolution": {"Set5": "astronaut (scikit-image"},
    "fig8_super_resolution_x4": {"Set5": "astronaut (scikit", "Set5's baby": "astronaut", "Set14's comic": "nothing"},
    "fig9_super_resolution_x8": {"Set5": "astronaut (scikit-image", "BSD100's img_070": "astronaut"},
}


@pytest.mark.slow
@pytest.mark.parametrize("figure", PLACES)
def test_what_took_the_place_of_the_papers_input_stands_in_json_verdict_and_summary(stranger, figure, monkeypatch):
    found = record(stranger, figure)
    source = found["provenance"]
    assert source["stand_ins"].keys() == PLACES[figure].keys()
    text = shown(stranger, source["notebook"])
    monkeypatch.setattr(summary, "FIGURES", stranger.parent)
    scale = {row["figure"]: row["not the paper's"] for row in summary.scales("smoke")}
    for papers, ours in source["stand_ins"].items():
        assert ours.startswith(PLACES[figure][papers])
        if figure in claims():
            assert f"in place of {papers}: {ours}" in text
            assert f"In place of {papers}: {ours}." in judge_record(found).caption
            assert f"{ours} in place of {papers}" in scale[claims()[figure].title]


@pytest.mark.slow
def test_no_number_of_the_papers_is_compared_with_a_stand_ins(stranger):
    for figure in ("fig5_objective", "fig8_super_resolution_x4", "fig9_super_resolution_x8"):
        assert {found.verdict for found in judge_record(record(stranger, figure)).findings} == {NOT_RUN}
    scores = record(stranger, "table_super_resolution")["results"]
    assert {(row["set"], row["images"]) for row in scores} == {(NO_SET, 1)}


@pytest.mark.slow
def test_the_table_that_is_shown_has_no_column_of_the_papers(stranger):
    cells = nbformat.read(stranger / "notebooks" / "09_super_resolution.ipynb", as_version=4).cells
    outputs = [output.get("data", {}).get("text/html", "") for cell in cells for output in cell.get("outputs", [])]
    (table, *_) = [html for html in outputs if "<table" in html and "factor" in html]
    assert "paper" not in table


def test_pictures_of_the_papers_stand_in_for_nothing_and_the_others_are_named_by_origin():
    names = ("great_wave", "poppies", "ejiri", "poppies")
    pictures = [Picture(None, name, "data/styles") for name in names] + [Picture(None, "me", "file")]
    assert stand_ins("paintings", pictures) == {"paintings": "poppies, ejiri (data/styles), me (file)"}
    assert stand_ins("paintings", pictures[:1]) == {}
    assert stand_ins("The Muse", pictures[:1], same=["la_muse"]) == {"The Muse": "great_wave (data/styles)"}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with nothing in it, an empty cache, and no network."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    for name, value in {"https_proxy": OUT_OF_REACH, "no_proxy": "", "NO_PROXY": ""}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "data"


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_data_folder_without_photographs_is_named_and_those_of_scikit_image_are_taken(data, caplog):
    pictures, others = validation_pictures(2)
    assert [picture.name for picture in pictures] == [*PHOTOGRAPHS[:2]]
    assert list(others) == [VALIDATION]
    (data / "train").mkdir()
    photographs, others = training_photographs("chelsea")
    assert len(photographs.shapes) == 3
    assert list(others) == ["MS-COCO train2014"]
    end = "; those of scikit-image take their place"
    assert lines(caplog) == [f"REPLICATION_DATA has no photographs in {kind}/{end}" for kind in ("val", "train")]


def test_photographs_of_ms_coco_stand_in_for_nothing_and_others_do(data, caplog):
    for kind, name in (("train", "COCO_train2014_000000000009"), ("val", "000000000139")):
        (data / kind).mkdir()
        save_image(square(content_picture("coffee").image, 300), data / kind / f"{name}.png")
    assert validation_pictures(1)[1] == training_photographs("chelsea")[1] == {}
    for kind in ("train", "val"):
        save_image(square(content_picture("coffee").image, 300), data / kind / "x.png")
    assert validation_pictures(2)[1] == {VALIDATION: "x (file)"}
    (data / "val" / "x.png").unlink()
    assert validation_pictures(3)[1] == {VALIDATION: "only 1"}
    assert lines(caplog) == ["3 photographs wanted, there are 1"]
    caplog.clear()
    assert training_photographs("chelsea")[1] == {TRAINING: "2 photographs, 1 of them not MS-COCO's"}
    assert lines(caplog) == []


def test_without_a_data_folder_the_photograph_that_is_shown_is_not_trained_on(monkeypatch, caplog):
    monkeypatch.delenv("REPLICATION_DATA", raising=False)
    for shown, left in (("chelsea", ["astronaut", "coffee", "rocket"]), ("me.jpg", [*PHOTOGRAPHS])):
        photographs, _ = training_photographs(shown)
        assert [picture["name"] for picture in photographs.record["pictures"]] == left
    assert lines(caplog) == []


def test_a_set_that_is_there_in_part_or_not_at_all_is_a_line_each_and_left_out(data, caplog):
    (data / "sr" / "set5").mkdir(parents=True)
    save_image(content_picture("coffee").image, data / "sr" / "set5" / "baby.png")
    found, others = pictures_of(["set5", "set14"], 1)
    assert list(found) == [NO_SET]
    assert list(others) == ["Set5, Set14"]
    first, second = [line for line in lines(caplog) if "left out" in line]
    assert first.startswith(
        f"Set5 is left out: {data / 'sr' / 'set5'} lacks 4 of the 5 images of Set5: bird.png does not"
    )
    assert second.startswith("Set14 is left out: Set14 could not be downloaded; tried https://huggingface.co/")
    assert len(second) < 400
