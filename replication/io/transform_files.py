"""Transforms many image files: finds the path of each result, and goes on when a file fails."""

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
    """A transformation of images, and the sizes that it takes and gives."""

    apply: Callable[[Tensor, str | None], Tensor]  # maps an image (1, 3, H, W) and the label of a bar to the result
    scale: int = 1  # how many times as large as the image the result is
    smallest: int = 1  # pixels that a side must have at least
    size: int | None = None  # pixels to which the longer side of an image is resized first; None to keep its size

    def __call__(self, image: Tensor, name: str | None) -> Tensor:
        """Resize an image (1, 3, H, W) to `size`, if that is set, and transform it; `name` labels a progress bar."""
        return self.apply(resize(image, *self.sides(*image.shape[2:])) if self.size else image, name)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image after it is resized to `size`."""
        share = self.size / max(height, width) if self.size else 1
        return max(1, round(share * height)), max(1, round(share * width))


def transform_files(
    inputs: Path | str | Sequence[Path | str],
    out: Path | str,
    transform: Transform,
    overwrite: bool = False,
    others: Sequence[Path | str] = (),
) -> list[ReplicationError]:
    """Transform image and video files, and the images in folders; foreseeable failures are logged before the work.

    Subfolders are mirrored in the output. Animations become animations if the format of the result allows it.

    Args:
        inputs: files and folders, one or several. Files of an input folder that lie in an output folder within it are
            not taken.
        out: a folder, where each result has the name of its input; or, for one input file, a file. A path that has a
            suffix, does not end in a slash and is no folder yet is a file.
        transform: see `Transform`.
        overwrite: whether existing results are made again; otherwise they are kept.
        others: further folders of results, whose files are not taken as inputs either.

    Returns:
        An error for each input that was left out; all others are done.

    Raises:
        RangeError: there is no input.
        ReplicationError: there are several inputs but one output file, or `out` has a suffix that cannot be written.
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
    kept = {target for source, target in pairs if os.path.isfile(target) and not (overwrite or _same(source, target))}
    if kept:
        log.info("kept, since they are there: %d results, %s first; --overwrite makes them anew", len(kept), min(kept))
    work = [pair for pair in pairs if pair[1] not in kept and _possible(*pair, transform, leave_out)]
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
    """Transform a frame; its transparency is resized to match."""
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
    """Each input image with the path of its result."""
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
    if len({name for _, name in found}) < len(set(found)):  # two names are equal, so their folders are kept
        above = Path(os.path.commonpath([os.path.abspath(source.parent) for source, _ in names.values()]))
        names = {key: (source, Path(os.path.abspath(source)).relative_to(above)) for key, (source, _) in names.items()}
    return [(source, Path(out) / name) for source, name in names.values()]


def _folded(name: Path) -> str:
    """A form of a name that is the same for all names that a Mac's file system takes for one."""
    return unicodedata.normalize("NFC", str(name)).casefold()


def _named(path: Path, results: set[Path], leave_out: Callable[[str], None]) -> list[tuple[Path, Path]]:
    """The image files of an input, without results, each with the path of its result below the output folder."""
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
    """Whether a file can be transformed, judged by its header and by the format and the path of its result."""
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
