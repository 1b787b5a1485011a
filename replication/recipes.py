"""How `train-style` trains where it is not told: the paper's way, or in a quarter of an hour on two CPU cores."""

from typing import Any

from replication.ranges import RECIPES, check

BASE, RANDOM = "base", "random"  # what a network starts from: the one that comes with the project for it, or nothing
PAPER = {  # section 4.1
    "steps": 40_000,
    "batch_size": 4,
    "size": 256,
    "fit": "stretch",
    "flip": False,
    "norm": "batch",
    "initial": RANDOM,
    "optimizer": "adam",
    "cooldown": 0,
    "lattice_weight": 0,
    "precision": "float32",
}
QUICK = {
    "steps": 2500,
    "batch_size": 1,
    "size": 256,
    "fit": "crop",
    "flip": True,
    "norm": "instance",
    "initial": BASE,
    "optimizer": "muon",
    "cooldown": 2500,
    "lattice_weight": 600,
    "precision": "bfloat16",
}


def recipe(name: str, **given: Any) -> dict[str, Any]:
    """The settings of a training: those of a recipe, but for what is given.

    With the quick recipe the learning rates fall over all steps that are given, and batch norm takes batches of four.

    Args:
        name: "paper" or "quick".
        given: settings of `train_style_from_files`.

    Raises:
        RangeError: an unknown recipe.
    """
    check(recipe=name)
    if name == "paper":
        return PAPER | given
    batch_size = PAPER["batch_size"] if given.get("norm") == "batch" else QUICK["batch_size"]
    return QUICK | {"batch_size": batch_size, "cooldown": given.get("steps", QUICK["steps"])} | given


def in_words(name: str) -> str:
    """What the help says of a setting: "paper: 40000, quick: 2500"."""
    return ", ".join(f"{each}: {settings[name]}" for each, settings in zip(RECIPES, (PAPER, QUICK), strict=True))
