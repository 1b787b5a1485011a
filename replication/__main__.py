"""The command line: `python -m replication figures --profile quick --only 01,02`."""
# ruff: noqa: D102, of the commands' methods

import logging
import signal
import sys
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import tyro
from tyro import MISSING
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg, subcommand

from replication.config import RECIPES, TILE_ENLARGED, TILE_STYLISED, StyleConfig, SuperResolutionConfig
from replication.io.arguments import names_in, value_of, words
from replication.io.files import ReplicationError, explained
from replication.io.interrupts import heard
from replication.io.ranges import Precision, PretrainedLoss, RangeError

GO_ON = "the same command goes on"
SEVERAL = {"figures": ("--parameter",), "stylise": ("--style",)}  # options that may be given more than once


@dataclass(kw_only=True)
class Command:
    """Options that all commands share."""

    debug: bool = False
    """show the traceback of an error"""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """device to compute on; by default a CUDA GPU if there is one, else the CPU"""

    interrupted = "the same command starts over"  # what is said after Ctrl-C


@dataclass(kw_only=True)
class Figures(Command):
    """Execute the notebooks and write their figures and tables."""

    device: Literal["cpu", "cuda"] | None = None  # no mps, which has no float64

    profile: str = "quick"
    """smoke, quick, overnight or paper"""
    only: str | None = None
    """numbers or names of notebooks, separated by commas; by default all"""
    parameter: Annotated[list[tuple[str, str]], arg(aliases=["-p"], metavar="NAME VALUE"), UseAppendAction] = field(
        default_factory=list
    )
    """set a parameter of the notebooks, like papermill's -p"""
    time_limit: float | None = None
    """time limit for each notebook, in seconds"""
    resume: bool = False
    """skip notebooks that were already executed with the same code, data, device and parameters"""

    interrupted = "finished notebooks are kept; the same with --resume (of make: ARGS=--resume) runs the rest alone"

    def run(self) -> int:
        from replication.report.runner import run_notebooks  # papermill takes a second to import

        parameters = dict(self.parameter)
        if len(parameters) < len(self.parameter):
            raise RangeError(f"a parameter is given twice: {' '.join(name for name, _ in self.parameter)}")
        names = [] if self.only is None else names_in(self.only)
        return 0 if run_notebooks(self.profile, names, parameters, self.time_limit, self.resume) else 1


@dataclass(kw_only=True)
class Weights(Command):
    """Fetch and check the weights of the loss network."""

    def run(self) -> None:
        from replication.io.weights import vgg16_weights

        weights = vgg16_weights()
        print(f"VGG-16 from {weights.source}, SHA-256 {weights.sha256}")


@dataclass(kw_only=True)
class Readme(Command):
    """Rewrite the README's tables and thumbnails, the verdicts in the figures' files and the executed copies' text."""

    def run(self) -> None:
        from replication.report.readme import write_readme

        write_readme()


@dataclass(kw_only=True)
class TrainStyle(Command):
    """Train a style network on a painting and a folder of photographs; repeat the command to resume a stopped run."""

    style: str
    """an image file, or the name of a painting in data/styles"""
    images: str
    """folder of photographs to train on, or coco2014 to download MS-COCO (13 GB)"""
    out: str
    """file for the network, .safetensors; its log and training state are written beside it"""
    recipe: str
    """which defaults the settings below have: paper, or quick (minutes to an hour on two CPU cores)"""
    config: OmitArgPrefixes[StyleConfig]

    interrupted = GO_ON

    def run(self) -> None:
        from replication.style_transfer import train_style_from_files

        if self.recipe == "quick":
            logging.getLogger("replication").info(
                "the quick recipe: %d steps, of which 2,500 take an hour and a half on one core in float32, "
                "less on more cores or in bfloat16; the paper's settings are --recipe paper",
                self.config.steps,
            )
        train_style_from_files(self.style, self.images, self.out, self.config)


@dataclass(kw_only=True)
class TrainSuperResolution(Command):
    """Train a super-resolution network on a folder of photographs; repeat the command to resume a stopped run."""

    images: str
    """folder of photographs to train on, or coco2014 to download MS-COCO (13 GB)"""
    out: str
    """file for the network, .safetensors; its log and training state are written beside it"""
    config: OmitArgPrefixes[SuperResolutionConfig]

    interrupted = GO_ON

    def run(self) -> None:
        from replication.super_resolution import train_super_resolution_from_files

        train_super_resolution_from_files(self.images, self.out, self.config)


@dataclass(kw_only=True)
class TrainAll(Command):
    """Train every network of the project by its recipe, and compute the baseline's curves for Fig. 5."""

    device: Literal["cpu", "cuda"] | None = None  # no mps, which has no float64

    images: str
    """folder of photographs to train on, or coco2014 to download MS-COCO (13 GB)"""
    profile: str = "overnight"
    """overnight, on two CPU cores, or paper, on a GPU; smoke and quick are trial runs"""
    out: str = "training"
    """folder for the networks, their logs and training states"""
    only: str | None = None
    """names of networks or curves, separated by commas; by default all"""

    interrupted = GO_ON

    def run(self) -> None:
        from replication.report.recipes import train_all

        train_all(self.images, self.profile, self.out, [] if self.only is None else names_in(self.only))


@dataclass(kw_only=True)
class Files(Command):
    """Options of the commands that transform image files."""

    inputs: Positional[list[str]]
    """image files, videos, or folders of images"""
    out: Annotated[str, arg(aliases=["-o"])]
    """output folder, or for a single input a file; if the name of a new folder has a dot, end it with /"""
    overwrite: bool = False
    """replace results that already exist"""
    precision: Precision = "float32"
    """precision of the convolutions; fast is bfloat16 where the processor computes in it, else float32"""

    interrupted = "finished images are kept"


@dataclass(kw_only=True)
class Stylise(Files):
    """Give photographs the style of a trained network."""

    style: Annotated[list[str], UseAppendAction]
    """a .safetensors file, or the name of a network in data/checkpoints/style; repeat for more styles, a folder each"""
    size: int | None = None
    """resize the longer side to this many pixels first; strokes keep their size in pixels"""
    strength: float = 1.0
    """strength of the style, from 0 (the photograph) to 1 (the full style)"""
    preserve_colours: bool = False
    """keep the colours of the photograph and take only the brightness from the result"""
    tile: int = TILE_STYLISED
    """images larger than this many pixels a side are processed in tiles; smaller tiles need less memory"""

    def run(self) -> int:
        from replication.style_transfer import stylise_files

        names = ("size", "strength", "preserve_colours", "tile", "precision", "overwrite")
        return _told(stylise_files(self.inputs, self.out, self.style, **{name: getattr(self, name) for name in names}))


@dataclass(kw_only=True)
class Upscale(Files):
    """Enlarge images by a trained network."""

    factor: int = 4
    """how many times as large: 4 or 8"""
    loss: PretrainedLoss | None = None
    """loss of the trained network, by default feature; feature_penalised adds our penalty on its grid pattern"""
    network: str | None = None
    """file of another network, .safetensors, in place of --loss"""
    match_histogram: bool = True
    """give the result the input's histograms, as in the paper"""
    tile: int = TILE_ENLARGED
    """images larger than this many pixels a side are processed in tiles"""

    def run(self) -> int:
        from replication.super_resolution import upscale_files

        names = ("factor", "loss", "network", "match_histogram", "tile", "precision", "overwrite")
        return _told(upscale_files(self.inputs, self.out, **{name: getattr(self, name) for name in names}))


@dataclass(kw_only=True)
class Export(Command):
    """Write a trained network as ONNX, for programs without torch."""

    network: Positional[str]
    """a .safetensors file, or a name out of data/checkpoints"""
    out: Annotated[str, arg(aliases=["-o"])]
    """the file, .onnx"""

    def run(self) -> None:
        from replication.export import export_network

        export_network(self.network, self.out)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 2 wrong options, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("replication").setLevel(logging.INFO)
    for number in heard():
        signal.signal(number, signal.default_int_handler)  # the orderly end of Ctrl-C
    command, debug = None, "--debug" in given
    try:
        arguments = words(given, SEVERAL.get(given[0], ()) if given else ())
        command = tyro.cli(_commands(arguments), prog="python -m replication", args=arguments)
        if command.device:
            from replication.io.runtime import use_device

            use_device(command.device)
        return command.run() or 0
    except KeyboardInterrupt:
        print(f"\ninterrupted; {getattr(command, 'interrupted', Command.interrupted)}", file=sys.stderr)
        return 130
    except Exception as error:
        line = explained(error)
        if debug or line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 2 if isinstance(error, RangeError) else 1


def _commands(arguments: list[str]) -> Any:
    """The union type of all commands; `train-style` gets the defaults of the recipe that `arguments` ask for."""
    named = {
        "figures": Figures,
        "weights": Weights,
        "readme": Readme,
        "train-style": TrainStyle,
        "train-super-resolution": TrainSuperResolution,
        "train-all": TrainAll,
        "stylise": Stylise,
        "upscale": Upscale,
        "export": Export,
    }
    trains = [each.replace("_", "-") for each in arguments[:1]] == ["train-style"]
    defaults = {"train-style": {"default": _by_recipe(arguments)}} if trains else {}
    return reduce(or_, (Annotated[kind, subcommand(name, **defaults.get(name, {}))] for name, kind in named.items()))


def _by_recipe(arguments: list[str]) -> TrainStyle:
    """The defaults of `train-style`: those of --recipe, or without it the quick ones on a CPU and else the paper's."""
    given = value_of("--recipe", arguments)
    if given is None:
        from replication.io.runtime import default_device

        given = "quick" if (value_of("--device", arguments) or default_device()) == "cpu" else "paper"
    if given not in RECIPES:
        raise RangeError(f"recipe must be {' or '.join(RECIPES)}; got {given!r}")
    return TrainStyle(style=MISSING, images=MISSING, out=MISSING, recipe=given, config=RECIPES[given])


def _told(failed: list[ReplicationError]) -> int:
    """The exit status of a command on image files."""
    if failed:
        print(f"error: left out: {len(failed)}, named above; all others are done", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
