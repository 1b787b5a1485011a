"""Videos: every picture transformed, the sound as it was."""

from fractions import Fraction

import av
import numpy as np
import pytest

from replication.io.pixels import resize
from replication.io.transform_files import Transform, transform_files
from replication.style_transfer import stylise_files

IDENTITY = b"\0\1\0\0" + 12 * b"\0" + b"\0\1\0\0" + 12 * b"\0" + b"\x40\0\0\0"  # of the box tkhd
CLOCKWISE = 4 * b"\0" + b"\0\1\0\0" + 4 * b"\0" + b"\xff\xff\0\0" + 16 * b"\0" + b"\x40\0\0\0"


@pytest.fixture
def video(tmp_path):
    """A second of a bright corner, upper left, that grows, and a tone."""
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream, tone = file.add_stream("libx264", rate=12), file.add_stream("aac", rate=44100)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(12):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[:24, : 24 + 2 * number] = 200
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
        wave = np.sin(np.arange(44100) / 16).astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate = 44100
        for packet in (*tone.encode(sound), *tone.encode()):
            file.mux(packet)
    return tmp_path / "a.mp4"


def pictures(path):
    with av.open(str(path)) as file:
        return [(float(frame.time), frame.to_ndarray(format="rgb24").astype(float)) for frame in file.decode(video=0)]


def sound(path):
    with av.open(str(path)) as file:
        return b"".join(bytes(packet) for packet in file.demux(audio=0))


def inverse(image, name):
    return 1 - image


def test_the_pictures_of_a_video_have_one_bar_together(video, tmp_path, capsys):
    assert stylise_files([video], tmp_path / "b.mp4", "great_wave_instance", tile=64) == []
    assert capsys.readouterr().err.count("\n") == 1


def test_what_the_encoder_does_not_take_is_no_damaged_video(video, tmp_path):
    wide = Transform(lambda image, name: resize(image, 16, 20_000))
    (failed,) = transform_files([video], tmp_path / "b.mp4", wide)
    assert str(failed).startswith("a.mp4: its pictures of 20000 x 16 pixels cannot be encoded (")
    assert not (tmp_path / "b.mp4").exists()


def test_a_name_with_a_colon_is_a_file_not_a_protocol(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video.rename("12:30.mp4")
    assert transform_files(["12:30.mp4"], "b.mp4", Transform(inverse)) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v"])
def test_every_picture_is_transformed_and_the_sound_is_kept(video, tmp_path, suffix, capsys):
    target = tmp_path / f"b{suffix}"
    assert transform_files([video], target, Transform(inverse)) == []
    assert "frame/s]" in capsys.readouterr().err
    before, after = pictures(video), pictures(target)
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=2e-3)
    for (_, given), (_, made) in zip(before, after, strict=True):
        assert np.abs(made - (255 - given)).mean() < 3
    assert sound(target) == sound(video)


def test_webm_is_vp9(video, tmp_path):
    silent = tmp_path / "silent.mkv"
    with av.open(str(video)) as source, av.open(str(silent), "w") as file:
        given = source.streams.video[0]
        stream = file.add_stream_from_template(given)
        for packet in source.demux(given):
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)
    assert transform_files([silent], tmp_path / "b.webm", Transform(inverse)) == []
    with av.open(str(tmp_path / "b.webm")) as file:
        assert file.streams.video[0].codec_context.name == "vp9"
    for (_, given), (_, made) in zip(pictures(video), pictures(tmp_path / "b.webm"), strict=True):
        assert np.abs(made - (255 - given)).mean() < 3


def test_a_picture_may_become_larger_and_odd_sides_lose_a_row(video, tmp_path):
    larger = Transform(lambda image, _: resize(image, 131, 193), 2)
    assert transform_files([video], tmp_path / "b.mp4", larger) == []
    assert pictures(tmp_path / "b.mp4")[0][1].shape == (130, 192, 3)


def test_what_a_camera_marked_as_turned_is_turned(video, tmp_path):
    content = video.read_bytes()
    start = content.index(IDENTITY, content.index(b"tkhd"))  # of the first track, the pictures
    video.write_bytes(content[:start] + CLOCKWISE + content[start + len(IDENTITY) :])
    assert transform_files([video], tmp_path / "b.mp4", Transform(lambda image, _: image)) == []
    _, first = pictures(tmp_path / "b.mp4")[0]
    assert first.shape == (96, 64, 3)
    assert first[:20, -20:].mean() > 150  # clockwise: the upper left corner has gone to the upper right
    assert first[:20, :20].mean() < 50


def test_what_cannot_be_done_is_named_and_stops_no_other(video, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    cut = tmp_path / "cut.mkv"
    transform_files([video], cut, Transform(inverse))
    cut.write_bytes(cut.read_bytes()[:600])
    reasons = [str(each) for each in transform_files([broken, cut, video], tmp_path / "out", Transform(inverse))]
    assert any(f"{broken} could not be read as a video" in each for each in reasons)
    assert any(str(cut) in each or "cut.mkv" in each for each in reasons)
    assert len(reasons) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]
    (webm,) = transform_files([video], tmp_path / "b.webm", Transform(inverse))
    assert str(webm) == f"{tmp_path / 'b.webm'}: webm does not take sound of aac; use .mkv"
    (picture,) = transform_files([video], tmp_path / "b.png", Transform(inverse))
    assert "of a video only a video is made, .mp4" in str(picture)


def test_the_matrix_of_colours_is_named_and_pixels_stay_as_wide(tmp_path):
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        pixels = np.full((64, 96, 3), (15, 173, 55), np.uint8)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
        for packet in (*stream.encode(picture), *stream.encode()):
            file.mux(packet)
    assert transform_files([source], target, Transform(lambda image, _: image)) == []
    with av.open(str(target)) as file:
        made = file.streams.video[0].codec_context
        assert (made.colorspace, made.color_primaries, made.color_trc) == (
            5,
            1,
            1,
        )  # BT.601's matrix, all else BT.709's
        assert made.sample_aspect_ratio == Fraction(4, 3)
        assert np.abs(next(file.decode(video=0)).to_ndarray(format="rgb24") - pixels.astype(int)).max() <= 4


@pytest.mark.parametrize(("name", "reason"), [(b"mp4a", None), (b"avc1", "holds no video that can be decoded")])
def test_streams_of_unknown_codecs(video, tmp_path, name, reason, caplog):
    video.write_bytes(video.read_bytes().replace(name, b"apac").replace(b"esds", b"none"))
    failed = transform_files([video], tmp_path / "b.mp4", Transform(inverse))
    assert [reason in str(each) for each in failed] == [True] * (reason is not None)
    if reason is None:
        assert len(pictures(tmp_path / "b.mp4")) == 12
        with av.open(str(tmp_path / "b.mp4")) as file:
            assert not file.streams.audio
        assert "sound of an unknown codec is left out" in caplog.text
