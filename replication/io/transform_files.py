"""A command on many image files: which file each becomes, and that none stops another."""

import logging
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from replication.io.files import ReplicationError, check_writable, explained
from replication.io.image_files import image_files
from replication.io.images import (
    ANIMATED,
    FORMATS,
    Frame,
    check_format,
    format_of,
    frame_count,
    image_size,
    load_frame,
    load_frames,
    save_frames,
)
from replication.io.pixels import resize
from replication.io.ranges import RangeError
from replication.io.video import CONTAINERS, OTHER_VIDEOS, is_video, transform_video, video_size

log = logging.getLogger(__name__)


class Transform(NamedTuple):
    """What is done to each image."""

    apply: Callable[[Tensor, str | None], Tensor]  # an image (1, 3, H, W), with the label of a bar, to its result
    scale: int = 1  # how many times as large
    smallest: int = 1  # pixels that a side needs
    size: int | None = None  # pixels of the long side, to which an image is brought first

    def __call__(self, image: Tensor, name: str | None) -> Tensor:
        """What becomes of an image (1, 3, H, W); see `apply` for its name."""
        return self.apply(resize(image, *self.sides(*image.shape[2:])) if self.size else image, name)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Those with which an image of this size is transformed."""
        share = self.size / max(height, width) if self.size else 1
        return max(1, round(share * height)), max(1, round(share * width))


def transform_files(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    transform: Transform,
    overwrite: bool = False,
    others: Sequence[Path | str] = (),
) -> list[ReplicationError]:
    """Transform image and video files, and the images in folders; what cannot be done is told before anything is done.

    The folders within a folder are mirrored, and animations give animations where the format of the result allows.

    Args:
        inputs: a file or folder, or several, of whose files the images are taken. Of an input folder what lies in an
            output folder within it is no input.
        out: a folder, where each result has the name of its input; or, for one file, a file. What is no folder yet and
            has a suffix is a file, unless it ends in a slash.
        transform: see there.
        overwrite: whether results that are there are made anew, not kept.
        others: more folders of results, whose files are no inputs either.

    Returns:
        What could not be done; all others are.

    Raises:
        RangeError: no input.
        ReplicationError: several inputs and one output file, or no output could be written.
    """
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    if not inputs:
        raise RangeError("give an image, a video or a folder at least")
    failed: list[ReplicationError] = []

    def leave_out(reason: str) -> None:
        log.warning("left out: %s", reason)
        failed.append(ReplicationError(reason))

    results = {Path(folder).resolve() for folder in (out, *others)}
    pairs = _targets([Path(path) for path in inputs], os.fspath(out), results, leave_out)
    there = [target for source, target in pairs if os.path.isfile(target) and not _same(source, target)]
    if kept := [] if overwrite else there:
        log.info("kept, since they are there: %d results, %s first; --overwrite makes them anew", len(kept), kept[0])
    work = [pair for pair in pairs if pair[1] not in set(kept) and _possible(*pair, transform, leave_out)]
    for number, (source, target) in enumerate(work, 1):
        try:
            _transform_file(source, target, transform)
        except Exception as error:
            if (reason := explained(error)) is None:
                raise
            leave_out(reason if isinstance(error, ReplicationError) else f"{source}: {reason}")
        else:
            log.info("[%d/%d] %s", number, len(work), target)
    return failed


def _transform_file(source: Path, target: Path, transform: Transform) -> None:
    if is_video(source):
        transform_video(source, target, lambda image: transform(image, None))  # no bar a picture
        return
    animated = format_of(target) in ANIMATED and format_of(source) in ANIMATED
    several = (animated or format_of(target) == format_of(source) == "TIFF") and frame_count(source) > 1
    frames = load_frames(source) if several else [load_frame(source)]
    save_frames((_applied(transform, frame, source.name) for frame in frames), target)


def _applied(transform: Transform, frame: Frame, name: str) -> Frame:
    """What becomes of a frame; its transparency gets the size of the result."""
    image = transform(frame.image, name)
    alpha = frame.alpha if frame.alpha is None else resize(frame.alpha, *image.shape[2:])
    return frame._replace(image=image, alpha=alpha)


def is_file_name(out: Path | str) -> bool:
    """Whether an output is one file: it has a suffix, does not end in a slash, and is no folder yet."""
    out = os.fspath(out)
    return bool(Path(out).suffix) and not out.endswith((os.sep, "/")) and not os.path.isdir(out)


def _targets(
    inputs: list[Path], out: str, results: set[Path], leave_out: Callable[[str], None]
) -> list[tuple[Path, Path]]:
    """Which file each image becomes."""
    is_file = is_file_name(out)
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    if is_file and (format_of(out) in FORMATS or is_video(out)) != single:
        wrong = f"files of the suffix {Path(out).suffix!r} are not written" if single else "it is the name of one file"
        raise ReplicationError(f"{out}: {wrong}; for a folder give {out}/")
    if is_file and single:
        return [(inputs[0], Path(out))]
    names = {}
    for path in inputs:
        for source, name in _named(path, results, leave_out):
            names.setdefault(Path(os.path.realpath(source)), (source, name))
    found = [(os.path.dirname(source), _folded(name)) for source, name in names.values()]
    if len({name for _, name in found}) < len(set(found)):  # with their folders they differ
        above = Path(os.path.commonpath([os.path.abspath(source.parent) for source, _ in names.values()]))
        names = {key: (source, Path(os.path.abspath(source)).relative_to(above)) for key, (source, _) in names.items()}
    return [(source, Path(out) / name) for source, name in names.values()]


def _folded(name: Path) -> str:
    """What two names have in common that are one to a Mac's file system."""
    return unicodedata.normalize("NFC", str(name)).casefold()


def _named(path: Path, results: set[Path], leave_out: Callable[[str], None]) -> list[tuple[Path, Path]]:
    """The image files of an input that are no results, each with its path below the output folder."""
    if not os.path.isdir(path):
        return [(path, Path(path.name))]
    whole = path.resolve()
    no_inputs = {each for each in results if not whole.is_relative_to(each)}
    found = [each for each in image_files(path, leave_out) if no_inputs.isdisjoint(each.resolve().parents)]
    if not found:
        leave_out(f"{path} holds no images")
    return [(each, each.relative_to(path)) for each in found]


def _same(source: Path, target: Path) -> bool:
    return os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target)


def _possible(source: Path, target: Path, transform: Transform, leave_out: Callable[[str], None]) -> bool:
    """Whether the header of a file, the format of its result and the place for that allow the work."""
    try:
        if source.suffix.lower() in OTHER_VIDEOS:
            copied = f"ffmpeg -i {source.name} {source.stem}.mkv"
            raise ReplicationError(f"{source}: videos of this suffix are not read; copy it first: {copied}")
        if is_video(source) != is_video(target):
            raise ReplicationError(
                f"{target}: of a video only a video is made, {', '.join(CONTAINERS)}, and of no image"
            )
        height, width = transform.sides(*(video_size if is_video(source) else image_size)(source))
        if min(height, width) < transform.smallest:
            asked = f", which at size {transform.size} it has not" if transform.size else ""
            raise ReplicationError(f"{source} is too small: a side needs at least {transform.smallest} pixels{asked}")
        if _same(source, target):
            raise ReplicationError(f"{target} would replace its input; choose another output")
        check_writable(target)
        if not is_video(target):
            check_format(target, transform.scale * height, transform.scale * width)
    except ReplicationError as error:
        leave_out(str(error))
        return False
    return True
