"""What notebook 07 times, for real and small: each kind of work, Table 1, and the memory of the commands."""

import pytest

from replication.io.runtime import precision_of
from replication.report.benchmarks import NUMBERS, WORKS, memory_rows, speed_rows, work_rows
from replication.style_transfer import style_network

SIZES = {"training step, super-resolution": 32, "enlarging by 4": 32}  # pixels a side; 64 of all others


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_each_work_is_timed_against_its_bare_convolutions_and_the_peak(work, weights_file):
    precision = precision_of("fast", "cpu") if work == "stylisation" else "float32"
    size = SIZES.get(work, 64)
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


@pytest.mark.slow
def test_the_rows_of_table_1_hold_together(weights):
    network = style_network("great_wave")[0]
    rows = speed_rows(network, [64, 96], "float32", 2, "cpu")
    assert [(row["size"], row["precision"]) for row in rows] == [(64, "float32"), (96, "float32")]
    for row in rows:
        assert 0 < row["network"] < row["iteration"]
        assert row["network / iteration"] == pytest.approx(row["network"] / row["iteration"])
        plain = {number: row[f"over plain {number}"] / number for number in NUMBERS}
        assert [*plain.values()] == pytest.approx([plain[100]] * len(NUMBERS))
        for number in NUMBERS:
            assert row[f"{number} iterations"] == pytest.approx(number * row["iteration"])
            assert row[f"speed-up over {number}"] == pytest.approx(row[f"{number} iterations"] / row["network"])


@pytest.mark.slow
def test_the_memory_of_the_commands_is_that_of_processes_of_their_own():
    rows = memory_rows([64], "cpu")
    assert [(row["command"], row["side"]) for row in rows] == [
        ("stylise --style great_wave", 64),
        ("stylise --style great_wave_instance", 64),
        ("upscale --factor 4", 64),
        ("upscale --factor 8", 64),
    ]
    assert all(0.2 < row["peak GB"] < 4 for row in rows)
    assert all(row["seconds"] > 0.1 for row in rows)
