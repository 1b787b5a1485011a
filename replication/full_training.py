"""The paper's training, at full length, of the networks that come with the project: what lacks it, and doing it."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from replication import style_training, super_resolution_training
from replication.benchmark_style import step
from replication.data import coco2014
from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError
from replication.files import need_checkout, rounded, write_atomically
from replication.network_files import NETWORKS
from replication.photographs import SHORT_SIDE, Photographs, load_photographs
from replication.ranges import check
from replication.style_training import objective_of, painting_of, style_trainer, train_style
from replication.super_resolution_training import super_resolution_trainer, train_super_resolution
from replication.tables import text_table
from replication.timing import interleaved
from replication.training import Trainer


class Training(NamedTuple):
    """A network that comes with the project, and the paper's training of it.

    Attributes:
        name: "style/great_wave"; the file in data/checkpoints without suffix.
        steps: of the paper.
        size: pixels a side of the images in a step.
        begin: from photographs, and options of the trainer, to the trainer and its loss.
        train: from photographs, a file, and steps and options of the trainer, to the log.
        full: whether the network had all of it.
    """

    name: str
    steps: int
    size: int
    begin: Callable[..., tuple[Trainer, Any]]
    train: Callable[..., list[dict[str, Any]]]
    full: bool


def trainings(steps: int | None = None, size: int | None = None) -> list[Training]:
    """The paper's training of each network, with the weights of the terms that its record names.

    Args:
        steps, size: others than the paper's, to try it out.

    Raises:
        RangeError: one is outside of its range.
    """
    check(steps=steps, size=size)
    return [_training(path, steps, size) for path in sorted(NETWORKS.glob("*/*.json"))]


def _training(path: Path, steps: int | None, size: int | None) -> Training:
    record = json.loads(path.read_text())
    had, name = record["provenance"]["settings"], f"{path.parent.name}/{path.stem}"
    if path.parent.name == "style":
        wanted = (steps or style_training.STEPS, size or style_training.SIZE)
        options = record["network"] | objective_of(record) | {"size": wanted[1]}
        begin, train = (partial(call, painting_of(record), **options) for call in (style_trainer, train_style))
        batch_size = style_training.BATCH_SIZE
    else:
        wanted = (steps or super_resolution_training.STEPS, size or super_resolution_training.PATCH)
        options = {"factor": had["factor"], "loss": had["loss"], "patch": wanted[1]}
        options |= {"kernels": record["network"]["kernels"]} if had["loss"] == "srcnn" else {}
        begin, train = (partial(call, **options) for call in (super_resolution_trainer, train_super_resolution))
        batch_size = super_resolution_training.BATCH_SIZE
    found = (had["steps"], had.get("size", had.get("patch")), had["batch_size"])
    plain = not any(had.get(name) for name in ("initial", "warmup", "cooldown", "flip", "lattice_weight"))
    plain = plain and had.get("optimizer", "adam") == "adam"
    return Training(name, *wanted, begin, train, plain and found == (*wanted, batch_size))


def train_in_full(
    images: str,
    out: Path | str,
    *,
    only: Sequence[str] = (),
    steps: int | None = None,
    size: int | None = None,
    **options: Any,
) -> None:
    """Train each network that had less than the paper's training; the same call goes on where it was stopped.

    Says beforehand what it will do and about how long it takes: of what is begun by its log, of the rest by a few
    steps, not compiled.

    Args:
        images: a folder of photographs, or "coco2014".
        out: a folder for the networks, logs and states. A network with all of the paper's training also takes the place
            of the one in data/checkpoints.
        only: names of networks, ("style/great_wave", "x4_pixel"); empty for all.
        steps, size: see `trainings`.
        options: `precision` of the convolutions, and how they are `compiled`; see `Trainer`.

    Raises:
        ReplicationError: the package alone is installed, there is no network of a name, one in `out` was trained in
            another way, or a file or folder is missing or damaged, or cannot be written.
        KeyboardInterrupt: after the state was saved.
    """
    need_checkout("train-in-full")
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    wanted, out = _selected(trainings(steps, size), only), Path(out)
    if not wanted:
        print("all networks had the paper's training")
        return
    for training in wanted:
        check(steps=training.steps, **training.begin.keywords)
    folder = coco2014() if images == "coco2014" else images
    device, photographs = default_device(), {}
    for training in wanted:
        kind = _kind(training)
        if kind not in photographs:
            fit = "stretch" if kind[0] == "style" else "crop"
            side = training.size if fit == "stretch" else max(training.size, SHORT_SIDE)
            count = None if kind[0] == "style" else super_resolution_training.COUNT
            photographs[kind] = load_photographs(folder, side, fit, count, training.size).to(device)
    print(text_table(_plan(wanted, photographs, out, device, options)), flush=True)
    for training in wanted:
        path = out / f"{training.name}.safetensors"
        if not path.exists():
            training.train(photographs[_kind(training)], path, steps=training.steps, **options)
        if (steps, size) == (None, None):
            for suffix in (".safetensors", ".json"):
                write_atomically((NETWORKS / training.name).with_suffix(suffix), path.with_suffix(suffix).read_bytes())


def _selected(all_of_them: list[Training], only: Sequence[str]) -> list[Training]:
    """Those of these names, without their folder or with it; if there are none, those that lack their training."""
    names = {name: training for training in all_of_them for name in (training.name, training.name.split("/")[1])}
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ReplicationError(
            f"unknown network {', '.join(unknown)}; there are {', '.join(t.name for t in all_of_them)}"
        )
    return [names[name] for name in only] if only else [training for training in all_of_them if not training.full]


def _kind(training: Training) -> tuple[str, int]:
    return training.name.split("/")[0], training.size


def _plan(
    wanted: list[Training],
    photographs: dict[tuple[str, int], Photographs],
    out: Path,
    device: str,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """One row a training: its steps, how many are done, and the minutes that the others take."""
    rows = []
    for training in wanted:
        path = out / f"{training.name}.safetensors"
        begin = partial(training.begin, photographs[_kind(training)])
        if path.exists():
            _check_finished(path, begin(**options)[0], training.steps)
        log = _log(path)
        row = {"network": training.name, "steps": training.steps, "done": log["step"], "minutes": 0.0}
        if log["step"] and not path.exists():
            row["minutes"] = log["seconds_left"] / 60
        elif not path.exists():
            call = {training.name: partial(step, begin(**options | {"compiled": None})[0])}
            row["minutes"] = training.steps * interleaved(call, 3, device, training.name)[training.name].seconds / 60
        rows.append(row)
    return [*rows, {"network": "together", "steps": None, "done": None, "minutes": sum(row["minutes"] for row in rows)}]


def _log(path: Path) -> dict[str, float]:
    """The last line of the log of a network's training."""
    log = path.with_suffix(".jsonl")
    return json.loads(log.read_text().splitlines()[-1]) if log.exists() else {"step": 0}


def _check_finished(path: Path, trainer: Trainer, steps: int) -> None:
    """Refuse a network that was trained in another way.

    Raises:
        ReplicationError: it was.
    """
    had = json.loads(path.with_suffix(".json").read_text())["provenance"]
    wanted = json.loads(json.dumps(rounded(trainer.settings | {"steps": steps})))
    found = had["settings"] | {"seed": had["seed"]}
    other = [name for name, value in wanted.items() if found.get(name) != value]
    if other:
        raise ReplicationError(f"{path} was trained with another {other[0]}; remove it, or give another folder")
