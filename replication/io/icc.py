"""Colour profiles (ICC.1:2022), to sRGB and back: 8 bits by Pillow's LittleCMS, 16 bits, which it has not, by hand."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RAMP = np.linspace(0, 1, 2**16)
BAND = 64  # rows that are converted at a time, so that a large image takes little more than itself


def fits_rgb(profile: bytes | None) -> bool:
    """Whether a profile is one of RGB, into which a result can be brought back."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), own, "RGB", "RGB")
    except (OSError, ImageCms.PyCMSError):
        return False
    return True


def converted(image: Image.Image | np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    """8-bit pixels (H, W, 3) of another profile of RGB; OSError or PyCMSError where a profile does not fit."""
    given, wanted = (ImageCms.ImageCmsProfile(io.BytesIO(each)) for each in (source, target))
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    return np.asarray(ImageCms.profileToProfile(image, given, wanted, outputMode="RGB"))


def to_srgb(image: Image.Image, profile: bytes | None, path: Path | str) -> np.ndarray:
    """An image of any mode as 8-bit pixels (H, W, 3) of sRGB; a profile that does not fit is ignored, with a word."""
    if profile:
        try:
            return converted(image, profile, SRGB)
        except (OSError, ImageCms.PyCMSError) as error:
            log.warning("%s: its ICC profile does not fit and is ignored (%s)", path, error)
    return np.asarray(image.convert("RGB"))


def converted_16(pixels: np.ndarray, source: bytes, target: bytes) -> np.ndarray | None:
    """16-bit pixels (H, W, 3), or (H, W, 1) of a grey profile, as (H, W, 3) of another profile of RGB.

    None where a profile is not of curves and a matrix, as those of cameras and screens are, or of other channels.
    """
    try:
        (curves, matrix), (wanted, back) = _transfer(source), _transfer(target)
    except (struct.error, ValueError, IndexError):
        return None
    if len(curves) != pixels.shape[2] or len(wanted) != 3:
        return None
    result = np.empty((*pixels.shape[:2], 3), np.uint16)
    for top in range(0, len(pixels), BAND):
        band = pixels[top : top + BAND]
        linear = np.stack([curve[band[..., i]] for i, curve in enumerate(curves)], -1)
        linear = linear @ np.linalg.solve(back, matrix).T if len(curves) == 3 else linear.repeat(3, -1)
        for i, curve in enumerate(wanted):
            result[top : top + BAND, :, i] = np.rint(np.interp(linear[..., i], curve, 65535 * RAMP))
    return result


def _transfer(profile: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """What becomes of the 65,536 values of each channel, and the matrix (3, 3) from these to XYZ; [] for others."""
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * int.from_bytes(profile[128:132])])
    tags = {name: profile[start : start + size] for name, start, size in entries}
    colours = [b"r", b"g", b"b"] if b"rXYZ" in tags else [b"k"]
    if b"A2B0" in tags or not all(colour + b"TRC" in tags for colour in colours):
        return [], np.eye(3)
    columns = [np.frombuffer(tags[colour + b"XYZ"], ">i4", 3, 8) for colour in colours if colour != b"k"]
    return [_curve(tags[colour + b"TRC"]) for colour in colours], np.stack(columns or np.eye(3), -1) / 2**16


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve at 65,536 values from 0 to 1: a table or a power (10.6), or a formula (10.18)."""
    if tag[:4] == b"curv":
        table = np.frombuffer(tag, ">u2", int.from_bytes(tag[8:12]), 12)
        if len(table) > 1:
            return np.interp(RAMP, np.linspace(0, 1, len(table)), table / 65535)
        return RAMP ** (table[0] / 256 if len(table) else 1)
    numbers = np.frombuffer(tag, ">i4", (1, 3, 4, 5, 7)[int.from_bytes(tag[8:10])], 12) / 2**16
    g, a, b, c, d, e, f = [*numbers, *(1, 1, 0, 0, 0, 0, 0)[len(numbers) :]]
    if len(numbers) == 4:  # where c is added, and no line
        e, c = c, 0
    return np.where(d > RAMP, c * RAMP + f, np.maximum(a * RAMP + b, 0) ** g + e)
