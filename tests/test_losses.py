"""The losses against the paper's equations in float64; the objective; the penalty on lattices against a loop."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.models import vgg16

from replication.baseline import white_noise
from replication.config import PAPER
from replication.io.files import ReplicationError
from replication.io.pictures import content_picture, style_picture
from replication.io.pixels import square
from replication.io.weights import CONVOLUTIONS
from replication.losses import (
    Objective,
    feature_reconstruction_loss,
    gram_matrix,
    lattice,
    style_reconstruction_loss,
    total_variation,
)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 5, 4, 6, generator=generator, dtype=torch.float64) for _ in range(2)]


def test_feature_reconstruction_loss_is_equation_2(features):
    a, b = (x.numpy() for x in features)
    expected = [np.linalg.norm(a[i] - b[i]) ** 2 / (5 * 4 * 6) for i in range(2)]
    np.testing.assert_allclose(feature_reconstruction_loss(*features), expected, rtol=1e-12)


def test_gram_matrix_is_equation_3(features):
    x = features[0].numpy()
    expected = np.zeros((2, 5, 5))
    for i, c, d in np.ndindex(2, 5, 5):
        expected[i, c, d] = sum(x[i, c, h, w] * x[i, d, h, w] for h, w in np.ndindex(4, 6)) / (5 * 4 * 6)
    np.testing.assert_allclose(gram_matrix(features[0]), expected, rtol=1e-12)


def test_style_reconstruction_loss_is_equation_4(features):
    grams = [gram_matrix(x) for x in features]
    expected = [np.linalg.norm((grams[0][i] - grams[1][i]).numpy(), "fro") ** 2 for i in range(2)]
    np.testing.assert_allclose(style_reconstruction_loss(*grams), expected, rtol=1e-12)


def test_total_variation_is_on_the_scale_of_the_published_code():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    image[0, 1, 0, 0] = 2 / 255  # differs from its two neighbours by 2 grey levels
    assert total_variation(image).item() == pytest.approx((2**2 + 2**2) / 2)


@pytest.mark.parametrize(
    ("loss", "shapes", "message"),
    [
        (gram_matrix, [(5, 4, 6)], r"features \(B, C, H, W\); got \(5, 4, 6\)"),
        (feature_reconstruction_loss, [(2, 5, 4, 6), (2, 5, 1, 1)], r"got \(2, 5, 4, 6\) and \(2, 5, 1, 1\)"),
        (feature_reconstruction_loss, [(3, 5, 4, 6), (2, 5, 4, 6)], r"got \(3, 5, 4, 6\) and \(2, 5, 4, 6\)"),
        (style_reconstruction_loss, [(2, 5, 4, 6), (2, 5, 4, 6)], r"Gram matrices \(B, C, C\); got \(2, 5, 4, 6\)"),
        (total_variation, [(2, 5, 4, 6)], r"total variation takes images \(B, 3, H, W\)"),
    ],
)
def test_other_shapes_are_refused(loss, shapes, message):
    with pytest.raises(ValueError, match=message):
        loss(*map(torch.zeros, shapes))


def test_pixels_have_no_total_variation():
    with pytest.raises(ValueError, match="takes images in \\[0, 1\\]; got torch.uint8; see `from_pixels`"):
        total_variation(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_the_gram_matrix_goes_through_the_transforms_of_torch(features):
    (x, _), weight = features, torch.rand(2, 5, 5, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (gram_matrix(leaf) * weight).sum().backward()
    gradient = torch.func.grad(lambda x: (gram_matrix(x) * weight).sum())(x)
    assert torch.equal(gradient, leaf.grad)
    each = torch.func.vmap(lambda x: gram_matrix(x[None])[0])(x)
    torch.testing.assert_close(each, gram_matrix(x), rtol=1e-12, atol=1e-12)


def test_gradients_agree_with_finite_differences(features):
    a, b = (x[:1].clone().requires_grad_() for x in features)
    gram = gram_matrix(b.detach())
    assert torch.autograd.gradcheck(lambda x: feature_reconstruction_loss(x, b.detach()), a)
    assert torch.autograd.gradcheck(lambda x: style_reconstruction_loss(gram_matrix(x), gram), a)
    assert torch.autograd.gradcheck(total_variation, torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True))


def test_the_gradient_of_the_gram_matrix_has_a_gradient(features):
    x = features[0][:1, :3].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(gram_matrix, x)


def test_in_float16_the_gradient_is_as_exact_as_float16():
    """It is 1e-6 here, what mixes the features 4e-8, which is less than the smallest number of float16."""
    features = torch.rand(1, 64, 128, 128, generator=torch.Generator().manual_seed(1))
    gradients = []
    for dtype in (torch.float32, torch.float16):
        x = features.detach().to(dtype, copy=True).requires_grad_()
        (1e4 * gram_matrix(x).square().mean()).backward()
        gradients.append(x.grad.float())
    assert (gradients[1] - gradients[0]).norm() < 0.03 * gradients[0].norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gram_matrix_and_its_gradient_are_those_of_the_matrix_product(dtype, memory_format):
    """At the size of relu2_2, against autograd through the plain formula in float64."""
    features = torch.randn(2, 128, 32, 24, generator=torch.Generator().manual_seed(1)).to(dtype)
    towards = torch.randn(2, 128, 128, generator=torch.Generator().manual_seed(2))
    x = features.clone(memory_format=memory_format).requires_grad_()
    gram = gram_matrix(x)
    gram.backward(towards)
    y = features.double().detach().requires_grad_()
    expected = y.flatten(2) @ y.flatten(2).mT / y[0].numel()
    expected.backward(towards.double())
    torch.testing.assert_close(gram, expected.float(), rtol=1e-5, atol=1e-6)
    assert x.grad.dtype == dtype
    precision = 1e-5 if dtype == torch.float32 else 1e-2
    assert (x.grad.double() - y.grad).norm() < precision * y.grad.norm()


def test_losses_are_float32_from_bfloat16_features_and_inside_autocast(features):
    half = features[0].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        gram = gram_matrix(half)
        loss = feature_reconstruction_loss(half, features[1].bfloat16())
    assert gram.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(gram, gram_matrix(half.double()).float(), rtol=1e-6, atol=1e-7)


PLACES = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22}  # in torchvision's `features`


@pytest.fixture(scope="module")
def y_style():
    return square(style_picture("great_wave").image, 48)


@pytest.fixture(scope="module")
def reference(weights):
    """Features by layer in float64, from torchvision's network."""
    network = vgg16(weights=None).features.double()
    convolutions = [module for module in network if isinstance(module, torch.nn.Conv2d)]
    for name, module in zip(CONVOLUTIONS, convolutions, strict=True):
        module.load_state_dict({part: weights.tensors[f"{name}.{part}"].double() for part in ("weight", "bias")})
        module.requires_grad_(False)

    def run(image):
        mean = torch.tensor([123.68, 116.779, 103.939], dtype=torch.float64)  # of R, G, B
        x, found = 255 * image.double() - mean.view(1, 3, 1, 1), {}
        for place, module in enumerate(network[:23]):
            x = module(x)
            found |= {layer: x.clone() for layer, at in PLACES.items() if at == place}
        return found

    return run


def gram(psi):
    return torch.einsum("bchw,bdhw->bcd", psi, psi) / psi[0].numel()


@pytest.mark.parametrize("content_layer", ["relu3_3", "relu2_2"])
@pytest.mark.parametrize("style_form", ["mean", "sum"])
def test_the_terms_are_those_of_the_paper(reference, photograph, y_style, style_form, content_layer):
    weights = {"content_weight": 2.0, "style_weight": 3.0, "tv_weight": 1e-3}
    options = {"style_form": style_form, "content_layer": content_layer, "dtype": torch.float64}
    objective = Objective(y_style.double(), **weights, **options)
    y_hat = white_noise(64, 0).double()
    terms = objective(y_hat, objective.content_target(photograph.double()))
    found, wanted, style = reference(y_hat), reference(photograph), reference(y_style)
    content = (found[content_layer] - wanted[content_layer]).square().sum() / found[content_layer].numel()
    losses = {layer: (gram(found[layer]) - gram(style[layer])).square() for layer in PAPER.style_layers}
    losses = [loss.mean() if style_form == "mean" else loss.sum() for loss in losses.values()]
    smooth = sum((255 * y_hat.diff(dim=dim)).square().sum() / 2 for dim in (2, 3))
    expected = [2 * content, 3 * sum(losses), 1e-3 * smooth]
    assert [term.item() for term in terms] == pytest.approx([value.item() for value in expected], rel=1e-9)
    assert terms.total.item() == pytest.approx(sum(expected).item(), rel=1e-9)


@pytest.mark.parametrize("style", ["great_wave", "composition_viii", "village_street_in_auvers"])
def test_the_weights_documented_for_the_two_forms_give_terms_of_the_same_size(style):
    y_style, photograph = (square(p.image, 256) for p in (style_picture(style), content_picture("chelsea")))
    terms = []
    for options in ({}, {"style_form": "sum", "style_weight": 2.5e-4}):
        objective = Objective(y_style, **options)
        terms.append(objective(photograph, objective.content_target(photograph)).style.item())
    assert terms[1] == pytest.approx(terms[0], rel=0.1)


def test_its_gradient_agrees_with_finite_differences(photograph, y_style):
    objective = Objective(y_style.double(), dtype=torch.float64)
    target = objective.content_target(photograph.double())
    x = white_noise(64, 0).double().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(x, target).total.sum(), x)
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        step = 1e-8 * direction  # so small because of the kinks of ReLU and pooling
        with torch.no_grad():
            difference = (objective(x + step, target).total - objective(x - step, target).total).item() / 2e-8
        assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-5)


def test_each_image_of_a_batch_has_its_own_terms(photograph, y_style):
    objective = Objective(y_style)
    target = objective.content_target(photograph)
    images = torch.cat([white_noise(64, 0), photograph])
    together = objective(images, target)
    assert together.content[1] == 0
    for i in range(2):
        alone = objective(images[i : i + 1], target)
        torch.testing.assert_close(torch.stack(together)[:, i], torch.stack(alone)[:, 0], rtol=1e-4, atol=1e-4)


def test_with_bfloat16_convolutions_the_terms_are_float32_and_near(photograph, y_style):
    expected, found = (
        objective(white_noise(64, 0), objective.content_target(photograph))
        for objective in (Objective(y_style), Objective(y_style, dtype=torch.bfloat16))
    )
    assert {term.dtype for term in found} == {torch.float32}
    assert [term.item() for term in found] == pytest.approx([term.item() for term in expected], rel=0.02)


def test_no_layer_runs_that_is_not_needed(photograph, y_style):
    objective = Objective(y_style)
    ran = []
    for layer, convolution in objective.network.convolutions.items():
        convolution.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    target = objective.content_target(photograph)
    assert ran[-1] == "relu3_3"
    assert target.shape == (1, 256, 16, 16)
    objective(photograph, target)
    assert ran[-1] == "relu4_3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_form": "max"}, "style_form must be mean or sum; got 'max'"),
        ({"content_layer": "conv3_3"}, "layers must be a list out of relu1_1"),
        ({"style_layers": []}, "the style needs at least one layer"),
    ],
)
def test_what_it_does_not_have_is_refused(y_style, options, message):
    with pytest.raises((ValueError, ReplicationError), match=message):
        Objective(y_style, **options)


def test_images_it_cannot_take_are_refused(photograph, y_style):
    with pytest.raises(ValueError, match="at least 32 x 32 pixels"):
        Objective(y_style[..., :20, :20])
    with pytest.raises(ValueError, match="the style image has pixels that are not finite"):
        Objective(y_style / 0)
    with pytest.raises(ValueError, match=r"the style image has values from [\d.]+ to 2\d\d; images are in \[0, 1\]"):
        Objective(255 * y_style)
    with pytest.raises(ValueError, match=r"the style image has values from -\d.*; images are in \[0, 1\]"):
        Objective(2 * y_style - 1)
    objective = Objective(y_style)
    with pytest.raises(ValueError, match="at least 32 x 32 pixels"):
        objective.content_target(photograph[..., :31])
    with pytest.raises(ValueError, match="make it from images of the same size"):
        objective(white_noise(80, 0), objective.content_target(photograph))


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


def test_another_period_is_refused():
    with pytest.raises(ValueError, match="the period of a lattice is 2, 4 or 8 pixels; got 16"):
        lattice(torch.zeros(1, 3, 100, 100), 16)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="a lattice shows in 40 pixels a side and more; got .1, 3, 39, 60."):
        lattice(torch.zeros(1, 3, 39, 60), 8)


def test_its_gradient_takes_a_lattice_away():
    y, x = positions()
    image = of_grey(128 + 3.0 * (-1.0) ** (x + y)).requires_grad_()
    (gradient,) = torch.autograd.grad(lattice(image).sum(), image)
    inside = (gradient * (-1.0) ** (x + y))[..., 8:92, 8:92]
    assert inside.min() > 0
