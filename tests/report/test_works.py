"""The calls that notebook 07 times; its test has the times."""

import pytest
import torch

from replication.report import works
from replication.report.works import WORKS


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("work", [work for work in WORKS if work.startswith("training step")])
def test_crops_may_be_larger_than_scikit_images_photographs(work):
    WORKS[work]["ours"](320, "float32", "cpu")


def test_the_peak_is_rounded_as_convolutions_are(monkeypatch):
    seen, matmul = [], torch.backends.cuda.matmul
    monkeypatch.setattr(works, "drop", lambda product: seen.append(matmul.allow_tf32))
    before = matmul.allow_tf32
    works._product(torch.ones(2, 2), torch.ones(2, 2))
    assert seen == [torch.backends.cudnn.allow_tf32] != [before]
    assert matmul.allow_tf32 == before
