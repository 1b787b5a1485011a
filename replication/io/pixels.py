"""Images as tensors (B, 3, H, W), RGB in [0, 1]: conversion from and to pixels, resizing, and a check of shape."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from replication.io.files import sha256


def from_pixels(pixels: np.ndarray) -> Tensor:
    """Pixels (H, W, C) of 8 or 16 bits as an image (1, C, H, W) in [0, 1]."""
    height, width, channels = pixels.shape
    image = torch.empty(1, channels, height, width, dtype=torch.float32, device="cpu")
    image[0] = torch.tensor(pixels).permute(2, 0, 1)
    return image.div_(np.iinfo(pixels.dtype).max)  # in place: of a large image each copy counts


def to_pixels(image: Tensor, dtype: type = np.uint8) -> np.ndarray:
    """Convert an image (1, 3, H, W) to pixels (H, W, 3), clipped and rounded.

    Raises:
        ValueError: the image has another shape or type, or values that are not finite.
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3) or not image.is_floating_point():
        raise ValueError(f"one RGB image has the shape (1, 3, H, W), in [0, 1]; got {tuple(image.shape)} {image.dtype}")
    if not torch.stack(image.detach().aminmax()).isfinite().all():
        raise ValueError("the image has values that are not finite")
    pixels = np.empty((*image.shape[2:], 3), dtype)
    for i, channel in enumerate(image.detach()[0]):  # one by one: of a large image each copy counts
        pixels[..., i] = channel.float().clamp(0, 1).mul_(np.iinfo(dtype).max).round_().cpu()
    return pixels


def pixel_digest(image: Tensor) -> str:
    """SHA-256 of the image's 8-bit pixels in row order."""
    return sha256(to_pixels(image).tobytes())


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bicubic interpolation (a = -0.5), antialiased, clipped to [0, 1], of (B, 3, H, W) in [0, 1].

    Raises:
        ValueError: whole numbers, as pixels are.
    """
    if not image.is_floating_point():
        raise ValueError(f"an image has values in [0, 1]; got {image.dtype}; see `from_pixels`")
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def square(image: Tensor, size: int) -> Tensor:
    """The largest centred square of `image` (B, 3, H, W), resized to `size` x `size`."""
    side = min(image.shape[2:])
    top, left = ((length - side) // 2 for length in image.shape[2:])
    return resize(image[..., top : top + side, left : left + side], size, size)


def check_images(image: Tensor, smallest: int, what: str = "network") -> None:
    """Raise ValueError unless `image` is floating point, (B, 3, H, W), and at least `smallest` pixels a side."""
    if not image.is_floating_point():
        raise ValueError(f"the {what} takes images in [0, 1]; got {image.dtype}; see `from_pixels`")
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < smallest:
        raise ValueError(
            f"the {what} takes images (B, 3, H, W) of at least {smallest} x {smallest} pixels; got {tuple(image.shape)}"
        )
