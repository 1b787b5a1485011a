"""The losses of section 3.2, each on its own: at least float32, one value for each image of the batch."""

import torch
from torch import Tensor


def feature_reconstruction_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distance of two feature maps over C*H*W (paper, equation 2).

    Args:
        y_hat, y: features (B, C, H, W) at one layer of the loss network; `y` may have batch 1.

    Returns:
        The loss of each image, (B,).
    """
    return (_full(y_hat) - _full(y)).square().mean(dim=(1, 2, 3))


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrix of feature maps, psi psi^T / (C H W) with psi of shape C x HW (paper, equation 3).

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, C), symmetric; float32 or better, inside autocast too.
    """
    with torch.autocast(features.device.type, enabled=False):
        psi = _full(features).flatten(2)
        return psi @ psi.mT / psi[0].numel()


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


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
