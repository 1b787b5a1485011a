"""The timing harness: calls in turn, what they compute, the convolutions alone, and the memory that they need."""

import os

import pytest
import torch
from torch import nn

from replication.io.files import ReplicationError
from replication.loss_network import LossNetwork
from replication.report import timing
from replication.report.timing import bare_convolutions, convolution_cost, convolution_flops, interleaved, peak_memory


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
    with pytest.raises(ReplicationError, match="the process whose memory is measured died, probably since that ran"):
        peak_memory(os._exit, 1)


def test_a_convolution_costs_what_its_products_do():
    assert convolution_cost(channels=32, side=64) == 2 * 9 * 32 * 32 * 64 * 64
    assert convolution_cost(channels=64, side=32) == convolution_cost(channels=32, side=64)


def test_the_bare_convolutions_are_those_of_the_call_forward_and_backward():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3), nn.BatchNorm2d(4))
    x = torch.rand(2, 3, 17, 17)

    def training():
        network(x).square().sum().backward()

    inference = torch.inference_mode()(lambda: network(x))
    weights = 8 * 3 * 9 * 8 * 8 + 8 * 4 * 9 * 8 * 8
    assert convolution_flops(bare_convolutions(inference)) == 2 * 2 * weights
    without_first_input = 2 * 2 * (3 * weights - 8 * 3 * 9 * 8 * 8)
    assert convolution_flops(bare_convolutions(training)) == without_first_input


def test_the_bare_convolutions_have_the_memory_formats_and_precision_of_the_call():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 17, 17).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16), timing._Recorder() as recorder:
        network(x)
    tensors = [(arguments[0], arguments[1]) for _, arguments, _ in recorder.calls]
    assert [(a.shape[1], w.shape[0]) for a, w in tensors] == [(3, 8), (8, 8)]
    for pair in tensors:
        for tensor in pair:
            assert tensor.dtype == torch.bfloat16
            assert tensor.is_contiguous(memory_format=torch.channels_last)
