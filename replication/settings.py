"""The notebooks' settings: what each profile gives, and the check of what a user asks for."""

import ast
from types import SimpleNamespace
from typing import Any

import torch

from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError

PRECISIONS = ("float32", "bfloat16")
PROFILES = ("paper", "quick", "smoke")  # the paper's settings; 2 CPU cores, minutes; the tests

SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "01_feature_inversion": {
        "paper": {"size": 256, "iterations": 500},
        "quick": {"size": 128, "iterations": 200},
        "smoke": {"size": 64, "iterations": 20},
    },
    "02_style_reconstruction": {
        "paper": {"size": 256, "iterations": 500},
        "quick": {"size": 128, "iterations": 200},
        "smoke": {"size": 64, "iterations": 20},
    },
    "03_gatys_baseline": {
        "paper": {"size": 256, "iterations": 500},
        "quick": {"size": 128, "iterations": 200},
        "smoke": {"size": 64, "iterations": 20},
    },
    "04_style_training": {
        "paper": {"size": 256, "steps": 2000, "compare_steps": 2000},
        "quick": {"size": 128, "steps": 80, "compare_steps": None},
        "smoke": {"size": 64, "steps": 4, "compare_steps": 2},
    },
    "05_style_transfer": {
        "paper": {"size": 256, "large": 512, "iterations": 500, "contents": ["chelsea", "astronaut"]},
        "quick": {"size": 256, "large": 512, "iterations": 100, "contents": ["chelsea"]},
        "smoke": {"size": 64, "large": 128, "iterations": 5, "contents": ["chelsea"]},
    },
    "06_objective": {
        "paper": {"sizes": [256, 512, 1024], "images": 50, "iterations": 500},
        "quick": {"sizes": [256], "images": 4, "iterations": 100},
        "smoke": {"sizes": [64], "images": 2, "iterations": 5},
    },
    "07_speed": {
        "paper": {"sizes": [256, 512, 1024], "repeats": 5},
        "quick": {"sizes": [128, 256], "repeats": 3},
        "smoke": {"sizes": [64], "repeats": 2},
    },
    "08_super_resolution_training": {
        "paper": {"patch": 288, "steps": 2000},
        "quick": {"patch": 96, "steps": 300},
        "smoke": {"patch": 32, "steps": 4},
    },
    "09_super_resolution": {
        "paper": {"sets": ["set5", "set14", "bsd100"], "images": 100},
        "quick": {"sets": ["set5", "set14"], "images": 100},
        "smoke": {"sets": ["set5"], "images": 1},
    },
    "10_paper_against_ours": {profile: {} for profile in PROFILES},
}


def start(notebook: str, profile: str, **parameters: Any) -> SimpleNamespace:
    """What a notebook calls first: its settings, checked, a seeded, deterministic torch, and memory kept for speed.

    Args:
        notebook: its file name without suffix.
        profile: one of `PROFILES`.
        parameters: all other parameters of the notebook; None takes the profile's value.

    Returns:
        The settings as attributes, with `notebook`, `profile` and `device` ("cuda" where there is one, else "cpu").

    Raises:
        ReplicationError: an unknown profile, a parameter that papermill injected and the notebook does not have, or a
            value of the wrong kind.
    """
    defaults = profile_settings(notebook, profile)
    unknown = _injected_names() - {"profile", *parameters}
    if unknown:
        raise ReplicationError(
            f"{notebook} has no parameter {', '.join(sorted(unknown))}; it has profile, {', '.join(parameters)}"
        )
    settings = {name: defaults.get(name) if value is None else value for name, value in parameters.items()}
    for name, default in defaults.items():
        _check(name, settings[name], default)
    if type(settings["seed"]) is not int:
        raise ReplicationError(f"seed must be a whole number; got {settings['seed']!r}")
    for precision in [settings[name] for name in ("precision",) if name in settings] + settings.get("precisions", []):
        if precision not in PRECISIONS:
            raise ReplicationError(f"a precision is {' or '.join(PRECISIONS)}; got {precision!r}")
    keep_freed_memory()
    torch.manual_seed(settings["seed"])
    torch.backends.cudnn.deterministic = True
    device = default_device()
    return SimpleNamespace(notebook=notebook, profile=profile, device=device, **settings)


def profile_settings(notebook: str, profile: str) -> dict[str, Any]:
    """The values of a profile for a notebook.

    Raises:
        ReplicationError: an unknown notebook or profile.
    """
    if notebook not in SETTINGS:
        raise ReplicationError(f"unknown notebook {notebook!r}; there are {', '.join(SETTINGS)}")
    check_profile(profile)
    return SETTINGS[notebook][profile]


def check_profile(profile: str) -> None:
    """Refuse what is not one of `PROFILES`.

    Raises:
        ReplicationError: an unknown profile.
    """
    if profile not in PROFILES:
        raise ReplicationError(f"unknown profile {profile!r}; choose {', '.join(PROFILES)}")


def _check(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the profile's: a number that is not whole or too small, an empty list."""
    if isinstance(default, list):
        if not isinstance(value, list) or not value:
            raise ReplicationError(f"{name} must be a list; got {value!r}")
        for item in value:
            _check(f"each of {name}", item, default[0])
    elif isinstance(default, int) and (type(value) is not int or value < 1):
        raise ReplicationError(f"{name} must be a whole number of at least 1; got {value!r}")


def _injected_names() -> set[str]:
    """Names set in the cell that papermill adds to a running notebook; papermill itself only warns of strange ones."""
    try:
        cells = get_ipython().user_ns["In"]
    except NameError:
        return set()
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    return {target.id for tree in injected for node in tree.body for target in getattr(node, "targets", [])}
