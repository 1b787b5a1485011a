"""The measures on images whose answers are known."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter
from skimage.color import rgb2gray
from skimage.filters import sobel

from replication.baseline import white_noise
from replication.io.pictures import content_picture, style_picture, subject_mask
from replication.io.pixels import resize, square, to_pixels
from replication.metrics import (
    checkerboard_energy,
    colour_difference,
    compare,
    correlation_length,
    gradient_correlation,
    lattice_peak,
    luminance_scores,
    perceptual_distance,
    psnr,
    repetition,
    sharpness,
    spatial_correlation,
    ssim,
    without_grid,
)
from replication.super_resolution import bicubic, low_resolution

PHOTOGRAPH = resize(content_picture("coffee").image, 96, 128)


def test_psnr_is_ten_log_of_one_over_the_squared_error(photograph):
    y_hat = white_noise(64, 0)
    error = np.square(y_hat.double().numpy() - photograph.double().numpy()).mean()
    assert psnr(y_hat, photograph) == pytest.approx(-10 * math.log10(error))


def wang(a, b, peak):
    """SSIM of two images of one channel, with Wang's window and population covariances."""

    def smooth(x):
        offsets = np.arange(-5, 6)
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
        return convolve(x, window / window.sum(), mode="reflect")

    mean_a, mean_b, c1, c2 = smooth(a), smooth(b), (0.01 * peak) ** 2, (0.03 * peak) ** 2
    var_a, var_b, cov = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2, smooth(a * b) - mean_a * mean_b
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return value[5:-5, 5:-5].mean()


def test_ssim_is_wangs_with_population_covariances(photograph):
    y_hat = (photograph + 0.1 * white_noise(64, 0)).clamp(0, 1)
    pairs = zip(y_hat[0].double().numpy(), photograph[0].double().numpy(), strict=True)
    assert ssim(y_hat, photograph) == pytest.approx(np.mean([wang(a, b, 1) for a, b in pairs]), abs=1e-6)


def test_luminance_scores_are_of_y_of_bt601_in_8_bits(photograph):
    y_hat = (photograph + 0.1 * white_noise(64, 0)).clamp(0, 1)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    a, b = (to_pixels(image)[4:-4, 4:-4] @ weights + 16 for image in (y_hat, photograph))
    found = luminance_scores(y_hat, photograph, 4)
    assert found["psnr"] == pytest.approx(10 * math.log10(255**2 / np.square(a - b).mean()))
    assert found["ssim"] == pytest.approx(wang(a, b, 255), abs=1e-6)


def test_the_colour_difference_is_that_of_the_local_means_in_cielab(photograph):
    """CIELAB of sRGB's red is (53.24, 80.09, 67.20), of white (100, 0, 0)."""
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    assert colour_difference(red, torch.ones_like(red)) == pytest.approx(math.hypot(80.09, 67.20), abs=0.05)
    assert colour_difference(0.2 * torch.ones_like(red), torch.ones_like(red)) == pytest.approx(0, abs=0.05)
    fine = (torch.arange(64) % 2).view(1, 1, 1, 64) * torch.tensor([1.0, 0, 1]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    flat = torch.tensor([0.5, 0, 0.5]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    assert colour_difference(fine, flat) < 0.2 * colour_difference(red, flat)


@pytest.mark.parametrize("sigma", [3, 5])
def test_the_correlation_length_of_smoothed_noise_is_twice_its_sigma(sigma):
    """Noise smoothed by a Gaussian has the autocorrelation exp(-r^2 / 4 sigma^2)."""
    noise = np.random.default_rng(0).normal(size=(256, 256))
    smooth = torch.from_numpy(0.5 + gaussian_filter(noise, sigma, mode="wrap")).expand(1, 3, -1, -1)
    assert correlation_length(smooth) == pytest.approx(2 * sigma, rel=0.1)
    assert correlation_length(smooth.repeat(1, 1, 2, 2)) == pytest.approx(correlation_length(smooth), rel=0.05)


def test_the_correlations_see_layout_and_not_colour(photograph):
    noise = white_noise(64, 0)
    assert gradient_correlation(1 - photograph, photograph) == pytest.approx(1)
    assert spatial_correlation(1 - photograph, photograph) == pytest.approx(-1)
    assert abs(gradient_correlation(noise, photograph)) < 0.2
    assert abs(spatial_correlation(noise, photograph)) < 0.1
    shifted = photograph.roll(1, dims=3)
    assert gradient_correlation(shifted, photograph) > 0.8
    edges = [sobel(rgb2gray(image[0].permute(1, 2, 0).double().numpy())).ravel() for image in (shifted, photograph)]
    assert gradient_correlation(shifted, photograph, 0) == pytest.approx(np.corrcoef(*edges)[0, 1])
    assert abs(gradient_correlation(photograph.flip(2), photograph)) < 0.5
    found = compare(shifted, photograph)
    assert found["layout"] == gradient_correlation(shifted, photograph) > found["exact_edges"]
    assert found["exact_edges"] == gradient_correlation(shifted, photograph, 0)


def test_a_mask_chooses_the_pixels_that_are_correlated(photograph):
    left = torch.zeros(64, 64, dtype=torch.bool)
    left[:, :32] = True
    half = photograph.clone()
    half[..., 40:] = white_noise(64, 0)[..., 40:]  # so far to the right that no smoothed edge comes over
    assert gradient_correlation(half, photograph, mask=left) == pytest.approx(1)
    assert gradient_correlation(half, photograph, mask=~left) < 0.5
    every = torch.ones(64, 64, dtype=torch.bool)
    assert gradient_correlation(half, photograph, mask=every) == gradient_correlation(half, photograph)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("astronaut", [(103, 201), (140, 220), (400, 100)], [(40, 20), (200, 420), (60, 120), (330, 480)]),
        ("chelsea", [(110, 170), (135, 315), (240, 250)], [(60, 10), (250, 400), (100, 420)]),
    ],
)
def test_a_mask_holds_the_face_and_not_the_background(name, inside, outside):
    mask = subject_mask(name)
    assert mask.shape == content_picture(name).image.shape
    assert {mask[0, 0, y, x].item() for y, x in inside} == {1}
    assert {mask[0, 0, y, x].item() for y, x in outside} == {0}
    assert subject_mask("coffee") is None


def with_contrast(image):
    return (0.5 + 0.15 * (image - image.mean()) / image.std()).clamp(0, 1)


@pytest.mark.parametrize("period", [12, 20])
def test_repetition_tells_a_tile_from_noise_of_the_same_spectrum(period):
    """The noise has the tile's power at each frequency, averaged over more than the distance of the tile's lines."""
    random = np.random.default_rng(period)
    tiles = np.tile(random.random((period, period)), (-(-256 // period),) * 2)[:256, :256]
    tiles = gaussian_filter(tiles, 1.5, mode="wrap")
    power = gaussian_filter(np.abs(np.fft.fft2(tiles - tiles.mean())) ** 2, 256 / period, mode="wrap")
    noise = np.fft.ifft2(np.fft.fft2(random.standard_normal((256, 256))) * np.sqrt(power)).real
    found = {}
    for name, texture in (("tile", tiles), ("noise", noise)):
        shading = torch.linspace(-0.3, 0.3, 256)  # as a sky has it
        image = (with_contrast(torch.from_numpy(texture)) + shading).expand(1, 3, -1, -1)
        found[name] = repetition(image, 0.01 * white_noise(256, 0))
    assert found["tile"] == pytest.approx(1, abs=0.02)
    assert found["noise"] < 0.2


def test_repetition_of_noise_of_one_grain_deviates_as_the_rules_of_fig_6_have_it():
    """Its limit, 0.05 in a difference of means, rests on 0.03 an image, of a grain as coarse as networks paint."""
    found = []
    for seed in range(8):
        noise = gaussian_filter(np.random.default_rng(seed).standard_normal((256, 256)), 4)
        texture = with_contrast(torch.from_numpy(noise)).expand(1, 3, -1, -1)
        found.append(repetition(texture, 0.01 * white_noise(256, seed)))
    assert np.std(found, ddof=1) == pytest.approx(0.03, abs=0.01)


def test_repetition_is_of_the_flat_part_and_at_its_distance():
    """The photograph is flat in its left half, so stripes 16 pixels apart count there and nowhere else."""
    y = white_noise(256, 0)
    y[..., :128] = 0.5
    stripes = 0.5 + 0.3 * torch.sin(2 * torch.pi * torch.arange(256) / 16).expand(1, 3, 256, 256)
    image = white_noise(256, 1)
    at_the_left = image.clone()
    at_the_left[..., :128] = stripes[..., :128]
    at_the_right = image.clone()
    at_the_right[..., 128:] = stripes[..., 128:]
    assert repetition(at_the_left, y) > 0.9
    assert repetition(at_the_right, y) < 0.2
    assert repetition(image, y) < 0.2
    with pytest.raises(ValueError, match="window"):
        repetition(image[..., :60], y[..., :60])


def test_an_image_compared_with_itself(photograph):
    with np.errstate(divide="ignore"):
        found = compare(photograph, photograph)
    assert found == {
        "psnr": math.inf,
        "ssim": 1,
        "colour_difference": 0,
        "exact_edges": pytest.approx(1),
        "layout": pytest.approx(1),
    }


def test_the_grid_is_what_repeats_with_the_period_and_is_not_in_the_original():
    """A checkerboard of one grey level has half of that as its standard deviation."""
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(48, 64).expand(1, 3, -1, -1)
    darker = 0.9 * PHOTOGRAPH
    assert checkerboard_energy(darker + board / 255, darker, 4) == pytest.approx(0.5, abs=1e-4)
    assert checkerboard_energy(darker + board / 255, darker, 3) < 0.02
    assert checkerboard_energy(darker, darker, 4) == 0


@pytest.mark.parametrize("period", [4, 8])
def test_the_notch_filter_takes_a_grid_out_and_leaves_a_photograph_nearly_alone(period):
    """The grid, any that repeats with the period, is gone; a photograph keeps 40 dB, and its mean."""
    photograph = 0.8 * content_picture("coffee").image[..., :256, :320] + 0.1
    grid = torch.randn(period, period, generator=torch.Generator().manual_seed(0))
    grid = 0.02 * (grid - grid.mean()).repeat(256 // period, 320 // period)
    clean = without_grid(photograph + grid, period)
    torch.testing.assert_close(clean, without_grid(photograph, period), atol=1e-6, rtol=0)
    assert psnr(photograph + grid, photograph) < 36
    assert psnr(clean, photograph) > 40
    assert clean.mean().item() == pytest.approx(photograph.mean().item(), abs=1e-5)
    other = 0.02 * torch.tensor([1.0, -0.5, -0.5]).repeat(107)[:320].expand(1, 3, 256, -1)  # of another frequency
    assert psnr(without_grid(photograph + other, period), photograph) < 38


def test_the_sharpness_falls_with_blur_and_is_that_of_a_region():
    blurred = bicubic(low_resolution(PHOTOGRAPH, 4), 4)
    assert sharpness(PHOTOGRAPH, PHOTOGRAPH) == 1
    assert 0.2 < sharpness(blurred, PHOTOGRAPH) < 0.9
    half = torch.cat([PHOTOGRAPH[..., :64], blurred[..., 64:]], 3)
    left = np.zeros((96, 128), bool)
    left[:, :60] = True
    assert sharpness(half, PHOTOGRAPH, left) == pytest.approx(1)
    assert sharpness(half, PHOTOGRAPH, ~left) < 0.9


def test_the_perceptual_distance_grows_with_blur():
    pytest.importorskip("stlpips_pytorch")
    pytest.importorskip("torchsummary")
    distances = [perceptual_distance(bicubic(resize(PHOTOGRAPH, 96 // n, 128 // n), n), PHOTOGRAPH) for n in (1, 2, 4)]
    assert distances[0] == pytest.approx(0, abs=1e-3)
    assert np.all(np.diff(distances) > 0)


def test_a_measure_is_of_one_image_and_not_of_the_first_of_several(photograph):
    two = torch.cat([photograph, photograph])
    for measure in (psnr, ssim, sharpness, gradient_correlation, spatial_correlation, colour_difference):
        with pytest.raises(ValueError, match=r"one RGB image has the shape \(1, 3, H, W\); got \(2, 3, 64, 64\)"):
            measure(two, two)


def test_without_a_border_all_pixels_count(photograph):
    found = luminance_scores(0.9 * photograph, photograph, 0)
    inner = luminance_scores(0.9 * photograph, photograph, 8)
    assert 10 < found["psnr"] < 40
    assert found["psnr"] != inner["psnr"]


def test_a_mask_of_numbers_is_one_of_truths(photograph):
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[:20] = 1
    noise = torch.rand(photograph.shape, generator=torch.Generator().manual_seed(0))
    found = gradient_correlation(noise, photograph, mask=mask)
    assert found == gradient_correlation(noise, photograph, mask=mask.bool())


def test_of_a_grey_image_the_mean_of_the_channels_is_measured(photograph):
    grey = photograph.mean(1, keepdim=True).expand_as(photograph)
    wanted, found = (to_pixels(image).mean(-1) for image in (grey, 0.9 * grey))
    error = ((wanted - found) ** 2).mean()
    expected = 10 * np.log10(255**2 / error)
    assert luminance_scores(0.9 * grey, grey, 0, grey=True)["psnr"] == pytest.approx(expected)
    assert luminance_scores(0.9 * grey, grey, 0)["psnr"] != pytest.approx(expected, abs=0.5)


def test_a_lattice_needs_twelve_periods():
    assert lattice_peak(torch.rand(1, 48, 48), 4) > 0
    with pytest.raises(ValueError, match="a lattice of 4 pixels takes at least 48 pixels a side; got 47"):
        lattice_peak(torch.rand(1, 47, 47), 4)


def test_a_lattice_is_seen_along_either_axis_and_in_any_of_the_images():
    photograph = square(content_picture("chelsea").image, 256).mean(1)
    wave = 2.5 / 255 * torch.cos(torch.pi * torch.arange(256.0)).expand(1, 256, 256)
    for lattice in (wave, wave.mT):
        assert lattice_peak(torch.cat([photograph, photograph + lattice]), 2) > 3


@pytest.mark.parametrize("period", [2, 4])
def test_photographs_and_paintings_have_no_peak_and_a_faint_lattice_makes_one(period):
    photograph, painting = (square(p.image, 256).mean(1) for p in (content_picture("chelsea"), style_picture("ejiri")))
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    faint = 2.5 / 255 * (torch.cos(2 * torch.pi * x / period) + torch.cos(2 * torch.pi * y / period))
    assert 0.7 < lattice_peak(photograph, period) < 1.1
    assert 0.7 < lattice_peak(painting, period) < 1.1
    assert lattice_peak(photograph + faint, period) > 1.2
