"""The lattice that transposed convolutions leave in a picture: a penalty on it, not in the paper, and a measure."""

import torch
from torch import Tensor
from torch.nn import functional as F

PERIOD = 4  # pixels, after two transposed convolutions of stride 2
WINDOW = 32  # pixels, over which the lattice keeps its phase and grain has none
LOW_PASS = (0.125, 0.25, 0.25, 0.25, 0.125)  # a filter that lets through neither period 2 nor period 4
BINS = 2  # of a spectrum, around a frequency
BESIDE = (4, 12)  # bins below it


def lattice(image: Tensor) -> Tensor:
    """What repeats every 4 pixels, every 2 included, as a mean square over windows of 32 x 32 pixels.

    In a window, pixels at the same place modulo 4 are averaged: a lattice stays, grain and texture average out. So a
    network may draw what it wants, as long as that does not depend on the position modulo 4.

    Args:
        image: (B, 3, H, W) in [0, 1], of at least 36 pixels a side.

    Returns:
        The value of each image in squared grey levels, of 255, (B,).
    """
    pixels = 255 * image.flatten(0, 1)[:, None]
    taps = torch.tensor(LOW_PASS, dtype=pixels.dtype, device=pixels.device)
    smooth = F.conv2d(F.conv2d(pixels, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    detail = pixels[..., 2:-2, 2:-2] - smooth
    rows, columns = (side // WINDOW for side in detail.shape[2:])
    windows = detail[..., : rows * WINDOW, : columns * WINDOW].unflatten(3, (columns, -1, PERIOD))
    phases = windows.unflatten(2, (rows, -1, PERIOD)).mean((3, 6))  # (3 B, 1, rows, PERIOD, columns, PERIOD)
    phases = phases - phases.mean((3, 5), keepdim=True)
    return phases.square().mean((1, 2, 3, 4, 5)).unflatten(0, image.shape[:2]).mean(1)


def lattice_peak(images: Tensor, period: int) -> float:
    """How far the energy of a lattice stands out of the spectrum: 0.9 for photographs, more than 1.2 is seen.

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
