"""The command line: `python -m replication figures --profile quick --only 01,02`."""

import argparse
import ast
import logging
import signal
import sys
from typing import Any

from replication.errors import ReplicationError
from replication.settings import PROFILES


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("replication").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same orderly end as Ctrl-C
    try:
        return options.command(options)
    except ReplicationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted; {options.interrupted}", file=sys.stderr)
        return 130


def _figures(options: argparse.Namespace) -> int:
    from replication.runner import run_notebooks  # papermill takes a second to import

    only = [name for name in options.only.split(",") if name]
    parameters = {name: _literal(value) for name, value in options.parameter}
    return 0 if run_notebooks(options.profile, only, parameters, options.time_limit) else 1


def _weights(options: argparse.Namespace) -> int:
    from replication.weights import vgg16_weights

    weights = vgg16_weights()
    print(f"VGG-16 from {weights.source}, SHA-256 {weights.sha256}")
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    from replication.benchmark import benchmark_baseline

    benchmark_baseline(options.profile)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m replication", description="Perceptual Losses, replicated.")
    commands = parser.add_subparsers(required=True, metavar="command")
    figures = commands.add_parser("figures", help="execute the notebooks and write their figures and tables")
    figures.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    figures.add_argument("--only", default="", metavar="01,02", help="numbers or names of notebooks (default: all)")
    figures.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="as papermill's -p",
    )
    figures.add_argument("--time-limit", type=float, metavar="SECONDS", help="for each notebook")
    kept = "finished notebooks are kept, the same command starts over with the rest"
    figures.set_defaults(command=_figures, interrupted=kept)
    weights = commands.add_parser("weights", help="fetch and check the weights of the loss network")
    weights.set_defaults(command=_weights, interrupted="the same command starts over")
    benchmark = commands.add_parser("benchmark", help="time the networks and the baseline on this machine")
    benchmark.add_argument("subject", choices=["baseline"])
    benchmark.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default: quick)")
    benchmark.set_defaults(command=_benchmark, interrupted="no table was written, the same command starts over")
    return parser


def _literal(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


if __name__ == "__main__":
    sys.exit(main())
