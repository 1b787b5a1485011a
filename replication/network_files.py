"""Trained networks as files: safetensors with their configuration and how they came about in the header."""

import json
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import nn

from replication.errors import ReplicationError, reason
from replication.files import DATA, check_writable, rounded, sha256, write_atomically, write_json
from replication.networks import ImageTransformationNetwork

NETWORKS = DATA / "checkpoints"  # those that come with the project
Network = TypeVar("Network", bound=nn.Module)


def network_path(path: Path | str) -> Path:
    """The path of a network's file, checked before the network is trained.

    Raises:
        ReplicationError: the suffix is not .safetensors, or it or the state beside it could not be written.
    """
    if Path(path).suffix != ".safetensors":
        raise ReplicationError(f"{path}: the suffix of a network's file is .safetensors")
    for each in (Path(path), state_path(path)):
        check_writable(each)
    return Path(path)


def state_path(path: Path | str) -> Path:
    """Where the state of the training of a network lies, beside its file."""
    return Path(path).with_suffix(".state.safetensors")


def save_network(network: nn.Module, path: Path | str, record: dict[str, Any]) -> None:
    """Write a network, its convolutions in float16, and its record, which also goes into a JSON file beside it.

    Args:
        network: one of `networks`, on any device.
        path: the file, .safetensors.
        record: how it came about, as JSON takes it.

    Raises:
        ReplicationError: another suffix, or a file could not be written.
    """
    path, record = network_path(path), rounded(record)
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    stored = {name: (value.half() if value.ndim == 4 else value).contiguous() for name, value in tensors.items()}
    kind, configuration = type(network).__name__, network.configuration
    header = {"kind": kind, "network": json.dumps(configuration), "record": json.dumps(record)}
    content = safetensors.torch.save(stored, header)
    write_atomically(path, content)
    write_json(path.with_suffix(".json"), {"network": configuration, "sha256": sha256(content)} | record)


def load_network(
    path: Path | str, kind: type[Network] | tuple[type[Network], ...] = ImageTransformationNetwork
) -> tuple[Network, dict[str, Any]]:
    """Read what `save_network` wrote.

    Args:
        path: the file.
        kind: the class of the network, or several to choose from.

    Returns:
        The network, on the CPU, in float32 and in evaluation mode, and its record.

    Raises:
        ReplicationError: no such file, a damaged one, or one that holds another kind of network.
    """
    kinds = {each.__name__: each for each in (kind if isinstance(kind, tuple) else (kind,))}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            record = json.loads(header["record"])
            found = header.get("kind", ImageTransformationNetwork.__name__)
            if found not in kinds:
                wanted = " or ".join(kinds)
                raise ReplicationError(f"{path} holds another kind of network, {found}; wanted is {wanted}")
            network = kinds[found](**json.loads(header["network"]))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise ReplicationError(f"{path} is damaged or no network of this project ({reason(error)})") from error
    return network.eval(), record


def training_log(record: dict[str, Any]) -> dict[str, list[float]]:
    """The columns of the log of a network's whole training, from its record.

    That of the network that it started from comes first, if its loss was the same; the steps go on.
    """
    history = [record]
    while (earlier := history[0].get("initial")) and _loss(earlier) == _loss(record):
        history.insert(0, earlier)
    columns: dict[str, list[float]] = {
        name: [] for name in record["log"] if all(name in each["log"] for each in history)
    }
    done = 0
    for each in history:
        for name, column in columns.items():
            column.extend(done + value if name == "step" else value for value in each["log"][name])
        done += each["log"]["step"][-1]
    return columns


def _loss(record: dict[str, Any]) -> str | None:
    return record["provenance"]["settings"].get("loss")


def steps_trained(record: dict[str, Any]) -> int:
    """All steps that a network had, with those of the networks that it started from."""
    return record["log"]["step"][-1] + (steps_trained(record["initial"]) if "initial" in record else 0)
