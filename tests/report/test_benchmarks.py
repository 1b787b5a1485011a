"""What each kind of work costs against its bare convolutions."""

import json

import pytest
import torch
from commands import run_command
from replication.report.benchmark_convolutions import METHODS, WORKS, _Recorder, bare_convolutions
from torch import nn

from replication.report.timing import convolution_flops


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
    with torch.autocast("cpu", torch.bfloat16), _Recorder() as recorder:
        network(x)
    tensors = [(arguments[0], arguments[1]) for _, arguments, _ in recorder.calls]
    assert [(a.shape[1], w.shape[0]) for a, w in tensors] == [(3, 8), (8, 8)]
    for pair in tensors:
        for tensor in pair:
            assert tensor.dtype == torch.bfloat16
            assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_the_benchmark_of_the_convolutions(checkout):
    result = run_command("benchmark", "convolutions", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_convolutions.json").read_text())
    rows = {(row["work"], row["precision"], row["method"]): row for row in record["results"]}
    methods = ("bare convolutions", METHODS[None])
    assert [*rows] == [(work, p, method) for p in ("float32", "bfloat16") for work in WORKS for method in methods]
    for (work, precision, _), row in rows.items():
        bare = rows[work, precision, "bare convolutions"]
        assert row["ratio"] == pytest.approx(row["seconds"] / bare["seconds"], rel=1e-4)
        assert row["TFLOP_s"] * row["seconds"] == pytest.approx(bare["TFLOP_s"] * bare["seconds"], rel=1e-4)
        assert row["share_of_peak"] > 0
    assert not (checkout / "figures" / "smoke" / "kept" / "benchmark_convolutions").exists()
