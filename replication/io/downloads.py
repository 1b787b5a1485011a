"""Downloads into the cache: Set5, Set14, BSD100 and MS-COCO."""

import json
import logging
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

from replication.io.cache import cached
from replication.io.files import DATA, ReplicationError, cache_folder, cause, data_folder
from replication.io.images import FORMATS, format_of, load_image
from replication.io.pictures import Picture
from replication.io.pixels import pixel_digest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its tqdm wants widgets in a notebook
    import pooch

log = logging.getLogger(__name__)

COCO, COCO_MD5 = "http://images.cocodataset.org/zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88"
SETS = {"set5": "Set5", "set14": "Set14", "bsd100": "BSD100"}
DIGESTS = json.loads((DATA / "evaluation_sets.json").read_text())  # of the pixels, by set and name
GREY = ("bridge",)  # one channel as published, which the paper's protocol measures as it is
SOURCES = (
    "https://huggingface.co/datasets/eugenesiow/{name}/resolve/main/data/{name}_HR.tar.gz",
    "https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
)
TIMEOUT = (5, 20)  # seconds, to reach a server and between two parts of its answer
UNREACHED: dict[str, str] = {}  # servers that did not answer, and why: this process does not ask them again


class SetPicture(NamedTuple):
    """A picture of a set."""

    picture: Picture
    grey: bool  # whether it has one channel


def evaluation_set(name: str) -> list[SetPicture]:
    """The pictures of "set5", "set14" or "bsd100", in the order of their names, each checked by its pixels' digest.

    Raises:
        ValueError: an unknown set.
        ReplicationError: a file under `REPLICATION_DATA` is missing or another image; or the set is not there, and no
            source has it.
    """
    if name not in SETS:
        raise ValueError(f"the sets are {', '.join(SETS)}; got {name!r}")
    folder = data_folder()
    if folder is not None and (folder / "sr" / name).is_dir():
        return _pictures(folder / "sr" / name, f"REPLICATION_DATA/sr/{name}")
    return cached(cache_folder() / "evaluation" / name, partial(_pictures, origin=SETS[name]), _download)


def _pictures(folder: Path, origin: str) -> list[SetPicture]:
    digests, name = DIGESTS[folder.name], SETS[folder.name]
    if missing := [image for image in digests if not (folder / f"{image}.png").exists()]:
        raise ReplicationError(
            f"{folder} lacks {len(missing)} of the {len(digests)} images of {name}: {missing[0]}.png does not exist; "
            "add them or remove the folder"
        )
    pictures = []
    for image, digest in digests.items():
        path = folder / f"{image}.png"
        picture = Picture(load_image(path), image, origin)
        if pixel_digest(picture.image) != digest:
            raise ReplicationError(f"{path} is not the {image} of {name}; replace or remove the file")
        pictures.append(SetPicture(picture, image in GREY))
    return pictures


def _download(folder: Path) -> None:
    """Fill the folder of a set in the cache from the first source that has all its images."""
    name, tried = SETS[folder.name], []
    for source in SOURCES:
        url = source.format(name=name)
        try:
            _fetch(url, folder)
        except (ReplicationError, OSError, ValueError) as error:
            tried.append((url, cause(error)))
            continue
        for each in tried:
            log.warning("%s is not to be had from %s: %s", name, *each)
        return
    raise ReplicationError(
        f"{name} could not be downloaded; tried {', '.join(f'{url} ({reason})' for url, reason in tried)}. Try "
        f"again where these are reached, or put its images into sr/{folder.name} under REPLICATION_DATA"
    )


def _fetch(url: str, folder: Path) -> None:
    """Extract the images of all sets from an archive; they are recognised by the digests of their pixels."""
    log.info("fetching %s: %s", SETS[folder.name], url)
    pooch.get_logger().setLevel(logging.WARNING)  # it would print the digest of the archive
    files = {digest: Path(each, f"{image}.png") for each, images in DIGESTS.items() for image, digest in images.items()}
    missing = {*DIGESTS[folder.name].values()}
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        for path in _images(_retrieved(url, temporary), Path(temporary)):
            try:
                digest = pixel_digest(load_image(path))
            except ReplicationError as error:
                log.warning("left out: %s", error)
                continue
            if digest in files:
                target = folder.parent / files[digest]
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
                missing.discard(digest)
    if missing:
        raise ReplicationError(f"{len(missing)} of its {len(DIGESTS[folder.name])} images are not in the archive")


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


def coco2014() -> Path:
    """The folder of MS-COCO train2014, the paper's 82,783 photographs; downloaded (13.5 GB) if missing.

    Raises:
        ReplicationError: the download failed or is not the published archive, or the cache cannot be written.
    """

    def existing(folder: Path) -> Path:
        if not folder.is_dir():
            raise ReplicationError(f"{folder} is not there")
        return folder

    return cached(cache_folder() / "coco2014" / "train2014", existing, _download_coco)


def _download_coco(folder: Path) -> None:
    try:
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            unzip = pooch.Unzip(extract_dir=".")
            pooch.retrieve(COCO, f"md5:{COCO_MD5}", path=temporary, processor=unzip, progressbar=True)
            Path(temporary, folder.name).replace(folder)
    except (OSError, ValueError) as error:
        raise ReplicationError(
            f"MS-COCO could not be downloaded ({cause(error)}); try again, or give a folder of photographs"
        ) from error
