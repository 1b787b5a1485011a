"""Networks on images of any size, tile by tile, so that memory is bounded by one tile."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product

import torch
from torch import Tensor, nn

from replication.networks import STRIDE
from replication.progress import progress_bar

Source = Callable[[slice, slice], Tensor]  # gives some rows and columns of an image, in units
Piece = tuple[slice, slice, Tensor]  # rows and columns of a result, in pixels, and what it has there


def pieces(
    transform: Callable[[Tensor], Tensor],
    source: Source,
    size: tuple[int, int],
    tile: int,
    reach: int,
    *,
    crop: int = 0,
    label: str | None = None,
) -> Iterator[Piece]:
    """What `transform` makes of an image, tile by tile: each position once, and as of the whole but for rounding.

    Lengths are in units, the steps in which the image can be cut; each is one or several pixels of the image, and
    perhaps another number of the result.

    Args:
        transform: a network, or layers of one.
        source: of parts (1, C, h, w) of the image.
        size: rows and columns of the image.
        tile: rows and columns of a tile.
        reach: how far around a tile of the result the image has a say in it.
        crop: by how much the result is smaller than the image, at each side.
        label: what a progress bar over the tiles says; None for no bar.
    """
    height, width = (side - 2 * crop for side in size)
    starts = list(product(range(0, height, tile), range(0, width, tile)))
    with progress_bar(len(starts), label or "", shown=label is not None) as bar:
        for top, left in starts:
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(0, top + crop - reach), max(0, left + crop - reach)
            below, behind = min(bottom + crop + reach, size[0]), min(right + crop + reach, size[1])
            result = transform(source(slice(above, below), slice(before, behind)))
            pixels = result.shape[2] // (below - above - 2 * crop)  # a unit
            rows, columns = slice(pixels * top, pixels * bottom), slice(pixels * left, pixels * right)
            inside = result[..., pixels * (top - above) :, pixels * (left - before) :]
            yield rows, columns, inside[..., : rows.stop - rows.start, : columns.stop - columns.start]
            bar.update()


def fill(result: Tensor, found: Iterable[Piece]) -> Tensor:
    """Put pieces where they belong in `result` (1, C, H, W), which may end before they do."""
    for rows, columns, piece in found:
        place = result[..., rows, columns]
        place.copy_(piece[..., : place.shape[2], : place.shape[3]])
    return result


def part_of(image: Tensor) -> Source:
    """An image (1, C, H, W) as a source; a unit is a pixel."""
    return lambda rows, columns: image[..., rows, columns]


def padded(image: Tensor, margin: int) -> tuple[Source, tuple[int, int]]:
    """An image in its reflection padding, which is made of each part when that is asked for; a unit is 4 pixels.

    Args:
        image: (1, 3, H, W).
        margin: pixels at each side, a multiple of 4; below and right, H and W are filled up to a multiple as well.

    Returns:
        The source, and its rows and columns.
    """

    def positions(part: slice, length: int) -> Tensor:
        position = (torch.arange(STRIDE * part.start, STRIDE * part.stop, device=image.device) - margin).abs()
        return torch.where(position < length, position, 2 * (length - 1) - position)

    def source(rows: slice, columns: slice) -> Tensor:
        return image[..., positions(rows, image.shape[2]), :][..., positions(columns, image.shape[3])]

    height, width = ((length + -length % STRIDE + 2 * margin) // STRIDE for length in image.shape[2:])
    return source, (height, width)


def cropped(layers: nn.Module) -> int:
    """By how much layers make an image smaller at each side: one for each of their convolutions without padding."""
    return sum(isinstance(layer, nn.Conv2d) and not any(layer.padding) for layer in layers.modules())
