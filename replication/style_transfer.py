"""Style transfer by a trained network: one forward pass, for images of any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replication.batch import Transform, transform_files
from replication.device import default_device, give_back_memory, keep_freed_memory
from replication.errors import ReplicationError
from replication.inference import for_inference
from replication.instance_norm import with_statistics
from replication.network_files import NETWORKS, load_network
from replication.networks import STRIDE, ImageTransformationNetwork
from replication.ranges import check
from replication.tiles import fill, padded, pieces

SHIPPED = NETWORKS / "style"
TILE = 1024  # pixels a side
REACH = 52  # pixels around a tile that have a say in it: 40 through the blocks, 11 through the rest, in steps of 4


def style_network(name: Path | str) -> tuple[ImageTransformationNetwork, dict[str, Any]]:
    """A trained network and its record: a path, or a name out of `style_names()`.

    Raises:
        ReplicationError: there is none of that name (the message lists those there are), or it cannot be read.
    """
    if str(name) in style_names():
        return load_network(SHIPPED / f"{name}.safetensors")
    if not Path(name).suffix:
        raise ReplicationError(
            f"there is no style {name!r}: give a .safetensors file or one of {', '.join(style_names())}"
        )
    return load_network(name)


def style_names() -> list[str]:
    """The styles that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


@torch.inference_mode()
def stylize(network: ImageTransformationNetwork, image: Tensor, tile: int | None = TILE, label: str = "") -> Tensor:
    """Transform an image of any size, in tiles where it is larger than one.

    The tiles overlap by what the network sees, so that they equal the whole image but for rounding, and memory, that of
    image and result aside, is bounded by one of them. With instance norm the statistics of the whole image are
    gathered over tiles first, which takes more than twice as long as the image itself does then, and for a while a
    temporary file of 32 bytes a pixel, 16 in bfloat16.

    Args:
        network: in evaluation mode; see `for_inference`.
        image: (1, 3, H, W) in [0, 1].
        tile: pixels a side, a multiple of 4; None for the whole image at once.
        label: what the progress bar over the tiles says.

    Returns:
        (1, 3, H, W) in [0, 1], float32.

    Raises:
        ValueError: a shape that the network does not take, or a tile that is no multiple of 4.
        ReplicationError: there is no space for the temporary file.
    """
    check(tile=tile)
    if image.shape[:-2] != (1, 3):
        raise ValueError(f"one RGB image has the shape (1, 3, H, W); got {tuple(image.shape)}")
    height, width = image.shape[2:]
    if tile is None or max(height, width) <= tile or min(height, width) < network.smallest:
        return network(image)
    give_back_memory()
    if network.configuration["norm"] == "instance":
        half = max(1, tile // 2 // STRIDE)  # costs nothing, since little around these tiles has a say in them
        network = with_statistics(network, image, half, label)
        give_back_memory()
    source, size = padded(image, network.margin)
    crop = network.margin // STRIDE
    found = pieces(network.transform, source, size, tile // STRIDE, REACH // STRIDE, crop=crop, label=label)
    result = fill(torch.empty_like(image), found)
    give_back_memory()
    return result


def stylize_files(
    inputs: Sequence[Path | str],
    out: Path | str,
    style: Path | str,
    *,
    tile: int | None = TILE,
    precision: str = "float32",
    overwrite: bool = False,
) -> list[ReplicationError]:
    """Transform image files, and the images in folders, on a GPU where there is one.

    Args:
        inputs, out, overwrite: see `transform_files`.
        style: see `style_network`.
        tile: see `stylize`.
        precision: "float32" or "bfloat16".

    Returns:
        What could not be done; all others are.

    Raises:
        ReplicationError: no such style, and see `transform_files`.
    """
    check(tile=tile, precision=precision)
    keep_freed_memory()
    device = default_device()
    network = for_inference(style_network(style)[0], getattr(torch, precision)).to(device)

    def stylized(image: Tensor, name: str) -> Tensor:
        return stylize(network, image.to(device), tile, name)

    return transform_files(inputs, out, Transform(stylized, smallest=network.smallest), overwrite)
