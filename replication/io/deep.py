"""PNG and TIFF of 16 bits a channel, of whose colours Pillow reads the high bytes alone, and which it cannot write."""

import io
import logging
import struct
import sys
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, TiffImagePlugin, TiffTags

from replication.io.files import ReplicationError
from replication.io.icc import SRGB, converted_16, to_srgb

log = logging.getLogger(__name__)

OTHER_BYTE = {"L": "B", "B": "L", "N": "B"}  # the low one of an order of bytes is the high one of the other


def deep_rgb(file: Image.Image) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The picture that an opened file is at, in sRGB, turned by its EXIF; None where it has not 16 bits.

    Returns:
        Its pixels (H, W, 3) and its transparency (H, W, 1); the pixels in 8 bits, with a word, where its ICC profile is
        more than curves and a matrix.

    Raises:
        ReplicationError: a pixel has 32 bits, or the channels lie in planes, of which Pillow makes nonsense.
    """
    if (pixels := _pixels(file)) is None:
        return None
    alpha, colours, profile = pixels[..., 3:], pixels[..., :3], file.info.get("icc_profile")
    if (clear := file.info.get("transparency")) is not None:
        alpha = np.where((pixels == clear).all(-1, keepdims=True), 0, 65535).astype(np.uint16)
    found = converted_16(colours, profile, SRGB) if profile else colours.repeat(3 // colours.shape[2], -1)
    if found is None:
        log.warning("%s is read in 8 bits, since its ICC profile is more than curves and a matrix", file.filename)
        eight = np.rint(colours / 257).astype(np.uint8)
        found = to_srgb(Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight), profile, file.filename)
    return found, alpha if alpha.size else None


def _pixels(file: Image.Image) -> np.ndarray | None:
    """Those of 16 bits, (H, W, 1), 3 or 4, as the file has them."""
    low = _low_bytes(file)
    if low is None and not file.mode.startswith("I"):
        return None
    picture = np.asarray(ImageOps.exif_transpose(file))
    if low is not None:
        return picture.astype(np.uint16) << 8 | np.asarray(ImageOps.exif_transpose(low))
    if picture.min() < 0 or picture.max() > 65535:  # some of 16 bits Pillow keeps in 32
        raise ReplicationError(f"{file.filename} holds 32-bit pixels; save it with 8 or 16 bits")
    inverted = _tags(file).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0  # which it mends of 8 bits alone
    return (65535 - picture if inverted else picture).astype(np.uint16)[..., None]


def _low_bytes(file: Image.Image) -> Image.Image | None:
    """The same picture of the low bytes of its colours: Pillow keeps the byte of each that its raw mode names."""
    tags, raw = _tags(file), [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in file.tile[:1]]
    in_planes = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    if in_planes and tags.get(TiffImagePlugin.BITSPERSAMPLE, ())[:2] == (16, 16):
        raise ReplicationError(f"{file.filename} holds 16-bit channels in planes; save it with them pixel by pixel")
    channels, _, order = str(*raw).partition(";16")
    if channels not in ("RGB", "RGBA", "RGBX") or order not in OTHER_BYTE:
        return None
    with Image.open(file.filename) as low:
        low.seek(file.tell())
        swapped = f"{channels};16{OTHER_BYTE[order]}"
        args = [swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:]) for tile in low.tile]
        low.tile = [tile._replace(args=each) for tile, each in zip(low.tile, args, strict=True)]
        low.load()
    return low


def _tags(file: Image.Image) -> dict[int, object]:
    return getattr(file, "tag_v2", {})


def png(pages: Sequence[np.ndarray], exif: Image.Exif | None = None, icc_profile: bytes | None = None) -> bytes:
    """A file of one picture (H, W, 3 or 4) of 16 bits, each row stored as its difference to the one above."""
    (pixels,) = pages
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    up = np.insert(np.diff(rows, axis=0, prepend=rows[:1] * 0), 0, 2, axis=1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0))]
    chunks += [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))] if icc_profile else []
    chunks += [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))] if exif else []
    content = io.BytesIO()
    content.write(b"\x89PNG\r\n\x1a\n")
    for name, data in [*chunks, (b"IDAT", zlib.compress(up)), (b"IEND", b"")]:
        PngImagePlugin.putchunk(content, name, data)
    return content.getvalue()


def tiff(pages: Sequence[np.ndarray], exif: Image.Exif | None = None, icc_profile: bytes | None = None) -> bytes:
    """A file of pictures (H, W, 3 or 4) of 8 or 16 bits, each pixel stored as its difference to the one before."""
    content = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(content) as file:
        for pixels in pages:
            height, width, channels = pixels.shape
            strip = zlib.compress(np.diff(pixels, axis=1, prepend=pixels[:, :1] * 0))
            ifd = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II" if sys.byteorder == "little" else b"MM")
            for tag in exif or ():
                ifd[tag] = exif.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else exif[tag]
            ifd[TiffImagePlugin.IMAGEWIDTH], ifd[TiffImagePlugin.IMAGELENGTH] = width, height
            ifd[TiffImagePlugin.SAMPLESPERPIXEL], ifd[TiffImagePlugin.ROWSPERSTRIP] = channels, height
            ifd[TiffImagePlugin.BITSPERSAMPLE] = (8 * pixels.itemsize,) * channels
            ifd[TiffImagePlugin.COMPRESSION], ifd[TiffImagePlugin.PREDICTOR] = 8, 2  # Deflate, of differences
            ifd[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2  # RGB
            ifd[TiffImagePlugin.STRIPOFFSETS], ifd[TiffImagePlugin.STRIPBYTECOUNTS] = 0, len(strip)
            if channels == 4:
                ifd[TiffImagePlugin.EXTRASAMPLES] = 2  # transparency by which the colours are not multiplied
            if icc_profile:
                ifd[TiffImagePlugin.ICCPROFILE] = icc_profile
            ifd.save(file)
            file.write(strip)
            file.newFrame()
    return content.getvalue()


WRITERS = {"PNG": png, "TIFF": tiff}
