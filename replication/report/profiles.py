"""The notebooks' settings: what each profile gives, and the check of what a user asks for."""

import ast
from types import SimpleNamespace
from typing import Any

import torch

from replication.io.downloads import SETS
from replication.io.files import ReplicationError
from replication.io.pictures import Picture
from replication.io.pictures import content_picture, style_picture
from replication.io.ranges import NAME, PROFILES, RANGES, check, literal
from replication.io.runtime import default_device, keep_freed_memory
from replication.loss_network import LAYERS
from replication.style_transfer import painting_of, style_network

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


def _trained(name: str) -> Picture:
    """The painting that a network was trained on."""
    return painting_of(style_network(name)[1])


STYLES = {  # what finds what `style` and `styles` name
    "02_style_reconstruction": (style_picture,),
    "03_gatys_baseline": (style_picture,),
    "04_style_training": (style_picture, style_network),
    "05_style_transfer": (_trained,),
    "06_objective": (_trained,),
    "07_speed": (style_network,),
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
        ReplicationError: a parameter that papermill injected and the notebook does not have; and see `checked`.
    """
    unknown = _injected_names() - {"profile", *parameters}
    if unknown:
        raise ReplicationError(
            f"{notebook} has no parameter {', '.join(sorted(unknown))}; it has profile, {', '.join(parameters)}"
        )
    settings = checked(notebook, profile, parameters)
    keep_freed_memory()
    torch.manual_seed(settings["seed"])
    torch.backends.cudnn.deterministic = True
    device = default_device()
    return SimpleNamespace(notebook=notebook, profile=profile, device=device, **settings)


def checked(notebook: str, profile: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The settings of a notebook: text read as the value that it spells, the profile's values in place of None.

    Args:
        notebook, profile, parameters: see `start`.

    Raises:
        ReplicationError: an unknown profile, a value of the wrong kind or out of its range, or the name of a picture,
            network, set or layer that there is not.
    """
    defaults = profile_settings(notebook, profile)
    given = {name: value if RANGES.get(name) is NAME else _read(value) for name, value in parameters.items()}
    settings = {name: defaults.get(name) if value is None else value for name, value in given.items()}
    missing = [name for name, value in settings.items() if value is None and name not in defaults]
    if missing:
        raise ReplicationError(f"{missing[0]} must have a value; got None")
    check(**settings)
    for name, value in settings.items():
        _found(notebook, name, value)
    return settings


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


def _read(value: Any) -> Any:
    """What a text spells, a list where it is a tuple; all else as it is."""
    value = literal(value) if isinstance(value, str) else value
    return list(value) if isinstance(value, tuple) else value


def _found(notebook: str, name: str, value: Any) -> None:
    """Refuse what a parameter names where there is no such picture, network, set or layer, or its file is damaged."""
    finders = {"content": (content_picture,), "contents": (content_picture,), "sets": (_set,), "tv_strength": (_layer,)}
    styles = STYLES.get(notebook, ())
    for find in (finders | {"style": styles, "styles": styles}).get(name, ()):
        for each in [value] if isinstance(value, str) else value:
            find(each)


def _set(name: str) -> None:
    if name not in SETS:
        raise ReplicationError(f"there is no set {name!r}; give some of {', '.join(SETS)}")


def _layer(name: str) -> None:
    if name not in LAYERS:
        raise ReplicationError(f"there is no layer {name!r}; give some of {', '.join(LAYERS)}")


def _injected_names() -> set[str]:
    """Names set in the cell that papermill adds to a running notebook; papermill itself only warns of strange ones."""
    try:
        cells = get_ipython().user_ns["In"]
    except NameError:
        return set()
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    return {target.id for tree in injected for node in tree.body for target in getattr(node, "targets", [])}
