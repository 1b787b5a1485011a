"""The baseline's curves for many images, and going on where the work was stopped."""

import pytest
import torch

from replication import objective_curves as module
from replication.baseline import gatys
from replication.io.files import ReplicationError
from replication.io.images import square
from replication.io.pictures import content_picture, style_picture
from replication.report.curves import objective_curves

OPTIONS = {"together": 2, "label": "test", "iterations": 3, "tv_weight": 1e-4}


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
