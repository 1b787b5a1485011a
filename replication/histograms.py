"""Histogram matching: what the paper does to an enlarged image before it is judged (section 4.2)."""

import numpy as np
import torch
from torch import Tensor

from replication.io.pixels import to_pixels

BAND = 256  # rows of a large image that are rounded to whole levels at a time


def histogram_matched(large: Tensor, small: Tensor, dtype: type = np.uint8) -> Tensor:
    """Give an enlarged image the histograms of the small one, channel by channel: the paper's post-processing.

    This does what scikit-image's `match_histograms` does, but without several copies of the large image in memory. Both
    images are (1, 3, height, width) in [0, 1]; they are rounded to the levels of `dtype`, uint8 or uint16.
    """
    result = torch.empty_like(large)
    tables = [_table(*counts) for counts in zip(_histograms(large, dtype), _histograms(small, dtype), strict=True)]
    for matched, band in zip(result.split(BAND, 2), large.split(BAND, 2), strict=True):
        pixels = to_pixels(band, dtype)
        for i, table in enumerate(tables):
            matched[0, i] = torch.from_numpy(table[pixels[..., i]])
    return result


def _table(counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The new value, in [0, 1], of each old one, so that the values that occur get the wanted quantiles."""
    (values,) = np.nonzero(wanted)
    quantiles = np.cumsum(wanted[values]) / wanted.sum()
    return np.interp(np.cumsum(counts) / counts.sum(), quantiles, values) / (len(wanted) - 1)


def _histograms(image: Tensor, dtype: type) -> np.ndarray:
    """How often each value occurs in each channel, (3, 256) or (3, 65536)."""
    bands = (to_pixels(band, dtype) for band in image.split(BAND, 2))
    values = np.iinfo(dtype).max + 1
    return sum(np.stack([np.bincount(band[..., i].ravel(), minlength=values) for i in range(3)]) for band in bands)
