"""Training photographs, decoded once into a memory-mapped file, and the batch of each step."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from replication.data import PHOTOGRAPHS, Picture, StandIns, content_picture, given_photographs, stand_ins
from replication.errors import ReplicationError
from replication.files import cache_folder, data_folder, renamed_when_whole, sha256, write_atomically
from replication.image_folders import image_files
from replication.images import load_image, resize, to_pixels
from replication.progress import progress_bar

log = logging.getLogger(__name__)

SHORT_SIDE = 288  # pixels; what random crops are taken from
FITS = ("crop", "stretch")
TOGETHER = 256  # decoded in threads before they are written
UNREADABLE = 0.01  # of a folder's images may be damaged


class Photographs:
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

    def to(self, device: str) -> "Photographs":
        """The same with batches on `device`, and the pixels too, unless they take more than half of its free memory."""
        fits = device == "cpu" or self.pixels.nbytes < torch.cuda.mem_get_info(device)[0] / 2
        return Photographs(self.pixels.to(device) if fits else self.pixels, self.shapes, self.record, device)

    def batch(self, step: int, batch_size: int, size: int, seed: int, flip: bool = False) -> Tensor:
        """The images of a step, which depend on the seed and the step alone.

        Each pass over the photographs takes them in another order, every one once; where an image is larger than
        `size`, the crop is random.

        Returns:
            (batch_size, 3, size, size) in [0, 1], channels_last.

        Raises:
            ValueError: an image is smaller than `size`.
        """
        random = np.random.default_rng([seed, step])
        crops = [self._crop(step * batch_size + i, size, seed, flip, random) for i in range(batch_size)]
        return torch.stack(crops).to(self.device).permute(0, 3, 1, 2).float().div_(255)

    def _crop(self, number: int, size: int, seed: int, flip: bool, random: np.random.Generator) -> Tensor:
        passes, position = divmod(number, len(self.shapes))
        index = _order(seed, passes, len(self.shapes))[position]
        height, width = self.shapes[index]
        if min(height, width) < size:
            raise ValueError(f"crops of {size} x {size} do not fit into photographs of {height} x {width}")
        image = self.pixels[self.ends[index] - 3 * height * width : self.ends[index]].view(height, width, 3)
        top, left = random.integers(height - size + 1), random.integers(width - size + 1)
        crop = image[top : top + size, left : left + size]
        return crop.flip(1) if flip and random.integers(2) else crop


def load_photographs(
    folder: Path | str, size: int = SHORT_SIDE, fit: str = "crop", count: int | None = None
) -> Photographs:
    """The images of a folder and its subfolders; decoded at the first call, memory-mapped from the cache afterwards.

    Args:
        folder: with image files; see `image_files`.
        size: with `fit` "crop" the length of their shorter side, their proportions kept; with "stretch" both sides,
            as the published code makes MS-COCO 256 x 256.
        fit: "crop" or "stretch".
        count: how many, the first by name; None for all.

    Raises:
        ValueError: an unknown fit.
        ReplicationError: no such folder, no images in it, or more than 1 % of them cannot be read. Fewer are named in
            the log and left out.
    """
    if fit not in FITS:
        raise ValueError(f"fit is one of {', '.join(FITS)}; got {fit!r}")
    folder = Path(folder)
    if not folder.is_dir():
        raise ReplicationError(f"{folder} is not a folder; give one with the photographs to train on")
    paths = image_files(folder)[:count]
    if not paths:
        raise ReplicationError(f"{folder} holds no photographs")
    stats = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = sha256(json.dumps([stats, size, fit]).encode())[:16]
    index = cache_folder() / "photographs" / f"{key}.json"
    index.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(index.with_suffix(".lock")):
        if not index.exists():
            _decode(paths, folder, index, size, fit)
    return _mapped(index)


def training_photographs(shown: str) -> tuple[Photographs, StandIns]:
    """Those of `train/` under `REPLICATION_DATA`, or the few that come with scikit-image.

    Args:
        shown: the name of the photograph that shows what was learnt; it is not trained on.

    Returns:
        The photographs, and what they stand in for.
    """
    if given_photographs("train"):
        return load_photographs(data_folder() / "train"), {}
    pictures = [content_picture(name) for name in PHOTOGRAPHS if name != shown]
    return photographs_of(pictures), stand_ins("MS-COCO train2014", pictures)


def photographs_of(pictures: Sequence[Picture], size: int = SHORT_SIDE) -> Photographs:
    """Photographs that are in memory already, their shorter sides resized to `size`."""
    pixels = [_fitted(picture.image, size, "crop") for picture in pictures]
    flat = torch.from_numpy(np.concatenate([image.reshape(-1) for image in pixels]))
    record = {"pictures": [picture.provenance() for picture in pictures], "size": size}
    return Photographs(flat, [image.shape[:2] for image in pixels], record)


def _decode(paths: list[Path], folder: Path, index: Path, size: int, fit: str) -> None:
    """Write the pixels, then the index, whose presence says that both are complete."""
    shapes, skipped, digests = [], [], []
    with renamed_when_whole(index.with_suffix(".pixels")) as file:
        for pixels, path, error in _decoded(paths, size, fit):
            if error:
                log.warning("left out: %s", error)
                skipped.append(path.relative_to(folder).as_posix())
                if len(skipped) > UNREADABLE * len(paths):
                    raise ReplicationError(
                        f"more than {UNREADABLE:.0%} of the {len(paths)} images in {folder} cannot be read, the last "
                        f"{path.name}; replace or remove them"
                    )
                continue
            file.write(pixels.tobytes())
            shapes.append(pixels.shape[:2])
            digests.append([path.relative_to(folder).as_posix(), sha256(path.read_bytes())])
    record = {"count": len(shapes), "fit": fit, "size": size, "sha256": sha256(json.dumps(digests).encode())}
    write_atomically(index, json.dumps({"record": record, "shapes": shapes, "skipped": skipped}).encode())


def _decoded(
    paths: list[Path], size: int, fit: str
) -> Iterator[tuple[np.ndarray | None, Path, ReplicationError | None]]:
    def decode(path: Path) -> tuple[np.ndarray | None, Path, ReplicationError | None]:
        try:
            return _fitted(load_image(path), size, fit), path, None
        except ReplicationError as error:
            return None, path, error

    with progress_bar(len(paths), "decoding photographs") as bar, ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), TOGETHER):
            for decoded in threads.map(decode, paths[start : start + TOGETHER]):
                yield decoded
                bar.update()


def _fitted(image: Tensor, size: int, fit: str) -> np.ndarray:
    height, width = image.shape[2:]
    scale = size / min(height, width)
    new = (size, size) if fit == "stretch" else (round(height * scale), round(width * scale))
    return to_pixels(image if new == (height, width) else resize(image, *new))


def _mapped(index: Path) -> Photographs:
    contents = json.loads(index.read_text())
    shapes = [tuple(shape) for shape in contents["shapes"]]
    count = sum(3 * height * width for height, width in shapes)
    if contents["skipped"]:
        log.warning("%d photographs cannot be read and are left out", len(contents["skipped"]))
    pixels = torch.from_file(str(index.with_suffix(".pixels")), shared=False, size=count, dtype=torch.uint8)
    return Photographs(pixels, shapes, contents["record"])


@lru_cache(maxsize=2)
def _order(seed: int, passes: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, passes, count]).permutation(count)
