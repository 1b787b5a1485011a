"""Training of super-resolution networks, and of SRCNN, on patches of photographs (section 4.2)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from replication.data import coco2014
from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError
from replication.files import sha256
from replication.lattice import lattice
from replication.loss_network import LossNetwork
from replication.losses import feature_reconstruction_loss
from replication.network_files import load_network, network_path, save_network, state_path
from replication.networks import KERNELS, SRCNN, SuperResolutionNetwork
from replication.photographs import SHORT_SIDE, Photographs, load_photographs
from replication.provenance import provenance
from replication.ranges import check
from replication.super_resolution import BLUR, LOSSES, bicubic, low_resolution, luminance
from replication.training import Trainer, first_process, process_group

STEPS, BATCH_SIZE, PATCH, COUNT = 200_000, 4, 288, 10_000  # section 4.2; the last, of photographs
ALL_KERNELS = (KERNELS, (9, 1, 5))  # of SRCNN
FEATURE_LAYER = "relu2_2"  # section 4.2


class Reconstruction(NamedTuple):
    """The loss of each image, (B,)."""

    reconstruction: Tensor


class WithLattice(NamedTuple):
    """The loss of each image and the penalty on lattices, weighted, (B,) each."""

    reconstruction: Tensor
    lattice: Tensor


def super_resolution_trainer(
    photographs: Photographs,
    *,
    factor: int = 4,
    loss: str = "feature",
    batch_size: int = BATCH_SIZE,
    patch: int = PATCH,
    flip: bool = False,
    blur: float | None = None,
    kernels: Sequence[int] = KERNELS,
    initial: Path | str | None = None,
    lattice_weight: float = 0,
    seed: int = 0,
    precision: str = "float32",
    **options: Any,
) -> tuple[Trainer, LossNetwork | None]:
    """What trains a network to enlarge photographs, on their device, and the loss network if there is one.

    Args:
        photographs: to take patches of.
        factor: 4 or 8.
        loss: "feature", the feature reconstruction loss at relu2_2 (equation 2), or "pixel", both of the image; or
            "srcnn", which trains SRCNN with the pixel loss of its luminance, at a factor of 4 alone.
        batch_size, patch: patches in a step, and pixels a side of each; a multiple of the factor.
        flip: whether half of the patches are mirrored.
        blur: of the patches before they are made smaller; see `low_resolution`. None takes the paper's 1, for SRCNN 0.
        kernels: of SRCNN, 9-5-5 or 9-1-5.
        initial: a network's file to start from instead of random weights; what it was trained with may be another loss.
        lattice_weight: of a penalty on lattices that the image has and the photograph has not, with the losses
            "feature" and "pixel"; see `lattice`. The paper has none.
        seed: of the random weights and of the batches.
        precision: of the convolutions, "float32" or "bfloat16".
        options: those of `Trainer`.

    Raises:
        ValueError: an argument that does not fit, or photographs smaller than the patch.
        ReplicationError: the initial network is damaged, or enlarges by another factor.
    """
    blur = (0.0 if loss == "srcnn" else BLUR) if blur is None else blur
    numbers = {"patch": patch, "blur": blur, "batch_size": batch_size, "lattice_weight": lattice_weight, "seed": seed}
    check_training(factor=factor, loss=loss, kernels=kernels, precision=precision, **numbers)
    photographs.check_crops(patch)
    device = photographs.device
    torch.manual_seed(seed)
    network = _network(factor, loss, kernels, initial).to(device)
    phi = LossNetwork([FEATURE_LAYER], dtype=getattr(torch, precision)).to(device) if loss == "feature" else None

    def losses(predict: Callable[[Tensor], Tensor], y: Tensor, step: int) -> Reconstruction | WithLattice:
        small = low_resolution(y, factor, blur)
        if loss == "srcnn":
            return Reconstruction(_pixel_loss(predict(luminance(bicubic(small, factor))), luminance(y)))
        y_hat = predict(small)
        reconstruction = _feature_loss(phi, y_hat, y) if phi else _pixel_loss(y_hat, y)
        if not lattice_weight:
            return Reconstruction(reconstruction)
        return WithLattice(reconstruction, lattice_weight * lattice(y_hat - y, factor))

    def batch(step: int) -> Tensor:
        return photographs.batch(step, batch_size, patch, seed, flip)

    settings = {"network": network.configuration, "factor": factor, "loss": loss, "photographs": photographs.record}
    settings |= {"batch_size": batch_size, "patch": patch, "flip": flip, "blur": blur, "seed": seed}
    settings |= {"lattice_weight": lattice_weight} if lattice_weight else {}
    settings |= {"initial": sha256(Path(initial).read_bytes())} if initial else {}
    return Trainer(network, losses, batch, settings, bfloat16=precision == "bfloat16", **options), phi


def _network(
    factor: int = 4, loss: str = "feature", kernels: Sequence[int] = KERNELS, initial: Path | str | None = None
) -> nn.Module:
    """A network of random weights, or of those of a file."""
    network = SRCNN(kernels) if loss == "srcnn" else SuperResolutionNetwork(factor)
    if initial:
        found = load_network(initial, type(network))[0]
        if found.configuration != network.configuration:
            raise ReplicationError(f"{initial} has {found.configuration}; wanted is {network.configuration}")
        network.load_state_dict(found.state_dict())
    return network


def check_training(
    *, factor: int = 4, loss: str = "feature", patch: int = PATCH, kernels: Sequence[int] = KERNELS, **others: Any
) -> None:
    """Refuse what cannot be trained; see `super_resolution_trainer`.

    Raises:
        RangeError: a number is outside of its range, or does not go with another.
        ValueError: an unknown loss, or other kernels.
    """
    check(factor=factor, loss=loss, patch=patch, **others)
    if loss not in (*LOSSES, "srcnn"):
        raise ValueError(f"the loss is one of {', '.join(LOSSES)}, srcnn; got {loss!r}")
    if tuple(kernels) not in ALL_KERNELS:
        raise ValueError(f"the kernels are {' or '.join(map(str, ALL_KERNELS))}; got {kernels}")


def _pixel_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """||y_hat - y||^2 / (C H W) of each image, (B,), on the scale 0..1 (section 3.2)."""
    return nn.functional.mse_loss(y_hat, y, reduction="none").mean((1, 2, 3))


def _feature_loss(phi: LossNetwork, y_hat: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        target = phi(y)[FEATURE_LAYER]
    return feature_reconstruction_loss(phi(y_hat)[FEATURE_LAYER], target)


def train_super_resolution(
    photographs: Photographs,
    out: Path | str,
    *,
    steps: int = STEPS,
    initial: Path | str | None = None,
    precision: str = "float32",
    **options: Any,
) -> list[dict[str, Any]]:
    """Train a network and write it; the same call goes on with a run that was stopped.

    Args:
        photographs, initial, precision, options: see `super_resolution_trainer`.
        out: the network's file, .safetensors. Beside it lie its record, .json, the log, .jsonl, and the state of the
            training, .state.safetensors.
        steps: of the training.

    Returns:
        The lines of the log.

    Raises:
        ValueError: an argument that does not fit.
        ReplicationError: a file is damaged, belongs to another run or cannot be written.
        FloatingPointError, KeyboardInterrupt: see `Trainer.run`.
    """
    check(steps=steps, **options)
    out = network_path(out)
    trainer, phi = super_resolution_trainer(
        photographs, initial=initial, precision=precision, state=state_path(out), **options
    )
    log = trainer.run(steps, out.stem)
    terms = WithLattice._fields if "lattice" in log[0] else Reconstruction._fields
    columns = {name: [line[name] for line in log] for name in ("step", *terms, "learning_rate")}
    run = SimpleNamespace(
        command="train-super-resolution",
        device=trainer.device.type,
        steps=steps,
        **trainer.settings | ({} if phi else {"precision": precision}),
    )
    if first_process():
        record = {"final_loss": log[-1]["reconstruction"], "provenance": provenance(run, phi, []), "log": columns}
        if initial:
            record["initial"] = load_network(initial, type(trainer.network))[1]
        save_network(trainer.network, out, record)
    return log


def train_super_resolution_from_files(images: str, out: Path | str, *, count: int = COUNT, **settings: Any) -> None:
    """`train_super_resolution` from a folder of photographs, on the GPU if there is one, or `torchrun`'s several.

    Args:
        images: a folder, or "coco2014" for MS-COCO train2014, which is downloaded.
        count: photographs that are taken, the first by name.
        out, settings: see `train_super_resolution`. The photographs are resized, their shorter side to 288 pixels or
            the patch; those that are smaller than the patch are left out.

    Raises:
        ValueError: an argument that does not fit.
        ReplicationError: a file or folder is missing or damaged, or cannot be written.
    """
    check_training(count=count, **settings)
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    out = network_path(out)
    _network(**{name: settings[name] for name in ("factor", "loss", "kernels", "initial") if name in settings})
    folder = coco2014() if images == "coco2014" else images
    patch = settings.get("patch", PATCH)
    photographs = load_photographs(folder, max(patch, SHORT_SIDE), count=count, least=patch)
    with process_group():
        train_super_resolution(photographs.to(default_device()), out, **settings)
