"""The values that options and parameters take: on the command line, in notebooks, and as arguments of functions."""

import sys
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, get_args

from replication.io.files import ReplicationError

PROFILES = ("smoke", "quick", "overnight", "paper")  # tests; two CPU cores, minutes, or hours; the paper, on a GPU
Precision = Literal["float32", "bfloat16", "fast"]  # fast: see `runtime.dtype_of`
Optimizer = Literal["adam", "muon"]
Mode = Literal["default", "graphs"]  # of torch.compile
Loss = Literal["feature", "pixel", "srcnn"]  # of super-resolution
PretrainedLoss = Literal["feature", "feature_penalised", "pixel"]  # the networks of it that come with the project
Norm = Literal["batch", "instance"]
Padding = Literal["reflection", "zero"]
Fit = Literal["crop", "stretch"]  # how a photograph becomes a square
StyleForm = Literal["mean", "sum"]
Upsampling = Literal["transposed", "resize"]


class RangeError(ReplicationError):
    """A value is outside of its range, or does not go with another; the message names both."""


class Range(NamedTuple):
    """The values of one parameter.

    Attributes:
        kind: int for whole numbers, float for all, str for names.
        least: the smallest value.
        most: the greatest value; by default any finite one.
        unit: what is counted or measured.
        above: whether values have to be greater than `least`, which is then excluded.
        multiple: the number that values have to be multiples of; None for no such rule.
        among: the only values allowed; empty for no such rule.
    """

    kind: type
    least: float = 0
    most: float = sys.float_info.max
    unit: str = ""
    above: bool = False
    multiple: int | None = None
    among: Sequence[Any] = ()

    def holds(self, value: Any) -> bool:
        """Whether `value` is in the range; booleans, text, NaN and infinity do not count as numbers."""
        if self.kind is str or self.among:
            return type(value) is self.kind and (not self.among or value in self.among)
        if isinstance(value, bool) or not isinstance(value, Integral if self.kind is int else Real):
            return False
        value = value.item() if hasattr(value, "item") else value  # NumPy's float32 does not reach `most`
        inside = self.least < value if self.above else self.least <= value
        return inside and value <= self.most and not (self.multiple and value % self.multiple)

    def __str__(self) -> str:
        """The range in words, for example "a whole number of steps, at least 1"."""
        if self.kind is str or self.among:
            return " or ".join(map(str, self.among)) or "a name or a path"
        bounds = [f"{'more than' if self.above else 'at least'} {self.least}"]
        bounds += [f"at most {self.most}"] if self.most < sys.float_info.max else []
        bounds += [f"a multiple of {self.multiple}"] if self.multiple else []
        of = f" of {self.unit}" if self.unit else ""
        return f"a {'whole' if self.kind is int else 'finite'} number{of}, {', '.join(bounds)}"


IMAGES = Range(int, 1, unit="images")
SIDE = Range(int, 44, unit="pixels")  # the style network reflects 40 pixels, the loss network takes 32
ANY_SIDE = Range(int, 1, unit="pixels")
WEIGHT = Range(float)
NAME = Range(str)

RANGES = {
    **dict.fromkeys(("compare_steps", "log_every", "recipe_steps", "steps", "until"), Range(int, 1, unit="steps")),
    **dict.fromkeys(("batch_size", "count", "images"), IMAGES),
    **dict.fromkeys(("compare_size", "large", "size", "style_size"), SIDE),
    **dict.fromkeys(("least", "side"), ANY_SIDE),
    **dict.fromkeys(("content_weight", "lattice_weight", "style_weight", "tv_weight"), WEIGHT),
    **dict.fromkeys(("adam_lr", "kernel_rate", "learning_rate", "lr"), Range(float, 0, 1, above=True)),
    **dict.fromkeys(("lr_decay", "strength", "warmup_share"), Range(float, 0, 1)),
    **dict.fromkeys(("iterations", "large_iterations"), Range(int, 1, unit="iterations")),
    **dict.fromkeys(("content", "network", "style"), NAME),
    "baselines": Range(int, 1, unit="paintings"),
    "blur": Range(float, unit="pixels"),
    "compiled": Range(str, among=get_args(Mode)),
    "factor": Range(int, among=(4, 8)),
    "fit": Range(str, among=get_args(Fit)),
    "history": Range(int, 1, unit="pairs"),
    "large_baselines": Range(int, unit="paintings"),
    "loss": Range(str, among=get_args(Loss)),
    "norm": Range(str, among=get_args(Norm)),
    "optimizer": Range(str, among=get_args(Optimizer)),
    "padding": Range(str, among=get_args(Padding)),
    "patch": Range(int, 32, unit="pixels"),
    "precision": Range(str, among=get_args(Precision)),
    "repeats": Range(int, 2, unit="rounds"),
    "save_every": Range(float, unit="seconds"),
    "seed": Range(int, 0, 2**63 - 1),
    "style_form": Range(str, among=get_args(StyleForm)),
    "tile": Range(int, 4, unit="pixels", multiple=4),
    "time_limit": Range(float, above=True, unit="seconds"),
    "upsampling": Range(str, among=get_args(Upsampling)),
    "warmup": Range(int, 0, unit="steps"),
}
SEVERAL = {  # parameters that are lists or dictionaries by layer, and the range of each value
    **dict.fromkeys(("contents", "sets", "styles"), (list, NAME)),
    **dict.fromkeys(("sides", "work_sizes"), (list, ANY_SIDE)),
    "counts": (list, IMAGES),
    "precisions": (list, RANGES["precision"]),
    "seeds": (list, RANGES["seed"]),
    "sizes": (list, SIDE),
    "tv_strength": (dict, WEIGHT),
}


def check(*, optional: Collection[str] = (), **values: Any) -> None:
    """Raise RangeError for the first value that is outside of its range, or does not go with another.

    Args:
        optional: the names whose value may be None, which stands for a default.
        values: the values by name; a name without a range passes.
    """
    given = {name: value for name, value in values.items() if value is not None or name not in optional}
    for name, value in given.items():
        if name in RANGES:
            _check(name, value, RANGES[name])
        if name in SEVERAL:
            _check_several(name, value, *SEVERAL[name])
    _check_together(given)


def _check(name: str, value: Any, its_range: Range) -> None:
    if not its_range.holds(value):
        whole = its_range.kind is int and isinstance(value, float) and value.is_integer()
        raise RangeError(f"{name} must be {its_range}; got {value!r}" + (f", write {int(value)}" if whole else ""))


def _check_several(name: str, values: Any, kind: type, each: Range) -> None:
    if not isinstance(values, (list, tuple) if kind is list else kind) or not values:
        wanted = "a list" if kind is list else "a dictionary by layer"
        raise RangeError(f"{name} must be {wanted}, each value {each}; got {values!r}")
    for value in values.values() if kind is dict else values:
        _check(f"each of {name}", value, each)
    if name != "counts" and len(set(values)) < len(values):
        raise RangeError(f"{name} must name each value once; got {values!r}")


def _check_together(given: dict[str, Any]) -> None:
    warmup, steps, loss, factor, patch, blur = map(given.get, ("warmup", "steps", "loss", "factor", "patch", "blur"))
    lattice_weight, upsampling = given.get("lattice_weight"), given.get("upsampling")
    sizes, counts = given.get("sizes"), given.get("counts")
    if None not in (warmup, steps) and warmup > steps:
        raise RangeError(f"warmup must be at most steps, {steps}; got {warmup}")
    if loss == "srcnn" and factor not in (None, 4):
        raise RangeError(f"factor must be 4 for srcnn; got {factor}")
    if None not in (patch, factor) and patch % factor:
        raise RangeError(f"patch must be a multiple of factor, {factor}; got {patch}")
    if None not in (patch, blur) and 4 * blur >= patch - 1:
        raise RangeError(f"blur must be less than a quarter of patch, {patch}; got {blur}")
    if lattice_weight and None not in (patch, factor) and patch < 32 + factor:
        raise RangeError(f"patch must be at least 32 + factor with a lattice_weight; got {patch}")
    if lattice_weight and loss == "srcnn":
        raise RangeError(f"lattice_weight must be 0 for srcnn, which makes no lattice; got {lattice_weight}")
    if loss == "srcnn" and upsampling == "resize":
        raise RangeError("upsampling must be transposed for srcnn, which has none")
    if None not in (sizes, counts) and len(sizes) != len(counts):
        raise RangeError(f"counts must have one value for each of sizes, {sizes}; got {counts}")
    weights = [given.get(name) for name in ("content_weight", "style_weight", "tv_weight")]
    if None not in weights and not any(weights):
        raise RangeError("one of content_weight, style_weight, tv_weight must be more than 0")
