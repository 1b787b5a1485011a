"""Images as tensors (1, 3, H, W), RGB in [0, 1]: read any photograph correctly, resize, save."""

import io
import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor
from torch.nn import functional as F

from replication.errors import ReplicationError
from replication.files import sha256, write_atomically

log = logging.getLogger(__name__)

EXTENSIONS = (".jpg", ".jpeg", ".png")  # of the files that count as images where a folder is given


def image_files(folder: Path | str) -> list[Path]:
    """The images of a folder and its subfolders, by extension, in the order of their paths."""
    paths = sorted(Path(folder).rglob("*"))
    return [path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file()]


def load_image(path: Path | str) -> Tensor:
    """Read an image file.

    Turned by its EXIF orientation, converted from its ICC profile to sRGB, transparency laid on white; grey, palette,
    CMYK and 16-bit grey images become RGB.

    Returns:
        (1, 3, H, W), float32 in [0, 1].

    Raises:
        ReplicationError: no such file, not an image, cut short, floating point, over Pillow's 179 megapixels.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            file.load()
            return from_pixels(_rgb(ImageOps.exif_transpose(file), path))
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ReplicationError(f"{path} is a folder, not an image file") from None
    except Image.DecompressionBombError as error:
        raise ReplicationError(f"{path} is too large ({error}); make it smaller first") from None
    except Exception as error:  # Pillow's decoders raise of every kind on damaged files
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else f"{error}"
        raise ReplicationError(f"{path} could not be read as an image ({reason}); replace the file") from error


def save_image(image: Tensor, path: Path | str) -> None:
    """Write an image (1, 3, H, W), rounded to 8 bits, in the format that the suffix of `path` names.

    Raises:
        ValueError: the shape is another, or a value is not finite.
        ReplicationError: the suffix names no format, or one for smaller images, or the file cannot be written.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise ReplicationError(f"{path}: the suffix {path.suffix!r} is no image format; use .png or .jpg")
    content = io.BytesIO()
    try:
        Image.fromarray(to_pixels(image)).save(content, kind, **({"quality": 95} if kind == "JPEG" else {}))
    except OSError as error:
        size = f"{image.shape[3]} x {image.shape[2]} pixels"
        raise ReplicationError(f"{path}: {kind} does not take {size} ({error}); use .png") from error
    write_atomically(path, content.getvalue())


def from_pixels(pixels: np.ndarray) -> Tensor:
    """8-bit pixels (H, W, 3) as an image (1, 3, H, W) in [0, 1]."""
    image = torch.empty(1, 3, *pixels.shape[:2])
    image[0] = torch.tensor(pixels).permute(2, 0, 1)
    return image.div_(255)  # in place: of a large image each copy counts


def to_pixels(image: Tensor) -> np.ndarray:
    """An image (1, 3, H, W) as 8-bit pixels (H, W, 3): clipped to [0, 1], rounded to the nearest.

    Raises:
        ValueError: the shape is another, or a value is not finite.
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"one RGB image has the shape (1, 3, H, W); got {tuple(image.shape)}")
    if not torch.stack(image.detach().aminmax()).isfinite().all():
        raise ValueError("the image has values that are not finite")
    pixels = np.empty((*image.shape[2:], 3), np.uint8)
    for i, channel in enumerate(image.detach()[0]):  # one by one: of a large image each copy counts
        pixels[..., i] = channel.float().clamp(0, 1).mul_(255).round_().byte().cpu()
    return pixels


def pixel_digest(image: Tensor) -> str:
    """SHA-256 of the image's 8-bit pixels in row order, the identity of an input in a figure's provenance."""
    return sha256(to_pixels(image).tobytes())


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bicubic interpolation (a = -0.5), antialiased, clipped to [0, 1].

    Args:
        image: (B, 3, H, W) in [0, 1].
    """
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def square(image: Tensor, size: int) -> Tensor:
    """The largest centred square of `image` (B, 3, H, W), resized to `size` x `size`."""
    side = min(image.shape[2:])
    top, left = ((length - side) // 2 for length in image.shape[2:])
    return resize(image[..., top : top + side, left : left + side], size, size)


def _rgb(image: Image.Image, path: Path) -> np.ndarray:
    """8-bit sRGB pixels (H, W, 3) of an opened image of any mode."""
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise ReplicationError(f"{path} holds floating-point pixels of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow keeps some of it in 32 bits
        grey = np.asarray(image, dtype=np.float64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ReplicationError(f"{path} holds 32-bit pixels; save it with 8 or 16 bits")
        image = Image.fromarray(np.round(grey / 257).astype(np.uint8))
    if image.has_transparency_data:
        log.warning("%s: its transparency is laid on white", path)
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        background = Image.new("RGB", image.size, "white")
        background.paste(_to_srgb(image.convert("RGB"), profile, path), mask=alpha)
        return np.asarray(background)
    return np.asarray(_to_srgb(image.convert("RGB") if image.mode in ("P", "1") else image, profile, path))


def _to_srgb(image: Image.Image, profile: bytes | None, path: Path) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (OSError, ImageCms.PyCMSError) as error:
            log.warning("%s: its ICC profile does not fit and is ignored (%s)", path, error)
    return image.convert("RGB")
