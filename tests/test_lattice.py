"""The penalty on lattices, against a loop over its definition and on patterns whose value is known; the measure."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from replication.io.images import square
from replication.io.pictures import content_picture, style_picture
from replication.losses import lattice, lattice_peak


def positions(side=100):
    return torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")


def of_grey(pattern):
    return (pattern.double() / 255).expand(1, 3, -1, -1)


def by_hand(image, period):
    """The definition, a window, a channel and a place at a time."""
    values = []
    for channel in 255 * image.numpy():
        taps = np.array([1, *[2] * (period - 1), 1]) / (2 * period)
        smooth = ndimage.convolve1d(ndimage.convolve1d(channel, taps, 0), taps, 1)
        margin = period // 2
        detail = (channel - smooth)[margin:-margin, margin:-margin]
        for top in range(0, detail.shape[0] - 31, 32):
            for left in range(0, detail.shape[1] - 31, 32):
                window = detail[top : top + 32, left : left + 32]
                means = np.array([window[i::period, j::period].mean() for i in range(period) for j in range(period)])
                values.append(((means - means.mean()) ** 2).mean())
    return np.mean(values)


@pytest.mark.parametrize("period", [4, 8])
def test_it_is_its_definition(period):
    images = torch.rand(2, 3, 75, 110, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [by_hand(image, period) for image in images]
    assert lattice(images, period).numpy() == pytest.approx(expected, rel=1e-9)


def test_lattices_of_the_period_and_its_parts_count_in_full():
    y, x = positions()
    assert lattice(of_grey(128 + 3.0 * (-1.0) ** (x + y))).item() == pytest.approx(9, rel=1e-5)
    assert lattice(of_grey(128 + 3.0 * (-1.0) ** x)).item() == pytest.approx(9, rel=1e-5)
    assert lattice(of_grey(128 + 4 * torch.cos(torch.pi * y / 2))).item() == pytest.approx(8, rel=1e-5)
    assert lattice(of_grey(128 + 4 * torch.cos(torch.pi * y / 4)), 8).item() == pytest.approx(8, rel=1e-5)


def test_ramps_other_periods_and_grain_hardly_count():
    y, x = positions()
    grain = torch.randn(100, 100, generator=torch.Generator().manual_seed(0))
    assert lattice(of_grey(100.0 + x + y / 2)).item() < 1e-9
    assert lattice(of_grey(128 + 10 * torch.cos(2 * torch.pi * x / 5))).item() < 50 / 40
    assert lattice(of_grey(128 + 10 * grain)).item() < 100 / 40  # the mean of 64 pixels has a 64th of their variance


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="a lattice shows in 40 pixels a side and more; got .1, 3, 39, 60."):
        lattice(torch.zeros(1, 3, 39, 60), 8)


def test_its_gradient_takes_a_lattice_away():
    y, x = positions()
    image = of_grey(128 + 3.0 * (-1.0) ** (x + y)).requires_grad_()
    (gradient,) = torch.autograd.grad(lattice(image).sum(), image)
    inside = (gradient * (-1.0) ** (x + y))[..., 8:92, 8:92]
    assert inside.min() > 0


@pytest.mark.parametrize("period", [2, 4])
def test_photographs_and_paintings_have_no_peak_and_a_faint_lattice_makes_one(period):
    photograph, painting = (square(p.image, 256).mean(1) for p in (content_picture("chelsea"), style_picture("ejiri")))
    y, x = positions(256)
    faint = 2.5 / 255 * (torch.cos(2 * torch.pi * x / period) + torch.cos(2 * torch.pi * y / period))
    assert 0.7 < lattice_peak(photograph, period) < 1.1
    assert 0.7 < lattice_peak(painting, period) < 1.1
    assert lattice_peak(photograph + faint, period) > 1.2
