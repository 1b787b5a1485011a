"""Where images come from: a path, the paintings in `data/styles`, `REPLICATION_DATA`, scikit-image, MS-COCO."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pooch
import skimage.data
from torch import Tensor

from replication.cache import cached
from replication.errors import ReplicationError, reason
from replication.files import DATA, cache_folder, data_folder
from replication.image_folders import image_files
from replication.images import from_pixels, load_image, pixel_digest
from replication.ranges import check

log = logging.getLogger(__name__)

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # in colour, and part of scikit-image's wheel
COCO, COCO_MD5 = "http://images.cocodataset.org/zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88"


class Picture(NamedTuple):
    """An image (1, 3, H, W) in [0, 1], its name, and where it came from."""

    image: Tensor
    name: str
    origin: str

    def provenance(self) -> dict[str, str]:
        """What a figure records of an input: name, origin, SHA-256 of the decoded pixels."""
        return {"name": self.name, "origin": self.origin, "sha256": pixel_digest(self.image)}


def content_picture(name: str) -> Picture:
    """A photograph: a path, or a name out of `PHOTOGRAPHS` or of `content/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: there is none of that name (the message lists those there are), or it cannot be read.
    """
    if name in PHOTOGRAPHS:
        pixels = getattr(skimage.data, name)()
        return Picture(from_pixels(pixels), name, f"scikit-image {skimage.__version__}")
    return _from_file(name, "content", {}, PHOTOGRAPHS)


def validation_pictures(count: int) -> list[Picture]:
    """The first photographs of `val/` under `REPLICATION_DATA` (the paper: 50 of MS-COCO's), or of `PHOTOGRAPHS`.

    Where there are fewer than `count`, all of them.

    Raises:
        ReplicationError: `count` is not positive, or one cannot be read.
    """
    check(count=count)
    folder = data_folder()
    names = [str(path) for path in image_files(folder / "val")] if folder else PHOTOGRAPHS
    if len(names) < count:
        log.warning("%d photographs wanted, there are %d", count, len(names))
    return [content_picture(name) for name in names[:count]]


def style_picture(name: str) -> Picture:
    """A painting: a path, or a name out of `data/styles/` or of `styles/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: there is none of that name (the message lists those there are), or it cannot be read.
    """
    return _from_file(name, "styles", _pictures(DATA / "styles"))


def _from_file(name: str, kind: str, known: dict[str, Path], others: tuple[str, ...] = ()) -> Picture:
    folder = data_folder()
    found = (_pictures(folder / kind) if folder else {}) | known
    if name not in found and Path(name).suffix:
        return Picture(load_image(name), Path(name).stem, "file")
    if name not in found:
        hint = "" if folder else f"; set REPLICATION_DATA for more ({kind}/ in it)"
        raise ReplicationError(
            f"there is no image {name!r}: give a path or one of {', '.join([*others, *found])}{hint}"
        )
    origin = f"data/{kind}" if name in known else f"REPLICATION_DATA/{kind}"
    return Picture(load_image(found[name]), name, origin)


def _pictures(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in image_files(folder)}


def coco2014() -> Path:
    """The folder of MS-COCO train2014, the paper's photographs: 82,783 of them; downloaded (13.5 GB) if missing.

    Raises:
        ReplicationError: the download failed or is not the published archive, or the cache cannot be written.
    """
    return cached(cache_folder() / "coco2014" / "train2014", _folder, _download_coco)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ReplicationError(f"{path} is not there")
    return path


def _download_coco(folder: Path) -> None:
    try:
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            unzip = pooch.Unzip(extract_dir=".")
            name = f"{folder.name}.zip"
            pooch.retrieve(COCO, f"md5:{COCO_MD5}", fname=name, path=temporary, processor=unzip, progressbar=True)
            Path(temporary, folder.name).replace(folder)
    except (OSError, ValueError) as error:
        raise ReplicationError(
            f"MS-COCO could not be downloaded ({reason(error)}); try again, or give a folder of photographs"
        ) from error
