"""The objective of style transfer: content, style and total variation (section 3.2 and equation 5)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from replication.loss_network import LossNetwork
from replication.losses import (
    feature_reconstruction_loss,
    gram_matrix,
    style_reconstruction_loss,
    total_variation,
)
from replication.ranges import check
from replication.weights import Weights

CONTENT_LAYER = "relu3_3"  # section 4.1; arXiv v1 has relu2_2
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # section 4.1


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

    The default weights are those of the published code; the paper prints none but the range of the total variation's.

    Args:
        y_style: the style image (1, 3, H, W) in [0, 1]. Its Gram matrices are computed here, once.
        content_layer: "relu3_3", or "relu2_2" as in arXiv v1.
        style_layers: names of layers.
        content_weight: of the feature reconstruction loss.
        style_weight: of the style reconstruction loss of each layer.
        tv_weight: of the total variation, in the paper 1e-6 to 1e-4, chosen by style.
        style_form: "mean" takes the mean over the C*C entries of the difference of two Gram matrices, as the published
            code, to which the weights 1 and 5 belong; "sum" is equation 4 to the letter, C*C times as large at each
            layer, where a weight of 2.5e-4 gives a term of the same size.
        weights, dtype: of the loss network; see `LossNetwork`.

    Raises:
        RangeError: a weight that is negative or not finite, or all of them are 0.
        ValueError: an unknown layer or form, or a style image that the loss network does not take.
    """

    def __init__(
        self,
        y_style: Tensor,
        *,
        content_layer: str = CONTENT_LAYER,
        style_layers: Sequence[str] = STYLE_LAYERS,
        content_weight: float = 1.0,
        style_weight: float = 5.0,
        tv_weight: float = 1e-6,
        style_form: str = "mean",
        weights: Weights | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        check(content_weight=content_weight, style_weight=style_weight, tv_weight=tv_weight)
        if not style_layers:
            raise ValueError("the style needs at least one layer")
        if style_form not in ("mean", "sum"):
            raise ValueError(f"style_form is 'mean' or 'sum'; got {style_form!r}")
        self.content_layer, self.style_layers = content_layer, tuple(style_layers)
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.style_form = style_form
        self.network = LossNetwork([content_layer, *style_layers], weights, dtype).to(y_style.device)
        with torch.no_grad():
            features = self.network(finite(y_style, "style image"), self.style_layers)
        for layer in self.style_layers:
            self.register_buffer(f"gram_{layer}", gram_matrix(features[layer]), persistent=False)

    def settings(self) -> dict[str, Any]:
        """What it was made with, but for the style image, as JSON takes it."""
        names = ("content_layer", "style_layers", "content_weight", "style_weight", "tv_weight", "style_form")
        network = {"weights": self.network.weights.sha256, "dtype": str(next(self.network.parameters()).dtype)}
        return {name: getattr(self, name) for name in names} | network

    @torch.no_grad()
    def content_target(self, y_content: Tensor) -> Tensor:
        """The features that `forward` compares with, of images (B, 3, H, W) in [0, 1]: (B, C, H', W'), float32.

        Raises:
            ValueError: a shape that the loss network does not take.
        """
        features = self.network(y_content, [self.content_layer])[self.content_layer]
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def forward(self, y_hat: Tensor, target: Tensor) -> Terms:
        """The terms for images `y_hat` (B, 3, H, W) in [0, 1].

        Args:
            y_hat: the images.
            target: from `content_target`, of images of the same size; batch B or 1.

        Raises:
            ValueError: the target is of another size.
        """
        features = self.network(y_hat)
        found = features[self.content_layer]
        if target.shape[1:] != found.shape[1:] or len(target) not in (1, len(found)):
            raise ValueError(
                f"the content target {tuple(target.shape)} does not match the features {tuple(found.shape)}: "
                "make it from images of the same size and number"
            )
        style = sum(self._style_loss(layer, features[layer]) for layer in self.style_layers)
        return Terms(
            self.content_weight * feature_reconstruction_loss(found, target),
            self.style_weight * style,
            self.tv_weight * total_variation(y_hat),
        )

    def _style_loss(self, layer: str, features: Tensor) -> Tensor:
        loss = style_reconstruction_loss(gram_matrix(features), getattr(self, f"gram_{layer}"))
        return loss / features.shape[1] ** 2 if self.style_form == "mean" else loss


def finite(image: Tensor, name: str) -> Tensor:
    """`image` itself; this waits for the device.

    Raises:
        ValueError: it has pixels that are not finite; the message calls it `name`.
    """
    if not image.isfinite().all():
        raise ValueError(f"the {name} has pixels that are not finite")
    return image
