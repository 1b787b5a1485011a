"""The lattice that transposed convolutions leave in a picture: a penalty on it, not in the paper, and a measure."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 32  # pixels, over which the lattice keeps its phase and grain has none
BINS = 2  # of a spectrum, around a frequency
BESIDE = (4, 12)  # bins below it


def lattice(image: Tensor, period: int = 4) -> Tensor:
    """What repeats every `period` pixels, or every half or quarter of them, as a mean square over squares of 32 pixels.

    In a square, pixels at the same place modulo the period are averaged: a lattice stays, grain and texture average
    out. So a network may draw what it wants, as long as that does not depend on the position modulo the period.

    Args:
        image: (B, 3, H, W) in [0, 1], or a difference of such images, of at least 32 pixels a side and the period.
        period: 2 to the number of transposed convolutions of stride 2; at most 8.

    Returns:
        The value of each image in squared grey levels, of 255, (B,).

    Raises:
        ValueError: a smaller image.
    """
    if min(image.shape[2:]) < WINDOW + period:
        raise ValueError(f"a lattice shows in {WINDOW + period} pixels a side and more; got {tuple(image.shape)}")
    pixels = 255 * image.flatten(0, 1)[:, None]
    taps = pixels.new_ones(period + 1) / period  # a low pass that lets through neither the period nor its parts
    taps[[0, -1]] /= 2
    smooth = F.conv2d(F.conv2d(pixels, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    detail = F.pad(pixels, [-period // 2] * 4) - smooth
    rows, columns = (side // WINDOW for side in detail.shape[2:])
    squares = detail[..., : rows * WINDOW, : columns * WINDOW].unflatten(3, (columns, -1, period))
    places = squares.unflatten(2, (rows, -1, period)).mean((3, 6))  # (3 B, 1, rows, period, columns, period)
    places = places - places.mean((3, 5), keepdim=True)
    return places.square().mean((1, 2, 3, 4, 5)).unflatten(0, image.shape[:2]).mean(1)


def lattice_peak(images: Tensor, period: int) -> float:
    """How far the energy of a lattice stands out of the spectrum: near 0.9 for photographs and paintings.

    Args:
        images: luminance (B, H, H).
        period: of the lattice, in pixels, 2 or 4.

    Returns:
        The mean energy of the frequencies around that of the lattice, along either axis, over that of those below it.
    """
    energy = torch.fft.fft2(images - images.mean((1, 2), keepdim=True)).abs().square().sum(0)
    below = (
        images.shape[2] // period - torch.fft.fftfreq(images.shape[2], device=images.device).mul(images.shape[2]).abs()
    )

    def mean(bins: Tensor) -> Tensor:
        return energy[bins].mean() + energy[:, bins].mean()

    return (mean(below.abs() <= BINS) / mean((BESIDE[0] <= below) & (below <= BESIDE[1]))).item()
