"""The losses of section 3.2, each on its own: at least float32, one value for each image of the batch."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight


def feature_reconstruction_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distance of two feature maps over C*H*W (paper, equation 2).

    Args:
        y_hat, y: features (B, C, H, W) at one layer of the loss network; `y` may have batch 1.

    Returns:
        The loss of each image, (B,).
    """
    return F.mse_loss(_full(y_hat), _full(y).expand_as(y_hat), reduction="none").mean(dim=(1, 2, 3))


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrix of feature maps, psi psi^T / (C H W) with psi of shape C x HW (paper, equation 3).

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, C), symmetric; float32 or better, inside autocast too.
    """
    return _GramMatrix.apply(features)


def style_reconstruction_loss(gram_hat: Tensor, gram: Tensor) -> Tensor:
    """Squared Frobenius norm of the difference of two Gram matrices (paper, equation 4).

    Args:
        gram_hat, gram: (B, C, C) from `gram_matrix`; `gram` may have batch 1.

    Returns:
        The loss of each image, (B,). The published code takes the mean over the C*C entries instead: this over C^2.
    """
    return (gram_hat - gram).square().sum(dim=(1, 2))


def total_variation(image: Tensor) -> Tensor:
    """Total variation regulariser (section 3.2), in the form and units of the published code.

    Half the sum of the squared differences of neighbouring pixels, on the scale 0..255, so that the paper's strengths
    (1e-6 to 1e-4, section 4.1) apply as printed.

    Args:
        image: (B, 3, H, W) in [0, 1].

    Returns:
        The value for each image, (B,).
    """
    image = 255 * _full(image)
    down, right = image.diff(dim=2), image.diff(dim=3)
    return (down.square().sum(dim=(1, 2, 3)) + right.square().sum(dim=(1, 2, 3))) / 2


class _GramMatrix(Function):
    """Equation 3 with one product for its gradient where autograd takes two, in the memory format of the features.

    On the CPU both are 1x1 convolutions, which oneDNN computes faster than the matrix products.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        with torch.autocast(features.device.type, enabled=False):
            return _inner_products(_full(features)) / features[0].numel()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        with torch.autocast(features.device.type, enabled=False):
            mixing = (gradient + gradient.mT) / features[0].numel()
            return _mixed(features, mixing.to(features.dtype))


def _inner_products(psi: Tensor) -> Tensor:
    """psi psi^T of each image, (B, C, C): on the CPU the gradient of a 1x1 convolution in its weight."""
    if psi.is_cuda:
        pixels = psi.permute(0, 2, 3, 1).flatten(1, 2)
        return pixels.mT @ pixels
    channels = psi.shape[1]
    shape = (channels, channels, 1, 1)
    return torch.stack([conv2d_weight(image, shape, image)[..., 0, 0] for image in psi.split(1)])


def _mixed(psi: Tensor, mixing: Tensor) -> Tensor:
    """`mixing` psi of each image, (B, C, H, W): on the CPU a 1x1 convolution."""
    if psi.is_cuda:
        pixels = psi.permute(0, 2, 3, 1).flatten(1, 2) @ mixing.mT
        return pixels.unflatten(1, psi.shape[2:]).permute(0, 3, 1, 2)
    images = [F.conv2d(image, weight[..., None, None]) for image, weight in zip(psi.split(1), mixing, strict=True)]
    return images[0] if len(images) == 1 else torch.cat(images)  # torch.cat copies even one


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
