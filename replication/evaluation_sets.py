"""Set5, Set14 and BSD100, on which super-resolution is measured: from `REPLICATION_DATA`, or by download."""

import json
import logging
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pooch
from filelock import FileLock

from replication.data import Picture, cause
from replication.errors import ReplicationError
from replication.files import DATA, cache_folder, data_folder, write_atomically
from replication.images import FORMATS, format_of, load_image, pixel_digest

log = logging.getLogger(__name__)

SETS = {"set5": "Set5", "set14": "Set14", "bsd100": "BSD100"}
DIGESTS = json.loads((DATA / "evaluation_sets.json").read_text())  # of the pixels, by set and name
GREY = ("bridge",)  # one channel as published, which the paper's protocol measures as it is
SOURCES = (
    "https://huggingface.co/datasets/eugenesiow/{name}/resolve/main/data/{name}_HR.tar.gz",
    "https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
)
TIMEOUT = (5, 20)  # seconds, to reach a server and between two parts of its answer
UNREACHED: dict[str, str] = {}  # servers that did not answer, and why: this process does not ask them again


class DownloadError(ReplicationError):
    """A set is not to be had here."""


class TestPicture(NamedTuple):
    """A picture of a set, and whether it has one channel."""

    __test__ = False  # for pytest

    picture: Picture
    grey: bool


def evaluation_set(name: str) -> list[TestPicture]:
    """The pictures of "set5", "set14" or "bsd100", in the order of their names, each checked by its pixels' digest.

    Raises:
        ValueError: an unknown set.
        ReplicationError: a file under `REPLICATION_DATA` is missing or another image.
        DownloadError: it is not there, and no source could be read.
    """
    if name not in SETS:
        raise ValueError(f"the sets are {', '.join(SETS)}; got {name!r}")
    folder = data_folder()
    given = folder is not None and (folder / "sr" / name).is_dir()
    origin = f"REPLICATION_DATA/sr/{name}" if given else SETS[name]
    where = folder / "sr" / name if given else _downloaded(name)
    missing = _missing(name, where)
    if missing:
        raise ReplicationError(
            f"{where} lacks {len(missing)} of the {len(DIGESTS[name])} images of {SETS[name]}: {missing[0]}.png does "
            "not exist; add them or remove the folder"
        )
    pictures = []
    for image, digest in DIGESTS[name].items():
        path = where / f"{image}.png"
        picture = Picture(load_image(path), image, origin)
        if pixel_digest(picture.image) != digest:
            raise ReplicationError(f"{path} is not the {image} of {SETS[name]}; replace or remove the file")
        pictures.append(TestPicture(picture, image in GREY))
    return pictures


def _downloaded(name: str) -> Path:
    """The folder in the cache, filled from the first source that has all images of the set."""
    folder = cache_folder() / "evaluation" / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not _missing(name, folder):
            return folder
        tried = []
        for source in SOURCES:
            url = source.format(name=SETS[name])
            try:
                _fetch(url, name, folder)
            except (ReplicationError, OSError, ValueError) as error:
                tried.append((url, cause(error)))
                continue
            for each in tried:
                log.warning("%s is not to be had from %s: %s", SETS[name], *each)
            return folder
    raise DownloadError(
        f"{SETS[name]} could not be downloaded; tried {', '.join(f'{url} ({reason})' for url, reason in tried)}. Try "
        f"again where these are reached, or put its images into sr/{name} under REPLICATION_DATA"
    )


def _fetch(url: str, name: str, folder: Path) -> None:
    """Take the images of all sets out of an archive; which is which, their pixels say."""
    log.info("fetching %s: %s", SETS[name], url)
    pooch.get_logger().setLevel(logging.WARNING)  # it would print the digest of the archive
    files = {digest: Path(each, f"{image}.png") for each, images in DIGESTS.items() for image, digest in images.items()}
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for path in _images(_retrieved(url, temporary), Path(temporary)):
            found = files.get(_digest(path))
            if found:
                write_atomically(folder.parent / found, path.read_bytes())
    missing = _missing(name, folder)
    if missing:
        raise ReplicationError(f"{len(missing)} of its {len(DIGESTS[name])} images are not in the archive")


def _retrieved(url: str, folder: str) -> str:
    """The path of the downloaded archive."""
    server = urlsplit(url).netloc
    if server in UNREACHED:
        raise ReplicationError(UNREACHED[server])
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    try:
        return pooch.retrieve(url, None, fname="archive", path=folder, downloader=downloader)
    except OSError as error:
        if getattr(error, "response", error) is None:  # one of requests' errors, without an answer
            UNREACHED[server] = cause(error)
        raise


def _missing(name: str, folder: Path) -> list[str]:
    return [image for image in DIGESTS[name] if not (folder / f"{image}.png").exists()]


def _digest(path: Path) -> str | None:
    """Of a file's pixels; None where it is no image."""
    try:
        return pixel_digest(load_image(path))
    except ReplicationError as error:
        log.warning("left out: %s", error)
        return None


def _images(archive: str, folder: Path) -> Iterator[Path]:
    """The images of an archive, each as a file."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and format_of(member.name) in FORMATS:
                    path = folder / Path(member.name).name
                    path.write_bytes(tar.extractfile(member).read())
                    yield path
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ReplicationError("it is no archive, or a damaged one") from error
