"""Photographs to train on: decoded once, memory-mapped afterwards, and taken in batches by seed and step."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replication.io.cache import cached
from replication.io.downloads import coco2014
from replication.io.files import (
    ReplicationError,
    cache_folder,
    data_folder,
    reason,
    renamed_when_whole,
    sha256,
    write_atomically,
)
from replication.io.image_files import image_files
from replication.io.images import load_image
from replication.io.pictures import (
    COCO_NAME,
    PHOTOGRAPHS,
    TRAINING,
    Picture,
    StandIns,
    content_picture,
    given_photographs,
    stand_ins,
)
from replication.io.pixels import resize, to_pixels
from replication.io.processes import process_group
from replication.io.ranges import RangeError, check
from replication.io.runtime import default_device, keep_freed_memory, progress_bar

log = logging.getLogger(__name__)

DECODER = 1  # version of the cached pixels; raise it when decoding changes them
SHORT_SIDE = 288  # pixels; what random crops are taken from
TOGETHER = 256  # decoded in threads before they are written
UNREADABLE = 0.01  # share of a folder's images that may be damaged


class ImageDataset:
    """Decoded photographs in one flat tensor, and batches of them.

    Args:
        pixels: (N,), uint8; the images one after the other, each (H, W, 3) in row order.
        shapes: height and width of each.
        record: what identifies these photographs, in JSON types.
        device: the device of the batches.
    """

    def __init__(self, pixels: Tensor, shapes: list[tuple[int, int]], record: dict[str, Any], device: str = "cpu"):
        self.pixels, self.shapes, self.record, self.device = pixels, shapes, record, torch.device(device)
        self.ends = np.cumsum([3 * height * width for height, width in shapes]).tolist()
        self.smallest = min(map(min, shapes))

    def to(self, device: str) -> "ImageDataset":
        """This dataset with batches on `device`; pixels move to a GPU, too, if half of its free memory has room."""
        kind = torch.device(device).type
        torch.cuda.empty_cache()  # what torch keeps for later counts as taken
        fits = kind == "cpu" or (kind != "mps" and self.pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2)
        return ImageDataset(self.pixels.to(device) if fits else self.pixels, self.shapes, self.record, device)

    def batch(self, step: int, batch_size: int, size: int, seed: int, flip: bool = False) -> Tensor:
        """The images of a step: random crops, which depend only on the seed and the step.

        Each pass over the photographs takes every photograph once, in a new order.

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
        """Raise RangeError where the smallest photograph is smaller than crops of `size` pixels a side."""
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
        folder: see `image_files`.
        side: pixels. With `fit` "crop", the shorter side is reduced to this if it is longer, in proportion; with
            "stretch", both sides become this long, as the published code makes MS-COCO 256 x 256.
        fit: "crop" or "stretch".
        count: how many, the first by name; None for all.
        least: photographs with a side of fewer pixels are left out, which the log says.

    Returns:
        The photographs, with batches on the CPU; see `ImageDataset.to`.

    Raises:
        RangeError: an unknown fit, a number out of its range.
        ReplicationError: no such folder, no images in it or none that is large enough, or more than 1 % of them cannot
            be read. Fewer are named in the log and left out.
    """
    check(optional=("count",), side=side, fit=fit, count=count, least=least)
    folder = Path(folder)
    check_folder(folder)
    paths = image_files(folder)[:count]
    if not paths:
        raise ReplicationError(f"{folder} holds no photographs")
    stats = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = sha256(json.dumps([DECODER, stats, [side, fit, least]]).encode())[:16]
    decode = partial(_decode, folder, paths, side=side, fit=fit, least=least)
    return cached(cache_folder() / "photographs" / f"{key}.json", _mapped, decode)


def check_folder(images: Path | str) -> None:
    """Raise ReplicationError unless `images` is a folder or "coco2014"; see `photographs_on_device`."""
    if images != "coco2014" and not Path(images).is_dir():
        raise ReplicationError(f"{images} is not a folder; give one with the photographs to train on")


@contextmanager
def photographs_on_device(images: str, **wanted: Any) -> Iterator[ImageDataset]:
    """Load the training photographs of a command for its device, inside the group of `torchrun`'s processes.

    Args:
        images: a folder, or "coco2014" for MS-COCO train2014, which is downloaded.
        wanted: see `load_photographs`.
    """
    keep_freed_memory()
    photographs = load_photographs(coco2014() if images == "coco2014" else images, **wanted)
    with process_group():
        yield photographs.to(default_device())


def training_photographs(shown: str) -> tuple[ImageDataset, StandIns]:
    """The photographs of `train/` under `REPLICATION_DATA`, else `PHOTOGRAPHS` without `shown`; and the `StandIns`."""
    if paths := given_photographs("train"):
        others = sum(COCO_NAME.match(path.stem) is None for path in paths)
        places = {TRAINING: f"{len(paths):,} photographs, {others:,} of them not MS-COCO's"} if others else {}
        return load_photographs(data_folder() / "train", least=SHORT_SIDE), places
    pictures = [content_picture(name) for name in PHOTOGRAPHS if name != shown]
    return photographs_of(pictures), stand_ins(TRAINING, pictures)


def photographs_of(pictures: Sequence[Picture], side: int = SHORT_SIDE) -> ImageDataset:
    """Photographs that are in memory already, their shorter sides resized to `side` where they are longer."""
    pixels = [_fitted(picture.image, side, "crop") for picture in pictures]
    flat = torch.from_numpy(np.concatenate([image.reshape(-1) for image in pixels]))
    record = {"pictures": [picture.provenance() for picture in pictures], "size": side}
    return ImageDataset(flat, [image.shape[:2] for image in pixels], record)


def _decode(folder: Path, paths: list[Path], index: Path, *, side: int, fit: str, least: int) -> None:
    """Write the pixels, then the index, whose presence says that both are complete."""
    shapes, digests, unreadable, small = [], [], [], []
    with renamed_when_whole(index.with_suffix(".pixels")) as file:
        for path, pixels in zip(paths, _decoded(paths, side, fit, least), strict=True):
            name = path.relative_to(folder).as_posix()
            if isinstance(pixels, ReplicationError):
                log.warning("left out: %s", pixels)
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
                f"none of the {len(paths)} images in {folder} has {least} pixels a side; give larger ones, or "
                "train at a smaller size"
            )
    digest = sha256(json.dumps(digests).encode())
    record = {"count": len(shapes), "fit": fit, "size": side, "sha256": digest}
    left_out = {"cannot be read": unreadable, f"have a side of less than {least} pixels": small}
    write_atomically(index, json.dumps({"record": record, "shapes": shapes, "left_out": left_out}).encode())


def _decoded(paths: list[Path], side: int, fit: str, least: int) -> Iterator[np.ndarray | ReplicationError | None]:
    """The pixels of each photograph; None where it is too small, the error where it cannot be read."""

    def decode(path: Path) -> np.ndarray | ReplicationError | None:
        try:
            image = load_image(path)
        except ReplicationError as error:
            return error
        return _fitted(image, side, fit) if min(image.shape[2:]) >= least else None

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
    """What `_decode` has written, memory-mapped; ReplicationError where it is not there, or not whole."""
    path = index.with_suffix(".pixels")
    try:
        contents = json.loads(index.read_text())
        shapes = [(height, width) for height, width in contents["shapes"]]
        count = sum(3 * height * width for height, width in shapes)
        if not count or path.stat().st_size != count:
            raise ReplicationError(f"{path} is cut short")
        pixels = torch.from_file(str(path), shared=False, size=count, dtype=torch.uint8)
        photographs = ImageDataset(pixels, shapes, contents["record"])
        left_out = {why: len(names) for why, names in contents["left_out"].items() if names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ReplicationError(f"the photographs in {index} are damaged ({reason(error)})") from error
    for why, count in left_out.items():
        log.warning("left out: %d photographs %s", count, why)
    return photographs


@lru_cache(maxsize=2)
def _order(seed: int, passes: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, passes, count]).permutation(count)
