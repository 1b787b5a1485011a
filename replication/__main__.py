"""The command line: `python -m replication figures --profile quick --only 01,02`."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from replication.errors import ReplicationError, explained
from replication.options import (
    add_by_recipe,
    add_compile,
    add_files,
    add_images,
    add_network,
    add_number,
    add_paper_training,
    add_precision,
    add_training,
    kernels,
    names,
)
from replication.ranges import OPTIMIZERS, PRECISIONS, PROFILES, RECIPES, check_together


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("replication").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same orderly end as Ctrl-C
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print(f"\ninterrupted; {options.interrupted}", file=sys.stderr)
        return 130
    except Exception as error:
        line = explained(error)
        if options.debug or line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 1


def _figures(options: argparse.Namespace) -> int:
    from replication.runner import run_notebooks  # papermill takes a second to import

    parameters = dict(options.parameter)
    return 0 if run_notebooks(options.profile, options.only, parameters, options.time_limit, options.resume) else 1


def _weights(options: argparse.Namespace) -> int:
    from replication.weights import vgg16_weights

    weights = vgg16_weights()
    print(f"VGG-16 from {weights.source}, SHA-256 {weights.sha256}")
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    name = f"benchmark_{options.subject.replace('-', '_')}"
    getattr(import_module(f"replication.{name}"), name)(options.profile)
    return 0


def _stylize(options: argparse.Namespace) -> int:
    from replication.style_transfer import stylize_files

    return _told(stylize_files(**_arguments(options)))


def _upscale(options: argparse.Namespace) -> int:
    from replication.super_resolution import upscale_files

    return _told(upscale_files(**_arguments(options)))


def _calls(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """A command that calls a function of this package with what it was given; its module is imported only then."""

    def command(options: argparse.Namespace) -> int:
        check_together(**_arguments(options))
        getattr(import_module(f"replication.{module}"), function)(**_arguments(options))
        return 0

    return command


def _told(failed: list[ReplicationError]) -> int:
    """The exit status of a command on image files."""
    if failed:
        print(f"error: left out: {len(failed)}, named above; all others are done", file=sys.stderr)
    return 1 if failed else 0


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What a command was given, without what the parser itself put there."""
    return {name: value for name, value in vars(options).items() if name not in ("command", "interrupted", "debug")}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m replication", description="Perceptual Losses, replicated.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_figures(commands)
    weights = commands.add_parser("weights", help="fetch and check the weights of the loss network")
    weights.set_defaults(command=_weights, interrupted="the same command starts over")
    readme = commands.add_parser("readme", help="write the README's tables from figures/paper")
    readme.set_defaults(command=_calls("readme", "write_readme"), interrupted="the same command starts over")
    _add_train_style(commands)
    _add_baseline_curves(commands)
    _add_stylize(commands)
    _add_train_super_resolution(commands)
    _add_train_in_full(commands)
    _add_full_scale(commands)
    _add_upscale(commands)
    benchmark = commands.add_parser("benchmark", help="time the networks and the baseline on this machine")
    add = benchmark.add_argument
    add("subject", choices=["baseline", "style", "super-resolution", "convolutions", "memory", "training"])
    add("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    benchmark.set_defaults(command=_benchmark, interrupted="no table was written, the same command starts over")
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error came from")
    return parser


def _add_figures(commands: Any) -> None:
    figures = commands.add_parser("figures", help="execute the notebooks and write their figures and tables")
    figures.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    figures.add_argument(
        "--only", type=names, default=(), metavar="01,02", help="numbers or names of notebooks (default: all)"
    )
    figures.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="as papermill's -p",
    )
    add_number(figures.add_argument, "--time-limit", metavar="SECONDS", help="for each notebook")
    figures.add_argument("--resume", action="store_true", help="keep those executed at this commit, as they would be")
    kept = "finished notebooks are kept, the same command starts over with the rest"
    figures.set_defaults(command=_figures, interrupted=kept)


def _add_train_style(commands: Any) -> None:
    train = commands.add_parser(
        "train-style",
        help="train a style network on a painting and a folder of photographs",
        description="The same command goes on with a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, by_recipe = train.add_argument, partial(add_by_recipe, train.add_argument)
    add("--style", required=True, metavar="PAINTING", help="an image file, or a name out of data/styles")
    add_network(add)
    recipes = "the paper's settings, or a quarter of an hour on two CPU cores (default: paper on a GPU, else quick)"
    add("--recipe", choices=RECIPES, default=argparse.SUPPRESS, help=recipes)
    by_recipe("--steps", "iterations")
    by_recipe("--batch-size", "images in a step")
    by_recipe("--size", "pixels a side of the photographs in a step")
    by_recipe("--fit", "how a photograph becomes a square", choices=["crop", "stretch"])
    by_recipe("--flip", "mirror half of the photographs", action=argparse.BooleanOptionalAction)
    by_recipe("--norm", "normalisation of the network", choices=["batch", "instance"])
    by_recipe("--initial", "a trained network to start from", metavar="FILE")
    by_recipe("--optimizer", "muon takes the kernels, Adam the rest", choices=OPTIMIZERS)
    by_recipe("--cooldown", "steps at the end over which the learning rates fall to zero")
    by_recipe("--lattice-weight", "of a penalty on patterns of 2 and 4 pixels")
    by_recipe("--precision", "of the convolutions", choices=PRECISIONS)
    add_training(add)
    add_number(add, "--warmup", default=0, help="steps at the start over which the style weight rises")
    add_number(
        add, "--style-size", default=256, help="pixels a side of the painting, which sets the size of its strokes"
    )
    add_number(add, "--content-weight", default=1.0, help="of the feature reconstruction loss")
    add_number(add, "--style-weight", default=5.0, help="of the style reconstruction loss at each layer")
    add_number(add, "--tv-weight", default=1e-6, help="of the total variation, in the paper up to 1e-4")
    add("--padding", choices=["reflection", "zero"], default="reflection", help="zero as in arXiv v1")
    add("--no-residual", action="store_false", dest="residual", help="no shortcuts in the blocks")
    train.set_defaults(
        command=_calls("style_training", "train_style_from_files"),
        interrupted="the same command goes on with the training",
    )


def _add_baseline_curves(commands: Any) -> None:
    curves = commands.add_parser(
        "baseline-curves",
        help="compute what networks are judged by, for data/baseline_curves: the objective of 500 iterations",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = curves.add_argument
    add("--style", required=True, help="a name out of data/styles")
    add_number(add, "--count", default=50, help="photographs, of val/ under REPLICATION_DATA")
    add_number(add, "--size", default=256, help="pixels a side")
    add_precision(add)
    curves.set_defaults(
        command=_calls("baseline_curves", "baseline_curves"),
        interrupted="finished curves are kept, the same command goes on",
    )


def _add_stylize(commands: Any) -> None:
    stylize = commands.add_parser(
        "stylize",
        help="give photographs the style of a trained network",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = stylize.add_argument
    add_files(add)
    add("--style", required=True, help="a .safetensors file, or a name out of data/checkpoints/style")
    add_number(add, "--tile", default=1024, help="images larger than this, in pixels, are cut; less takes less memory")
    add_precision(add)
    stylize.set_defaults(command=_stylize, interrupted="finished images are kept")


def _add_train_super_resolution(commands: Any) -> None:
    train = commands.add_parser(
        "train-super-resolution",
        help="train a super-resolution network on a folder of photographs",
        description="Defaults are the paper's; the same command goes on with a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = train.add_argument
    add_network(add)
    add_number(add, "--factor", default=4, help="how many times as large")
    add("--loss", choices=["feature", "pixel", "srcnn"], default="feature", help="srcnn: SRCNN with its pixel loss")
    add_number(add, "--count", default=10_000, help="photographs that are taken, the first by name")
    add_number(add, "--patch", default=288, help="pixels a side of what is learned to restore")
    add_number(add, "--blur", help="sigma of the Gaussian before a patch is made smaller (default: 1, for srcnn 0)")
    add("--kernels", type=kernels, default=(9, 5, 5), help="of srcnn, 9-5-5 or 9-1-5")
    add("--initial", metavar="FILE", help="a trained network to start from")
    add_number(
        add, "--lattice-weight", default=0.0, help="of a penalty on patterns of up to `factor` pixels, not SRCNN's"
    )
    add_paper_training(add, 200_000)
    train.set_defaults(
        command=_calls("super_resolution_training", "train_super_resolution_from_files"),
        interrupted="the same command goes on with the training",
    )


def _add_train_in_full(commands: Any) -> None:
    train = commands.add_parser(
        "train-in-full",
        help="give the networks of the project the paper's training, on a GPU",
        description="The same command goes on with a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_full(train.add_argument)
    train.set_defaults(
        command=_calls("full_training", "train_in_full"), interrupted="the same command goes on with the training"
    )


def _add_full_scale(commands: Any) -> None:
    everything = commands.add_parser(
        "full-scale",
        help="train-in-full, then all figures and benchmarks of the profile paper, and the README's tables of them",
        description="The same command goes on with a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = everything.add_argument
    _add_full(add)
    add("--profile", default="paper", help="of benchmarks and figures; another one to try it out")
    everything.set_defaults(command=_calls("full_scale", "full_scale"), interrupted="the same command goes on")


def _add_full(add: Callable[..., Any]) -> None:
    add_images(add)
    add("--out", default="training", metavar="DIR", help="for networks, logs and states")
    add("--only", type=names, default=(), metavar="NAMES", help="of networks, by commas; by default all that had less")
    add_number(add, "--steps", help="in place of the paper's, to try it out; the project's networks stay")
    add_number(add, "--size", help="pixels a side of the images in a step, likewise")
    add_precision(add)
    add_compile(add)


def _add_upscale(commands: Any) -> None:
    upscale = commands.add_parser(
        "upscale",
        help="enlarge images by a trained network",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = upscale.add_argument
    add_files(add)
    add_number(add, "--factor", default=4, help="how many times as large")
    add("--loss", choices=["feature", "pixel"], default="feature", help="that the network was trained with")
    add("--network", metavar="FILE", help="another network, .safetensors")
    matching = {"dest": "match", "action": argparse.BooleanOptionalAction, "default": True}
    add("--match-histogram", **matching, help="give the result the input's histograms, as in the paper")
    add_number(add, "--tile", default=256, help="images larger than this, in pixels, are cut")
    add_precision(add)
    upscale.set_defaults(command=_upscale, interrupted="finished images are kept")


if __name__ == "__main__":
    sys.exit(main())
