"""Style transfer by a trained network: one forward pass, for images of any size."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from replication.batch import Transform, transform_files
from replication.device import default_device, keep_freed_memory
from replication.errors import ReplicationError
from replication.inference import for_inference
from replication.network_files import NETWORKS, load_network
from replication.networks import STRIDE, ImageTransformationNetwork
from replication.progress import progress_bar
from replication.ranges import check

SHIPPED = NETWORKS / "style"
TILE = 1024  # pixels a side
REACH = 60  # pixels around a tile that it sees: 40 through the blocks, 17 through the other layers, in steps of 4


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

    The tiles overlap by what the network sees, so that they equal the whole image but for rounding, and memory is
    bounded by one of them. A network with instance norm takes its statistics from the whole image, which is therefore
    not cut.

    Args:
        network: in evaluation mode; see `for_inference`.
        image: (1, 3, H, W) in [0, 1].
        tile: pixels a side, a multiple of 4; None for the whole image at once.
        label: what the progress bar over the tiles says.

    Returns:
        (1, 3, H, W) in [0, 1], float32.

    Raises:
        ValueError: a shape that the network does not take, or a tile that is no multiple of 4.
    """
    height, width = image.shape[2:]
    whole = tile is None or max(height, width) <= tile or network.configuration["norm"] == "instance"
    if whole or min(height, width) < network.smallest:
        return network(image)
    if tile < STRIDE or tile % STRIDE:
        raise ValueError(f"the tile must be a multiple of {STRIDE} pixels; got {tile}")
    result = torch.empty_like(image)
    pieces = [(rows, columns) for rows in _pieces(height, tile) for columns in _pieces(width, tile)]
    with progress_bar(len(pieces), label) as bar:
        for (top, bottom), (left, right) in pieces:
            rows, above = _seen(top, bottom, height, network.margin)
            columns, before = _seen(left, right, width, network.margin)
            padded = image[..., rows.to(image.device), :][..., columns.to(image.device)]
            piece = network.transform(padded)[..., above : above + bottom - top, before : before + right - left]
            result[..., top:bottom, left:right] = piece
            bar.update()
    return result


def _pieces(length: int, tile: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + tile, length)) for start in range(0, length, tile))


def _seen(start: int, end: int, length: int, margin: int) -> tuple[Tensor, int]:
    """Which pixels a tile from `start` to `end` takes, reflected at the borders, and where it begins in its result."""
    first, last = -margin, length + -length % STRIDE + margin  # of the padded image
    begin = max(first, start - REACH)
    stop = min(last, end + -end % STRIDE + REACH)
    position = torch.arange(begin, stop).abs()
    return torch.where(position < length, position, 2 * (length - 1) - position), start - margin - begin


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
