"""Options that several commands of the command line share, and the kinds of their values."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from replication.ranges import OPTIMIZERS, PRECISIONS, RANGES, literal
from replication.recipes import in_words


def add_files(add: Callable[..., Any]) -> None:
    """Images to read, and where their results go."""
    add("inputs", nargs="+", metavar="IN", help="image files, or folders of them")
    add("-o", "--out", required=True, help="a folder, or for one image a file; end it in / for a new folder with a dot")
    add("--overwrite", action="store_true", help="make results anew that are there already")


def add_number(add: Callable[..., Any], option: str, **more: Any) -> None:
    """A number, in the range of the parameter of that name."""
    name = option.removeprefix("--").replace("-", "_")
    among = {"metavar": f"{{{','.join(map(str, RANGES[name].among))}}}"} if RANGES[name].among else {}
    add(option, type=number(name), **among, **more)


def number(name: str) -> Callable[[str], int | float]:
    """The kind of an option's value: a number in the range of the parameter `name`."""

    def read(text: str) -> int | float:
        value = literal(text)
        if not RANGES[name].holds(value):
            raise argparse.ArgumentTypeError(RANGES[name].refusal(value))
        return RANGES[name].kind(value)

    return read


def add_precision(add: Callable[..., Any]) -> None:
    """In what the convolutions compute."""
    add("--precision", choices=PRECISIONS, default="float32", help="of the convolutions")


def add_images(add: Callable[..., Any]) -> None:
    """The photographs to train on."""
    add("--images", required=True, metavar="DIR", help="photographs to train on, or coco2014 to download them (13 GB)")


def add_network(add: Callable[..., Any]) -> None:
    """What any training reads and writes: photographs, and a network's file."""
    add_images(add)
    add("--out", required=True, metavar="FILE", help="the network, .safetensors; its log and state lie beside it")


def add_by_recipe(add: Callable[..., Any], option: str, help: str, **more: Any) -> None:
    """An option of `train-style` whose default is the recipe's: a number in its range, or what `more` says."""
    name = option.removeprefix("--").replace("-", "_")
    adds = partial(add_number, add) if name in RANGES and not more else add
    adds(option, default=argparse.SUPPRESS, help=f"{help} ({in_words(name)})", **more)


def add_training(add: Callable[..., Any]) -> None:
    """How any training goes, whatever the recipe."""
    add_number(add, "--learning-rate", default=1e-3, help="of Adam")
    add_number(add, "--kernel-rate", default=5e-3, help="of Muon, the optimizer of the convolutions' kernels")
    add_compile(add)
    add_number(add, "--seed", default=0, help="of the first weights and the batches")


def add_paper_training(add: Callable[..., Any], steps: int) -> None:
    """How a training goes whose defaults are the paper's."""
    add_number(add, "--steps", default=steps, help="iterations")
    add_number(add, "--batch-size", default=4, help="images in a step")
    add("--flip", action="store_true", help="mirror half of the photographs")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="muon takes the kernels, Adam the rest")
    add_number(add, "--cooldown", default=0, help="steps at the end over which the learning rates fall to zero")
    add_precision(add)
    add_training(add)


def add_compile(add: Callable[..., Any]) -> None:
    """Whether the network is compiled, and how."""
    add(
        "--compile",
        nargs="?",
        const="default",
        choices=["default", "graphs"],
        dest="compiled",
        help="by torch.compile, graphs: with CUDA graphs; for a GPU, takes a C++ compiler",
    )


def kernels(value: str) -> tuple[int, ...]:
    """The sizes of SRCNN's kernels, (9, 5, 5) of "9-5-5"."""
    if value not in ("9-5-5", "9-1-5"):
        raise argparse.ArgumentTypeError(f"must be 9-5-5 or 9-1-5; got {value}")
    return tuple(map(int, value.split("-")))


def names(value: str) -> list[str]:
    """Names between commas."""
    return [name for name in value.split(",") if name]
