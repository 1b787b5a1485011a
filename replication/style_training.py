"""Training of a style network: one painting, many photographs (section 4.1)."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from replication.data import Picture, coco2014, style_picture
from replication.device import default_device, keep_freed_memory
from replication.files import sha256
from replication.images import square
from replication.lattice import lattice
from replication.network_files import NETWORKS, load_network, network_path, save_network, state_path
from replication.networks import ImageTransformationNetwork
from replication.objective import Objective, Terms
from replication.photographs import SHORT_SIDE, Photographs, load_photographs
from replication.provenance import provenance
from replication.ranges import check
from replication.recipes import BASE, PAPER, RANDOM
from replication.recipes import recipe as recipe_settings
from replication.training import Trainer, first_process, process_group

BASE_NETWORK = NETWORKS / "base.safetensors"
STEPS, BATCH_SIZE, SIZE = PAPER["steps"], PAPER["batch_size"], PAPER["size"]
WARMUP_START = 1e-3  # of the style weight
TRAINER_OPTIONS = (
    "optimizer",
    "learning_rate",
    "kernel_rate",
    "cooldown",
    "compiled",
    "state",
    "save_every",
    "log_every",
)


class WithLattice(NamedTuple):
    """The terms of the objective and the penalty on lattices, weighted, (B,) each."""

    content: Tensor
    style: Tensor
    total_variation: Tensor
    lattice: Tensor


def style_trainer(
    style: Picture,
    photographs: Photographs,
    *,
    batch_size: int = BATCH_SIZE,
    size: int = SIZE,
    flip: bool = False,
    style_size: int = SIZE,
    norm: str = "batch",
    padding: str = "reflection",
    residual: bool = True,
    initial: Path | str | None = None,
    warmup: int = 0,
    lattice_weight: float = 0,
    seed: int = 0,
    precision: str = "float32",
    **options: Any,
) -> tuple[Trainer, Objective]:
    """What trains a network that gives any photograph the style of one painting, on the device of the photographs.

    Args:
        style: the painting; its largest centred square is taken.
        photographs: to train on.
        batch_size, size: images in a step, and pixels a side of each.
        flip: whether half of the photographs are mirrored.
        style_size: pixels a side of the painting, which sets the size of its strokes (the published code: 256).
        norm, padding, residual: of the network; see `ImageTransformationNetwork`.
        initial: a network's file to start from instead of random weights; its norm may be the other one.
        warmup: the style weight rises to its value over this many steps, from a thousandth, by the same factor each.
            The paper has none; without it a network first learns the texture alone, and to keep the photograph late.
        lattice_weight: of a penalty on lattices, see `lattice`, which the objective hardly sees. The paper has none.
        seed: of the random weights and of the batches.
        precision: of the convolutions, "float32" or "bfloat16".
        options: those of `Trainer`, and weights, layers and form of the `Objective`.

    Raises:
        RangeError: a number is outside of its range, or a photograph smaller than `size`.
        ValueError: an argument that the network or the objective does not take.
        ReplicationError: the initial network is damaged.
    """
    numbers = {"batch_size": batch_size, "size": size, "style_size": style_size, "warmup": warmup, "seed": seed}
    check(precision=precision, lattice_weight=lattice_weight, **numbers)
    photographs.check_crops(size)
    device = photographs.device
    training = {name: options.pop(name) for name in TRAINER_OPTIONS if name in options}
    objective = Objective(_painted(style, style_size).to(device), dtype=getattr(torch, precision), **options)
    torch.manual_seed(seed)
    network = ImageTransformationNetwork(norm, padding, residual).to(device)
    settings = {
        "network": network.configuration,
        "objective": objective.settings(),
        "style": style.provenance(),
        "photographs": photographs.record,
    }
    settings |= numbers | {"flip": flip} | ({"lattice_weight": lattice_weight} if lattice_weight else {})
    if initial:
        network.load_state_dict(load_network(initial)[0].state_dict(), strict=False)  # only batch norm has statistics
        settings["initial"] = sha256(Path(initial).read_bytes())

    def losses(predict: Callable[[Tensor], Tensor], y_content: Tensor, step: int) -> Terms | WithLattice:
        y_hat = predict(y_content)
        terms = objective(y_hat, objective.content_target(y_content))
        if warmup:
            terms = terms._replace(style=terms.style * WARMUP_START ** max(0, 1 - step / warmup))
        return WithLattice(*terms, lattice_weight * lattice(y_hat)) if lattice_weight else terms

    def batch(step: int) -> Tensor:
        return photographs.batch(step, batch_size, size, seed, flip)

    return Trainer(network, losses, batch, settings, bfloat16=precision == "bfloat16", **training), objective


def _painted(style: Picture, size: int) -> Tensor:
    """The painting as the training takes it; that it has to be enlarged for that, the log says."""
    if (side := min(style.image.shape[2:])) < size:
        logging.getLogger(__name__).warning("%s: its %d pixels a side become %d", style.name, side, size)
    return square(style.image, size)


def train_style(
    style: Picture,
    photographs: Photographs,
    out: Path | str,
    *,
    steps: int = STEPS,
    initial: Path | str | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Train a style network and write it; the same call goes on with a run that was stopped.

    Args:
        style, photographs, initial, options: see `style_trainer`.
        out: the network's file, .safetensors. Beside it lie its record, .json, the log, .jsonl, and the state of the
            training, .state.safetensors.
        steps: of the training.

    Returns:
        The lines of the log.

    Raises:
        ValueError: an argument that the network, the objective or the photographs do not take; see `ranges`.
        ReplicationError: a file is damaged, belongs to another run or cannot be written.
        FloatingPointError, KeyboardInterrupt: see `Trainer.run`.
    """
    check(steps=steps, **options)
    out = network_path(out)
    trainer, objective = style_trainer(style, photographs, initial=initial, state=state_path(out), **options)
    log = trainer.run(steps, out.stem)
    terms = WithLattice._fields if "lattice" in log[0] else Terms._fields
    columns = {name: [line[name] for line in log] for name in ("step", *terms, "learning_rate")}
    run = SimpleNamespace(command="train-style", device=trainer.device.type, steps=steps, **trainer.settings)
    record = {
        "final_losses": {name: columns[name][-1] for name in terms},
        "provenance": provenance(run, objective.network, [style]),
    }
    if initial:
        record["initial"] = load_network(initial)[1]
    if first_process():
        save_network(trainer.network, out, record | {"log": columns})
    return log


def objective_of(record: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Objective`, and of `gatys`, that a network was trained with, from its record."""
    settings = record["provenance"]["settings"]["objective"]
    names = ("content_layer", "style_layers", "content_weight", "style_weight", "tv_weight", "style_form")
    return {name: settings[name] for name in names}


def painting_of(record: dict[str, Any]) -> Picture:
    """The painting that a network was trained on, from its record.

    Raises:
        ReplicationError: it is neither in data/styles nor in styles/ under `REPLICATION_DATA`.
    """
    return style_picture(record["provenance"]["settings"]["style"]["name"])


def train_style_from_files(
    style: str, images: str, out: Path | str, *, recipe: str | None = None, **given: Any
) -> None:
    """`train_style` from a painting and a folder of photographs, on the GPU if there is one, or `torchrun`'s several.

    Args:
        style: an image file, or a name out of data/styles.
        images: a folder, or "coco2014" for MS-COCO train2014, which is downloaded.
        out: the network's file, .safetensors.
        recipe: whose settings are taken that are not given, "paper" or "quick"; see `recipes`. None takes the paper's
            on a GPU, else the quick one.
        given: see `train_style`; `initial` may also be "random", or "base", the network that comes with the project for
            others to start from; `fit` "stretch" makes each photograph a square, as the published code does, "crop"
            takes random squares of it. Photographs smaller than `size` are left out.

    Raises:
        ReplicationError: a number is outside of its range, or a file or folder is missing or damaged, or cannot be
            written.
    """
    name = recipe or ("quick" if default_device() == "cpu" else "paper")
    settings = recipe_settings(name, **given)
    check(**settings)
    size, fit, initial = settings["size"], settings.pop("fit"), settings.pop("initial")
    initial = {BASE: BASE_NETWORK, RANDOM: None}.get(initial, initial)
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    out, painting = network_path(out), style_picture(style)
    if initial:
        load_network(initial)  # damaged ones are named before photographs are decoded
    folder = coco2014() if images == "coco2014" else images
    photographs = load_photographs(folder, size if fit == "stretch" else max(size, SHORT_SIDE), fit, least=size)
    if recipe is None and name == "quick":
        logging.getLogger(__name__).info(
            "no GPU: the quick recipe, %d steps, of which 2,500 take about a quarter of an hour on two cores; "
            "the paper's settings are --recipe paper",
            settings["steps"],
        )
    with process_group():
        train_style(painting, photographs.to(default_device()), out, initial=initial, **settings)
