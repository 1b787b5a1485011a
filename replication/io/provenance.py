"""Where a result comes from: enough to make it again, and nothing that changes from run to run."""

import ast
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from replication.io.files import DATA, ROOT, sha256
from replication.io.pictures import Picture, StandIns
from replication.io.runtime import default_device

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-image", "matplotlib")
SOURCES = ("replication", "notebooks", "data", ":!data/checkpoints", ":!data/baseline_curves")  # what commands write


def provenance(run: SimpleNamespace, network: nn.Module | None, inputs: Sequence[Picture]) -> dict[str, Any]:
    """Commit, settings, seed, device, precision, versions, and digests of weights and inputs.

    Args:
        run: what `profiles.start` returned; for a command, the same with `command` in place of `notebook`, and a
            profile where it has one, and `stand_ins` where something took the place of the paper's input. Its `code`
            is what `code` found when the run began; a training has its `origins`, one after the other, instead. Its
            `networks`, where it has some, are digests by name.
        network: the loss network; it tells precision and weights. Where there is none, `run.precision` does.
        inputs: the images that went in.
    """
    settings = vars(run).copy()
    others, networks = settings.pop("stand_ins", {}), settings.pop("networks", {})
    ran, *continued = settings.pop("origins", None) or [settings.pop("code")]
    if network:
        dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
        device = next(network.parameters()).device.type
        weights = {"name": "VGG-16", "source": network.weights.source, "sha256": network.weights.sha256}
    else:
        dtype, device, weights = settings.pop("precision"), run.device, {}
    found = {
        **ran,
        **{name: settings.pop(name) for name in ("command", "notebook", "profile") if name in settings},
        "seed": settings.pop("seed"),
        "device": device_name(settings.pop("device")),
        "precision": _precision(device, dtype),
        "settings": settings,
        "versions": versions(),
        **({"weights": weights} if weights else {}),
        **({"networks": networks} if networks else {}),
        "inputs": [picture.provenance() for picture in inputs],
        **({"stand_ins": others} if others else {}),
        **({"continued": continued} if continued else {}),
    }
    return found | ran  # what was noted when the run began wins


def _precision(device: str, dtype: str) -> str:
    tf32 = (device, dtype) == ("cuda", "float32") and torch.backends.cudnn.allow_tf32
    return dtype + (" (TF32)" if tf32 else "")


def origin(device: str, dtype: str) -> dict[str, Any]:
    """What computes now: `code`, device, precision and versions. A long run that is resumed may have several."""
    return code() | {"device": device_name(device), "precision": _precision(device, dtype), "versions": versions()}


def code() -> dict[str, str]:
    """Commit and digest of the sources as they are now; a run asks when it begins, since they may change under it."""
    return {"commit": commit(), "sources": sources_digest()}


def commit() -> str:
    """The commit, with "+changes" where code or data, trained networks apart, differ; "unknown" outside a git clone."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown"
    clean = _git("status", "--porcelain", "--untracked-files=normal", "--", *SOURCES) == ""
    return head if clean else f"{head}+changes"


def environment(*more: Path) -> dict[str, Any]:
    """What a result depends on beside its settings: code and data with `more` files, the device, and versions."""
    return {"sources": sources_digest(*more), "device": device_name(default_device()), "versions": versions()}


def versions() -> dict[str, str]:
    """Of Python and of the libraries that compute."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def sources_digest(*more: Path) -> str:
    """SHA-256 of the code and of the data that come with the project, and of `more` files: when a result is of today.

    Of code the syntax counts, without docstrings, so that a comment makes nothing stale. Unlike the commit it does not
    change with what has no part in a result, hidden files for one, and tells one change from another.
    """
    files = (path for path in DATA.rglob("*") if path.is_file() and path.suffix != ".md")
    data = [path for path in files if not path.name.startswith(".")]
    named = {Path("data", path.relative_to(DATA)): path for path in data}
    named |= {path.relative_to(ROOT): path for path in (*(ROOT / "replication").rglob("*.py"), *more)}
    digests = {name.as_posix(): sha256(_content(named[name])) for name in sorted(named)}
    return sha256(json.dumps(digests).encode())


def _content(path: Path) -> bytes:
    """Of Python its syntax tree, without the strings that stand alone, of a notebook the code, of others the bytes."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_bytes())["cells"]
        return json.dumps(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]).encode()
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_bytes())

    def is_string(node: ast.AST) -> bool:
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [each for each in body if not is_string(each)]
    return ast.dump(tree).encode()


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of those files of the project that are there, by their names in it."""
    return {path.as_posix(): sha256((ROOT / path).read_bytes()) for path in sorted(paths) if (ROOT / path).exists()}


def device_name(device: str) -> str:
    """The name of the GPU, or the CPU's with the number of threads."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "mps":
        return f"MPS, {platform.machine()}"
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def stands_for_titan(device: str) -> StandIns:
    """The device in the place of the paper's Titan X, whose seconds no other's are compared with."""
    name = device_name(device)
    return {} if "TITAN X" in name.upper() else {"a Titan X": name}


def _git(*arguments: str) -> str | None:
    own = (f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}")  # never that of a repository around the project
    try:
        result = subprocess.run(["git", *own, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:  # git is not installed
        return None
    return result.stdout.strip() if result.returncode == 0 else None
