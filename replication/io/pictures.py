"""Pictures by name: from a path, `data/styles`, `REPLICATION_DATA` or scikit-image; and stand-ins for the paper's."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import skimage.data
from torch import Tensor

from replication.io.files import DATA, ReplicationError, data_folder
from replication.io.image_files import image_files
from replication.io.images import load_image
from replication.io.pixels import from_pixels, pixel_digest
from replication.io.ranges import check

log = logging.getLogger(__name__)

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # in colour, and part of scikit-image's wheel
PAINTINGS = ("great_wave", "starry_night", "la_muse", "composition_vii")  # the paper's
VALIDATION = "50 MS-COCO validation images"
TRAINING = "MS-COCO train2014"
COCO_NAME = re.compile(r"coco_|\d{12}$", re.I)  # names of MS-COCO's files: this prefix, or twelve digits

StandIns = dict[str, str]  # an input of the paper, and what takes its place here


class Picture(NamedTuple):
    """An image (1, 3, H, W) in [0, 1], its name, and where it came from."""

    image: Tensor
    name: str
    origin: str

    def provenance(self) -> dict[str, str]:
        """What a figure records of an input: name, origin, SHA-256 of the decoded pixels."""
        return {"name": self.name, "origin": self.origin, "sha256": pixel_digest(self.image)}


def content_picture(name: str) -> Picture:
    """Load a photograph by its path, or by a name in `PHOTOGRAPHS` or in `content/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: no photograph has that name (the message lists the names), or it cannot be read.
    """
    if name in PHOTOGRAPHS:
        pixels = getattr(skimage.data, name)()
        return Picture(from_pixels(pixels), name, f"scikit-image {skimage.__version__}")
    return _from_file(name, "content", {}, PHOTOGRAPHS)


def subject_mask(name: str) -> Tensor | None:
    """A mask, drawn by hand, of the person or animal in one of `PHOTOGRAPHS`, (1, 3, H, W): 1 inside, 0 outside.

    None if there is no mask; see `data/masks`.
    """
    path = DATA / "masks" / f"{name}.png"
    return load_image(path) if path.exists() else None


def stand_ins(papers: str, pictures: Sequence[Picture], same: Sequence[str] = PAINTINGS) -> StandIns:
    """Which of these pictures, and from where, stand in for the paper's input `papers`; {} if none does.

    `papers` is a text such as "50 MS-COCO validation images". Pictures whose names are in `same` are the paper's own.
    """
    others: dict[str, list[str]] = {}
    for name, origin in dict.fromkeys((picture.name, picture.origin) for picture in pictures):
        if name not in same:
            others.setdefault(origin, []).append(name)
    return {papers: ", ".join(f"{', '.join(names)} ({origin})" for origin, names in others.items())} if others else {}


def given_photographs(kind: str) -> list[Path]:
    """The files in the folder "train" or "val" under `REPLICATION_DATA`; if it has none, a warning is logged."""
    found = _given(kind)
    if data_folder() and not found:
        log.warning("REPLICATION_DATA has no photographs in %s/; those of scikit-image take their place", kind)
    return found


def validation_pictures(count: int) -> tuple[list[Picture], StandIns]:
    """The first photographs, `count` at most, of `val/` under `REPLICATION_DATA`, else of `PHOTOGRAPHS`.

    The paper uses 50 photographs of MS-COCO. The second result says which of ours stand in for them, or that they are
    fewer than `count`.

    Raises:
        ReplicationError: `count` is not positive, or one cannot be read.
    """
    check(count=count)
    given = given_photographs("val")
    pictures = [Picture(load_image(path), path.stem, "file") for path in given[:count]]
    pictures = pictures or [content_picture(name) for name in PHOTOGRAPHS[:count]]
    if len(pictures) < count:
        log.warning("%d photographs wanted, there are %d", count, len(pictures))
    places = stand_ins(VALIDATION, pictures, [each.name for each in pictures if COCO_NAME.match(each.name)])
    if len(pictures) < count and not places:
        places = {VALIDATION: f"only {len(pictures)}"}
    return pictures, places


def style_picture(name: str) -> Picture:
    """Load a painting by its path, or by a name in `data/styles/` or in `styles/` under `REPLICATION_DATA`.

    Raises:
        ReplicationError: see `content_picture`.
    """
    return _from_file(name, "styles", _by_name(image_files(DATA / "styles")))


def _from_file(name: str, kind: str, known: dict[str, Path], others: tuple[str, ...] = ()) -> Picture:
    folder = data_folder()
    found = _by_name(_given(kind)) | known
    if name not in found and (Path(name).suffix or os.path.isfile(name)):
        return Picture(load_image(name), Path(name).stem, "file")
    if name not in found:
        hint = "" if folder else f"; set REPLICATION_DATA for more ({kind}/ in it)"
        raise ReplicationError(
            f"there is no image {name!r}: give a path or one of {', '.join([*others, *found])}{hint}"
        )
    origin = f"data/{kind}" if name in known else f"REPLICATION_DATA/{kind}"
    return Picture(load_image(found[name]), name, origin)


def _given(kind: str) -> list[Path]:
    """The images of a folder under `REPLICATION_DATA`; none if the folder does not exist."""
    folder = data_folder()
    return image_files(folder / kind) if folder and (folder / kind).is_dir() else []


def _by_name(paths: list[Path]) -> dict[str, Path]:
    return {path.stem: path for path in paths}
