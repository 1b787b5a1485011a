"""Super-resolution: low-resolution images, and enlarging images of any size by a trained network (section 4.2)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from replication.config import PAPER_SUPER_RESOLUTION, TILE_ENLARGED, SuperResolutionConfig
from replication.histograms import histogram_matched
from replication.io.checkpoints import NETWORKS, load_checkpoint, load_network, network_path, state_path
from replication.io.files import ReplicationError
from replication.io.photographs import SHORT_SIDE, ImageDataset, check_folder, photographs_on_device
from replication.io.pixels import from_pixels, resize, to_pixels
from replication.io.ranges import PretrainedLoss, RangeError, check
from replication.io.runtime import (
    default_device,
    deterministic_cudnn,
    dtype_of,
    give_back_memory,
    keep_freed_memory,
    seeded,
)
from replication.io.transform_files import Transform, transform_files
from replication.io.weights import vgg16_weights
from replication.loss_network import LossNetwork
from replication.losses import feature_reconstruction_loss, lattice
from replication.networks import SRCNN, SuperResolutionNetwork, for_inference
from replication.tiles import check_tiling, fill, pieces
from replication.training import Trainer, check_machine, train_network

PRETRAINED = NETWORKS / "super_resolution"
FEATURE_LAYER = "relu2_2"  # section 4.2
REACH = 14  # low-resolution pixels that the receptive field adds to a tile: 4 + 8 up to the last block, 2 after
LUMINANCE = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # of red, green and blue in Y of BT.601, 16..235
FROM_LUMINANCE = 255 / 219  # change of red, green and blue for each unit of Y


def low_resolution(y: Tensor, factor: int, blur: float = 0.0) -> Tensor:
    """Downsample images by `factor`: Gaussian blur, antialiased bicubic (a = -0.5) resampling, rounding to 8 bits.

    No gradient passes through the rounding.

    Args:
        y: (B, 3, H, W) in [0, 1], the sides multiples of the factor.
        factor: 4 or 8.
        blur: sigma in pixels of `y`. The paper blurs its training images with 1.0 (section 4.2). Its test images seem
            not to be blurred, since plain bicubic downsampling reproduces the paper's bicubic column at x4.

    Raises:
        ValueError: sides that are no multiples of the factor, or a blur that is negative or too wide for the image.
    """
    if any(side % factor for side in y.shape[2:]):
        raise ValueError(f"the sides must be multiples of {factor}; got {tuple(y.shape)}; see `cropped`")
    if not 0 <= 4 * blur < min(y.shape[2:]) - 1:
        raise ValueError(f"the blur must be at least 0 and less than a quarter of the image's side; got {blur:g}")
    if blur:
        from torchvision.transforms.functional import gaussian_blur  # a second to import, and only training blurs

        y = gaussian_blur(y, 2 * round(4 * blur) + 1, blur)
    small = resize(y, y.shape[2] // factor, y.shape[3] // factor)
    return small.mul(255).round().div(255)


def cropped(y: Tensor, factor: int) -> Tensor:
    """The largest part of images (B, 3, H, W), from the top left, whose sides are multiples of the factor."""
    height, width = (side // factor * factor for side in y.shape[2:])
    return y[..., :height, :width]


def luminance(image: Tensor) -> Tensor:
    """Y of BT.601 over 255, (B, 1, H, W) in [16 / 255, 235 / 255], of images (B, 3, H, W) in [0, 1]."""
    red, green, blue = (part * image[:, i : i + 1] for i, part in enumerate(LUMINANCE))
    return red + green + blue + 16 / 255


def bicubic(small: Tensor, factor: int) -> Tensor:
    """Images (B, 3, H, W) enlarged by bicubic interpolation (a = -0.5)."""
    return resize(small, factor * small.shape[2], factor * small.shape[3])


class SRCNNUpscaler(nn.Module):
    """SRCNN for a small image: it is enlarged bicubically, then SRCNN sharpens the luminance; colours stay bicubic."""

    factor = 4

    def __init__(self, network: SRCNN):
        super().__init__()
        self.network = network

    @torch.no_grad()
    def forward(self, small: Tensor) -> Tensor:
        """Enlarge `small` (B, 3, H, W) in [0, 1] to (B, 3, 4 H, 4 W) in [0, 1]."""
        large = bicubic(small, self.factor)
        y = luminance(large)
        return (large + FROM_LUMINANCE * (self.network(y) - y)).clamp(0, 1)


@torch.no_grad()
@deterministic_cudnn()
def upscale(
    network: SuperResolutionNetwork | SRCNNUpscaler,
    small: Tensor,
    tile: int | None = TILE_ENLARGED,
    label: str | None = "",
) -> Tensor:
    """Enlarge an image of any size; one that is larger than a tile is processed tile by tile, see `pieces`.

    The command then also gives the result the histograms of its input; see `histogram_matched`.

    Args:
        network: in evaluation mode, on the image's device; see `for_inference`.
        small: (1, 3, H, W) in [0, 1], float32; the result is (1, 3, factor H, factor W) in [0, 1], float32.
        tile: pixels a side, a multiple of 4; None for the whole image at once.
        label: what the progress bar says; None for no bar.

    Raises:
        RangeError: a tile that is no multiple of 4.
        ValueError: another shape, or batch norm in training mode.
    """
    check_tiling(network, small, tile)
    height, width = small.shape[2:]
    if tile is None or max(height, width) <= tile:
        return network(small)
    give_back_memory()
    large = small.new_empty(1, 3, network.factor * height, network.factor * width)
    found = pieces(network, lambda rows, columns: small[..., rows, columns], (height, width), tile, REACH, label=label)
    fill(large, found)
    give_back_memory()
    return large


def pretrained_network(factor: int, loss: str) -> tuple[SuperResolutionNetwork, dict[str, Any]]:
    """Load the project's network for a factor, 4 or 8, and a loss, and its record.

    The loss is "pixel", "feature", or "feature_penalised", which adds our penalty on the grid pattern to "feature".
    For SRCNN see `SRCNNUpscaler`.

    Raises:
        RangeError: another factor or loss.
        ReplicationError: the file is missing or damaged.
    """
    check(factor=factor)
    if loss not in get_args(PretrainedLoss):
        raise RangeError(f"loss must be {' or '.join(get_args(PretrainedLoss))}; got {loss!r}")
    return load_network(PRETRAINED / f"x{factor}_{loss}.safetensors", SuperResolutionNetwork)


def upscale_files(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    factor: int = 4,
    loss: str | None = None,
    network: Path | str | None = None,
    match_histogram: bool = True,
    tile: int | None = TILE_ENLARGED,
    precision: str = "float32",
    overwrite: bool = False,
) -> list[ReplicationError]:
    """Enlarge image files, and the images in folders, on a GPU where there is one.

    Args:
        inputs, out, overwrite: see `transform_files`, also for the return value.
        factor, loss: see `pretrained_network`; the loss is "feature" by default.
        network: the file of another network with the same factor, also of an SRCNN, in place of a loss.
        match_histogram: whether the result gets the histograms of the input.
        tile: see `upscale`.
        precision: "float32", "bfloat16" or "fast"; see `dtype_of`.

    Raises:
        RangeError: a number is outside of its range, or both a loss and a network are given.
        ReplicationError: there is no such network, or it has another factor; see also `transform_files`.
    """
    check(optional=("tile",), factor=factor, tile=tile, precision=precision)
    if network and loss:
        raise RangeError(f"a network has the loss that it was trained with; leave out {loss} or {network}")
    keep_freed_memory()
    device = default_device()
    if network:
        found, _ = load_network(network, (SuperResolutionNetwork, SRCNN))
        found = SRCNNUpscaler(found) if isinstance(found, SRCNN) else found
    else:
        found, _ = pretrained_network(factor, loss or "feature")
    if found.factor != factor:
        raise ReplicationError(f"{network} enlarges by {found.factor}, not by {factor}; give --factor {found.factor}")
    found = for_inference(found, dtype_of(precision, device)).to(device)

    def enlarged(small: Tensor, name: str | None) -> Tensor:
        large = upscale(found, small.to(device), tile, name)
        if torch.equal(small[:, :2], small[:, 1:]):  # grey stays grey
            large = (FROM_LUMINANCE * (luminance(large) - 16 / 255)).clamp(0, 1).expand_as(large)
        in_8_bits = torch.equal(small, from_pixels(to_pixels(small)))
        return histogram_matched(large, small, np.uint8 if in_8_bits else np.uint16) if match_histogram else large

    return transform_files(inputs, out, Transform(enlarged, scale=factor), overwrite)


def super_resolution_trainer(
    photographs: ImageDataset, config: SuperResolutionConfig = PAPER_SUPER_RESOLUTION, **options: Any
) -> tuple[Trainer, LossNetwork | None]:
    """Make the trainer of a super-resolution network, on the photographs' device, and its loss network or None.

    The loss is the feature reconstruction loss at relu2_2 (equation 2) or the pixel loss (section 3.2; here on the
    scale 0..1), both of the RGB image; for SRCNN it is the pixel loss of the luminance.

    Args:
        config: the initial network may have been trained with another loss. The penalty on lattices applies to the
            difference between output and photograph; see `lattice`.
        options: `state`, `save_every` and `log_every` of `Trainer`.

    Raises:
        RangeError: photographs smaller than the patch.
        ReplicationError: the initial network is damaged, or enlarges by another factor.
    """
    photographs.check_crops(config.patch)
    device = photographs.device
    with seeded(config.seed):
        network = _network(config).to(device)
    phi = None
    if config.loss == "feature":
        phi = LossNetwork([FEATURE_LAYER], dtype=dtype_of(config.precision, device.type)).to(device)

    def losses(predict: Callable[[Tensor], Tensor], y: Tensor, step: int) -> dict[str, Tensor]:
        x = low_resolution(y, config.factor, config.blur)
        if config.loss == "srcnn":
            x, y = luminance(bicubic(x, config.factor)), luminance(y)
        y_hat = predict(x)
        wanted, found = (phi(image)[FEATURE_LAYER] if phi else image for image in (y, y_hat))
        terms = {"reconstruction": feature_reconstruction_loss(found, wanted)}
        if config.lattice_weight:
            terms["lattice"] = config.lattice_weight * lattice(y_hat - y, config.factor)
        return terms

    def batch(step: int) -> Tensor:
        return photographs.batch(step, config.batch_size, config.patch, config.seed, config.flip)

    inputs, initial = {"photographs": photographs.record}, config.initial and Path(config.initial)
    return Trainer(network, losses, batch, config, inputs, initial=initial, **options), phi


def _network(config: SuperResolutionConfig) -> nn.Module:
    """A network with random weights, or with those of the initial network's file."""
    is_srcnn = config.loss == "srcnn"
    network = SRCNN(config.kernels) if is_srcnn else SuperResolutionNetwork(config.factor, config.upsampling)
    if config.initial:
        found = load_network(config.initial, type(network))[0]
        if found.configuration != network.configuration:
            raise ReplicationError(f"{config.initial} has {found.configuration}; wanted is {network.configuration}")
        network.load_state_dict(found.state_dict())
    return network


def train_super_resolution(
    photographs: ImageDataset, out: Path | str, config: SuperResolutionConfig = PAPER_SUPER_RESOLUTION, **options: Any
) -> list[dict[str, Any]]:
    """Train a network and write it; see `super_resolution_trainer`, and `train_network` for the files and the log."""
    trainer, phi = super_resolution_trainer(photographs, config, state=state_path(out), **options)
    return train_network(trainer, out, "train-super-resolution", phi)


def train_super_resolution_from_files(
    images: str, out: Path | str, config: SuperResolutionConfig = PAPER_SUPER_RESOLUTION
) -> None:
    """Run `train_super_resolution` on a folder of photographs, on a GPU if there is one, or on `torchrun`'s GPUs.

    Args:
        images: see `photographs_on_device`. Their shorter side is reduced to 288 pixels, or to the patch if that is
            larger; photographs smaller than the patch are left out.
        out, config: see `train_super_resolution`.

    Raises:
        RangeError, ValueError: this machine cannot do what an option asks for.
        ReplicationError: a file or folder is missing or damaged, or cannot be written.
    """
    out = network_path(out)
    check_machine(config)  # so that errors come before photographs are decoded
    load_checkpoint(state_path(out), config.lasting, partly=True)
    _network(config)
    check_folder(images)
    if config.loss == "feature":
        vgg16_weights()
    side = max(config.patch, SHORT_SIDE)
    with photographs_on_device(images, side=side, count=config.count, least=config.patch) as photographs:
        train_super_resolution(photographs, out, config)
