"""Each kind of work, timed for real and small."""

import time
from types import SimpleNamespace

import pytest

from replication.io.runtime import precision_of
from replication.report import timing
from replication.report.works import WORKS, work_rows

SIZES = {"training step, super-resolution": 32, "enlarging by 4": 32}  # pixels a side; 64 of all others


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_each_work_is_timed_against_its_bare_convolutions_and_the_peak(work, weights_file, monkeypatch):
    precision = precision_of("fast", "cpu") if work == "stylisation" else "float32"
    size = SIZES.get(work, 64)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=time.process_time))  # which others do not lengthen
    rows = {row["method"]: row for row in work_rows(work, size, precision, "cpu", repeats=2)}
    assert [*rows] == ["bare convolutions", *WORKS[work]]
    bare = rows["bare convolutions"]
    assert bare["peak GB"] is None
    for method, row in rows.items():
        assert (row["work"], row["size"], row["precision"]) == (work, size, precision)
        assert 0 < row["lower_quartile"] <= row["seconds"] <= row["upper_quartile"]
        assert row["ratio"] == pytest.approx(row["seconds"] / bare["seconds"])
        assert row["share of peak"] * row["ratio"] == pytest.approx(bare["share of peak"])
        assert method == "bare convolutions" or 0.2 < row["peak GB"] < 4
    assert bare["share of peak"] > 0  # on a CPU up to 2.4: there the product is no bound
    assert rows["ours"]["ratio"] > 0.5  # it has the convolutions in it
