"""A command on many image files: which file each becomes, and how one that fails stops no other."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from replication.errors import ReplicationError, explained
from replication.files import check_writable
from replication.image_folders import image_files
from replication.images import (
    ANIMATED,
    FORMATS,
    Frame,
    check_format,
    format_of,
    frame_count,
    image_size,
    load_frames,
    load_image,
    save_frames,
)

log = logging.getLogger(__name__)


class Transform(NamedTuple):
    """What is done to each image.

    Attributes:
        apply: from an image (1, 3, H, W) and the name of its file to the result, (1, 3, scale H, scale W).
        scale: how many times as large the result is.
        smallest: pixels that a side needs.
    """

    apply: Callable[[Tensor, str], Tensor]
    scale: int = 1
    smallest: int = 1


def transform_files(
    inputs: Sequence[Path | str], out: Path | str, transform: Transform, overwrite: bool = False
) -> list[ReplicationError]:
    """Transform image files, and the images in folders; what cannot be done is told before the first is computed.

    The folders within a folder are mirrored. Of an animation each frame is transformed, where the result's format holds
    one. Results that are there already are kept.

    Args:
        inputs: files and folders. What lies in the output folder is no input.
        out: a folder, where each result has the name of its input; or, for one file, a file. What is no folder yet and
            has a suffix is a file, unless it ends in a slash.
        transform: what is done.
        overwrite: whether results that are there are made anew.

    Returns:
        What could not be done; all others are.

    Raises:
        ReplicationError: several inputs and one output file, or no output could be written.
    """
    failed: list[ReplicationError] = []

    def leave_out(reason: str) -> None:
        log.warning("left out: %s", reason)
        failed.append(ReplicationError(reason))

    pairs = _targets([Path(path) for path in inputs], os.fspath(out), leave_out)
    kept = (
        []
        if overwrite
        else [target for source, target in pairs if os.path.isfile(target) and not _same(source, target)]
    )
    if kept:
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
    animated = format_of(target) in ANIMATED and format_of(source) in ANIMATED
    if (animated or format_of(target) == format_of(source) == "TIFF") and frame_count(source) > 1:
        frames = (frame._replace(image=transform.apply(frame.image, source.name)) for frame in load_frames(source))
    else:
        frames = iter([Frame(transform.apply(load_image(source), source.name), 0, 1)])
    save_frames(frames, target)


def _targets(inputs: list[Path], out: str, leave_out: Callable[[str], None]) -> list[tuple[Path, Path]]:
    """Which file each image becomes."""
    is_file = bool(Path(out).suffix) and not out.endswith((os.sep, "/")) and not os.path.isdir(out)
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    if is_file and (format_of(out) in FORMATS) != single:
        wrong = f"files of the suffix {Path(out).suffix!r} are not written" if single else "it is the name of one file"
        raise ReplicationError(f"{out}: {wrong}; for a folder give {out}/")
    if is_file and single:
        return [(inputs[0], Path(out))]
    names = {}
    for path in inputs:
        for source, name in _named(path, Path(out), leave_out):
            names.setdefault(Path(os.path.realpath(source)), (source, name))
    if len({name for _, name in names.values()}) < len(names):  # two of one name: with their folders they differ
        above = Path(os.path.commonpath([os.path.abspath(source.parent) for source, _ in names.values()]))
        names = {key: (source, Path(os.path.abspath(source)).relative_to(above)) for key, (source, _) in names.items()}
    return [(source, Path(out) / name) for source, name in names.values()]


def _named(path: Path, out: Path, leave_out: Callable[[str], None]) -> Iterator[tuple[Path, Path]]:
    """The image files of an input, each with its path below the output folder."""
    if not os.path.isdir(path):
        yield path, Path(path.name)
        return
    results = out.resolve() if out.resolve() != path.resolve() else None
    found = [each for each in image_files(path, leave_out) if results not in each.resolve().parents]
    if not found:
        leave_out(f"{path} holds no images")
    for each in found:
        yield each, each.relative_to(path)


def _same(source: Path, target: Path) -> bool:
    return os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target)


def _possible(source: Path, target: Path, transform: Transform, leave_out: Callable[[str], None]) -> bool:
    """Whether the header of a file, the format of its result and the place for that allow the work."""
    try:
        height, width = image_size(source)
        if min(height, width) < transform.smallest:
            raise ReplicationError(f"{source} is too small: a side needs at least {transform.smallest} pixels")
        if _same(source, target):
            raise ReplicationError(f"{target} would replace its input; choose another output")
        check_writable(target)
        check_format(target, transform.scale * height, transform.scale * width)
    except ReplicationError as error:
        leave_out(str(error))
        return False
    return True
