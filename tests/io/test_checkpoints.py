"""Checkpoints that are whole or not there, and interrupts that wait."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save

from replication.io.checkpoints import (
    deferred_interrupts,
    load_checkpoint,
    load_network,
    save_checkpoint,
    save_network,
)
from replication.io.files import ReplicationError
from replication.networks import SuperResolutionNetwork, for_inference

SETTINGS = {"seed": 3, "layers": ("relu1_2", "relu2_2")}


def test_what_was_saved_comes_back_and_no_file_is_no_checkpoint(tmp_path):
    tensors = {"x": torch.rand(2, 3), "n": torch.tensor(7)}
    assert load_checkpoint(tmp_path / "a", SETTINGS) is None
    save_checkpoint(tmp_path / "a", tensors, SETTINGS)
    found = load_checkpoint(tmp_path / "a", SETTINGS)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", save({"x": torch.zeros(2)}), save({"x": torch.zeros(2)}, {"settings": "{"})],
    ids=["empty", "text", "no settings", "broken settings"],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ReplicationError, match=r"a is damaged or no checkpoint \(.*\); remove it to start anew"):
        load_checkpoint(tmp_path / "a", SETTINGS)


def test_other_settings_are_named(tmp_path):
    save_checkpoint(tmp_path / "a", {}, SETTINGS | {"lr": 0.1})
    with pytest.raises(ReplicationError, match="belongs to a run with another seed, lr, new; use another file"):
        load_checkpoint(tmp_path / "a", SETTINGS | {"seed": 4, "new": 1})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_noted_and_a_second_one_raised(number):
    before = signal.getsignal(number)
    with deferred_interrupts() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), number)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_outside_the_main_thread_nothing_is_deferred():
    noted = []

    def work():
        with deferred_interrupts() as interrupted:
            noted.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [False]


def test_a_network_that_could_not_be_read_again_is_not_written(tmp_path):
    network = SuperResolutionNetwork().eval()
    with pytest.raises(ReplicationError, match="without its batch norms, which `for_inference` folds"):
        save_network(for_inference(network), tmp_path / "a.safetensors", {})
    assert not any(tmp_path.iterdir())
    save_network(torch.compile(network), tmp_path / "b.safetensors", {"steps": np.int64(3)})
    found, record = load_network(tmp_path / "b.safetensors", SuperResolutionNetwork)
    assert record == {"steps": 3}
    assert found.state_dict().keys() == network.state_dict().keys()
