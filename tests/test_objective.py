"""The objective against equation 5 written out over torchvision's VGG-16 in float64."""

import pytest
import torch
from torchvision.models import vgg16

from replication.baseline import white_noise
from replication.io.images import square
from replication.io.pictures import content_picture, style_picture
from replication.io.weights import CONVOLUTIONS
from replication.loss_network import MEAN
from replication.losses import STYLE_LAYERS, Objective

PLACES = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22}  # in torchvision's `features`


@pytest.fixture(scope="module")
def y_style():
    return square(style_picture("great_wave").image, 48)


@pytest.fixture(scope="module")
def features(weights):
    """Features by layer in float64, from torchvision's network."""
    network = vgg16(weights=None).features.double()
    convolutions = [module for module in network if isinstance(module, torch.nn.Conv2d)]
    for name, module in zip(CONVOLUTIONS, convolutions, strict=True):
        module.load_state_dict({part: weights.tensors[f"{name}.{part}"].double() for part in ("weight", "bias")})
        module.requires_grad_(False)

    def run(image):
        x, found = 255 * image.double() - torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1), {}
        for place, module in enumerate(network[:23]):
            x = module(x)
            found |= {layer: x.clone() for layer, at in PLACES.items() if at == place}
        return found

    return run


def gram(psi):
    return torch.einsum("bchw,bdhw->bcd", psi, psi) / psi[0].numel()


@pytest.mark.parametrize("content_layer", ["relu3_3", "relu2_2"])
@pytest.mark.parametrize("style_form", ["mean", "sum"])
def test_the_terms_are_those_of_the_paper(features, photograph, y_style, style_form, content_layer):
    weights = {"content_weight": 2.0, "style_weight": 3.0, "tv_weight": 1e-3}
    options = {"style_form": style_form, "content_layer": content_layer, "dtype": torch.float64}
    objective = Objective(y_style.double(), **weights, **options)
    y_hat = white_noise(64, 0).double()
    terms = objective(y_hat, objective.content_target(photograph.double()))
    found, wanted, style = features(y_hat), features(photograph), features(y_style)
    content = (found[content_layer] - wanted[content_layer]).square().sum() / found[content_layer].numel()
    losses = {layer: (gram(found[layer]) - gram(style[layer])).square() for layer in STYLE_LAYERS}
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
        ({"style_form": "max"}, "style_form is 'mean' or 'sum'; got 'max'"),
        ({"content_layer": "conv3_3"}, "layers must be a list out of relu1_1"),
        ({"style_layers": []}, "the style needs at least one layer"),
    ],
)
def test_what_it_does_not_have_is_refused(y_style, options, message):
    with pytest.raises(ValueError, match=message):
        Objective(y_style, **options)


def test_images_it_cannot_take_are_refused(photograph, y_style):
    with pytest.raises(ValueError, match="at least 32 x 32 pixels"):
        Objective(y_style[..., :20, :20])
    with pytest.raises(ValueError, match="the style image has pixels that are not finite"):
        Objective(y_style / 0)
    objective = Objective(y_style)
    with pytest.raises(ValueError, match="at least 32 x 32 pixels"):
        objective.content_target(photograph[..., :31])
    with pytest.raises(ValueError, match="make it from images of the same size"):
        objective(white_noise(80, 0), objective.content_target(photograph))
