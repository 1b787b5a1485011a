"""The losses of section 3.2, equations 2 to 5, a value for each image of the batch; and a penalty on lattices, ours."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from replication.config import PAPER
from replication.io.pixels import check_images
from replication.io.ranges import check
from replication.io.runtime import deterministic_cudnn
from replication.loss_network import LossNetwork

WINDOW = 32  # pixels a side of the squares over which a lattice is averaged: it keeps its phase there, grain does not


def feature_reconstruction_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distance of two feature maps, divided by C*H*W (paper, equation 2).

    Takes features (B, C, H, W) from one layer of the loss network, where `y` may have batch 1. Returns the loss of each
    image, (B,).

    Raises:
        ValueError: the shapes do not match.
    """
    _check_shapes(y_hat, y, 4, "features (B, C, H, W)")
    return F.mse_loss(_full(y_hat), _full(y).expand_as(y_hat), reduction="none").mean(dim=(1, 2, 3))


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrix of feature maps, psi psi^T / (C H W) with psi of shape C x HW (paper, equation 3).

    Maps features (B, C, H, W) to symmetric matrices (B, C, C), in float32 or better even inside autocast.

    Raises:
        ValueError: the features have another shape.
    """
    _check_shapes(features, features, 4, "features (B, C, H, W)")
    return _GramMatrix.apply(features)


def style_reconstruction_loss(gram_hat: Tensor, gram: Tensor) -> Tensor:
    """Squared Frobenius norm of the difference of two Gram matrices (paper, equation 4).

    Takes matrices (B, C, C), where `gram` may have batch 1. Returns the loss of each image, (B,). The published code
    takes the mean over the C*C entries instead of the sum, so its loss is this one divided by C^2.

    Raises:
        ValueError: the shapes do not match.
    """
    _check_shapes(gram_hat, gram, 3, "Gram matrices (B, C, C)")
    return (gram_hat - gram).square().sum(dim=(1, 2))


def total_variation(image: Tensor) -> Tensor:
    """Total variation regulariser (section 3.2), (B,), of images (B, 3, H, W) in [0, 1].

    Half the sum of the squared differences of neighbouring pixels, on the scale 0..255, so that the paper's strengths
    (1e-6 to 1e-4, section 4.1) apply as printed. The published code does the same, except that it leaves out the
    differences within the last row and within the last column.

    Raises:
        ValueError: the image has another shape, or integer values.
    """
    check_images(image, 1, "total variation")
    image = 255 * _full(image)
    down, right = image.diff(dim=2), image.diff(dim=3)
    return (down.square().sum(dim=(1, 2, 3)) + right.square().sum(dim=(1, 2, 3))) / 2


class Terms(NamedTuple):
    """The weighted terms of the objective, (B,) each, and their sum."""

    content: Tensor
    style: Tensor
    total_variation: Tensor

    @property
    def total(self) -> Tensor:
        """The objective, (B,)."""
        return self.content + self.style + self.total_variation


class Objective(nn.Module):
    """How far an image is from the content of one image and the style of another (equation 5).

    The default weights are those of the published code; the paper prints only a range for that of the total variation.

    Args:
        y_style: the style image (1, 3, H, W) in [0, 1]. Its Gram matrices are computed here, once.
        content_layer, style_layers, content_weight, style_weight, tv_weight: see `train-style --help`, or config.py.
        style_form: "mean" averages the squared difference of two Gram matrices over its C*C entries, as the published
            code does; the weights 1 and 5 belong to this form. "sum" is equation 4 to the letter, C*C times as large at
            each layer; with it a weight of 2.5e-4 gives a term of the same size.
        dtype: precision of the loss network; see `LossNetwork`.

    Raises:
        RangeError: a weight is negative or not finite, all weights are 0, or the form is unknown.
        ValueError: a layer is unknown, or the style image is too small, of another shape, or far outside [0, 1].
    """

    def __init__(
        self,
        y_style: Tensor,
        *,
        content_layer: str = PAPER.content_layer,
        style_layers: Sequence[str] = PAPER.style_layers,
        content_weight: float = PAPER.content_weight,
        style_weight: float = PAPER.style_weight,
        tv_weight: float = PAPER.tv_weight,
        style_form: str = PAPER.style_form,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        check(content_weight=content_weight, style_weight=style_weight, tv_weight=tv_weight, style_form=style_form)
        if not style_layers:
            raise ValueError("the style needs at least one layer")
        if len(y_style) != 1:
            raise ValueError(f"the style is that of one image, (1, 3, H, W); got {tuple(y_style.shape)}")
        self.content_layer, self.style_layers = content_layer, tuple(style_layers)
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.style_form = style_form
        self.network = LossNetwork([content_layer, *style_layers], dtype).to(y_style.device)
        with torch.no_grad(), deterministic_cudnn():
            features = self.network(in_range(y_style, "style image"), self.style_layers)
        for layer in self.style_layers:
            self.register_buffer(f"gram_{layer}", gram_matrix(features[layer]), persistent=False)

    def settings(self) -> dict[str, Any]:
        """The settings of this objective, without the style image, in JSON types."""
        network = {"weights": self.network.weights.sha256, "dtype": str(next(self.network.parameters()).dtype)}
        return {name: getattr(self, name) for name in PAPER.objective} | network

    @torch.no_grad()
    def content_target(self, y_content: Tensor) -> Tensor:
        """The target of `forward`: content features (B, C, H', W'), float32, of images (B, 3, H, W) in [0, 1].

        Raises:
            ValueError: the images have another shape, or are too small for the loss network.
        """
        return _full(self.network(y_content, [self.content_layer])[self.content_layer])

    def forward(self, y_hat: Tensor, target: Tensor) -> Terms:
        """The terms for images `y_hat` (B, 3, H, W) in [0, 1], with `target` from `content_target`, of batch B or 1.

        Raises:
            ValueError: the target is of images of another size.
        """
        features = self.network(y_hat)
        found = features[self.content_layer]
        if target.shape[1:] != found.shape[1:] or len(target) not in (1, len(found)):
            raise ValueError(
                f"the content target {tuple(target.shape)} does not match the features {tuple(found.shape)}: "
                "make it from images of the same size and number"
            )
        style = 0
        for layer in self.style_layers:
            loss = style_reconstruction_loss(gram_matrix(features[layer]), getattr(self, f"gram_{layer}"))
            style = style + (loss / features[layer].shape[1] ** 2 if self.style_form == "mean" else loss)
        return Terms(
            self.content_weight * feature_reconstruction_loss(found, target),
            self.style_weight * style,
            self.tv_weight * total_variation(y_hat),
        )


def in_range(image: Tensor, name: str) -> Tensor:
    """Return `image`, or raise a ValueError that names it if it is not finite or far outside [0, 1].

    Values from -0.5 to 1.5 are accepted, since images may overshoot. The check waits for the device.
    """
    if not image.is_floating_point():
        raise ValueError(f"the {name} has {image.dtype}; images are in [0, 1], see `from_pixels`")
    least, most = (value.item() for value in image.detach().aminmax())
    if not math.isfinite(least + most):
        raise ValueError(f"the {name} has pixels that are not finite")
    if least < -0.5 or most > 1.5:
        raise ValueError(f"the {name} has values from {least:.3g} to {most:.3g}; images are in [0, 1]")
    return image


def lattice(image: Tensor, period: int = 4) -> Tensor:
    """Mean square of what repeats every `period` pixels, or a half or quarter of that, in squares of 32 pixels.

    In each square, pixels at the same position modulo the period are averaged: a lattice remains, while grain and
    texture average out. So a network is free to draw anything that does not depend on the position modulo the period.

    Args:
        image: (B, 3, H, W) in [0, 1], or a difference of such images, with at least 32 + `period` pixels a side.
        period: 2 to the power of the number of transposed convolutions of stride 2: 2, 4 or 8.

    Returns:
        The value of each image, (B,), in squared grey levels of 0..255.

    Raises:
        ValueError: the image is smaller, or the period is not 2, 4 or 8.
    """
    if period not in (2, 4, 8):
        raise ValueError(f"the period of a lattice is 2, 4 or 8 pixels; got {period}")
    if min(image.shape[2:]) < WINDOW + period:
        raise ValueError(f"a lattice shows in {WINDOW + period} pixels a side and more; got {tuple(image.shape)}")
    pixels = 255 * image.flatten(0, 1)[:, None]
    taps = pixels.new_ones(period + 1) / period  # a low-pass filter that blocks the period and its fractions
    taps[::period] /= 2  # the two ends
    smooth = F.conv2d(F.conv2d(pixels, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    detail = F.pad(pixels, [-period // 2] * 4) - smooth
    rows, columns = (side // WINDOW for side in detail.shape[2:])
    squares = detail[..., : rows * WINDOW, : columns * WINDOW].unflatten(3, (columns, -1, period))
    places = squares.unflatten(2, (rows, -1, period)).mean((3, 6))  # (3 B, 1, rows, period, columns, period)
    places = places - places.mean((3, 5), keepdim=True)
    return places.square().mean((1, 2, 3, 4, 5)).unflatten(0, image.shape[:2]).mean(1)


class _GramMatrix(Function):
    """Equation 3 with a cheaper gradient: one matrix product, where autograd computes two.

    The memory format of the features is kept. On the CPU the products are computed by 1x1 convolutions.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def forward(features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return _inner_products(_full(features)) / features[0].numel()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        with torch.autocast(features.device.type, enabled=False):
            mixing = (gradient + gradient.mT) / features[0].numel()
            if features.dtype == torch.float16:  # in which the mixing would underflow
                return _mixed(_full(features), mixing).to(features.dtype)
            return _mixed(features, mixing.to(features.dtype))


def _check_shapes(x: Tensor, target: Tensor, axes: int, wanted: str) -> None:
    if x.ndim != axes or target.shape[1:] != x.shape[1:] or len(target) not in (1, len(x)):
        second = "" if target is x else f" and {tuple(target.shape)}"
        raise ValueError(f"expected {wanted}; got {tuple(x.shape)}{second}")


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
