"""Training of a style network: one painting, many photographs (section 4.1)."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from replication.data import Picture, coco2014, style_picture
from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError
from replication.files import sha256
from replication.images import square
from replication.network_files import load_network, save_network
from replication.networks import ImageTransformationNetwork
from replication.objective import Objective, Terms
from replication.photographs import SHORT_SIDE, Photographs, load_photographs
from replication.provenance import provenance
from replication.training import LEARNING_RATE, Trainer

STEPS, BATCH_SIZE, SIZE = 40_000, 4, 256  # section 4.1
WARMUP_START = 1e-3  # of the style weight
PRECISIONS = ("float32", "bfloat16")


def train_style(
    style: Picture,
    photographs: Photographs,
    out: Path | str,
    *,
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    size: int = SIZE,
    flip: bool = False,
    style_size: int = SIZE,
    norm: str = "batch",
    padding: str = "reflection",
    residual: bool = True,
    initial: Path | str | None = None,
    seed: int = 0,
    learning_rate: float = LEARNING_RATE,
    warmup: int = 0,
    cooldown: int = 0,
    precision: str = "float32",
    save_every: float = 60,
    log_every: int = 50,
    **objective: Any,
) -> list[dict[str, Any]]:
    """Train a network that gives any photograph the style of one painting, on the device of the photographs.

    Args:
        style: the painting; its largest centred square is taken.
        photographs: to train on.
        out: the network's file, .safetensors. Beside it lie its record, .json, the log, .jsonl, and the state of the
            training, .state.safetensors, from which the same call goes on.
        steps, batch_size, size, learning_rate: the paper's are 40,000, 4, 256 pixels and 1e-3.
        flip: whether half of the photographs are mirrored.
        style_size: pixels a side of the painting, which sets the size of its strokes (the published code: 256).
        norm, padding, residual: of the network; see `ImageTransformationNetwork`.
        initial: a network's file to start from instead of random weights.
        seed: of the random weights and of the batches.
        warmup: the style weight rises to its value over this many steps, from a thousandth, by the same factor each.
            The paper has none; without it a network first learns the texture alone, and to keep the photograph late.
        cooldown, save_every, log_every: see `Trainer`.
        precision: of the convolutions, "float32" or "bfloat16".
        objective: weights, layers and form; see `Objective`.

    Returns:
        The lines of the log.

    Raises:
        ValueError: an argument that the network, the objective or the photographs do not take.
        ReplicationError: a file is damaged, belongs to another run or cannot be written.
        FloatingPointError, KeyboardInterrupt: see `Trainer.run`.
    """
    out, device = Path(out), photographs.pixels.device
    if out.suffix != ".safetensors":
        raise ReplicationError(f"{out}: the suffix of a network's file is .safetensors")
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}; got {precision!r}")
    y_style = square(style.image, style_size).to(device)
    function = Objective(y_style, dtype=getattr(torch, precision), **objective)
    torch.manual_seed(seed)
    network = ImageTransformationNetwork(norm, padding, residual).to(device)
    settings = {"batch_size": batch_size, "size": size, "flip": flip, "style_size": style_size, "seed": seed}
    settings |= {"warmup": warmup} | {"network": network.configuration, "objective": function.settings()}
    settings |= {"style": style.provenance(), "photographs": photographs.record}
    history = {}
    if initial:
        started, record = load_network(initial)
        network.load_state_dict(started.state_dict())
        settings["initial"] = sha256(Path(initial).read_bytes())
        history["initial"] = {name: value for name, value in record.items() if name != "log"}

    def losses(predict: Callable[[Tensor], Tensor], y_content: Tensor, step: int) -> Terms:
        terms = function(predict(y_content), function.content_target(y_content))
        return terms._replace(style=terms.style * WARMUP_START ** max(0, 1 - step / warmup)) if warmup else terms

    trainer = Trainer(
        network,
        losses,
        lambda step: photographs.batch(step, batch_size, size, seed, flip),
        settings,
        learning_rate=learning_rate,
        cooldown=cooldown,
        bfloat16=precision == "bfloat16",
        state=out.with_suffix(".state.safetensors"),
        save_every=save_every,
        log_every=log_every,
    )
    log = trainer.run(steps, out.stem)
    run = SimpleNamespace(command="train-style", device=device.type, steps=steps, **trainer.settings)
    columns = {name: [line[name] for line in log] for name in ("step", *Terms._fields, "learning_rate")}
    final = {name: columns[name][-1] for name in Terms._fields}
    record = {"final_losses": final, "provenance": provenance(run, function.network, [style])} | history
    save_network(network, out, record | {"log": columns})
    return log


def train_style_from_files(
    style: str, images: str, out: Path | str, *, size: int = SIZE, fit: str = "stretch", **settings: Any
) -> None:
    """`train_style` from a painting and a folder of photographs, on the GPU where there is one.

    Args:
        style: an image file, or a name out of data/styles.
        images: a folder, or "coco2014" for MS-COCO train2014, which is downloaded.
        out: the network's file, .safetensors.
        size: pixels a side of the photographs in a step.
        fit: "stretch" makes each photograph a square, as the published code does; "crop" takes random squares of it.
        settings: see `train_style`.

    Raises:
        ReplicationError: a file or folder is missing or damaged, or cannot be written.
    """
    keep_freed_memory()
    painting = style_picture(style)
    folder = coco2014() if images == "coco2014" else images
    photographs = load_photographs(folder, size if fit == "stretch" else max(size, SHORT_SIDE), fit)
    train_style(painting, photographs.to(default_device()), out, size=size, **settings)
