"""The values that options and parameters take: on the command line, in notebooks, and as arguments of functions."""

import ast
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, get_args

from replication.io.files import ReplicationError

PROFILES = ("smoke", "quick", "overnight", "paper")  # tests; two CPU cores, minutes, or hours; the paper, on a GPU
Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["adam", "muon"]
Mode = Literal["default", "graphs"]  # of torch.compile
FACTORS = (4, 8)  # of super-resolution
Loss = Literal["feature", "pixel", "srcnn"]  # of super-resolution
Norm = Literal["batch", "instance"]
Padding = Literal["reflection", "zero"]
Fit = Literal["crop", "stretch"]  # how a photograph becomes a square
StyleForm = Literal["mean", "sum"]
Upsampling = Literal["transposed", "resize"]
PRECISIONS = get_args(Precision)


class RangeError(ReplicationError):
    """A value is outside of its range, or does not go with another; the message names both."""


class Range(NamedTuple):
    """The values of one parameter.

    Attributes:
        kind: int for whole numbers, float for all, str for names.
        least: the least of them, or with `above` what they are more than.
        most: the greatest of them; by default any that is finite.
        unit: what is counted or measured.
        multiple: of what they are multiples.
        among: the only ones there are.
    """

    kind: type
    least: float = 0
    most: float = sys.float_info.max
    unit: str = ""
    above: bool = False
    multiple: int | None = None
    among: Sequence[Any] = ()

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them; True and False are no numbers, nor are text, NaN and infinity."""
        if self.kind is str or self.among:
            return type(value) is self.kind and (not self.among or value in self.among)
        if isinstance(value, bool) or not isinstance(value, Integral if self.kind is int else Real):
            return False
        inside = self.least < value if self.above else self.least <= value
        return inside and value <= self.most and not (self.multiple and value % self.multiple)

    def refusal(self, value: Any) -> str:
        """What to say of a value that is none of them."""
        whole = self.kind is int and isinstance(value, float) and value.is_integer()
        return f"must be {self}; got {value!r}" + (f", write {int(value)}" if whole else "")

    def __str__(self) -> str:
        """What they are, in words: "a whole number of steps, at least 1"."""
        if self.kind is str or self.among:
            return " or ".join(map(str, self.among)) or "a name or a path"
        bounds = [f"{'more than' if self.above else 'at least'} {self.least}"]
        bounds += [f"at most {self.most}"] if self.most < sys.float_info.max else []
        bounds += [f"a multiple of {self.multiple}"] if self.multiple else []
        of = f" of {self.unit}" if self.unit else ""
        return f"a {'whole' if self.kind is int else 'finite'} number{of}, {', '.join(bounds)}"


COUNT_OF_STEPS = Range(int, 1, unit="steps")
PART_OF_STEPS = Range(int, 0, unit="steps")
IMAGES = Range(int, 1, unit="images")
SIDE = Range(int, 44, unit="pixels")  # the style network reflects 40 pixels, the loss network takes 32
ANY_SIDE = Range(int, 1, unit="pixels")
WEIGHT = Range(float)
RATE = Range(float, 0, 1, above=True)
NAME = Range(str)

RANGES = {
    "adam_lr": RATE,
    "batch_size": IMAGES,
    "blur": Range(float, unit="pixels"),
    "compare_steps": COUNT_OF_STEPS,
    "content": NAME,
    "content_weight": WEIGHT,
    "compiled": Range(str, among=get_args(Mode)),
    "count": IMAGES,
    "factor": Range(int, among=FACTORS),
    "fit": Range(str, among=get_args(Fit)),
    "history": Range(int, 1, unit="pairs"),
    "images": IMAGES,
    "iterations": Range(int, 1, unit="iterations"),
    "kernel_rate": RATE,
    "large": SIDE,
    "lattice_weight": WEIGHT,
    "learning_rate": RATE,
    "least": ANY_SIDE,
    "log_every": COUNT_OF_STEPS,
    "loss": Range(str, among=get_args(Loss)),
    "lr": RATE,
    "lr_decay": Range(float, 0, 1),
    "norm": Range(str, among=get_args(Norm)),
    "optimizer": Range(str, among=get_args(Optimizer)),
    "padding": Range(str, among=get_args(Padding)),
    "patch": Range(int, 32, unit="pixels"),
    "precision": Range(str, among=PRECISIONS),
    "recipe_steps": COUNT_OF_STEPS,
    "repeats": Range(int, 2, unit="rounds"),
    "save_every": Range(float, unit="seconds"),
    "seed": Range(int, 0, 2**63 - 1),
    "side": ANY_SIDE,
    "size": SIDE,
    "steps": COUNT_OF_STEPS,
    "style": NAME,
    "style_form": Range(str, among=get_args(StyleForm)),
    "style_size": SIDE,
    "style_weight": WEIGHT,
    "tile": Range(int, 4, unit="pixels", multiple=4),
    "time_limit": Range(float, above=True, unit="seconds"),
    "tv_weight": WEIGHT,
    "upsampling": Range(str, among=get_args(Upsampling)),
    "until": COUNT_OF_STEPS,
    "warmup": PART_OF_STEPS,
    "warmup_share": Range(float, 0, 1),
}
SEVERAL = {  # lists, and dictionaries by layer, and what each of their values is
    "contents": (list, NAME),
    "counts": (list, IMAGES),
    "precisions": (list, RANGES["precision"]),
    "sets": (list, NAME),
    "sides": (list, ANY_SIDE),
    "sizes": (list, SIDE),
    "work_sizes": (list, ANY_SIDE),
    "styles": (list, NAME),
    "tv_strength": (dict, WEIGHT),
}


def check(**values: Any) -> None:
    """Refuse values that are outside of their range, or do not go together.

    Args:
        values: by name; what has no range passes, and so does None, which stands for a default.

    Raises:
        RangeError: for the first that does not fit; it names parameter, range and value.
    """
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if name in RANGES:
            _check(name, value, RANGES[name])
        if name in SEVERAL:
            _check_several(name, value, *SEVERAL[name])
    check_together(**given)


def check_together(**values: Any) -> None:
    """Refuse values, each in its range, that do not go together.

    Raises:
        RangeError: for the first two that do not.
    """

    def given(*names: str) -> bool:
        return all(values.get(name) is not None for name in names)

    if given("warmup", "steps") and values["warmup"] > values["steps"]:
        raise RangeError(f"warmup must be at most steps, {values['steps']}; got {values['warmup']}")
    if values.get("loss") == "srcnn" and values.get("factor", 4) != 4:
        raise RangeError(f"factor must be 4 for srcnn; got {values['factor']}")
    if given("patch", "factor") and values["patch"] % values["factor"]:
        raise RangeError(f"patch must be a multiple of factor, {values['factor']}; got {values['patch']}")
    if given("patch", "blur") and 4 * values["blur"] >= values["patch"] - 1:
        raise RangeError(f"blur must be less than a quarter of patch, {values['patch']}; got {values['blur']}")
    if values.get("lattice_weight") and given("patch", "factor") and values["patch"] < 32 + values["factor"]:
        raise RangeError(f"patch must be at least 32 + factor with a lattice_weight; got {values['patch']}")
    weights = ("content_weight", "style_weight", "tv_weight")
    if given(*weights) and not any(values[name] for name in weights):
        raise RangeError(f"one of {', '.join(weights)} must be more than 0")


def literal(text: str) -> Any:
    """The Python value that `text` spells: a number, a list, None; the text itself where it spells none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _check(name: str, value: Any, its_range: Range) -> None:
    if not its_range.holds(value):
        raise RangeError(f"{name} {its_range.refusal(value)}")


def _check_several(name: str, values: Any, kind: type, each: Range) -> None:
    if not isinstance(values, (list, tuple) if kind is list else kind) or not values:
        wanted = "a list" if kind is list else "a dictionary by layer"
        raise RangeError(f"{name} must be {wanted}, each value {each}; got {values!r}")
    for value in values.values() if kind is dict else values:
        _check(f"each of {name}", value, each)
    if name != "counts" and len(set(values)) < len(values):
        raise RangeError(f"{name} must name each value once; got {values!r}")
