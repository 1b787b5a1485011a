"""Conversion of ICC profiles to sRGB and back by LittleCMS: in Pillow for 8 bits, in imagecodecs for 16."""

import io
import logging
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IGNORED = "%s: its ICC profile does not fit and is ignored (%s)"


def fits_rgb(profile: bytes | None) -> bool:
    """Whether a profile is for RGB, so that a result can be converted back to it."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), own, "RGB", "RGB")
    except (OSError, ImageCms.PyCMSError):
        return False
    return True


def converted(image: Image.Image | np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """Convert an image to 8-bit pixels (H, W, 3) of the RGB profile `target`.

    Raises:
        OSError, PyCMSError: a profile does not fit.
    """
    given, wanted = (ImageCms.ImageCmsProfile(io.BytesIO(each)) for each in (source, target))
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    return np.asarray(ImageCms.profileToProfile(image, given, wanted, outputMode="RGB"))


def to_srgb(image: Image.Image, profile: bytes | None, path: Path | str) -> np.ndarray:
    """An image of any mode as 8-bit pixels (H, W, 3) of sRGB; a profile that does not fit is ignored, with a word."""
    if profile:
        try:
            return converted(image, profile, SRGB)
        except (OSError, ImageCms.PyCMSError) as error:
            log.warning(IGNORED, path, error)
    return np.asarray(image.convert("RGB"))


def converted_16(pixels: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """Convert 16-bit pixels (H, W, 3), or (H, W, 1) of a grey profile, to (H, W, 3) of the RGB profile `target`.

    Raises:
        imagecodecs.CmsError: a profile does not fit.
    """
    cms = imagecodecs.CMS
    options = {"outcolorspace": "rgb", "intent": cms.INTENT.RELATIVE_COLORIMETRIC, "flags": cms.FLAGS.NOOPTIMIZE}
    if pixels.shape[2] == 1:
        return imagecodecs.cms_transform(pixels[..., 0].copy(), source, target, colorspace="gray", **options)
    return imagecodecs.cms_transform(np.ascontiguousarray(pixels), source, target, colorspace="rgb", **options)


def to_srgb_16(pixels: np.ndarray, profile: bytes | None, path: Path | str) -> np.ndarray:
    """16-bit pixels (H, W, 1 or 3) as (H, W, 3) of sRGB; a profile that does not fit is ignored, with a word."""
    if profile:
        try:
            return converted_16(pixels, profile, SRGB)
        except imagecodecs.CmsError as error:
            log.warning(IGNORED, path, error)
    return pixels.repeat(3 // pixels.shape[2], -1)
