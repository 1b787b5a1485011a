"""The loss network phi: VGG-16 by layer name, cut off after the deepest layer asked for, and fixed (section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from replication.io.pixels import check_images
from replication.io.weights import CHANNELS, vgg16_weights

MEAN = (123.68, 116.779, 103.939)  # RGB on the scale 0..255, subtracted in Simonyan's Caffe model
LAYERS = tuple(f"relu{b}_{c}" for b, filters in CHANNELS.items() for c in range(1, len(filters) + 1))
MIN_SIZE = 32  # pixels a side: relu5_3 is then 2 x 2


class LossNetwork(nn.Module):
    """Features of images at named layers of the paper's VGG-16.

    Args:
        layers: names in `LAYERS`, "relu1_1" to "relu5_3"; layers after the deepest are not built.
        dtype: precision of the convolutions, float32 or bfloat16 (float64 for gradient checks). Choose it here and not
            by `.to(dtype)`, so that the mean is subtracted before pixels are rounded to it.

    The parameters need no gradients. The convolutions run in channels_last. The ReLU works in place, so a hook on a
    convolution sees its output after the ReLU. Pooling rounds sizes up, as in Caffe.

    Raises:
        ValueError: no layer is given, or an unknown one.
        ReplicationError: the weights are not available (see `vgg16_weights`).
    """

    def __init__(self, layers: Sequence[str], dtype: torch.dtype = torch.float32):
        super().__init__()
        if not layers or not set(layers) <= set(LAYERS):
            raise ValueError(f"layers must be a list out of {', '.join(LAYERS)}; got {layers!r}")
        self.layers = tuple(layers)
        weights = vgg16_weights()
        self.weights = weights._replace(tensors={})  # where they are from
        self.convolutions = nn.ModuleDict()
        for layer in LAYERS[: max(map(LAYERS.index, layers)) + 1]:
            name = layer.replace("relu", "conv")
            weight, bias = (weights.tensors[f"{name}.{part}"] for part in ("weight", "bias"))
            weight = weight.to(dtype, memory_format=torch.channels_last)
            convolution = nn.Conv2d(*weight.shape[1::-1], kernel_size=3, padding=1, device="meta")
            convolution.load_state_dict({"weight": weight, "bias": bias.to(dtype)}, assign=True)
            self.convolutions[layer] = convolution
        mean = torch.tensor(MEAN, dtype=torch.promote_types(dtype, torch.float32), device="cpu").view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features (B, C, H', W') by layer name, in the network's precision, or autocast's.

        Args:
            image: (B, 3, H, W), RGB in [0, 1], at least 32 pixels a side.
            layers: the layers that are wanted; by default all of the network's. It runs up to the deepest of them.

        Raises:
            ValueError: the shape is another or too small, or the network does not have such a layer.
        """
        wanted = set(layers or self.layers)
        if not wanted <= set(self.layers):
            raise ValueError(f"the network was built for {', '.join(self.layers)}; got {', '.join(layers)}")
        check_images(image, MIN_SIZE, "loss network")
        x = (255 * image - self.mean).to(self.convolutions["relu1_1"].weight.dtype)
        features = {}
        for layer, convolution in self.convolutions.items():
            if layer.endswith("_1") and layer != "relu1_1":
                x = F.max_pool2d(x, kernel_size=2, ceil_mode=True)
            x = F.relu(convolution(x), inplace=True)
            if layer in wanted:
                features[layer] = x
            if len(features) == len(wanted):
                break
        return features
