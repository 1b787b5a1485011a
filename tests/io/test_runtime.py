"""In what convolutions compute, on this machine and on those that it is not."""

import time

import pytest
import torch

from replication.io.runtime import default_device, dtype_of, precision_of, use_device


def test_the_device_is_the_one_asked_for_else_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("REPLICATION_DEVICE", "")
    assert default_device() == "cuda"
    use_device("cpu")
    assert default_device() == "cpu"


@pytest.mark.parametrize(
    ("device", "processor", "wanted"),
    [("cpu", True, "bfloat16"), ("cpu", False, "float32"), ("cuda", True, "bfloat16"), ("mps", True, "float32")],
)
def test_fast_is_bfloat16_where_the_processor_has_it(monkeypatch, device, processor, wanted):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: processor)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: processor)
    assert precision_of("fast", device) == wanted
    assert dtype_of("fast", device) == getattr(torch, wanted)
    assert precision_of("bfloat16", device) == "bfloat16"


@pytest.mark.slow
def test_fast_is_not_emulated_here():
    """Which would take several times as long as the other one."""
    if precision_of("fast", "cpu") == "float32":
        pytest.skip("fast is float32 here")
    seconds = {}
    for name in ("float32", "bfloat16"):
        layer, x = torch.nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 128, 128)
        layer, x = (each.to(getattr(torch, name), memory_format=torch.channels_last) for each in (layer, x))
        with torch.no_grad():
            layer(x)
            started = time.process_time()
            for _ in range(10):
                layer(x)
            seconds[name] = time.process_time() - started
    assert seconds["bfloat16"] < 2 * seconds["float32"]
