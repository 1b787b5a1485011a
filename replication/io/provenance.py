"""Where a result comes from: enough to reproduce it, and nothing that changes from run to run."""

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
SOURCES = ("replication", "notebooks", "data", ":!data/checkpoints", ":!data/baseline_curves")  # but not outputs


def provenance(run: SimpleNamespace, network: nn.Module | None, inputs: Sequence[Picture]) -> dict[str, Any]:
    """Commit, settings, seed, device, precision, versions, and digests of weights and inputs.

    Args:
        run: the settings of a notebook, as `profiles.start` returned them, or of a command, with `command` in place of
            `notebook`. `profile`, `stand_ins` and `networks`, digests by name, are optional. `code` is what the
            function `code` returned when the run began; a training has a list of successive `origins` instead.
        network: the loss network, for its precision and weights. If it is None, the precision is `run.precision`.
        inputs: the input pictures.
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
    rounded = (device, dtype) == ("cuda", "float32") and torch.backends.cudnn.allow_tf32
    return dtype + (" (TF32)" if rounded and torch.cuda.get_device_capability() >= (8, 0) else "")


def origin(device: str, dtype: str) -> dict[str, Any]:
    """The present `code`, device, precision and versions. A long run that is resumed may have several such origins."""
    return code() | {"device": device_name(device), "precision": _precision(device, dtype), "versions": versions()}


def code() -> dict[str, str]:
    """Present commit and digest of the sources; a run calls this when it begins, since they may change meanwhile."""
    return {"commit": commit(), "sources": sources_digest()}


def commit() -> str:
    """The commit, with "+changes" if code or data other than outputs differ; "unknown" outside a git clone."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown"
    clean = _git("status", "--porcelain", "--untracked-files=normal", "--", *SOURCES) == ""
    return head if clean else f"{head}+changes"


def environment(*more: Path) -> dict[str, Any]:
    """What a result depends on beside its settings: code and data with `more` files, the device, and versions."""
    return {"sources": sources_digest(*more), "device": device_name(default_device()), "versions": versions()}


def versions() -> dict[str, str]:
    """The versions of Python, of the libraries that results depend on and, where there is a GPU, of CUDA and cuDNN."""
    gpu = {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    libraries = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | libraries | (gpu if torch.cuda.is_available() else {})


def sources_digest(*more: Path) -> str:
    """SHA-256 of the project's code and data, and of `more` files; it tells whether a result is up to date.

    Of code only the syntax tree without docstrings counts, so that editing a comment makes no result stale. Unlike the
    commit, the digest does not depend on files without effect on results, such as hidden ones, and each uncommitted
    change has its own.
    """
    files = (path for path in DATA.rglob("*") if path.is_file() and path.suffix != ".md")
    named = {Path("data", path.relative_to(DATA)): path for path in files}
    named |= {path.relative_to(ROOT): path for path in (*(ROOT / "replication").rglob("*.py"), *more)}
    shown = [name for name in sorted(named) if not any(part.startswith(".") for part in name.parts)]
    digests = {name.as_posix(): sha256(_content(named[name])) for name in shown}
    return sha256(json.dumps(digests).encode())


def _content(path: Path) -> bytes:
    """What counts of a file: of Python the syntax tree without docstrings, of a notebook the code, else the bytes."""
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
    """SHA-256 of those of the given files that exist, by their paths in the project."""
    return {path.as_posix(): sha256((ROOT / path).read_bytes()) for path in sorted(paths) if (ROOT / path).exists()}


def device_name(device: str) -> str:
    """The name of the GPU, or the CPU's with the number of threads."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    if device == "mps":
        return f"MPS, {platform.machine()}"
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def stands_for_titan(device: str) -> StandIns:
    """The device that stands in for the paper's Titan X, since times of other devices are not compared with its."""
    name = device_name(device)
    return {} if "TITAN X" in name.upper() else {"a Titan X": name}


def _git(*arguments: str) -> str | None:
    own = (f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}")  # never that of a repository around the project
    try:
        result = subprocess.run(["git", *own, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:  # git is not installed
        return None
    return result.stdout.strip() if result.returncode == 0 else None
