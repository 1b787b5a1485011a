"""The timing harness, and the benchmark as a real command."""

import csv
import json
import os

import pytest
import torch
from commands import run_command

from replication import timing
from replication.io.files import ReplicationError
from replication.loss_network import LossNetwork
from replication.report.timing import convolution_cost, convolution_flops, interleaved, peak_memory


class Clock:
    """One that only goes on while something waits, so that no other process is in what is measured."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(timing, "time", Clock())
    return timing.time


def test_calls_are_timed_in_turn_for_one_unit_of_their_work(clock):
    order = []

    def call(name, seconds, times):
        order.append(name)
        clock.wait(seconds)
        return times

    timings = interleaved({"a": lambda: call("a", 0.02, None), "b": lambda: call("b", 0.06, 3)}, repeats=4)
    assert order == ["a", "b"] * 5
    for found in timings.values():
        assert found == pytest.approx((0.02, 0.02, 0.02))


def test_of_the_rounds_that_count_there_are_median_and_quartiles(clock):
    waits = iter([9, 4, 1, 3, 2, 5])
    assert interleaved({"a": lambda: clock.wait(next(waits))}, repeats=5)["a"] == pytest.approx((3, 2, 4))


def test_the_operations_of_the_convolutions_are_counted():
    network = LossNetwork(["relu2_1"])
    x = torch.rand(1, 3, 64, 48, requires_grad=True)
    per_pixel = 9 * (3 * 64 + 64 * 64 + 64 * 128 / 4)
    assert convolution_flops(lambda: network(x)) == 2 * 64 * 48 * per_pixel
    assert convolution_flops(lambda: network(x)["relu2_1"].sum().backward()) == 2 * 2 * 64 * 48 * per_pixel


def allocate(megabytes):
    torch.ones(megabytes * 2**18)


@pytest.mark.slow
def test_the_peak_memory_is_that_of_the_call():
    little, much = (peak_memory(allocate, megabytes) for megabytes in (1, 400))
    assert much - little == pytest.approx(399 * 2**20, rel=0.1)


def test_a_measured_process_that_dies_is_one_line():
    with pytest.raises(
        ReplicationError, match="the process whose memory is measured died, probably since that ran out"
    ):
        peak_memory(os._exit, 1)


def test_a_convolution_costs_what_its_products_do():
    assert convolution_cost(channels=32, side=64) == 2 * 9 * 32 * 32 * 64 * 64
    assert convolution_cost(channels=64, side=32) == convolution_cost(channels=32, side=64)


@pytest.mark.slow
def test_the_benchmark_of_style_transfer(checkout):
    result = run_command("benchmark", "style", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_style.json").read_text())
    rows = {(row["size"], row["precision"], row["method"]): row for row in record["results"]}
    for precision in ("float32", "bfloat16"):
        parts = [
            row["seconds"]
            for row in record["results"]
            if row["method"].startswith("bare")
            if row["precision"] == precision
        ]
        step = rows[64, precision, "training step"]
        assert step["ratio"] == pytest.approx(step["seconds"] / sum(parts), rel=1e-4)
        assert len(parts) == 3
    fast, plain = rows[128, "float32", "stylise"], rows[128, "float32", "plain PyTorch"]
    assert fast["ratio"] == pytest.approx(fast["seconds"] / plain["seconds"], rel=1e-4)
    assert 0.2 < fast["peak_GB"] < 4


@pytest.mark.slow
def test_the_benchmark_of_super_resolution(checkout):
    result = run_command("benchmark", "super-resolution", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_super_resolution.json").read_text())
    rows = {(row["size"], row["precision"], row["method"]): row for row in record["results"]}
    assert len(rows) == 4 + 3
    fast, plain = (rows["48 x 32", "float32", method] for method in ("upscale", "plain PyTorch"))
    assert fast["ratio"] == pytest.approx(fast["seconds"] / plain["seconds"], rel=1e-4)
    assert 0.2 < fast["peak_GB"] < 4
    steps = [rows["32 x 32", precision, "training step, feature loss"] for precision in ("float32", "bfloat16")]
    assert steps[1]["ratio"] == pytest.approx(steps[1]["seconds"] / steps[0]["seconds"], rel=1e-4)


@pytest.mark.slow
def test_the_benchmark_of_memory(checkout):
    result = run_command("benchmark", "memory", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_memory.json").read_text())
    rows = {row["command"]: row for row in record["results"]}
    assert len(rows) == len(record["results"]) == 2 + 2 + 1 + 2
    assert all(0.2 < row["peak_GB"] < 4 for row in rows.values())
    assert rows["train-style"]["peak_GB"] > rows["stylise --style great_wave"]["peak_GB"]


@pytest.mark.slow
def test_the_benchmark_of_the_baseline(checkout):
    result = run_command("benchmark", "baseline", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    assert "64 x 64: 100%" in result.stderr
    assert "figures/smoke/benchmark_baseline.json" in result.stdout
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_baseline.json").read_text())
    assert record["provenance"]["command"] == "benchmark baseline"
    rows = {(row["method"], row["precision"], row["size"]): row for row in record["results"]}
    assert len(rows) == 9
    for precision in ("float32", "bfloat16"):
        bare, ours, torchs = (rows[name, precision, 64] for name in ("bare VGG-16", "ours", "torch.optim.LBFGS"))
        assert bare["ratio"] == 1
        assert ours["ratio"] == pytest.approx(ours["seconds"] / bare["seconds"], rel=1e-4)
        assert ours["seconds"] < 1.3 * torchs["seconds"]
        assert 0.2 < ours["peak_GB"] < 3
    with open(checkout / "figures" / "smoke" / "benchmark_baseline.csv") as file:
        assert [row["method"] for row in csv.DictReader(file)] == [row["method"] for row in record["results"]]


def test_an_unknown_profile_is_refused_before_anything_runs():
    result = run_command("benchmark", "baseline", "--profile", "fast")
    assert result.returncode == 1
    assert result.stderr == "error: unknown profile 'fast'; choose paper, quick, smoke\n"
