"""Style transfer by a trained network (section 4.1): training it on a painting, and stylising images of any size."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from replication.config import PAPER, TILE_STYLISED, StyleConfig
from replication.io.checkpoints import (
    NETWORKS,
    check_network,
    load_checkpoint,
    load_network,
    network_file,
    network_path,
    state_path,
)
from replication.io.files import ReplicationError
from replication.io.photographs import SHORT_SIDE, ImageDataset, check_folder, photographs_on_device
from replication.io.pictures import Picture, style_picture
from replication.io.pixels import square
from replication.io.ranges import RangeError, check
from replication.io.runtime import (
    default_device,
    deterministic_cudnn,
    dtype_of,
    give_back_memory,
    keep_freed_memory,
    seeded,
)
from replication.io.transform_files import Transform, is_file_name, transform_files
from replication.loss_network import MIN_SIZE
from replication.losses import Objective, lattice
from replication.networks import STRIDE, ImageTransformationNetwork, for_inference
from replication.tiles import check_tiling, fill, padded, pieces, with_statistics
from replication.training import Trainer, check_machine, train_network

PRETRAINED = NETWORKS / "style"
BASE = PRETRAINED / "great_wave_instance.safetensors"  # what other styles start from
LUMA = (0.299, 0.587, 0.114)  # of BT.601
WARMUP_START = 1e-3  # of the style weight
REACH = 52  # pixels that the receptive field adds to a tile: 40 by the blocks, 11 by the rest, to a multiple of 4


def style_trainer(
    style: Picture,
    photographs: ImageDataset,
    config: StyleConfig = PAPER,
    network: nn.Module | None = None,
    **options: Any,
) -> tuple[Trainer, Objective]:
    """Make the trainer of a style network for one painting, on the device of the photographs, and its objective.

    Over the first `warmup` steps the style weight rises by the same factor at each step. This is meant to keep a short
    training from learning the texture alone; the paper has no warm-up.

    Args:
        style: the painting. Its largest centred square is resized to `style_size`; enlarging it is logged as a warning.
        config: the initial network may have another norm and another padding.
        photographs: see `load_photographs`; the config's `fit` is recorded here, not applied.
        network: f_W of another architecture, (B, 3, H, W) in [0, 1] to the same; its attribute `configuration` holds
            the arguments of its class. By default the paper's, with the config's norm, padding and initial weights.
        options: `state`, `save_every` and `log_every` of `Trainer`.

    Raises:
        RangeError: a photograph is smaller than `size`.
        ValueError: an argument that the network or the objective does not take, or two networks to start from.
        ReplicationError: the initial network is damaged, only one of the two networks has shortcuts, or `load_network`
            could not read a network of yours again.
    """
    if network is not None and config.initial:
        raise ValueError("a network of your own has its own initial weights; give initial=None")
    photographs.check_crops(config.size)
    device, dtype = photographs.device, dtype_of(config.precision, photographs.device.type)
    if (side := min(style.image.shape[2:])) < config.style_size:
        logging.getLogger(__name__).warning("%s: its %d pixels a side become %d", style.name, side, config.style_size)
    objective = Objective(square(style.image, config.style_size).to(device), dtype=dtype, **config.objective)
    inputs = {"style": style.provenance(), "photographs": photographs.record}
    if network is None:
        with seeded(config.seed):
            network = _network(config)
    else:
        made = check_network(network, "network")
        inputs["network"] = {"kind": type(made).__name__} | made.configuration
    network = network.to(device)

    def losses(predict: Callable[[Tensor], Tensor], y_content: Tensor, step: int) -> dict[str, Tensor]:
        y_hat = predict(y_content)
        terms = objective(y_hat, objective.content_target(y_content))._asdict()
        if config.warmup:
            terms["style"] = terms["style"] * WARMUP_START ** max(0, 1 - step / config.warmup)
        if config.lattice_weight:
            terms["lattice"] = config.lattice_weight * lattice(y_hat)
        return terms

    def batch(step: int) -> Tensor:
        return photographs.batch(step, config.batch_size, config.size, config.seed, config.flip)

    return Trainer(network, losses, batch, config, inputs, initial=_initial(config), **options), objective


def _network(config: StyleConfig) -> ImageTransformationNetwork:
    """A network with random weights, or with those of the initial network, whose norm and padding may differ."""
    network = ImageTransformationNetwork(**config.network)
    if initial := _initial(config):
        found, _ = load_network(initial, ImageTransformationNetwork)
        if found.configuration["residual"] != config.residual:
            has = "" if found.configuration["residual"] else "no "
            raise ReplicationError(f"{initial} has {has}shortcuts; give --initial None to start without it")
        network.load_state_dict(found.state_dict(), strict=False)  # only batch norm has statistics
    return network


def _initial(config: StyleConfig) -> Path | None:
    """The file that a training starts from; None for random weights."""
    if config.initial is None:
        return None
    return BASE if config.initial == "base" else network_file(config.initial, PRETRAINED, "style")


def train_style(
    style: Picture, photographs: ImageDataset, out: Path | str, config: StyleConfig = PAPER, **options: Any
) -> list[dict[str, Any]]:
    """Train a style network and write it; see `style_trainer`, and `train_network` for the files and the log.

    The default is the paper's 40,000 steps, also on a CPU, where the command has `QUICK`.
    """
    trainer, objective = style_trainer(style, photographs, config, state=state_path(out), **options)
    return train_network(trainer, out, "train-style", objective.network, [style])


def train_style_from_files(style: str, images: str, out: Path | str, config: StyleConfig = PAPER) -> None:
    """Run `train_style` on a painting and a folder of photographs, on a GPU if there is one, or on `torchrun`'s GPUs.

    Args:
        style: an image file, or the name of a painting in data/styles.
        images: see `photographs_on_device`; those smaller than `size` are left out.
        out, config: see `train_style`.

    Raises:
        RangeError, ValueError: this machine cannot do what an option asks for.
        ReplicationError: a file or folder is missing or damaged, or cannot be written.
    """
    out, painting = network_path(out), style_picture(style)
    check_machine(config)  # what can be wrong is named before photographs are decoded
    load_checkpoint(state_path(out), config.lasting | {"style": painting.provenance()}, partly=True)
    _network(config)
    check_folder(images)
    Objective(square(painting.image, MIN_SIZE), **config.objective)
    side = config.size if config.fit == "stretch" else max(config.size, SHORT_SIDE)
    with photographs_on_device(images, side=side, fit=config.fit, least=config.size) as photographs:
        train_style(painting, photographs, out, config)


def painting_of(record: dict[str, Any]) -> Picture:
    """The painting that a network was trained on, by the name and the digest in its record; see `style_picture`.

    Raises:
        ReplicationError: it is not here, or another painting has its name.
    """
    if not record.get("provenance", {}).get("inputs"):
        raise ReplicationError("the network's record names no painting; it was not trained by train-style")
    wanted = record["provenance"]["inputs"][0]
    with suppress(ReplicationError):
        picture = style_picture(wanted["name"])
        if picture.provenance()["sha256"] == wanted["sha256"]:
            return picture
    raise ReplicationError(
        f"the painting {wanted['name']!r} that the network was trained on is not here, or another one has its name; "
        "put it into styles/ under REPLICATION_DATA"
    )


def style_network(name: Path | str) -> tuple[ImageTransformationNetwork, dict[str, Any]]:
    """Load a trained network and its record, by its path or by a name in `style_names()`.

    Raises:
        ReplicationError: no network has that name (the message lists the names), or it cannot be read.
    """
    return load_network(network_file(name, PRETRAINED, "style"), ImageTransformationNetwork)


def style_names() -> list[str]:
    """The styles that come with the project."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


@torch.no_grad()
@deterministic_cudnn()
def stylise(
    network: ImageTransformationNetwork, image: Tensor, tile: int | None = TILE_STYLISED, label: str | None = ""
) -> Tensor:
    """Transform an image of any size; one that is larger than a tile is processed tile by tile, see `pieces`.

    With instance norm, the statistics of the whole image are first gathered over the tiles, layer by layer. This takes
    longer than the transformation itself, and needs a temporary file of 32 bytes for each pixel, 16 in bfloat16.

    Args:
        network: in evaluation mode; see `for_inference`.
        image: (1, 3, H, W) in [0, 1], float32, as is the result.
        tile: pixels a side, a multiple of 4; None for the whole image at once.
        label: what the progress bars say; None for no bar.

    Raises:
        RangeError: a tile that is no multiple of 4.
        ValueError: a shape that the network does not take, or batch norm in training mode.
        ReplicationError: there is no space for the temporary file.
    """
    check_tiling(network, image, tile)
    if tile is None or max(image.shape[2:]) <= tile or min(image.shape[2:]) < network.smallest:
        return network(image)
    give_back_memory()
    if network.configuration["norm"] == "instance":
        half = max(1, tile // 2 // STRIDE)  # the receptive field goes little beyond these
        network = with_statistics(network, image, half, label)
        give_back_memory()
    source, size = padded(image, network.margin)
    crop = network.margin // STRIDE
    found = pieces(network.transform, source, size, tile // STRIDE, REACH // STRIDE, crop=crop, label=label)
    result = fill(torch.empty_like(image), found)
    give_back_memory()
    return result


def stylise_files(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    style: Path | str | Sequence[Path | str],
    *,
    size: int | None = None,
    strength: float = 1.0,
    preserve_colours: bool = False,
    tile: int | None = TILE_STYLISED,
    precision: str = "float32",
    overwrite: bool = False,
) -> list[ReplicationError]:
    """Transform image files, and the images in folders, on a GPU where there is one.

    Args:
        inputs, out, overwrite: see `transform_files`, also for the return value.
        style: see `style_network`. With several, the results of each go to a folder of its name in `out`.
        size: pixels to which the longer side of an image is resized first; strokes keep their size in pixels.
        strength, preserve_colours: see `blended`.
        tile: see `stylise`.
        precision: "float32", "bfloat16" or "fast"; see `dtype_of`.

    Raises:
        RangeError: a number is outside of its range, or no style is given.
        ReplicationError: there is no such style, or two have the same name; see also `transform_files`.
    """
    check(optional=("tile", "size"), tile=tile, precision=precision, size=size, strength=strength)
    keep_freed_memory()
    device, styles = default_device(), [style] if isinstance(style, Path | str) else style
    if not styles:
        raise RangeError(f"style must name one at least, --style {style_names()[0]}")
    networks = {Path(each).name.removesuffix(".safetensors"): style_network(each)[0] for each in styles}
    if len(networks) < len(styles):
        raise ReplicationError(f"two styles have one name, and so one folder: {', '.join(map(str, styles))}")
    if len(styles) > 1 and is_file_name(out):
        raise ReplicationError(f"{out}: it is the name of one file, for several styles; for a folder give {out}/")

    def stylised(image: Tensor, label: str | None, network: ImageTransformationNetwork) -> Tensor:
        image = image.to(device)
        return blended(stylise(network, image, tile, label), image, strength, preserve_colours)

    failed, folders = [], [out] if len(networks) == 1 else [f"{Path(out, name)}/" for name in networks]
    for folder, trained in zip(folders, networks.values(), strict=True):
        network = for_inference(trained, dtype_of(precision, device)).to(device)
        transform = Transform(partial(stylised, network=network), 1, network.smallest, size)
        failed += transform_files(inputs, folder, transform, overwrite, folders)
    return failed


def blended(y_hat: Tensor, photograph: Tensor, strength: float, preserve_colours: bool) -> Tensor:
    """Blend a stylised image with its photograph; both and the result are (1, 3, H, W) in [0, 1].

    Args:
        y_hat, photograph: the stylised image and the photograph, of the same size.
        strength: 0 gives the photograph, 1 the stylised image.
        preserve_colours: take only the luminance from the stylised image, and the colours (Cb and Cr of BT.601) from
            the photograph, as in Gatys et al. 2016, "Preserving color in neural artistic style transfer".
    """
    if preserve_colours:
        weights = photograph.new_tensor(LUMA).view(1, 3, 1, 1)
        y_hat = (photograph + ((y_hat - photograph) * weights).sum(1, keepdim=True)).clamp(0, 1)
    return y_hat if strength == 1 else torch.lerp(photograph, y_hat, strength)
