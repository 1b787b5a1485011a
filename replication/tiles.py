"""Networks on images of any size, tile by tile, so that memory is bounded by one tile."""

import copy
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_weights
from tqdm import tqdm

from replication.io.files import ReplicationError
from replication.io.ranges import check
from replication.io.runtime import progress_bar
from replication.networks import FILTERS, STRIDE, ImageTransformationNetwork, ResidualBlock

REACH = 2  # units of 4 pixels: how far the receptive field of one block, or of all layers before or after the blocks,
# reaches beyond a tile
BAND = 16  # rows that are summed up at a time, so that they stay in the cache

Source = Callable[[slice, slice], Tensor]  # gives some rows and columns of an image, in units
Piece = tuple[slice, slice, Tensor]  # rows and columns of a result, in pixels, and what it has there


def check_tiling(network: nn.Module, image: Tensor, tile: int | None) -> None:
    """Raise unless `image` is one image (1, 3, H, W), `tile` a multiple of 4, and batch norm in evaluation mode.

    In training mode, batch norm would use the statistics of each tile, and update its running ones.
    """
    check(optional=("tile",), tile=tile)
    if image.shape[:-2] != (1, 3):
        raise ValueError(f"one RGB image has the shape (1, 3, H, W); got {tuple(image.shape)}")
    if any(module.training for module in network.modules() if isinstance(module, _BatchNorm)):
        raise ValueError("the network is in training mode; take what `for_inference` makes of it, or call .eval()")


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
    """Apply `transform` to an image tile by tile; the result is that of the whole image, except for rounding.

    The tiles read from the image overlap by the receptive field, and each position of the result is yielded once.
    Lengths are in units, the steps in which the image can be cut. A unit is one or several pixels of the image, and may
    be another number of pixels of the result.

    Args:
        transform: a network, or layers of one.
        source: gives parts (1, C, h, w) of the image.
        size: rows and columns of the image.
        tile: rows and columns of a tile.
        reach: how far the receptive field goes beyond a tile of the result.
        crop: by how much the result is smaller than the image, at each side.
        label: what a progress bar over the tiles says; None for no bar.
    """
    height, width = (side - 2 * crop for side in size)
    starts = list(product(range(0, height, tile), range(0, width, tile)))
    with progress_bar(len(starts), label or "", shown=label is not None) as bar:
        for top, left in starts:
            bottom, right = min(top + tile, height), min(left + tile, width)
            y0, x0 = max(0, top + crop - reach), max(0, left + crop - reach)
            y1, x1 = min(bottom + crop + reach, size[0]), min(right + crop + reach, size[1])
            result = transform(source(slice(y0, y1), slice(x0, x1)))
            pixels = result.shape[2] // (y1 - y0 - 2 * crop)  # a unit
            rows, columns = slice(pixels * top, pixels * bottom), slice(pixels * left, pixels * right)
            inside = result[..., pixels * (top - y0) :, pixels * (left - x0) :]
            yield rows, columns, inside[..., : rows.stop - rows.start, : columns.stop - columns.start]
            bar.update()


def fill(result: Tensor, found: Iterable[Piece]) -> Tensor:
    """Copy pieces to their places in `result` (1, C, H, W); what extends beyond it is cut off."""
    for rows, columns, piece in found:
        place = result[..., rows, columns]
        place.copy_(piece[..., : place.shape[2], : place.shape[3]])
    return result


def padded(image: Tensor, margin: int) -> tuple[Source, tuple[int, int]]:
    """A source of an image with reflection padding, made part by part, and the padded size in units of 4 pixels.

    Args:
        image: (1, 3, H, W).
        margin: pixels at each side, a multiple of 4; below and right, H and W are also padded to a multiple of 4.
    """

    def positions(part: slice, length: int) -> Tensor:
        position = (torch.arange(STRIDE * part.start, STRIDE * part.stop, device=image.device) - margin).abs()
        return torch.where(position < length, position, 2 * (length - 1) - position)

    def source(rows: slice, columns: slice) -> Tensor:
        return image[..., positions(rows, image.shape[2]), :][..., positions(columns, image.shape[3])]

    height, width = ((length + -length % STRIDE + 2 * margin) // STRIDE for length in image.shape[2:])
    return source, (height, width)


def shrinkage(layers: nn.Module) -> int:
    """By how many pixels layers shrink an image at each side: one for each convolution without padding."""
    return sum(isinstance(layer, nn.Conv2d) and not any(layer.padding) for layer in layers.modules())


def with_statistics(
    network: ImageTransformationNetwork, image: Tensor, tile: int, name: str | None = ""
) -> ImageTransformationNetwork:
    """A copy of a network whose instance norms, with their statistics for this image, are folded into the convolutions.

    The statistics are those of the whole image, over exactly the positions that each norm sees. They are computed layer
    by layer: up to the residual blocks from the image, after that from the features at a quarter of the size. These
    features are kept in a temporary file, 128 values for every 16 pixels, in the network's precision.

    Args:
        network: a style network in evaluation mode.
        image: (1, 3, H, W) in [0, 1].
        tile: side of a tile, in units of 4 pixels.
        name: of the image, for the progress bar and errors; None for no bar.

    Raises:
        ReplicationError: there is no space for the temporary file.
    """
    network = copy.deepcopy(network)
    layers, dtype = network.layers, network.layers[0].weight.dtype
    numbers = [i for i, layer in enumerate(layers) if isinstance(layer, ResidualBlock)]
    front, blocks, rear = layers[: numbers[0]], layers[numbers[0] : numbers[-1] + 1], layers[numbers[-1] + 1 :]
    part, size = padded(image, network.margin)

    def scaled(rows: slice, columns: slice) -> Tensor:
        return (2 * part(rows, columns) - 1).to(dtype, memory_format=torch.channels_last)

    crop = shrinkage(blocks[0])
    lead = REACH - crop  # how far above and left of its result a block reads; the result is stored shifted by that
    features = _Features(size, lead * len(blocks), dtype, image.device)
    norms = sum(isinstance(layer, nn.InstanceNorm2d) for layer in network.modules())
    with (
        features.in_a_file(name),
        progress_bar(norms + 1 + len(blocks), f"{name or ''} statistics".strip(), shown=name is not None) as bar,
    ):
        _fold(front, scaled, size, tile, bar)
        features.replace(pieces(front, scaled, size, tile, REACH), 0)
        bar.update()
        for block in blocks:
            _fold(block.layers, features.part, size, tile, bar)
            features.replace(pieces(block, features.part, size, tile, REACH, crop=crop), lead)
            bar.update()
            size = tuple(side - 2 * crop for side in size)
        _fold(rear, features.part, size, tile, bar)
    network.layers = nn.Sequential(*front, *blocks, *rear)
    return network


class _Features:
    """The features of a whole image, in a file that is mapped anew for each access, so that they take no memory.

    The file has `room` spare rows and columns above and to the left, into which the features of later blocks move.
    """

    def __init__(self, size: tuple[int, int], room: int, dtype: torch.dtype, device: torch.device):
        self.shape = (size[0] + room, size[1] + room, FILTERS[-1])
        self.room, self.dtype, self.device = room, dtype, device

    @contextmanager
    def in_a_file(self, name: str | None) -> Iterator[None]:
        """Make the file and reserve its disk space: running out of space in a mapped file would kill the process."""
        need = math.prod(self.shape) * self.dtype.itemsize
        with tempfile.NamedTemporaryFile() as file:
            try:
                if hasattr(os, "posix_fallocate"):  # macOS has none
                    os.posix_fallocate(file.fileno(), 0, need)
            except OSError as error:
                raise ReplicationError(
                    f"{name or 'the image'} takes {need / 1e9:.1f} GB of disk space for a while, which "
                    f"{tempfile.gettempdir()} does not have ({error.strerror}); set TMPDIR to a folder that has"
                ) from error
            self.name = file.name
            yield

    def part(self, rows: slice, columns: slice) -> Tensor:
        """Some rows and columns."""
        return self._mapped()[..., rows, columns].to(self.device)

    def replace(self, found: Iterable[Piece], lead: int) -> None:
        """Replace the features by others, stored `lead` rows higher and as many columns further left."""
        for piece in found:
            fill(self._mapped(lead), [piece])
        self.room -= lead

    def _mapped(self, lead: int = 0) -> Tensor:
        height, width, channels = self.shape
        flat = torch.from_file(self.name, shared=True, size=height * width * channels, dtype=self.dtype)
        return flat.view(1, height, width, channels).permute(0, 3, 1, 2)[..., self.room - lead :, self.room - lead :]


def _fold(layers: nn.Sequential, source: Source, size: tuple[int, int], tile: int, bar: tqdm) -> None:
    """Fold the instance norms of these layers, in their order, into the convolutions before them."""
    for i, norm in enumerate(layers):
        if isinstance(norm, nn.InstanceNorm2d):
            before, convolution = layers[:i], layers[i - 1]
            mean, variance = _moments(pieces(before, source, size, tile, REACH, crop=shrinkage(before)))
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                *(convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias),
                transpose=isinstance(convolution, nn.ConvTranspose2d),
            )
            layers[i] = nn.Identity()
            bar.update()


def _moments(found: Iterable[Piece]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel, (C,), merged piece by piece as Chan, Golub and LeVeque do."""
    count, mean, squares = 0, 0.0, 0.0
    for band in (band for *_, piece in found for band in piece.split(BAND, 2)):
        dtype = torch.float32 if band.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
        values = band.to(dtype, copy=True)
        number = values[0, 0].numel()
        own = values.mean((0, 2, 3))
        difference, total = own - mean, count + number
        deviations = values.sub_(own[:, None, None]).square_().sum((0, 2, 3))
        squares += deviations + difference**2 * count * number / total
        mean += difference * number / total
        count = total
    return mean, squares / count
