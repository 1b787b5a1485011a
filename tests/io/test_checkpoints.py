"""Checkpoints that are whole or not there, and networks that can be read again."""

import numpy as np
import pytest
import torch
from safetensors.torch import save

from replication.config import StyleConfig
from replication.io.checkpoints import (
    load_checkpoint,
    load_network,
    recorded,
    save_checkpoint,
    save_network,
)
from replication.io.files import ReplicationError
from replication.networks import SRCNN, SuperResolutionNetwork, for_inference

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


def test_settings_that_are_known_early_are_compared_alone(tmp_path):
    load_checkpoint(tmp_path / "a", SETTINGS, partly=True)
    save_checkpoint(tmp_path / "a", {}, SETTINGS | {"photographs": "some"})
    load_checkpoint(tmp_path / "a", SETTINGS, partly=True)
    with pytest.raises(ReplicationError, match="belongs to a run with another seed; use another file"):
        load_checkpoint(tmp_path / "a", SETTINGS | {"seed": 4}, partly=True)


def test_a_network_whose_configuration_gives_other_shapes_is_not_written(tmp_path):
    network = SRCNN((9, 1, 5))
    network.configuration = {"kernels": [9, 5, 5]}
    with pytest.raises(ReplicationError, match=r"by `configuration` layers.2.weight has another shape, .32, 64, 5, 5."):
        save_network(network, tmp_path / "a.safetensors", {})


def test_the_name_of_the_network_to_start_from_may_have_a_dot():
    assert recorded(StyleConfig(initial="van.gogh"), [{"step": 1}], {})["config"]["initial"] == "van.gogh"


def test_a_weight_that_float16_cannot_hold_is_named(tmp_path):
    network = SRCNN()
    network.layers[2].weight.data[0, 0, 0, 0] = 1e5
    with pytest.raises(ReplicationError, match=r"layers.2.weight has values that are too large for float16"):
        save_network(network, tmp_path / "a.safetensors", {})
    assert not any(tmp_path.iterdir())


def test_a_network_that_could_not_be_read_again_is_not_written(tmp_path):
    network = SuperResolutionNetwork().eval()
    with pytest.raises(ReplicationError, match=r"differs in .* \(`for_inference` folds batch norms"):
        save_network(for_inference(network), tmp_path / "a.safetensors", {})
    assert not any(tmp_path.iterdir())
    save_network(torch.compile(network), tmp_path / "b.safetensors", {"steps": np.int64(3)})
    found, record = load_network(tmp_path / "b.safetensors", SuperResolutionNetwork)
    assert record == {"steps": 3}
    assert found.state_dict().keys() == network.state_dict().keys()
