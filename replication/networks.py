"""The image transformation networks f_W of style transfer and super-resolution (section 3.1, supplement), and SRCNN."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from replication.io.pixels import check_images
from replication.io.ranges import check

FILTERS = (32, 64, 128)  # at full, half and quarter size
BLOCKS = 5
SR_FILTERS, SR_BLOCKS = 64, 4
STRIDE = 4  # the image is padded to a multiple of this
ONEDNN = torch.backends.mkldnn.is_available()  # not in torch for Macs
BAND = 2**26  # elements of an unfolded band of rows, 256 MB in float32
Network = TypeVar("Network", bound=nn.Module)


class ImageTransformationNetwork(nn.Module):
    """The image transformation network of style transfer: it maps an image to an image of the same size.

    Its layers are reflection padding, a 9x9 convolution, two convolutions of stride 2, residual blocks, two transposed
    convolutions of stride 2, a 9x9 convolution and a scaled tanh. A norm and a ReLU follow each convolution outside the
    blocks except the last. The weights are initialised as in the published code (Torch7). The output of that code is
    150 tanh around the mean colour and needs clipping; here it is (1 + tanh) / 2, the paper's "scaled tanh".

    Args:
        norm: "batch", as in the paper, or "instance", which normalises each image by its own statistics, in evaluation
            too; the authors later made it the default of their code.
        padding: "reflection" of the image by 40 pixels and blocks without padding; "zero" pads inside the blocks
            instead (arXiv v1).
        residual: False replaces the shortcuts by a ReLU; the supplement compares both.

    Raises:
        RangeError: an unknown norm or padding.
    """

    def __init__(self, norm: str = "batch", padding: str = "reflection", residual: bool = True):
        super().__init__()
        check(norm=norm, padding=padding)
        self.configuration = {"norm": norm, "padding": padding, "residual": residual}
        full, half, quarter = FILTERS
        cropped = padding == "reflection"
        self.margin = STRIDE * 2 * BLOCKS if cropped else 0  # pixels of padding, which the blocks crop again
        self.smallest = self.margin + STRIDE + (norm == "instance" and not cropped)  # one pixel has no variance
        self.layers = nn.Sequential(
            *_convolution(3, full, 9, 1, norm),
            *_convolution(full, half, 3, 2, norm),
            *_convolution(half, quarter, 3, 2, norm),
            *(ResidualBlock(quarter, norm, cropped, residual) for _ in range(BLOCKS)),
            *_upsampling(quarter, half, norm),
            *_upsampling(half, full, norm),
            OutputConvolution(full),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        """Transform `image` (B, 3, H, W) in [0, 1]; the result has its shape and range, float32 inside autocast too.

        Raises:
            ValueError: the shape is another, a side has less than `smallest` pixels (44; with zero padding 4, 5 with
                instance norm), or the values are whole numbers.
        """
        check_images(image, self.smallest)
        height, width = image.shape[2:]
        below, right = (self.margin + -length % STRIDE for length in (height, width))
        padded = F.pad(image, (self.margin, right, self.margin, below), "reflect")
        return self.transform(padded)[..., :height, :width]

    def transform(self, padded: Tensor) -> Tensor:
        """Map a padded image (B, 3, H, W), sides multiples of 4, to (B, 3, H - 2 * margin, W - 2 * margin)."""
        return _transformed(self.layers, padded)


class SuperResolutionNetwork(nn.Module):
    """The image transformation network of super-resolution: it enlarges an image by `factor`.

    Its layers are a 9x9 convolution, four residual blocks of 64 filters, log2(factor) transposed convolutions of stride
    2, a 9x9 convolution and the scaled tanh, all with zero padding. Batch norm and a ReLU follow each convolution
    outside the blocks except the last (section 4.2 and the published code). It has 401,859 parameters for a factor of
    4 and 438,915 for 8.

    Args:
        factor: 4 or 8.
        upsampling: "transposed", as in the paper, or "resize", which repeats each pixel in a 2 x 2 square and then
            applies a convolution of stride 1, as Odena et al. 2016 advise.

    Raises:
        RangeError: the factor or the upsampling is not one of these.
    """

    def __init__(self, factor: int = 4, upsampling: str = "transposed"):
        super().__init__()
        check(factor=factor, upsampling=upsampling)
        self.configuration = {"factor": factor, "upsampling": upsampling}
        self.factor = factor
        doublings = factor.bit_length() - 1
        self.layers = nn.Sequential(
            *_convolution(3, SR_FILTERS, 9, 1, "batch"),
            *(ResidualBlock(SR_FILTERS, "batch", cropped=False) for _ in range(SR_BLOCKS)),
            *(layer for _ in range(doublings) for layer in _upsampling(SR_FILTERS, SR_FILTERS, "batch", upsampling)),
            OutputConvolution(SR_FILTERS),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge `image` (B, 3, H, W) in [0, 1] to (B, 3, factor H, factor W) in [0, 1], float32 at least.

        Raises:
            ValueError: another shape, or whole numbers.
        """
        check_images(image, 1)
        return _transformed(self.layers, image)


class SRCNN(nn.Module):
    """The network that the paper compares with: three convolutions on the luminance of the bicubic enlargement.

    Section 4.2; Dong, Loy, He and Tang 2016. Border pixels are repeated, so that the size stays; the output is not
    clipped.

    Args:
        kernels: the sides of the convolutions, 9-5-5 or 9-1-5; 57,281 parameters or 8,129.
    """

    def __init__(self, kernels: Sequence[int] = (9, 5, 5)):
        super().__init__()
        self.configuration = {"kernels": list(kernels)}
        first, second, third = kernels
        self.margin = sum(kernel // 2 for kernel in kernels)
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 64, first), nn.ReLU(inplace=True)),
            *(nn.Conv2d(64, 32, second), nn.ReLU(inplace=True)),
            nn.Conv2d(32, 1, third),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, luminance: Tensor) -> Tensor:
        """Sharpen `luminance` (B, 1, H, W), Y of BT.601 over 255; the result has its shape, float32 at least."""
        return _applied(self.layers, F.pad(luminance, [self.margin] * 4, "replicate"))


class OutputConvolution(nn.Conv2d):
    """A 9x9 convolution with 3 filters, computed with stride 2 and 12 filters: 3 for each pixel of a 2 x 2 square.

    The result is the same, but twelve filters fill more of a processor's vector lanes than three. Without oneDNN, torch
    would unfold the whole input into a matrix of 25 times its size; so then it is computed in bands of rows.
    """

    def __init__(self, inputs: int):
        super().__init__(inputs, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W), H and W even, to (B, 3, H, W)."""
        shifted = [F.pad(self.weight, (j, 1 - j, i, 1 - i)) for i in range(2) for j in range(2)]
        weight, bias = torch.stack(shifted, 1).flatten(0, 1), self.bias.repeat_interleave(4)
        if ONEDNN or x.device.type != "cpu" or torch.compiler.is_exporting():
            return F.pixel_shuffle(F.conv2d(x, weight, bias, stride=2, padding=self.padding), 2)
        height, elements = x.shape[2], len(x) * weight[0].numel() * x.shape[3] // 2  # of a row of squares
        rows, x = 2 * max(1, BAND // elements), F.pad(x, [4] * 4)
        bands = [F.conv2d(x[:, :, top : top + rows + 8], weight, bias, stride=2) for top in range(0, height, rows)]
        return F.pixel_shuffle(torch.cat(bands, 2), 2)


def _applied(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply the layers in the precision of their weights; the result is float32 or better."""
    x = layers(x.to(layers[0].weight.dtype, memory_format=torch.channels_last))
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _transformed(layers: nn.Sequential, image: Tensor) -> Tensor:
    """Apply the layers and the scaled tanh to an image in [0, 1]; the result is in [0, 1], too."""
    return (1 + torch.tanh(_applied(layers, 2 * image - 1))) / 2


class ResidualBlock(nn.Module):
    """Convolution, norm, ReLU, convolution, norm, and a shortcut with no ReLU after the addition (Gross and Wilber).

    If `cropped`, the convolutions have no padding: the result is 4 pixels smaller in height and width, and
    the shortcut is cropped to match. If not `residual`, the block has no shortcut and ends with a ReLU.
    """

    def __init__(self, channels: int, norm: str, cropped: bool = True, residual: bool = True):
        super().__init__()
        self.crop, self.residual = 2 if cropped else 0, residual
        padding = 0 if cropped else 1
        first, second = (nn.Conv2d(channels, channels, 3, padding=padding) for _ in range(2))
        self.layers = nn.Sequential(first, _norm(norm, channels), nn.ReLU(inplace=True), second, _norm(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C, H - 4, W - 4), or (B, C, H, W) where the block pads."""
        y = self.layers(x)
        if not self.residual:
            return F.relu(y)
        return y + F.pad(x, [-self.crop] * 4)  # crops


@torch.enable_grad()
def receptive_field(layers: nn.Sequential) -> int:
    """The side of the square of pixels, at most 192, on which a central feature depends (section 3.1).

    It is measured by the gradient of the feature with respect to the pixels, in a copy whose weights are all one, so
    that nothing cancels. `layers` are the first layers of a network, before any upsampling.
    """
    layers = copy.deepcopy(layers).double().eval()
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    pixels = next(layers.parameters()).new_ones(1, 3, 192, 192, requires_grad=True)
    features = layers(pixels)
    middle = features.shape[2] // 2
    (gradient,) = torch.autograd.grad(features[0, 0, middle, middle], pixels)
    return int((gradient[0].sum((0, 1)) > 0).sum())


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), _norm(norm, outputs), nn.ReLU(inplace=True)]


def _upsampling(inputs: int, outputs: int, norm: str, kind: str = "transposed") -> list[nn.Module]:
    """A convolution of stride 1/2, norm and ReLU; initialised by its inputs as in Torch7 (PyTorch uses outputs)."""
    if kind == "resize":
        return [nn.Upsample(scale_factor=2), *_convolution(inputs, outputs, 3, 1, norm)]
    layer = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    bound = (inputs * 3 * 3) ** -0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)
    return [layer, _norm(norm, outputs), nn.ReLU(inplace=True)]


class InstanceNorm(nn.InstanceNorm2d):
    """torch's instance norm, except that a single image goes through batch norm, which computes the same.

    For a single image, torch's own gradients are wrong if the incoming gradient is channels_last (on a CPU, at least in
    torch 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W); the shape stays."""
        if torch.compiler.is_exporting() or len(x) > 1:  # in ONNX, instance norm is one operation
            return super().forward(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def _norm(norm: str, channels: int) -> nn.Module:
    layer = (nn.BatchNorm2d if norm == "batch" else InstanceNorm)(channels, affine=True)
    nn.init.uniform_(layer.weight, 0, 1)
    nn.init.zeros_(layer.bias)
    return layer


def for_inference(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy in evaluation mode, in `dtype`, with batch norm folded into the convolutions before it.

    Instance norm stays, because its statistics are those of the image. The copy cannot be trained or saved.
    """
    network = copy.deepcopy(network).eval()
    for module in [*network.modules()]:
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                layer, norm = module[i], module[i + 1]
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i] = fuse_conv_bn_eval(layer, norm, isinstance(layer, nn.ConvTranspose2d))
                    module[i + 1] = nn.Identity()
    return network.requires_grad_(False).to(dtype, memory_format=torch.channels_last)
