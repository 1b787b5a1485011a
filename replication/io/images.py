"""Reading and writing image files of many kinds, as tensors (1, 3, H, W), RGB in [0, 1]."""

import io
import logging
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pillow_heif
import torch
from PIL import Image, ImageOps, TiffTags
from torch import Tensor

from replication.io.files import ReplicationError, explained, write_atomically
from replication.io.icc import SRGB, converted, converted_16, fits_rgb, to_srgb
from replication.io.pixels import from_pixels, resize, to_pixels  # noqa: F401, resize for the notebooks
from replication.io.sixteen_bit import ORIENTATION, WRITERS, sixteen_bit_rgb

log = logging.getLogger(__name__)

pillow_heif.register_heif_opener()
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
FORMATS = (*LOSSY, "PNG", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "TGA")  # formats found in folders, and written
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
WHOLE = {"GIF": {"disposal": 2}, "WEBP": {"kmin": 0, "kmax": 1}}  # else frames shine through, or lose transparency
CLEAR = (*ANIMATED, "TIFF", "JPEG2000", "TGA", "HEIF")  # formats that hold transparency
TAGGED = (*LOSSY, "PNG", "TIFF")  # formats that hold EXIF and a profile
QUALITY = 95  # of the lossy formats
TEXTS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432, 34665, 34853)  # tags of TIFF that are EXIF's
OPENING = threading.Lock()  # photographs are decoded in threads, and `catch_warnings` changes them all
ANY_FORMAT = 8192  # pixels a side that every format takes


class Frame(NamedTuple):
    """A picture of an animation, or a page."""

    image: Tensor  # (1, 3, H, W) in [0, 1]
    duration: float = 0  # milliseconds
    loop: int = 1  # how often the animation is shown; 0 for ever
    alpha: Tensor | None = None  # (1, 1, H, W) in [0, 1]; the image is laid on white
    exif: Image.Exif | None = None  # without the orientation, by which the image is turned
    profile: bytes | None = None  # of ICC, for RGB, from which the image was converted to sRGB
    sixteen_bit: bool = False  # read with 16 bits a channel, and written so where the format holds them


def format_of(path: Path | str) -> str | None:
    """Pillow's name of the format that the suffix of a path stands for, such as "JPEG"; None for other suffixes."""
    return Image.registered_extensions().get(Path(path).suffix.lower())


def load_image(path: Path | str) -> Tensor:
    """Read an image file; if it holds several pictures, the first one, with a warning in the log.

    The image is turned by its EXIF orientation, converted from its ICC profile to sRGB, and laid on white if it is
    transparent. Grey, palette and CMYK images become RGB. PNG, TIFF and PGM files keep 16 bits.

    Returns:
        (1, 3, H, W), float32 in [0, 1].

    Raises:
        ReplicationError: the file does not exist, is no image, is cut short, has floating-point pixels, or more than
            Pillow's limit of 179 megapixels.
    """
    frame = load_frame(path)
    if frame.alpha is not None:
        log.warning("%s: its transparency is laid on white", path)
    return frame.image


def load_frame(path: Path | str) -> Frame:
    """Read an image file as `load_image` does, together with its transparency, EXIF and ICC profile."""
    with _opened(path) as file:
        if (count := getattr(file, "n_frames", 1)) > 1:
            log.warning("%s holds %d pictures; one is taken", path, count)
        return _frame(file, path)


def load_frames(path: Path | str) -> Iterator[Frame]:
    """All pictures of an image file, each as `load_frame` reads it."""
    with _opened(path) as file:
        for i in range(getattr(file, "n_frames", 1)):
            file.seek(i)
            yield _frame(file, path)


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width of an image file by its header, before EXIF may turn it. Errors: see `load_image`."""
    with _opened(path) as file:
        return file.height, file.width


def frame_count(path: Path | str) -> int:
    """How many frames an animation or pages a TIFF file has; 1 for others, whose second picture is a preview."""
    with _opened(path) as file:
        return getattr(file, "n_frames", 1) if file.format in (*ANIMATED, "TIFF") else 1


def save_image(image: Tensor, path: Path | str) -> None:
    """Write an image (1, 3, H, W), rounded to 8 bits, in the format that the suffix of `path` names.

    Raises:
        ValueError: the shape is another, or a value is not finite.
        ReplicationError: the suffix names no format, or one that cannot hold this size, or the file cannot be written.
    """
    save_frames([Frame(image)], path)


def save_frames(frames: Iterable[Frame], path: Path | str) -> None:
    """Write an animation, or the pages of a TIFF file, whose frames are taken one at a time; see `save_image`."""
    check_format(path)
    kind, pictures, durations, first = format_of(path), [], [], None
    for frame in frames:
        first = first or frame  # the file has one profile, one EXIF, and is shown as often as the first says
        pictures.append(_picture(frame._replace(profile=first.profile), path))
        durations.append(frame.duration)
    tags = {"exif": first.exif, "icc_profile": first.profile} if kind in TAGGED else {}
    tags = {name: value for name, value in tags.items() if value}
    deep = any(isinstance(picture, np.ndarray) for picture in pictures)
    if deep and (kind == "TIFF" or len(pictures) == 1):
        write_atomically(path, WRITERS[kind]([np.asarray(picture) for picture in pictures], **tags))
        return
    if deep:  # an animated PNG
        pictures = [_in_8_bits(picture) for picture in pictures]
    animation = _animation(pictures, durations, first.loop, kind) if len(pictures) > 1 else {}
    write_atomically(path, _encoded(pictures[0], path, **tags, **animation))


def _in_8_bits(picture: Image.Image | np.ndarray) -> Image.Image:
    scale = 257 if isinstance(picture, np.ndarray) else 1
    return Image.fromarray(np.rint(np.divide(picture, scale)).astype(np.uint8))


def _animation(pictures: list[Image.Image], durations: list[int], loop: int, kind: str) -> dict[str, Any]:
    """What Pillow is told of an animation, besides its first picture."""
    options = {"save_all": True, "append_images": pictures[1:], "duration": durations}
    if any(picture.mode == "RGBA" for picture in pictures):
        options |= WHOLE.get(kind, {})
    shown_once = (loop, kind) == (1, "GIF")  # as a GIF is that does not say
    return options if shown_once else options | {"loop": loop}


def _picture(frame: Frame, path: Path | str) -> Image.Image | np.ndarray:
    """A frame as Pillow, or one of `WRITERS` for 16 bits, takes it: in its own profile, with its transparency."""
    kind = format_of(path)
    sixteen_bit = frame.sixteen_bit and kind in WRITERS
    dtype = np.uint16 if sixteen_bit else np.uint8
    image = frame.image
    if frame.alpha is not None and kind in CLEAR and kind != "GIF":  # take the white away that it was laid on
        alpha = frame.alpha.to(image.device)
        image = torch.where(alpha > 0, 1 - (1 - image) / alpha.clamp(min=1 / 65535), image).clamp(0, 1)
    pixels = to_pixels(image, dtype)
    if frame.profile and kind in TAGGED:
        pixels = (converted_16 if sixteen_bit else converted)(pixels, SRGB, frame.profile)
    if frame.alpha is not None and kind in CLEAR:
        pixels = np.dstack([pixels, to_pixels(frame.alpha.expand(1, 3, -1, -1), dtype)[..., 0]])
    elif frame.alpha is not None:
        log.warning("%s: its transparency is laid on white", path)
    return pixels if sixteen_bit else Image.fromarray(pixels)


def check_format(path: Path | str, height: int = 1, width: int = 1) -> None:
    """Raise ReplicationError if the suffix names no format that can be written, or one that cannot hold this size."""
    if format_of(path) not in FORMATS:
        suffix = Path(path).suffix
        raise ReplicationError(f"{path}: files of the suffix {suffix!r} are not written; use .png or .jpg")
    if max(height, width) > ANY_FORMAT:
        for strip in ((width, min(height, 64)), (min(width, 64), height)):
            _encoded(Image.new("RGB", strip), path)


def _encoded(picture: Image.Image, path: Path | str, **options: Any) -> bytes:
    kind, content = format_of(path), io.BytesIO()
    try:
        picture.save(content, kind, **({"quality": QUALITY} if kind in LOSSY else {}), **options)
    except MemoryError:
        raise
    except Exception as error:  # each of Pillow's encoders has its own for an image that is too large
        size, reason = f"{picture.width} x {picture.height} pixels", " ".join(str(error).split())
        raise ReplicationError(f"{path}: {kind} does not take {size} ({reason}); use .png") from error
    return content.getvalue()


def jpeg(image: Tensor, quality: int) -> Tensor:
    """An image (1, 3, H, W) in [0, 1] after JPEG compression, in memory; `quality` is Pillow's, at most 95."""
    file = io.BytesIO()
    Image.fromarray(to_pixels(image)).save(file, "JPEG", quality=quality)
    return from_pixels(np.asarray(Image.open(file)))


@contextmanager
def _opened(path: Path | str) -> Iterator[Image.Image]:
    """An image file, whose errors become one line that names it."""
    try:
        with OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # 90 megapixels are no decompression bomb
            file = Image.open(path)
        with file:
            yield file
    except ReplicationError:
        raise
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise ReplicationError(f"{path} is a folder, not an image file") from None
    except Image.DecompressionBombError as error:
        raise ReplicationError(f"{path} is too large ({error}); make it smaller first") from None
    except Exception as error:  # Pillow's decoders raise of every kind on damaged files
        if isinstance(error, MemoryError | RuntimeError) and (line := explained(error)):
            raise ReplicationError(f"{path}: {line}") from error
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else " ".join(str(error).split())
        raise ReplicationError(f"{path} could not be read as an image ({reason}); replace the file") from error


def _frame(file: Image.Image, path: Path | str) -> Frame:
    """The current picture of an opened file."""
    exif, sixteen_bit = _exif_of_tiff(file, path), sixteen_bit_rgb(file)
    file.load()
    if "exif" in file.info and _damaged(file.getexif(), path):
        file.info["exif"] = file.getexif().tobytes()
    turned = ImageOps.exif_transpose(file)
    pixels, alpha = sixteen_bit or _rgb(turned, path)
    image = from_pixels(pixels)
    if alpha is not None:
        alpha = from_pixels(alpha)
        image = torch.lerp(torch.ones((), device="cpu"), image, alpha)
    profile = turned.info.get("icc_profile")
    beside = {"exif": exif or turned.getexif() or None, "profile": profile if fits_rgb(profile) else None}
    times = {"duration": file.info.get("duration", 0), "loop": file.info.get("loop", 1)}
    return Frame(image, alpha=alpha, sixteen_bit=pixels.dtype == np.uint16, **beside, **times)


def _damaged(exif: Image.Exif, path: Path | str) -> bool:
    """Whether EXIF has tags that cannot be written; if so, all but the orientation are removed, with a warning."""
    try:
        exif.tobytes()
    except Exception as error:  # of many kinds
        log.warning("%s: its EXIF is damaged (%s) and left out", path, error)
        orientation = exif.get(ORIENTATION)
        exif.clear()
        if orientation:
            exif[ORIENTATION] = orientation
        return True
    return False


def _exif_of_tiff(file: Image.Image, path: Path | str) -> Image.Exif:
    """The EXIF of a TIFF file that is not loaded yet, since turned copies lose it; empty for other formats."""
    given, exif = file.getexif() if file.format == "TIFF" else {}, Image.Exif()
    for tag in given.keys() & set(TEXTS):
        exif[tag] = given.get_ifd(tag) if tag in TiffTags.TAGS_V2_GROUPS else given[tag]
    _damaged(exif, path)
    exif.load(exif.tobytes())
    return exif


def _rgb(image: Image.Image, path: Path | str) -> tuple[np.ndarray, np.ndarray | None]:
    """The 8-bit sRGB pixels (H, W, 3) of an image of any mode, and its transparency (H, W, 1) or None."""
    profile, alpha = image.info.get("icc_profile"), None
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))[..., None]
    if image.mode == "F":
        raise ReplicationError(f"{path} holds floating-point pixels of unknown range; save it with 8 or 16 bits")
    if image.mode in ("LA", "La", "1"):
        image = image.convert("L")
    elif image.mode in ("P", "PA", "RGBA", "RGBa"):
        image = image.convert("RGB")
    return to_srgb(image, profile, path), alpha
