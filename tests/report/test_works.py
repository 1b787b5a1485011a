"""The calls that notebook 07 times; its test has the times."""

import pytest

from replication.report.works import WORKS


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("work", [work for work in WORKS if work.startswith("training step")])
def test_crops_may_be_larger_than_scikit_images_photographs(work):
    WORKS[work]["ours"](320, "float32", "cpu")
