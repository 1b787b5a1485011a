"""States of long runs and trained networks, as safetensors files."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from replication.io.files import (
    DATA,
    ReplicationError,
    check_writable,
    reason,
    rounded,
    sha256,
    write_atomically,
    write_json,
)
from replication.io.runtime import seeded

NETWORKS = DATA / "checkpoints"  # those that come with the project
Network = TypeVar("Network", bound=nn.Module)


def network_file(name: Path | str, folder: Path, kind: str = "network") -> Path:
    """The file of a network: a path, or the name of one in a folder of the project.

    Raises:
        ReplicationError: there is none of that name; the message lists those there are.
    """
    known = {path.stem: path for path in sorted(folder.rglob("*.safetensors"))}
    if str(name) not in known and not Path(name).suffix:
        raise ReplicationError(f"there is no {kind} {name!r}: give a .safetensors file or one of {', '.join(known)}")
    return known.get(str(name), Path(name))


def save_checkpoint(
    path: Path | str, tensors: dict[str, Tensor], settings: dict[str, Any], origins: Sequence[dict[str, Any]] = ()
) -> None:
    """Write the state of a run, its settings in JSON types, which must match to resume, and its origins so far."""
    header = {"settings": _json(settings), "origins": _json(list(origins))}
    write_atomically(path, _serialised(tensors, header))


def _serialised(tensors: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """What safetensors writes, with `header` in its own order: safetensors takes another one at each call."""
    content = safetensors.torch.save(tensors, header)
    size = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + size]) | {"__metadata__": header}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[8 + size :]))


def load_origins(path: Path | str) -> list[dict[str, Any]]:
    """The `origins` that `save_checkpoint` wrote into a file that `load_checkpoint` takes."""
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata().get("origins", "[]"))


def load_checkpoint(path: Path | str, settings: dict[str, Any], partly: bool = False) -> dict[str, Tensor] | None:
    """Read what `save_checkpoint` wrote; None where there is no such file.

    Args:
        partly: compare these settings only, while the others are not known yet.

    Raises:
        ReplicationError: the file is damaged, or it belongs to other settings, which are named.
    """
    if not Path(path).exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            saved = json.loads((file.metadata() or {})["settings"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ReplicationError(
            f"{path} is damaged or no checkpoint ({reason(error)}); remove it to start anew"
        ) from error
    settings = json.loads(_json(settings))
    names = settings if partly else saved | settings
    if other := [name for name in names if saved.get(name) != settings.get(name)]:
        raise ReplicationError(
            f"{path} belongs to a run with another {', '.join(other)}; use another file, or remove it to start anew"
        )
    return tensors


def _json(value: Any) -> str:
    """A value as JSON, with NumPy's numbers as plain numbers."""
    return json.dumps(value, default=lambda number: number.item())


def network_path(path: Path | str) -> Path:
    """The path of a network's file; ReplicationError where its suffix is not .safetensors, or it cannot be written."""
    if Path(path).suffix != ".safetensors":
        raise ReplicationError(f"{path}: the suffix of a network's file is .safetensors")
    for each in (Path(path), state_path(path)):
        check_writable(each)
    return Path(path)


def state_path(path: Path | str) -> Path:
    """Where the state of the training of a network lies, beside its file."""
    return Path(path).with_suffix(".state.safetensors")


def save_network(network: nn.Module, path: Path | str, record: dict[str, Any]) -> None:
    """Write a network, floating-point tensors of four dimensions in float16, and its record, also as JSON beside it.

    Raises:
        ReplicationError: the suffix is not .safetensors, `load_network` could not read the network again, a value is
            too large for float16, or a file could not be written.
    """
    path, record = network_path(path), rounded(json.loads(_json(record)))
    network = check_network(network, path)
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    halved = {name: value.half() for name, value in tensors.items() if value.ndim == 4 and value.is_floating_point()}
    if too_large := [name for name, value in halved.items() if (value.isinf() & tensors[name].isfinite()).any()]:
        raise ReplicationError(f"{path}: {too_large[0]} has values that are too large for float16")
    stored = {name: value.contiguous() for name, value in (tensors | halved).items()}
    kind, configuration = type(network).__name__, network.configuration
    header = {"kind": kind, "network": json.dumps(configuration), "record": json.dumps(record)}
    content = _serialised(stored, header)
    write_atomically(path, content)
    write_json(path.with_suffix(".json"), {"network": configuration, "sha256": sha256(content)} | record)


def check_network(network: nn.Module, path: Path | str) -> nn.Module:
    """Return the network without torch.compile's wrapper; ReplicationError if `load_network` could not read it again.

    `load_network` makes a network of the same class with `configuration` as arguments, here on the device "meta"; its
    tensors must have the same names and shapes. They do not after `for_inference`, which folds batch norms.
    """
    network = getattr(network, "_orig_mod", network)
    name = type(network).__name__
    try:
        with torch.device("meta"):
            like = type(network)(**network.configuration)
    except (AttributeError, TypeError) as error:
        raise ReplicationError(f"{path}: `configuration` has to hold the arguments of {name}; {error}") from error
    except (RuntimeError, NotImplementedError) as error:
        raise ReplicationError(f"{path}: a {name} cannot be made on the device meta, to compare; {error}") from error
    wanted, found = ({name: value.shape for name, value in each.state_dict().items()} for each in (like, network))
    if wanted.keys() != found.keys():
        other = min(wanted.keys() ^ found.keys())
        raise ReplicationError(
            f"{path}: the {name} that `configuration` makes differs in {other}, so this one could not be read again. "
            "Does it hold all arguments? (`for_inference` folds batch norms: save the network before it.)"
        )
    if other := [name for name in wanted if wanted[name] != found[name]]:
        raise ReplicationError(f"{path}: by `configuration` {other[0]} has another shape, {tuple(wanted[other[0]])}")
    return network


def load_network(path: Path | str, kind: type[Network] | tuple[type[Network], ...]) -> tuple[Network, dict[str, Any]]:
    """Read what `save_network` wrote.

    Returns:
        The network, on the CPU, in float32 and in evaluation mode, and its record.

    Raises:
        ReplicationError: no such file, a damaged one, or one that holds another kind of network, or another project's.
    """
    kinds = {each.__name__: each for each in (kind if isinstance(kind, tuple) else (kind,))}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if "settings" in header:
                raise ReplicationError(f"{path} is the state of a run; a training writes its network at the end")
            record = json.loads(header["record"])
            found = header["kind"]
            if found not in kinds:
                wanted = " or ".join(kinds)
                raise ReplicationError(f"{path} holds another kind of network, {found}; wanted is {wanted}")
            with seeded(0):  # for the random weights, which loading replaces
                network = kinds[found](**json.loads(header["network"])).float()
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        why = _of_another_project(Path(path)) or f"is damaged or no network of this project ({reason(error)})"
        raise ReplicationError(f"{path} {why}") from error
    return network.eval(), record


def _of_another_project(path: Path) -> str | None:
    """Why a network published by others cannot become an `ImageTransformationNetwork`; None for other files."""
    if path.suffix == ".t7":
        kind, why = "fast-neural-style, in Torch7", "it ends in 150 tanh around the mean colour, ours in (1 + tanh) / 2"
    elif path.is_file() and b"deconv1.conv2d.weight" in path.read_bytes():  # the names of weights are not packed
        kind = "pytorch/examples"
        why = (
            "it pads each convolution by reflection, repeats pixels where ours has transposed convolutions, has no tanh"
        )
    else:
        return None
    return f"is a network of {kind}, which no weights of ours equal: {why}; train its painting with train-style"


def recorded(config: Any, log: list[dict[str, Any]], provenance: dict[str, Any]) -> dict[str, Any]:
    """The record of a network: its configuration (a dataclass), its last losses, provenance, and the log by columns.

    Of the initial network it holds the name only; that network's own record says the rest.
    """
    names = [name for name in log[0] if name not in ("images_per_second", "seconds_left")]
    columns = {name: [line[name] for line in log] for name in names}
    losses = {name: values[-1] for name, values in columns.items() if name not in ("step", "learning_rate")}
    settings = asdict(config)
    settings["initial"] = settings["initial"] and Path(settings["initial"]).name.removesuffix(".safetensors")
    return {"config": settings, "final_losses": losses, "provenance": provenance, "log": columns}


def training_log(record: dict[str, Any]) -> dict[str, list[float]]:
    """The log, by columns, of a network's training, preceded by those of its initial networks with the same loss."""
    log, initial = record["log"], record.get("initial")
    if not initial or initial["config"].get("loss") != record["config"].get("loss"):
        return log
    before = training_log(initial)
    after = log | {"step": [before["step"][-1] + step for step in log["step"]]}
    return {name: before[name] + after[name] for name in log if name in before}


def steps_trained(record: dict[str, Any]) -> int:
    """How many steps a network was trained, including those of its initial networks."""
    return record["log"]["step"][-1] + (steps_trained(record["initial"]) if "initial" in record else 0)
