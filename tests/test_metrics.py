"""The measures on images whose answers are known."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from replication.baseline import white_noise
from replication.evaluation import (
    compare,
    falls,
    gradient_correlation,
    histogram_distance,
    psnr,
    spatial_correlation,
    ssim,
)


def test_psnr_is_ten_log_of_one_over_the_squared_error(photograph):
    y_hat = white_noise(64, 0)
    error = np.square(y_hat.double().numpy() - photograph.double().numpy()).mean()
    assert psnr(y_hat, photograph) == pytest.approx(-10 * math.log10(error))


def test_ssim_is_wangs_with_population_covariances(photograph):
    def smooth(x):
        offsets = np.arange(-5, 6)
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
        return convolve(x, window / window.sum(), mode="reflect")

    y_hat = (photograph + 0.1 * white_noise(64, 0)).clamp(0, 1)
    values = []
    for a, b in zip(y_hat[0].double().numpy(), photograph[0].double().numpy(), strict=True):
        mean_a, mean_b = smooth(a), smooth(b)
        var_a, var_b, cov = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2, smooth(a * b) - mean_a * mean_b
        value = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4)
        value /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
        values.append(value[5:-5, 5:-5].mean())
    assert ssim(y_hat, photograph) == pytest.approx(np.mean(values), abs=1e-6)


def test_histogram_distance_counts_the_colours_that_differ():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    mostly_red = red.clone()
    mostly_red[..., 0, 0] = 0  # one pixel of sixteen is black
    assert histogram_distance(red, red) == 0
    assert histogram_distance(mostly_red, red) == pytest.approx(1 / 16)
    assert histogram_distance(1 - red, red) == 1


def test_the_correlations_see_layout_and_not_colour(photograph):
    noise = white_noise(64, 0)
    assert gradient_correlation(1 - photograph, photograph) == pytest.approx(1)
    assert spatial_correlation(1 - photograph, photograph) == pytest.approx(-1)
    assert abs(gradient_correlation(noise, photograph)) < 0.2
    assert abs(spatial_correlation(noise, photograph)) < 0.1
    shifted = photograph.roll(1, dims=3)
    assert gradient_correlation(shifted, photograph) > 0.8
    assert abs(gradient_correlation(photograph.flip(2), photograph)) < 0.5


def test_an_image_compared_with_itself(photograph):
    with np.errstate(divide="ignore"):
        found = compare(photograph, photograph)
    assert found == {
        "psnr": math.inf,
        "ssim": 1,
        "histogram_distance": 0,
        "gradient_correlation": pytest.approx(1),
    }


def test_falls():
    assert falls([3, 2, 1])
    assert not falls([3, 3, 1])
