"""Video files: every picture through a function, the sound as it is."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from replication.io.files import ReplicationError, reason, renamed_when_whole
from replication.io.pixels import from_pixels, to_pixels
from replication.io.runtime import progress_bar

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
OTHER_VIDEOS = (".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".3gp", ".wmv", ".flv", ".ogv")  # which are not read
RATE = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"  # frames a second, below one too
BT601, LIMITED = 5, 1  # FFmpeg's numbers of a matrix of colours and of a range of values
QUALITY = {"crf": "18"}  # of x264 and VP9, on a scale of 0, the best, to 51 and 63


def is_video(path: Path | str) -> bool:
    """Whether the suffix of a file says so."""
    return Path(path).suffix.lower() in CONTAINERS


def video_size(path: Path | str) -> tuple[int, int]:
    """Height and width of a video's pictures as stored, before any rotation. Errors: see `transform_video`."""
    with _opened(path) as file:
        return file.streams.video[0].height, file.streams.video[0].width


def transform_video(source: Path | str, target: Path | str, apply: Callable[[Tensor], Tensor]) -> None:
    """Apply a function to every picture of a video; the sound is copied, and each picture keeps its time.

    The result is H.264, or VP9 in WebM, with 4:2:0 chroma subsampling. If a side is odd, its last row or column is left
    out. Pictures that the camera marked as turned are turned.

    Args:
        source: a video file.
        target: a file with a suffix in `CONTAINERS`; an existing one is replaced when the new one is complete.
        apply: maps a picture (1, 3, H, W) in [0, 1] to one of any size, which must be the same for all.

    Raises:
        ReplicationError: the file does not exist, holds no video, or cannot be read or written.
    """
    import av

    kind = CONTAINERS[Path(target).suffix.lower()]
    with (
        _opened(source) as file,
        renamed_when_whole(target) as whole,
        av.open(whole, "w", format=kind) as result,
    ):
        sounds = [sound for sound in file.streams.audio if sound.codec_context]  # those of a known codec
        if lost := len(file.streams.audio) - len(sounds):
            log.warning("%s: sound of an unknown codec is left out, %d of its streams", source, lost)
        for sound in sounds:
            if sound.codec_context.name not in result.supported_codecs:
                raise ReplicationError(f"{target}: {kind} does not take sound of {sound.codec_context.name}; use .mkv")
        _copy(file, sounds, result, apply, Path(source).name)


def _copy(file: Any, sounds: list[Any], result: Any, apply: Callable[[Tensor], Tensor], label: str) -> None:
    """Decode, apply, encode, in the order of the file; sound waits for the first picture, which says the size."""
    video, stream, waiting = file.streams.video[0], None, []
    copies = {sound.index: result.add_stream_from_template(sound) for sound in sounds}
    with progress_bar(video.frames or None, label) as bar:
        bar.unit, bar.bar_format = "frame", RATE
        for packet in file.demux(video, *sounds):
            if packet.stream is not video:
                waiting += [packet] if packet.dts is not None else []
                continue
            for frame in packet.decode():
                picture = _picture(apply(_image(frame)), frame)
                stream = stream or _stream(result, video, picture, quarter=frame.rotation % 180 != 0)
                _encode(stream, picture, result, label)
                bar.update()
            while stream and waiting:
                sound = waiting.pop(0)
                sound.stream = copies[sound.stream.index]
                result.mux(sound)
    if stream is None:
        raise ReplicationError(f"{label} holds no picture; replace the file")
    _encode(stream, None, result, label)


def _encode(stream: Any, picture: Any, result: Any, label: str) -> None:
    """Encode and write a picture; with None, write what the encoder still holds."""
    import av

    try:
        result.mux(stream.encode(picture))
    except av.FFmpegError as error:
        size = f"{stream.width} x {stream.height} pixels"
        raise ReplicationError(f"{label}: its pictures of {size} cannot be encoded ({reason(error)})") from error


def _stream(result: Any, video: Any, picture: Any, quarter: bool) -> Any:
    """Add the stream of the results, in the size of the first one and with the pixel aspect ratio of the video."""
    codec = "libvpx-vp9" if result.format.name == "webm" else "libx264"
    stream = result.add_stream(codec, rate=video.average_rate, options=QUALITY)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
    made, given, wide = stream.codec_context, video.codec_context, video.sample_aspect_ratio or 1
    made.time_base = video.time_base
    made.sample_aspect_ratio = 1 / Fraction(wide) if quarter else Fraction(wide)
    made.colorspace, made.color_range = BT601, LIMITED  # as which RGB is encoded
    made.color_primaries, made.color_trc = given.color_primaries, given.color_trc  # as in the source
    return stream


def _image(frame: Any) -> Tensor:
    pixels = frame.to_ndarray(format="rgb24")
    return from_pixels(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90))))


def _picture(image: Tensor, frame: Any) -> Any:
    import av

    pixels = to_pixels(image)
    height, width = (side - side % 2 for side in pixels.shape[:2])
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return picture


@contextmanager
def _opened(path: Path | str) -> Iterator[Any]:
    """A video file, whose errors become one line that names it."""
    import av  # 0.2 s to import

    try:
        with av.open(os.path.abspath(path)) as file:  # so that FFmpeg takes no "1:2.mp4" for a protocol
            if not file.streams.video or not file.streams.video[0].codec_context:
                raise ReplicationError(f"{path} holds no video that can be decoded; replace the file")
            yield file
    except FileNotFoundError:
        raise ReplicationError(f"{path} does not exist") from None
    except av.FFmpegError as error:
        raise ReplicationError(f"{path} could not be read as a video ({reason(error)}); replace the file") from error
