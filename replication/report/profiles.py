"""The notebooks' settings: what each profile gives, and the check of what a user asks for."""

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import torch
from matplotlib_inline.backend_inline import set_matplotlib_formats

from replication.io.checkpoints import network_file
from replication.io.downloads import SETS
from replication.io.files import ReplicationError, sha256
from replication.io.pictures import PHOTOGRAPHS, Picture, content_picture, style_picture
from replication.io.provenance import code
from replication.io.ranges import NAME, PROFILES, RANGES, check
from replication.io.runtime import default_device, keep_freed_memory, precision_of
from replication.loss_network import LAYERS
from replication.style_transfer import PRETRAINED, painting_of, style_network

QUALITY = 90  # of JPEG
SETTINGS: dict[str, dict[str, Sequence[Any]]] = {  # what None stands for, by profile: smoke, quick, overnight, paper
    "01_feature_inversion": {"size": (64, 128, 256, 256), "iterations": (20, 200, 500, 500)},
    "02_style_reconstruction": {"size": (64, 128, 256, 256), "iterations": (20, 200, 500, 500)},
    "03_gatys_baseline": {"size": (64, 128, 256, 256), "iterations": (20, 200, 500, 500)},
    "04_style_training": {
        "size": (64, 128, 256, 256),
        "steps": (4, 80, 300, 40_000),
        "warmup_share": (0.5, 0.5, 0.5, 0.0),
        "norm": ("instance", "instance", "instance", "batch"),
        "compare_steps": (2, None, 1200, 40_000),
        "compare_size": (64, 80, 80, 256),
        "seeds": ([0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2]),
        "recipe_steps": (2, None, 600, 1200),
        "images": (2, 8, 50, 50),
    },
    "05_style_transfer": {
        "contents": (["astronaut", "chelsea"], ["astronaut", "chelsea"], list(PHOTOGRAPHS), list(PHOTOGRAPHS)),
        "size": (64, 256, 256, 256),
        "large": (128, 512, 512, 512),
        "iterations": (5, 100, 500, 500),
        "baselines": (2, 2, 6, 9),
        "large_baselines": (1, 0, 3, 9),
        "precision": ("float32", "float32", "fast", "float32"),
    },
    "06_objective": {
        "sizes": ([64], [256], [256, 512, 1024], [256, 512, 1024]),
        "counts": ([2], [4], [50, 10, 10], [50, 50, 50]),
        "iterations": (5, 100, 500, 500),
        "large_iterations": (5, 100, 100, 500),
    },
    "07_speed": {
        "iterations": (5, 20, 500, 500),
        "sizes": ([64], [128, 256], [256, 512, 1024], [256, 512, 1024]),
        "repeats": (2, 3, 5, 5),
        "precisions": (["float32"], *[["float32", "fast"]] * 3),
        "work_sizes": ([64], [128], [256, 512], [256, 512, 1024]),
        "sides": ([64], [512], [1024, 2048, 4096, 8192], [1024, 2048, 4096, 8192]),
    },
    "08_super_resolution_training": {
        "patch": (32, 96, 96, 288),
        "steps": (4, 300, 2000, 200_000),
        "seeds": ([0], [0], [0, 1, 2], [0, 1, 2]),
    },
    "09_super_resolution": {
        "sets": (["set5"], ["set5", "set14"], ["set5", "set14", "bsd100"], ["set5", "set14", "bsd100"]),
        "images": (1, 100, 100, 100),
    },
    "10_paper_against_ours": {},
    "11_your_own_pictures": {
        "size": (64, 256, 256, 256),
        "large": (128, 512, 512, 512),
        "steps": (2, 60, 2500, 2500),
        "iterations": (5, 50, 500, 500),
        "images": (2, 20, 100, 100),
    },
}


def _trained(name: str) -> Picture:
    return painting_of(style_network(name)[1])


def _among(kind: str, known: Sequence[str]) -> Callable[[str], None]:
    def find(name: str) -> None:
        if name not in known:
            raise ReplicationError(f"there is no {kind} {name!r}; give some of {', '.join(known)}")

    return find


TRAINED = ("04_style_training", "05_style_transfer", "06_objective", "07_speed")  # notebooks whose styles are networks
FINDERS = {  # functions that look up the names in other parameters
    "content": content_picture,
    "contents": content_picture,
    "network": style_network,
    "sets": _among("set", list(SETS)),
    "tv_strength": _among("layer", LAYERS),
}


def start(notebook: str) -> SimpleNamespace:
    """Return the settings of a notebook, named by its file without suffix, which calls this first; see `run_settings`.

    From then on figures are shown as JPEG, which takes less space in stored copies than PNG. The notebook's parameters
    are the variables of the cell that sets `profile`.

    Raises:
        ReplicationError: papermill injected a parameter that the notebook does not have, and see `checked`.
    """
    shell = get_ipython().user_ns
    assigned = {cell: _assigned(cell) for cell in shell["In"]}
    parameters = next((names for names in assigned.values() if "profile" in names), None)
    if parameters is None:
        raise ReplicationError("run the cell of the parameters first, which sets `profile`")
    injected = [names for cell, names in assigned.items() if cell.startswith("# Parameters\n")]  # by papermill
    if unknown := [name for names in injected for name in names if name not in parameters]:
        raise ReplicationError(f"{notebook} has no parameter {', '.join(unknown)}; it has {', '.join(parameters)}")
    set_matplotlib_formats("jpeg", pil_kwargs={"quality": QUALITY, "subsampling": 0})
    return run_settings(notebook, **{name: shell[name] for name in parameters})


def run_settings(notebook: str, profile: str, **parameters: Any) -> SimpleNamespace:
    """Seed torch, make it deterministic, let it keep memory for speed, and return the settings; see `checked`.

    The result has the settings as attributes, besides `notebook`, `profile`, `device` (see `default_device`), the
    present `code`, and `networks`, the digests of its style networks. A precision is that which `precision_of` gives.
    """
    settings, device = checked(notebook, profile, parameters), default_device()
    if "precision" in settings:
        settings["precision"] = precision_of(settings["precision"], device)
    if "precisions" in settings:
        settings["precisions"] = list(dict.fromkeys(precision_of(each, device) for each in settings["precisions"]))
    keep_freed_memory()
    torch.manual_seed(settings.get("seed", 0))
    torch.backends.cudnn.deterministic = True
    about = {"device": device, "code": code(), "networks": _style_networks(notebook, settings)}
    return SimpleNamespace(notebook=notebook, profile=profile, **about, **settings)


def _style_networks(notebook: str, settings: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of the files of the style networks that the settings name, by name."""
    names = [settings["network"]] if "network" in settings else []
    if notebook in TRAINED:
        names += settings.get("styles") or [settings["style"]]
    return {str(name): sha256(network_file(name, PRETRAINED).read_bytes()) for name in names}


def _assigned(cell: str) -> list[str]:
    """The names that a cell sets; none where it is no Python, but a magic."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:
        return []
    return [target.id for node in body for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]


def checked(notebook: str, profile: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The checked settings of a notebook: text is read as a Python literal, and None becomes the profile's value.

    Raises:
        ReplicationError: an unknown notebook or profile, a value of the wrong kind or out of its range, or the name of
            a picture, network, set or layer that there is not, or whose file is damaged.
    """
    defaults = profile_settings(notebook, profile)
    given = {name: value if RANGES.get(name) is NAME else _read(value) for name, value in parameters.items()}
    settings = {name: defaults.get(name) if value is None else value for name, value in given.items()}
    if missing := [name for name, value in settings.items() if value is None and name not in defaults]:
        raise ReplicationError(f"{missing[0]} must have a value; got None")
    check(optional=defaults, **settings)
    for name in settings.keys() & {"baselines", "large_baselines"}:  # each painting has one at most
        settings[name] = min(settings[name], len(settings["styles"]))
    style = _trained if notebook in TRAINED else style_picture
    for name, value in settings.items():
        if find := (FINDERS | {"style": style, "styles": style}).get(name):
            for each in [value] if isinstance(value, str) else value:
                find(each)
    return settings


def profile_settings(notebook: str, profile: str) -> dict[str, Any]:
    """The values of a profile for a notebook; ReplicationError if there is no such profile or notebook."""
    if notebook not in SETTINGS:
        raise ReplicationError(f"unknown notebook {notebook!r}; there are {', '.join(SETTINGS)}")
    if profile not in PROFILES:
        raise ReplicationError(f"unknown profile {profile!r}; choose {', '.join(PROFILES)}")
    return {name: values[PROFILES.index(profile)] for name, values in SETTINGS[notebook].items()}


def _read(value: Any) -> Any:
    """A text read as a Python literal, if it is one, with tuples as lists; anything else as it is."""
    if isinstance(value, str):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value)
    return list(value) if isinstance(value, tuple) else value
