"""The losses against the paper's equations, written out in float64 numpy."""

import numpy as np
import pytest
import torch

from replication.losses import feature_reconstruction_loss, gram_matrix, style_reconstruction_loss, total_variation


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


def test_gradients_agree_with_finite_differences(features):
    a, b = (x[:1].clone().requires_grad_() for x in features)
    gram = gram_matrix(b.detach())
    assert torch.autograd.gradcheck(lambda x: feature_reconstruction_loss(x, b.detach()), a)
    assert torch.autograd.gradcheck(lambda x: style_reconstruction_loss(gram_matrix(x), gram), a)
    assert torch.autograd.gradcheck(total_variation, torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True))


def test_the_gradient_of_the_gram_matrix_has_a_gradient(features):
    x = features[0][:1, :3].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(gram_matrix, x)


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


def test_a_batch_is_judged_image_by_image(features):
    gram = gram_matrix(features[1][:1])
    together = style_reconstruction_loss(gram_matrix(features[0]), gram)
    alone = torch.cat([style_reconstruction_loss(gram_matrix(x[None]), gram) for x in features[0]])
    torch.testing.assert_close(together, alone)


def test_losses_are_float32_from_bfloat16_features_and_inside_autocast(features):
    half = features[0].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        gram = gram_matrix(half)
        loss = feature_reconstruction_loss(half, features[1].bfloat16())
    assert gram.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(gram, gram_matrix(half.double()).float(), rtol=1e-6, atol=1e-7)
