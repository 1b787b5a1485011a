"""The baseline's curves: for many images, going on where the work was stopped, and those that come with the project."""

import json

import pytest
import torch

from replication.baseline import gatys, image_digest
from replication.io.files import ReplicationError
from replication.io.images import save_image
from replication.io.pictures import content_picture, style_picture, validation_pictures
from replication.io.pixels import square
from replication.report import curves as module
from replication.report.curves import (
    FOLDER,
    baseline_curves,
    curve_settings,
    known_curves,
    objective_curves,
)

NAMES = ("chelsea", "coffee")


@pytest.fixture
def folder(tmp_path, monkeypatch, weights):
    """Two photographs in val/, and a place for the curves."""
    (tmp_path / "val").mkdir()
    for name in NAMES:
        save_image(square(content_picture(name).image, 48), tmp_path / "val" / f"{name}.png")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    monkeypatch.setattr(module, "FOLDER", tmp_path / "curves")
    (tmp_path / "curves").mkdir()
    return tmp_path


def photographs():
    return torch.cat([square(picture.image, 48) for picture in validation_pictures(2)[0]])


def style():
    return square(style_picture("great_wave").image, 256)


def test_they_are_the_baselines_and_are_not_computed_again(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("replication.io.provenance.commit", lambda: "earlier")
        path = baseline_curves("great_wave", 1, 48, 4)
    calls = []

    def counted(*arguments, **options):
        calls.append(options["label"])
        return gatys(*arguments, **options)

    monkeypatch.setattr(module, "gatys", counted)
    assert baseline_curves("great_wave", 2, 48, 4) == path
    assert calls == ["coffee, 2 of 2"]
    y_hat = gatys(photographs(), style(), iterations=4)
    expected = {image_digest(y): curve for y, curve in zip(photographs().split(1), y_hat.losses.total.T, strict=True)}
    known = known_curves(style(), 0, 4)
    assert known.keys() == expected.keys()
    for digest, curve in known.items():
        torch.testing.assert_close(curve, expected[digest], rtol=1e-4, atol=0)
    record = json.loads(path.read_text())
    for number, y in enumerate(photographs().split(1)):
        ends = {name: values[-1, number].item() for name, values in y_hat.losses._asdict().items()}
        assert record["curves"][image_digest(y)]["terms"] == pytest.approx(ends, rel=1e-4)
    assert record["settings"] == curve_settings(style()) | {"size": 48}
    assert record["provenance"]["inputs"][0]["name"] == "great_wave"
    commits = [record["curves"][image_digest(y)]["commit"] for y in photographs().split(1)]
    assert commits == ["earlier", record["provenance"]["commit"]]
    baseline_curves("great_wave", 1, 48, 5)
    assert calls[1:] == ["chelsea, 1 of 1"]
    assert sorted(map(len, known_curves(style(), 0, 4).values())) == [5, 6]


def test_a_network_is_judged_by_them_and_only_the_first_picture_is_computed(folder):
    options = {"batch_size": 2, "kept": folder / "kept", "label": "test", "iterations": 3}
    computed = objective_curves(photographs(), style(), **options)
    assert computed.known == 0
    baseline_curves("great_wave", 2, 48, 4)
    for path in (folder / "kept").glob("*"):
        path.unlink()
    found = objective_curves(photographs(), style(), **options)
    assert found.known == 1
    torch.testing.assert_close(found.objective, computed.objective, rtol=1e-4, atol=0)
    bare = objective_curves(photographs(), style(), **options, image=False)
    assert (bare.known, bare.first) == (2, None)
    torch.testing.assert_close(bare.objective, computed.objective, rtol=1e-4, atol=0)
    assert objective_curves(photographs(), style(), **options, tv_weight=1e-4).known == 0
    assert objective_curves(photographs(), style(), **options, seed=1).known == 0
    assert objective_curves(photographs(), style(), **options, dtype=torch.bfloat16).known == 0
    assert objective_curves(photographs(), style(), **options | {"iterations": 5}).known == 0


def test_too_few_photographs_and_damaged_or_other_curves_are_named(folder, monkeypatch):
    with pytest.raises(ReplicationError, match="3 photographs are wanted in val/ under REPLICATION_DATA"):
        baseline_curves("great_wave", 3, 48, 4)
    path = baseline_curves("great_wave", 1, 48, 4)
    with monkeypatch.context() as patch:
        patch.delenv("REPLICATION_DATA")
        assert baseline_curves("great_wave", 1, 48, 4) == path  # there is nothing to do
    (folder / "val" / "chelsea.png").rename(folder / "val" / "z.png")  # so that another one is the first
    assert len(json.loads(baseline_curves("great_wave", 1, 48, 4).read_text())["curves"]) == 2
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    with pytest.raises(ReplicationError, match="great_wave_48.json has curves of other settings; remove it"):
        baseline_curves("great_wave", 1, 48, 4)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ReplicationError, match="great_wave_48.json is damaged"):
        known_curves(style(), 0, 4)


@pytest.mark.data("val")
@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_those_in_the_repository_are_of_todays_baseline(path, weights):
    record = json.loads(path.read_text())
    settings = record["settings"]
    picture = validation_pictures(1)[0][0]
    y = square(picture.image, settings["size"])
    painting = square(style_picture(path.stem.rpartition("_")[0]).image, 256)
    dtype = getattr(torch, settings["dtype"].removeprefix("torch."))
    assert curve_settings(painting, settings["seed"], dtype=dtype).items() <= settings.items()
    if image_digest(y) not in record["curves"]:
        pytest.skip(f"{picture.name} is none of the photographs of {path.name}")
    stored = record["curves"][image_digest(y)]["objective"]
    today = gatys(y, painting, iterations=6, seed=settings["seed"], dtype=dtype)
    assert stored[:7] == pytest.approx(today.losses.total[:, 0].tolist(), rel=0.02)


OPTIONS = {"batch_size": 2, "label": "test", "iterations": 3, "tv_weight": 1e-4}


@pytest.fixture
def images(weights):
    content = torch.cat([square(content_picture(name).image, 48) for name in ("chelsea", "coffee", "rocket")])
    return content, square(style_picture("great_wave").image, 48)


def test_each_image_has_the_curve_that_it_has_alone(images, tmp_path):
    content, style = images
    curves, first, _ = objective_curves(*images, kept=tmp_path, dtype=torch.float64, **OPTIONS)
    assert curves.shape == (4, 3)
    for number, image in enumerate(content.split(1)):
        alone = gatys(image, style, iterations=3, tv_weight=1e-4, dtype=torch.float64)
        torch.testing.assert_close(curves[:, number : number + 1], alone.losses.total, rtol=1e-5, atol=0)
        if number == 0:
            torch.testing.assert_close(first, alone.image, rtol=0, atol=1e-5)


def test_a_call_that_was_stopped_goes_on(images, tmp_path, monkeypatch):
    whole = objective_curves(*images, kept=tmp_path / "whole", **OPTIONS)
    calls = []

    def stopped(part, style, **options):
        calls.append(len(part))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return gatys(part, style, **options)

    monkeypatch.setattr(module, "gatys", stopped)
    with pytest.raises(KeyboardInterrupt):
        objective_curves(*images, kept=tmp_path / "kept", **OPTIONS)
    curves, first, _ = objective_curves(*images, kept=tmp_path / "kept", **OPTIONS)
    assert calls == [2, 1, 1]
    assert torch.equal(curves, whole[0])
    assert torch.equal(first, whole[1])
    objective_curves(*images, kept=tmp_path / "kept", **OPTIONS)
    assert calls == [2, 1, 1]


def test_curves_of_other_code_or_arguments_stay_unused(images, tmp_path, monkeypatch):
    before, *_ = objective_curves(*images, kept=tmp_path, **OPTIONS)
    other, *_ = objective_curves(*images, kept=tmp_path, **OPTIONS | {"tv_weight": 1e-5})
    assert not torch.equal(before, other)
    monkeypatch.setattr(module, "sources_digest", lambda: "other")
    objective_curves(*images, kept=tmp_path, **OPTIONS)
    assert len([*tmp_path.glob("*.safetensors")]) == 6


def test_a_damaged_file_is_named(images, tmp_path):
    objective_curves(*images, kept=tmp_path, **OPTIONS)
    path = min(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ReplicationError, match=f"{path.name} is damaged or no checkpoint"):
        objective_curves(*images, kept=tmp_path, **OPTIONS)
