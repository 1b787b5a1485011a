"""Measures of how alike two images are, and in what; in float64, by scikit-image where it has the measure.

Luminance is that of `skimage.color.rgb2gray` (BT.709), but in `luminance_scores` it is the paper's, Y of BT.601.
"""

from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from skimage.color import rgb2gray, rgb2lab, rgb2ycbcr
from skimage.filters import gaussian, sobel
from skimage.measure import label
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from replication.io.pixels import to_pixels

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # SSIM as in Wang et al. 2004
NOTCH = 1 / 128  # cycles a pixel: a repeating pattern that itself changes over a few dozen pixels is removed, too
SHIFT = 1 / 64  # share of the image's height: the shift of edges that `gradient_correlation` tolerates
WINDOW = 64  # pixels a side of the windows in which `repetition` looks for periods of up to 32 pixels
FLAT = 1 / 4  # share of the windows that `repetition` uses, the flattest ones
BINS = 2  # bins of the spectrum on either side of a lattice's frequency that count as the lattice
BESIDE = (4, 12)  # bins below that frequency, to compare with


def compare(y_hat: Tensor, y: Tensor) -> dict[str, float]:
    """Compare two images (1, 3, H, W) in [0, 1]: PSNR, SSIM, difference of colours, exact edges and layout."""
    measures = (psnr, ssim, colour_difference)
    found = {measure.__name__: measure(y_hat, y) for measure in measures}
    return found | {"exact_edges": gradient_correlation(y_hat, y, 0), "layout": gradient_correlation(y_hat, y)}


def psnr(y_hat: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio over the three channels, in dB; images (1, 3, H, W), peak 1."""
    return float(peak_signal_noise_ratio(_array(y), _array(y_hat), data_range=1))


def ssim(y_hat: Tensor, y: Tensor) -> float:
    """Structural similarity, mean over channels, at most 1; images (1, 3, H, W) in [0, 1].

    Gaussian window 11 x 11 with sigma 1.5 and population covariances, as in Wang et al. 2004.
    """
    return float(structural_similarity(_array(y), _array(y_hat), data_range=1, channel_axis=-1, **WANG))


def luminance_scores(y_hat: Tensor, y: Tensor, border: int, grey: bool = False) -> dict[str, float]:
    """PSNR in dB and SSIM of the luminance, by the protocol that gives the bicubic means of the paper's figure 8.

    Both images rounded to 8 bits; Y of BT.601 (16..235), not rounded; PSNR with peak 255; SSIM with a Gaussian window
    11 x 11, sigma 1.5, data range 255, population covariances, mean over the positions where the window fits.

    Args:
        y_hat, y: (1, 3, H, W) in [0, 1].
        border: pixels to crop at each side; the paper's protocol crops as many as the factor.
        grey: whether the image was published with one channel. Its values, 0..255, are then compared without conversion
            to Y; the mean of the three channels is taken.
    """
    inside = slice(border, -border or None)
    found, wanted = (to_pixels(image)[inside, inside] for image in (y_hat, y))
    found, wanted = (x.mean(-1) if grey else rgb2ycbcr(x)[..., 0] for x in (found, wanted))
    return {
        "psnr": float(peak_signal_noise_ratio(wanted, found, data_range=255)),
        "ssim": float(structural_similarity(wanted, found, data_range=255, **WANG)),
    }


def checkerboard_energy(y_hat: Tensor, y: Tensor, period: int) -> float:
    """Strength of a pattern in `y_hat`, but not in `y`, that repeats every `period` pixels, in grey levels of 0..255.

    The difference of the luminance is averaged over all squares of `period` pixels a side; the result is the standard
    deviation within that average square. This is the part of the spectrum at the frequency of the upsampling and its
    multiples. Images are (1, 3, H, W) in [0, 1].
    """
    difference = 255 * (rgb2gray(_array(y_hat)) - rgb2gray(_array(y)))
    rows, columns = (side // period for side in difference.shape)
    squares = difference[: rows * period, : columns * period].reshape(rows, period, columns, period)
    return float(squares.mean((0, 2)).std())


def without_grid(image: Tensor, period: int) -> Tensor:
    """Remove what repeats every `period` pixels from an image (1, 3, H, W) in [0, 1], by a notch filter.

    Each frequency of the upsampling, a multiple of 1 / period along either axis or both, is removed from the spectrum
    together with its neighbourhood, a Gaussian with a sigma of `NOTCH` cycles a pixel. The mean is kept, and the result
    is clipped to [0, 1].
    """
    multiples = np.arange(1 - period, period) / period  # with 0, the mean, in the middle
    rows, columns = (_closeness(side, multiples) for side in image.shape[2:])
    all_of_them, mean = np.outer(rows.sum(1), columns.sum(1)), np.outer(rows[:, period - 1], columns[:, period - 1])
    kept = torch.from_numpy(1 - np.minimum(1, all_of_them - mean)).to(image.device)
    return torch.fft.ifft2(torch.fft.fft2(image.double()) * kept).real.clamp(0, 1).to(image.dtype)


def _closeness(side: int, frequencies: np.ndarray) -> np.ndarray:
    """How close each frequency of an axis of `side` pixels is to each of these, 0 to 1, (side, F)."""
    return np.exp(-np.square((np.fft.fftfreq(side)[:, None] - frequencies) / NOTCH) / 2)


def sharpness(y_hat: Tensor, y: Tensor, where: np.ndarray | None = None) -> float:
    """The mean Sobel gradient magnitude of the luminance of `y_hat` over that of `y`: less than 1 if blurred.

    Args:
        y_hat, y: (1, 3, H, W) in [0, 1].
        where: which pixels count, (H, W), True or False; None for all.
    """
    edges = (sobel(rgb2gray(_array(image))) for image in (y_hat, y))
    counted = ... if where is None else np.asarray(where, bool)
    found, wanted = (each[counted].mean() for each in edges)
    return float(found / wanted)


def colour_difference(y_hat: Tensor, y: Tensor) -> float:
    """Mean distance of the local colours in a* and b* of CIELAB, where 2.3 is just noticeable (Mahy et al. 1994).

    The images, (1, 3, H, W) in [0, 1], are first smoothed by a Gaussian with sigma H/64, so that coloured grain, which
    the eye mixes, does not count. Lightness does not count either.
    """
    images = (gaussian(image, sigma=SHIFT * len(image), channel_axis=-1) for image in map(_array, (y_hat, y)))
    found, wanted = (rgb2lab(image)[..., 1:] for image in images)
    return float(np.linalg.norm(found - wanted, axis=-1).mean())


def gradient_correlation(y_hat: Tensor, y: Tensor, shift: float = SHIFT, mask: Tensor | None = None) -> float:
    """Pearson correlation, over the pixels, of two maps of edges: -1 to 1, about 0 for unrelated layouts.

    A map of edges is the Sobel gradient magnitude of the luminance, smoothed by a Gaussian, so that an edge that moved
    by a few pixels still counts. Without smoothing, the edges have to be at the same pixels.

    Args:
        y_hat, y: (1, 3, H, W) in [0, 1].
        shift: sigma of the Gaussian, as a share of the height; 0 for no smoothing.
        mask: (H, W), true where pixels count; None for all of them.
    """
    edges = [gaussian(sobel(rgb2gray(image)), sigma=shift * len(image)) for image in (_array(y_hat), _array(y))]
    counted = ... if mask is None else mask.cpu().numpy().astype(bool)
    return _correlation(*(each[counted] for each in edges))


def repetition(y_hat: Tensor, y: Tensor) -> float:
    """How much the texture of `y_hat` repeats itself where `y` is flat: 1 for a repeated tile.

    This is the highest autocorrelation of the luminance of `y_hat` for shifts of up to 32 pixels along either axis,
    outside the positive lobe around shift 0. It is computed from the mean power spectrum (Welch's method) of windows of
    64 x 64 pixels: the quarter of them in which `y` has the least variance. The taper's own autocorrelation is divided
    out. Slow shading (a Gaussian with sigma 8) is subtracted from the luminance first.

    Args:
        y_hat, y: the image and the photograph that it was made from, (1, 3, H, W) in [0, 1], at least 64 a side.

    Raises:
        ValueError: smaller images, which have no such window.
    """
    grey, photograph = (rgb2gray(_array(image)) for image in (y_hat, y))
    grey = grey - gaussian(grey, sigma=WINDOW / 8)
    found, photograph = (
        np.lib.stride_tricks.sliding_window_view(image, (WINDOW, WINDOW))[::16, ::16] for image in (grey, photograph)
    )
    variances = photograph.var((2, 3))
    flat = found[variances <= np.quantile(variances, FLAT)]
    taper = np.outer(*[np.hanning(WINDOW + 2)[1:-1]] * 2)
    weight = taper / taper.sum()
    flat = flat - (weight * flat).sum((1, 2), keepdims=True)
    values = _autocorrelation(taper * flat) / _autocorrelation(taper[None])
    lobes, middle = label(values > 0, connectivity=1), WINDOW // 2
    return float(values[lobes != lobes[middle, middle]].max(initial=0) / values[middle, middle])


def _autocorrelation(windows: np.ndarray) -> np.ndarray:
    """Mean autocorrelation of windows (B, H, H), as (H, H): shift 0 is in the middle, the largest shift is H / 2."""
    spectrum = np.abs(np.fft.fft2(windows, s=(2 * WINDOW, 2 * WINDOW))) ** 2
    values = np.fft.fftshift(np.fft.ifft2(spectrum.mean(0)).real)
    return values[WINDOW // 2 : -WINDOW // 2, WINDOW // 2 : -WINDOW // 2]


def spatial_correlation(y_hat: Tensor, y: Tensor) -> float:
    """Pearson correlation, over the pixels, of the luminance: -1 to 1, about 0 for unrelated layouts."""
    return _correlation(*(rgb2gray(_array(image)) for image in (y_hat, y)))


def correlation_length(image: Tensor) -> float:
    """The distance in pixels at which the autocorrelation of the luminance falls to 1/e, mean over directions.

    The image is square, (1, 3, H, H) in [0, 1], not constant, and treated as periodic. For a texture the result is the
    size of its spots.
    """
    grey = rgb2gray(_array(image))
    spectrum = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    offset = np.fft.fftfreq(len(grey)) * len(grey)
    distance = np.hypot(offset[:, None], offset).round().astype(int).ravel()
    rings = np.bincount(distance, np.fft.ifft2(spectrum).real.ravel()) / np.bincount(distance)
    rings = rings / rings[0] - 1 / np.e
    first = int(np.argmax(rings < 0))
    return float(first - rings[first] / (rings[first] - rings[first - 1]))


def perceptual_distance(y_hat: Tensor, y: Tensor) -> float | None:
    """ST-LPIPS (Ghildyal and Liu 2022) of two images (1, 3, H, W) in [0, 1], by AlexNet: 0 for equal ones.

    None if it is not installed (`pip install stlpips-pytorch torchsummary`). It stands in for the paper's user study.
    """
    if not all(map(find_spec, ("stlpips_pytorch", "torchsummary"))):
        return None
    with torch.inference_mode():
        return _stlpips()(2 * y_hat - 1, 2 * y - 1).item()


@cache
def _stlpips() -> nn.Module:
    from stlpips_pytorch import stlpips

    return stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False).eval()


def _array(image: Tensor) -> np.ndarray:
    """The values of an image (1, 3, H, W) in float64, (H, W, 3); ValueError for another shape."""
    if image.shape[:-2] != (1, 3):
        raise ValueError(f"one RGB image has the shape (1, 3, H, W); got {tuple(image.shape)}")
    return image[0].detach().permute(1, 2, 0).cpu().double().numpy()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def lattice_peak(images: Tensor, period: int) -> float:
    """How far a lattice stands out from the spectrum: near 0.9 for photographs and paintings, more with a lattice.

    This is the mean energy at frequencies close to that of the lattice, along either axis, divided by the mean energy
    at somewhat lower frequencies.

    Args:
        images: luminance (B, H, H), at least 12 periods a side.
        period: of the lattice, in pixels, 2 or 4.

    Raises:
        ValueError: images that are too small.
    """
    side = images.shape[2]
    if side < BESIDE[1] * period:
        raise ValueError(f"a lattice of {period} pixels takes at least {BESIDE[1] * period} pixels a side; got {side}")
    energy = torch.fft.fft2(images - images.mean((1, 2), keepdim=True)).abs().square().sum(0)
    below = side // period - torch.fft.fftfreq(side, device=images.device).mul(side).abs()

    def mean(bins: Tensor) -> Tensor:
        return energy[bins].mean() + energy[:, bins].mean()

    return (mean(below.abs() <= BINS) / mean((BESIDE[0] <= below) & (below <= BESIDE[1]))).item()
