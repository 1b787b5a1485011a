"""How each network that comes with the project is trained, as data, and the queue that trains them: `train-all`."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from replication.baseline import ITERATIONS
from replication.config import PAPER, QUICK, StyleConfig, SuperResolutionConfig, TrainingConfig
from replication.io.checkpoints import NETWORKS
from replication.io.files import ReplicationError, check_writable, need_checkout, rounded, write_atomically
from replication.io.ranges import PROFILES
from replication.report.curves import baseline_curves
from replication.style_transfer import train_style_from_files
from replication.super_resolution import train_super_resolution_from_files


class Style(NamedTuple):
    """A style network: its painting, a name out of data/styles, and how it is trained."""

    painting: str
    config: StyleConfig


class BaselineCurves(NamedTuple):
    """The baseline's curves for Fig. 5; see `baseline_curves`."""

    painting: str
    count: int
    size: int
    iterations: int


Job = Style | SuperResolutionConfig | BaselineCurves

SMALL = replace(QUICK, steps=2400, batch_size=2, size=128, initial=None)
BATCH = replace(QUICK, norm="batch", batch_size=4)
ENLARGING = SuperResolutionConfig(
    steps=20_000, patch=96, flip=True, optimizer="muon", lr_decay=1.0, precision="fast", loss="pixel"
)
SHARPENING = replace(
    ENLARGING, loss="feature", steps=3000, batch_size=1, patch=288, optimizer="adam", initial="x4_pixel"
)
FROM_WAVE = replace(BATCH, steps=500, initial="great_wave")
LEVELLING = replace(BATCH, seed=1, learning_rate=5e-4, kernel_rate=2.5e-3, lattice_weight=2400.0)
PAINTINGS = (
    "poppies",
    "village_street_in_auvers",
    "composition_viii",
    "moulin_de_la_galette",
    "ejiri",
    "the_harvesters",
    "summertime",
)
LEVELLED = ("poppies", "ejiri")  # those whose lattice stood out after FROM_WAVE
OVERNIGHT: dict[str, Job] = {
    "base_128": Style("great_wave", SMALL),
    "style/great_wave_instance": Style("great_wave", replace(QUICK, steps=5000, initial="base_128", seed=1)),
    **{f"style/{painting}_instance": Style(painting, QUICK) for painting in PAINTINGS},
    "great_wave_128b": Style("great_wave", replace(BATCH, size=128, steps=2000)),
    "great_wave_256b": Style("great_wave", replace(BATCH, steps=900, initial="great_wave_128b", seed=1)),
    "great_wave_256c": Style("great_wave", replace(BATCH, steps=1200, initial="great_wave_256b", seed=2)),
    "style/great_wave": Style("great_wave", replace(BATCH, steps=5400, initial="great_wave_256c", seed=3)),
    **{f"{painting}_500b": Style(painting, FROM_WAVE) for painting in LEVELLED},
    "style/poppies": Style("poppies", replace(LEVELLING, steps=200, initial="poppies_500b")),
    "ejiri_630b": Style("ejiri", replace(LEVELLING, steps=130, initial="ejiri_500b")),
    "style/ejiri": Style("ejiri", replace(LEVELLING, steps=60, lattice_weight=9600.0, seed=2, initial="ejiri_630b")),
    **{f"style/{painting}": Style(painting, FROM_WAVE) for painting in PAINTINGS if painting not in LEVELLED},
    "super_resolution/x4_pixel": ENLARGING,
    "super_resolution/x4_feature": SHARPENING,
    "super_resolution/x4_feature_penalised": replace(SHARPENING, steps=1500, lattice_weight=150.0),
    "x4_feature_resize": replace(ENLARGING, loss="feature", upsampling="resize"),
    "super_resolution/x8_pixel": replace(ENLARGING, factor=8, patch=128),
    "super_resolution/x8_feature": replace(SHARPENING, factor=8, batch_size=4, patch=128, initial="x8_pixel"),
    "super_resolution/x8_feature_penalised": replace(
        SHARPENING, factor=8, patch=256, steps=1500, initial="x8_pixel", lattice_weight=150.0
    ),
    "great_wave_256": BaselineCurves("great_wave", 50, 256, ITERATIONS),
    "great_wave_512": BaselineCurves("great_wave", 10, 512, 100),
    "great_wave_1024": BaselineCurves("great_wave", 10, 1024, 100),
    **{f"{painting}_256": BaselineCurves(painting, 20, 256, ITERATIONS) for painting in PAINTINGS},
}
QUEUES: dict[str, dict[str, Job]] = {
    "overnight": OVERNIGHT,
    "paper": {
        **{f"style/{name}": Style(name, replace(PAPER, tv_weight=1e-4)) for name in ("great_wave", *PAINTINGS[:3])},
        "style/great_wave_instance": Style("great_wave", replace(PAPER, norm="instance")),
        "super_resolution/srcnn_x4": SuperResolutionConfig(loss="srcnn"),
        **{
            f"super_resolution/x{factor}_{loss}": SuperResolutionConfig(factor=factor, loss=loss)
            for factor in (4, 8)
            for loss in ("pixel", "feature")
        },
    },
    "quick": {"base_128": Style("great_wave", replace(SMALL, steps=20, lr_decay=0.5))},
    "smoke": {
        "first": Style("great_wave", replace(SMALL, steps=2, size=64, style_size=64)),
        "style/second": Style("great_wave", replace(QUICK, steps=1, size=64, style_size=64, initial="first")),
        "super_resolution/third": replace(ENLARGING, steps=1, patch=32),
    },
}


def train_all(images: str, profile: str, out: Path | str = "training", only: Sequence[str] = ()) -> None:
    """Train the networks and compute the curves in the queue of a profile; repeat the call to continue after a stop.

    A network is skipped if `out` or the project has one with the configuration of its recipe, or if all style networks
    that start from it exist. With the paper's profile, a trained network replaces the project's own. With overnight it
    is only added if the project has none of that name, since somebody has to see which of two is better.

    Args:
        images: a folder of photographs, or "coco2014".
        profile: "overnight", "paper", "quick" or "smoke"; the last two try it out and leave the project's networks.
        out: a folder for networks, logs and states.
        only: names, ("style/poppies_instance", "x4_pixel"); empty for all.

    Raises:
        ReplicationError: the package alone is installed, an unknown profile or name, or a training fails.
        KeyboardInterrupt: after the state was saved.
    """
    need_checkout("train-all")
    if profile not in QUEUES:
        raise ReplicationError(f"unknown profile {profile!r}; choose {', '.join(PROFILES)}")
    out, jobs = Path(out), _selected(QUEUES[profile], only)
    for name in jobs:
        if _ships(name, profile) and not _is_done(name, jobs, out):
            check_writable(NETWORKS / f"{name}.safetensors")
    print(pd.DataFrame([_plan(name, jobs, out) for name in jobs]).to_string(index=False), flush=True)
    for number, (name, job) in enumerate(jobs.items(), 1):
        if not _is_done(name, jobs, out):
            print(f"[{number}/{len(jobs)}] {name}", flush=True)
            started = time.monotonic()
            _work(name, job, images, out)
            print(f"  done in {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        if "/" in name and _is_of(out / f"{name}.json", job) and not _is_of(NETWORKS / f"{name}.json", job):
            _ship(name, profile, out)


def _ship(name: str, profile: str, out: Path) -> None:
    """Put a trained network among the project's, or say why not."""
    if _ships(name, profile):
        for file in (f"{name}.safetensors", f"{name}.json"):  # the record last, which says that both are there
            write_atomically(NETWORKS / file, (out / file).read_bytes())
    elif profile == "overnight":
        print(f"  {out / name}.safetensors: the project's own stays; put it in its place if it is better")


def _ships(name: str, profile: str) -> bool:
    """Whether a network of this name becomes the project's."""
    there = (NETWORKS / f"{name}.json").exists()
    return "/" in name and (profile == "paper" or (profile == "overnight" and not there))


def _work(name: str, job: Job, images: str, out: Path) -> None:
    if isinstance(job, BaselineCurves):
        baseline_curves(*job)
        return
    path, config = out / f"{name}.safetensors", _config(job)
    folders = (out, out / "style", out / "super_resolution", NETWORKS / "super_resolution")
    trained = [folder / f"{config.initial}.safetensors" for folder in folders]
    config = replace(config, initial=next((str(start) for start in trained if start.exists()), config.initial))
    if isinstance(job, Style):
        train_style_from_files(job.painting, images, path, config)
    else:
        train_super_resolution_from_files(images, path, config)


def _selected(queue: dict[str, Job], only: Sequence[str]) -> dict[str, Job]:
    """The jobs of these names, with their folder or without it; all where there are none."""
    unknown = [name for name in only if not any(name in (full, full.split("/")[-1]) for full in queue)]
    if unknown:
        raise ReplicationError(f"unknown network {', '.join(unknown)}; there are {', '.join(queue)}")
    return {name: job for name, job in queue.items() if not only or name in only or name.split("/")[-1] in only}


def _is_done(name: str, jobs: dict[str, Job], out: Path) -> bool:
    """Whether `out` or the project has a network of this recipe, or all the style networks that start from it."""
    job = jobs[name]
    if isinstance(job, BaselineCurves):
        return False  # `baseline_curves` itself keeps what is done
    if any(_is_of(folder / f"{name}.json", job) for folder in (out, NETWORKS)):
        return True
    later = [other for other in jobs if isinstance(jobs[other], Style) and _config(jobs[other]).initial == name]
    return bool(later) and all(_is_done(other, jobs, out) for other in later)


def _is_of(record: Path, job: Style | SuperResolutionConfig) -> bool:
    """Whether the record of a network is there, and of this recipe."""
    wanted = _compared(asdict(_config(job)))
    return record.exists() and _compared(json.loads(record.read_text()).get("config", {})) == wanted


def _compared(config: dict[str, Any]) -> dict[str, Any]:
    """The settings by which recipes are compared: all but the precision, which may depend on the machine."""
    return rounded({name: value for name, value in config.items() if name != "precision"})


def _config(job: Style | SuperResolutionConfig) -> TrainingConfig:
    return job.config if isinstance(job, Style) else job


def _plan(name: str, jobs: dict[str, Job], out: Path) -> dict[str, Any]:
    """A line of the plan: steps in all, done, and the minutes left by its log."""
    job = jobs[name]
    if isinstance(job, BaselineCurves):
        return {"job": name, "steps": job.count, "done": "", "minutes left": ""}
    steps, log = _config(job).steps, out / f"{name}.jsonl"
    last = json.loads(log.read_text().splitlines()[-1]) if log.exists() else {"step": 0, "seconds_left": None}
    if _is_done(name, jobs, out):
        last = {"step": steps, "seconds_left": 0}
    left = "" if last["seconds_left"] is None else round(last["seconds_left"] / 60)
    return {"job": name, "steps": steps, "done": last["step"], "minutes left": left}
