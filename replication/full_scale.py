"""All of it at the paper's scale by one command: trainings, figures, benchmarks, and the README's tables of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from replication.benchmark_baseline import benchmark_baseline
from replication.benchmark_convolutions import benchmark_convolutions
from replication.benchmark_memory import benchmark_memory
from replication.benchmark_style import benchmark_style
from replication.benchmark_super_resolution import benchmark_super_resolution
from replication.benchmark_training import benchmark_training
from replication.device import free_memory
from replication.errors import ReplicationError
from replication.files import FIGURES, need_checkout
from replication.full_training import train_in_full
from replication.provenance import circumstances
from replication.readme import write_readme
from replication.runner import run_notebooks
from replication.settings import check_profile

BENCHMARKS: tuple[Callable[[str], Any], ...] = (
    benchmark_baseline,
    benchmark_style,
    benchmark_super_resolution,
    benchmark_convolutions,
    benchmark_memory,
    benchmark_training,
)


def full_scale(images: str, out: Path | str = "training", profile: str = "paper", **options: Any) -> None:
    """Train in full what was not, then make each figure and benchmark that is not of today's code, data and device.

    The same call goes on where it was stopped: each training from its state, the notebooks and benchmarks from the
    first that is not done.

    Args:
        images: photographs to train on, a folder or "coco2014".
        out: a folder for networks, logs and states.
        profile: of figures and benchmarks; another than "paper" to try it out, which leaves the README as it is.
        options: see `train_in_full`.

    Raises:
        ReplicationError: the package alone is installed, an unknown profile, a notebook failed, or see `train_in_full`.
        KeyboardInterrupt: after the state was saved.
    """
    need_checkout("full-scale")
    check_profile(profile)
    train_in_full(images, out, **options)
    free_memory()  # notebooks compute in processes of their own
    if not run_notebooks(profile, resume=True):
        raise ReplicationError("a notebook failed; the same command starts over with those that are not done")
    for benchmark in BENCHMARKS:
        if is_current(benchmark.__name__, profile):
            print(f"{benchmark.__name__}: kept")
        else:
            benchmark(profile)
            free_memory()
    if profile == "paper":
        write_readme()


def is_current(table: str, profile: str) -> bool:
    """Whether a table was made by today's code and data, with today's versions and on this device."""
    path = FIGURES / profile / f"{table}.json"
    if not path.exists():
        return False
    had = json.loads(path.read_text())["provenance"]
    now = circumstances()
    return {name: had.get(name) for name in now} == now
