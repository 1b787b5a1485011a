"""Pictures of 16 bits a channel: Pillow reads only the high bytes of their colours, and cannot write them."""

import io
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, TiffTags

from replication.io.files import ReplicationError
from replication.io.icc import to_srgb_16

ORIENTATION = 0x0112  # EXIF's tag
TURNS = {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}  # a quarter to the left, by EXIF's orientation
MIRRORED = (2, 4, 5, 7)
INVERTED, GREY, RGB = 0, 1, 2  # how TIFF has colours
PLANES, SIGNED, FLOAT = 2, 2, 3
MULTIPLIED, SEPARATE = 1, 2  # the kinds of TIFF's transparency
HEADER = 33  # bytes of PNG, its signature and IHDR, which other chunks follow


def sixteen_bit_rgb(file: Image.Image) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The current picture of an opened file, in sRGB, turned by its EXIF orientation; None if it is not of 16 bits.

    Returns:
        Its pixels (H, W, 3) and its transparency (H, W, 1).

    Raises:
        ReplicationError: the pixels have more than 16 bits, or between 8 and 16, or a sign.
    """
    pixels = {"PNG": _of_png, "TIFF": _of_tiff}.get(file.format, _of_others)(file)
    if pixels is None:
        return None
    orientation = file.getexif().get(ORIENTATION, 1)
    pixels = np.rot90(pixels, TURNS.get(orientation, 0))
    pixels = np.ascontiguousarray(np.fliplr(pixels) if orientation in MIRRORED else pixels)
    channels = 3 if pixels.shape[2] > 2 else 1
    colours, alpha = pixels[..., :channels], pixels[..., channels:]
    return to_srgb_16(colours, file.info.get("icc_profile"), file.filename), alpha if alpha.size else None


def _of_png(file: Image.Image) -> np.ndarray | None:
    """The pixels (H, W, 1 to 4) of a 16-bit PNG file as they are stored; None for others and for animations."""
    if not any(";16" in str(tile.args) for tile in file.tile) or getattr(file, "is_animated", False):
        return None
    return np.atleast_3d(imagecodecs.png_decode(Path(file.filename).read_bytes()))


def _of_others(file: Image.Image) -> np.ndarray | None:
    """The 16-bit grey pixels (H, W, 1) of a file of another format, such as PGM; None for others."""
    if not file.mode.startswith("I"):
        return None
    pixels = np.asarray(file)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ReplicationError(f"{file.filename} holds 32-bit pixels; save it with 8 or 16 bits")
    return pixels.astype(np.uint16)[..., None]


def _of_tiff(file: Image.Image) -> np.ndarray | None:
    """The pixels (H, W, 1 to 4) of a 16-bit TIFF page, with black as 0 and transparency not premultiplied, or None."""
    tags = file.tag_v2
    bits, colours = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)), tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    kinds = tags.get(TiffImagePlugin.SAMPLEFORMAT, ())
    if max(bits) <= 8 or colours not in (INVERTED, GREY, RGB) or FLOAT in kinds:
        return None
    if {*bits} != {16} or SIGNED in kinds:
        sign = "signed " if SIGNED in kinds else ""
        raise ReplicationError(f"{file.filename} holds {sign}{max(bits)}-bit pixels; save it with 8 or 16 bits")
    import tifffile  # 0.1 s, which other files need not wait for

    with tifffile.TiffFile(file.filename) as tiff:
        pixels = np.atleast_3d(tiff.pages[file.tell()].asarray()).astype(np.uint16, copy=False)
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == PLANES and len(bits) > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    (extra,) = tags.get(TiffImagePlugin.EXTRASAMPLES, ())[:1] or (None,)
    channels = 3 if colours == RGB else 1
    pixels = pixels[..., : channels + (extra in (MULTIPLIED, SEPARATE))]
    if extra == MULTIPLIED:
        clear = np.maximum(pixels[..., channels:], 1) / 65535
        pixels[..., :channels] = np.rint(pixels[..., :channels] / clear).clip(0, 65535)
    if colours == INVERTED:
        pixels[..., :channels] = 65535 - pixels[..., :channels]
    return pixels


def png(pages: Sequence[np.ndarray], exif: Image.Exif | None = None, icc_profile: bytes | None = None) -> bytes:
    """A file of one picture (H, W, 3 or 4) of 16 bits, each row stored as its difference to the one above."""
    (pixels,) = pages
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), filter=imagecodecs.PNG.FILTER.UP)
    content = io.BytesIO()
    content.write(encoded[:HEADER])
    if icc_profile:
        PngImagePlugin.putchunk(content, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif:
        PngImagePlugin.putchunk(content, b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    content.write(encoded[HEADER:])
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
