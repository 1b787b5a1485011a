"""Where images come from: a path, the paintings in `data/styles`, `REPLICATION_DATA`, scikit-image, MS-COCO."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skimage.data
import torch
from torch import Tensor

from replication.io.downloads import cached
from replication.io.files import (
    DATA,
    ReplicationError,
    cache_folder,
    data_folder,
    explained,
    reason,
    renamed_when_whole,
    sha256,
    write_atomically,
)
from replication.io.image_files import image_files
from replication.io.pictures import Picture
from replication.io.images import from_pixels, load_image, resize, to_pixels
from replication.io.ranges import RangeError, check
from replication.io.runtime import progress_bar

log = logging.getLogger(__name__)

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # in colour, and part of scikit-image's wheel
PAINTINGS = ("great_wave", "starry_night", "la_muse", "composition_vii")  # the paper's
VALIDATION = "50 MS-COCO validation images"

StandIns = dict[str, str]  # an input of the paper, and what takes its place here


def content_picture(name: str) -> Picture:
    """A photograph: a path, or a name out of `PHOTOGRAPHS` or of `content/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: there is none of that name (the message lists those there are), or it cannot be read.
    """
    if name in PHOTOGRAPHS:
        pixels = getattr(skimage.data, name)()
        return Picture(from_pixels(pixels), name, f"scikit-image {skimage.__version__}")
    return _from_file(name, "content", {}, PHOTOGRAPHS)


def stand_ins(papers: str, pictures: Sequence[Picture], same: Sequence[str] = PAINTINGS) -> StandIns:
    """What takes the place of the paper's pictures, with its origin; {} where nothing does.

    Args:
        papers: what the paper has, "50 MS-COCO validation images".
        pictures: what there is here.
        same: the names of those that are the paper's.
    """
    others: dict[str, list[str]] = {}
    for name, origin in dict.fromkeys((picture.name, picture.origin) for picture in pictures):
        if name not in same:
            others.setdefault(origin, []).append(name)
    return {papers: ", ".join(f"{', '.join(names)} ({origin})" for origin, names in others.items())} if others else {}


def given_photographs(kind: str) -> list[Path]:
    """The files of "train" or "val" under `REPLICATION_DATA`; that a data folder has none there, the log says."""
    found = _given(kind)
    if data_folder() and not found:
        log.warning("REPLICATION_DATA has no photographs in %s/; those of scikit-image take their place", kind)
    return found


def validation_pictures(count: int) -> tuple[list[Picture], StandIns]:
    """The first photographs of `val/` under `REPLICATION_DATA` (the paper: 50 of MS-COCO's), or of `PHOTOGRAPHS`.

    Where there are fewer than `count`, all of them.

    Returns:
        The photographs, and what they stand in for.

    Raises:
        ReplicationError: `count` is not positive, or one cannot be read.
    """
    check(count=count)
    given = given_photographs("val")
    names = [str(path) for path in given] or PHOTOGRAPHS
    if len(names) < count:
        log.warning("%d photographs wanted, there are %d", count, len(names))
    pictures = [content_picture(name) for name in names[:count]]
    return pictures, {} if given else stand_ins(VALIDATION, pictures)


def style_picture(name: str) -> Picture:
    """A painting: a path, or a name out of `data/styles/` or of `styles/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: there is none of that name (the message lists those there are), or it cannot be read.
    """
    return _from_file(name, "styles", _by_name(image_files(DATA / "styles")))


def _from_file(name: str, kind: str, known: dict[str, Path], others: tuple[str, ...] = ()) -> Picture:
    folder = data_folder()
    found = _by_name(_given(kind)) | known
    if name not in found and Path(name).suffix:
        return Picture(load_image(name), Path(name).stem, "file")
    if name not in found:
        hint = "" if folder else f"; set REPLICATION_DATA for more ({kind}/ in it)"
        raise ReplicationError(
            f"there is no image {name!r}: give a path or one of {', '.join([*others, *found])}{hint}"
        )
    origin = f"data/{kind}" if name in known else f"REPLICATION_DATA/{kind}"
    return Picture(load_image(found[name]), name, origin)


def _given(kind: str) -> list[Path]:
    """The images of a folder under `REPLICATION_DATA`, which need not have it."""
    folder = data_folder()
    return image_files(folder / kind) if folder and (folder / kind).is_dir() else []


def _by_name(paths: list[Path]) -> dict[str, Path]:
    return {path.stem: path for path in paths}


SHORT_SIDE = 288  # pixels; what random crops are taken from
FITS = ("crop", "stretch")
TOGETHER = 256  # decoded in threads before they are written
UNREADABLE = 0.01  # of a folder's images may be damaged


class Wanted(NamedTuple):
    """How photographs are to be; see `load_photographs`."""

    side: int
    fit: str
    least: int


class ImageDataset:
    """Decoded photographs in one flat tensor, and batches of them.

    Args:
        pixels: (N,), uint8; the images one after the other, each (H, W, 3) in row order.
        shapes: height and width of each.
        record: what tells these photographs from others, as JSON takes it.
        device: of the batches.
    """

    def __init__(self, pixels: Tensor, shapes: list[tuple[int, int]], record: dict[str, Any], device: str = "cpu"):
        self.pixels, self.shapes, self.record, self.device = pixels, shapes, record, torch.device(device)
        self.ends = np.cumsum([3 * height * width for height, width in shapes]).tolist()
        self.smallest = min(map(min, shapes))

    def to(self, device: str) -> "ImageDataset":
        """The same with batches on `device`, and the pixels too, unless they take more than half of its free memory."""
        fits = device == "cpu" or self.pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2
        return ImageDataset(self.pixels.to(device) if fits else self.pixels, self.shapes, self.record, device)

    def batch(self, step: int, batch_size: int, size: int, seed: int, flip: bool = False) -> Tensor:
        """The images of a step, which depend on the seed and the step alone.

        Each pass over the photographs takes them in another order, every one once; where an image is larger than
        `size`, the crop is random.

        Returns:
            (batch_size, 3, size, size) in [0, 1], channels_last.

        Raises:
            RangeError: a photograph is smaller than `size`.
        """
        self.check_crops(size)
        random = np.random.default_rng([seed, step])
        crops = [self._crop(step * batch_size + i, size, seed, flip, random) for i in range(batch_size)]
        return torch.stack(crops).to(self.device).permute(0, 3, 1, 2).float().div_(255)

    def check_crops(self, size: int) -> None:
        """Refuse crops of `size` pixels a side that do not fit into every photograph.

        Raises:
            RangeError: the smallest photograph is smaller.
        """
        if size > self.smallest:
            raise RangeError(f"crops of {size} x {size} do not fit into photographs of {self.smallest} pixels a side")

    def _crop(self, number: int, size: int, seed: int, flip: bool, random: np.random.Generator) -> Tensor:
        passes, position = divmod(number, len(self.shapes))
        index = _order(seed, passes, len(self.shapes))[position]
        height, width = self.shapes[index]
        image = self.pixels[self.ends[index] - 3 * height * width : self.ends[index]].view(height, width, 3)
        top, left = random.integers(height - size + 1), random.integers(width - size + 1)
        crop = image[top : top + size, left : left + size]
        return crop.flip(1) if flip and random.integers(2) else crop


def load_photographs(
    folder: Path | str, side: int = SHORT_SIDE, fit: str = "crop", count: int | None = None, least: int = 1
) -> ImageDataset:
    """The images of a folder and its subfolders; decoded at the first call, memory-mapped from the cache afterwards.

    Args:
        folder: with image files; see `image_files`.
        side: with `fit` "crop" the length of their shorter side, their proportions kept, where it is longer; with
            "stretch" both sides, as the published code makes MS-COCO 256 x 256.
        fit: "crop" or "stretch".
        count: how many, the first by name; None for all.
        least: photographs with a side of fewer pixels are left out, which the log says.

    Raises:
        ValueError: an unknown fit, a number out of its range.
        ReplicationError: no such folder, no images in it or none that is large enough, or more than 1 % of them cannot
            be read. Fewer are named in the log and left out.
    """
    wanted = Wanted(side, fit, least)
    check(side=side, count=count, least=least)
    if fit not in FITS:
        raise ValueError(f"fit is one of {', '.join(FITS)}; got {fit!r}")
    folder = Path(folder)
    if not folder.is_dir():
        raise ReplicationError(f"{folder} is not a folder; give one with the photographs to train on")
    paths = image_files(folder)[:count]
    if not paths:
        raise ReplicationError(f"{folder} holds no photographs")
    stats = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = sha256(json.dumps([stats, wanted]).encode())[:16]
    decode = partial(_decode, folder, paths, wanted)
    return cached(cache_folder() / "photographs" / f"{key}.json", _mapped, decode)


def training_photographs(shown: str) -> tuple[ImageDataset, StandIns]:
    """Those of `train/` under `REPLICATION_DATA`, or the few that come with scikit-image.

    Args:
        shown: the name of the photograph that shows what was learnt; it is not trained on.

    Returns:
        The photographs, and what they stand in for.
    """
    if given_photographs("train"):
        return load_photographs(data_folder() / "train", least=SHORT_SIDE), {}
    pictures = [content_picture(name) for name in PHOTOGRAPHS if name != shown]
    return photographs_of(pictures), stand_ins("MS-COCO train2014", pictures)


def photographs_of(pictures: Sequence[Picture], side: int = SHORT_SIDE) -> ImageDataset:
    """Photographs that are in memory already, their shorter sides resized to `side` where they are longer."""
    pixels = [_fitted(picture.image, side, "crop") for picture in pictures]
    flat = torch.from_numpy(np.concatenate([image.reshape(-1) for image in pixels]))
    record = {"pictures": [picture.provenance() for picture in pictures], "size": side}
    return ImageDataset(flat, [image.shape[:2] for image in pixels], record)


def _decode(folder: Path, paths: list[Path], wanted: Wanted, index: Path) -> None:
    """Write the pixels, then the index, whose presence says that both are complete."""
    shapes, digests = [], []
    left_out: dict[str, list[str]] = {"cannot be read": [], f"have a side of less than {wanted.least} pixels": []}
    unreadable, small = left_out.values()
    with renamed_when_whole(index.with_suffix(".pixels")) as file:
        for pixels, path, error in _decoded(paths, wanted):
            name = path.relative_to(folder).as_posix()
            if error:
                log.warning("left out: %s", error)
                unreadable.append(name)
                if len(unreadable) > UNREADABLE * len(paths):
                    raise ReplicationError(
                        f"more than {UNREADABLE:.0%} of the {len(paths)} images in {folder} cannot be read, the last "
                        f"{path.name}; replace or remove them"
                    )
            elif pixels is None:
                small.append(name)
            else:
                file.write(pixels.tobytes())
                shapes.append(pixels.shape[:2])
                digests.append([name, sha256(path.read_bytes())])
        if not shapes:
            raise ReplicationError(
                f"none of the {len(paths)} images in {folder} has {wanted.least} pixels a side; give larger ones, or "
                "train at a smaller size"
            )
    record = {
        "count": len(shapes),
        "fit": wanted.fit,
        "size": wanted.side,
        "sha256": sha256(json.dumps(digests).encode()),
    }
    write_atomically(index, json.dumps({"record": record, "shapes": shapes, "left_out": left_out}).encode())


def _decoded(paths: list[Path], wanted: Wanted) -> Iterator[tuple[np.ndarray | None, Path, ReplicationError | None]]:
    """The pixels of each photograph; None where it is too small, or where there is an error."""

    def decode(path: Path) -> tuple[np.ndarray | None, Path, ReplicationError | None]:
        try:
            image = load_image(path)
        except Exception as error:
            if (line := explained(error)) is None:
                raise
            return None, path, ReplicationError(line if isinstance(error, ReplicationError) else f"{path}: {line}")
        large = min(image.shape[2:]) >= wanted.least
        return _fitted(image, wanted.side, wanted.fit) if large else None, path, None

    with progress_bar(len(paths), "decoding photographs") as bar, ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), TOGETHER):
            for decoded in threads.map(decode, paths[start : start + TOGETHER]):
                yield decoded
                bar.update()


def _fitted(image: Tensor, side: int, fit: str) -> np.ndarray:
    """The pixels of an image (1, 3, H, W), made smaller; never larger, unless it is stretched."""
    height, width = image.shape[2:]
    scale = min(1, side / min(height, width))
    new = (side, side) if fit == "stretch" else (round(height * scale), round(width * scale))
    return to_pixels(image if new == (height, width) else resize(image, *new))


def _mapped(index: Path) -> ImageDataset:
    """What `_decode` has written, memory-mapped.

    Raises:
        ReplicationError: it is not there, or not whole.
    """
    path = index.with_suffix(".pixels")
    try:
        contents = json.loads(index.read_text())
        shapes = [(height, width) for height, width in contents["shapes"]]
        count = sum(3 * height * width for height, width in shapes)
        if not count or path.stat().st_size != count:
            raise ReplicationError(f"{path} is cut short")
        pixels = torch.from_file(str(path), shared=False, size=count, dtype=torch.uint8)
        photographs = ImageDataset(pixels, shapes, contents["record"])
        left_out = [f"{len(names)} photographs {why}" for why, names in contents["left_out"].items() if names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ReplicationError(f"the photographs in {index} are damaged ({reason(error)})") from error
    for each in left_out:
        log.warning("left out: %s", each)
    return photographs


@lru_cache(maxsize=2)
def _order(seed: int, passes: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, passes, count]).permutation(count)
