"""Commands on many image files: which file each becomes, and that one that fails stops no other."""

import functools
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from replication.io.files import ReplicationError
from replication.io.image_files import image_files
from replication.io.images import FORMATS, frame_count, load_frames, load_image, save_image
from replication.io.pictures import content_picture
from replication.io.pixels import resize, to_pixels
from replication.io.ranges import RangeError
from replication.io.transform_files import Transform, transform_files

PHOTOGRAPH = resize(content_picture("coffee").image, 48, 64)
KINDS = ("jpg", "jpeg", "jfif", "png", "webp", "tif", "tiff", "bmp", "avif", "heic", "gif")


class Darker:
    """Half as bright, and what it was given."""

    def __init__(self):
        self.names = []

    def __call__(self, image, name):
        self.names.append(name)
        return image / 2


@pytest.fixture
def darker():
    return Darker()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder where the user stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photographs(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_image(PHOTOGRAPH, folder / name)
    return folder


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_folders_within_a_folder_are_mirrored(tmp_path, darker):
    photographs(tmp_path / "in", "100/IMG_1.jpg", "101/IMG_1.jpg", "a.png")
    assert transform_files([tmp_path / "in"], tmp_path / "out", Transform(darker)) == []
    assert tree(tmp_path / "out") == ["100/IMG_1.jpg", "101/IMG_1.jpg", "a.png"]
    assert (load_image(tmp_path / "out" / "a.png") - PHOTOGRAPH / 2).abs().max() < 0.76 / 255


def test_files_of_one_name_keep_the_folders_that_tell_them_apart(here, darker):
    photographs(here, "a/1.png", "b/1.png")
    assert transform_files(["a/1.png", "b/1.png", "a/1.png"], "out", Transform(darker)) == []
    assert tree(here / "out") == ["a/1.png", "b/1.png"]
    assert len(darker.names) == 2


def test_names_that_are_one_to_a_mac_keep_the_folders_that_tell_them_apart(here, darker):
    photographs(here, "a/IMG_1.PNG", "b/img_1.png", "c/\u00e9.png", "d/e\u0301.png")
    assert transform_files(["a/IMG_1.PNG", "b/img_1.png"], "out", Transform(darker)) == []
    assert tree(here / "out") == ["a/IMG_1.PNG", "b/img_1.png"]
    assert transform_files(["c/\u00e9.png", "d/e\u0301.png"], "other", Transform(darker)) == []
    assert tree(here / "other") == ["c/\u00e9.png", "d/e\u0301.png"]
    if len(image_files(photographs(here, "e/x/A.png", "e/x/a.png") / "e")) == 1:
        return  # this is a Mac
    assert transform_files(["e"], "third", Transform(darker)) == []
    assert tree(here / "third") == ["x/A.png", "x/a.png"]  # with their folders they would be one as well


def test_a_folder_may_be_written_into_the_one_that_holds_it(here, darker):
    photographs(here, "in/a.png")
    assert transform_files(["in"], ".", Transform(darker)) == []
    assert tree(here) == ["a.png", "in/a.png"]


def test_without_an_input_nothing_is_called_done(here, darker):
    with pytest.raises(RangeError, match="give an image, a video or a folder"):
        transform_files([], here / "out", Transform(darker))


def test_the_output_folder_is_no_input_and_results_are_kept(tmp_path, darker, caplog):
    folder = photographs(tmp_path / "in", "a.png", "b/c.png")
    caplog.set_level(logging.INFO)
    transform_files([folder], folder / "out", Transform(darker))
    first = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.png")}
    photographs(folder, "d.png")
    assert transform_files([folder], folder / "out", Transform(darker)) == []
    assert tree(folder / "out") == ["a.png", "b/c.png", "d.png"]
    assert darker.names == ["a.png", "c.png", "d.png"]
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert "kept, since they are there: 2 results" in caplog.text
    transform_files([folder], folder / "out", Transform(darker), overwrite=True)
    assert len(darker.names) == 6


def test_what_cannot_be_written_or_read_is_told_before_the_first_is_computed(tmp_path, caplog):
    photographs(tmp_path, "a.jpg", "b.webp", "small.png")
    (tmp_path / "photo.psd").write_bytes((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "text.png").write_text("no image")
    save_image(resize(PHOTOGRAPH, 8, 3000), tmp_path / "wide.webp")
    save_image(resize(PHOTOGRAPH, 8, 8), tmp_path / "small.png")
    told = []
    inputs = [tmp_path / name for name in ("photo.psd", "text.png", "gone.png", "small.png", "wide.webp", "a.jpg")]

    def apply(image, name):
        told.append(caplog.text)
        return image.repeat(1, 1, 8, 8)

    with caplog.at_level(logging.WARNING):
        failed = transform_files(inputs, tmp_path / "out", Transform(apply, scale=8, smallest=8))
    assert len(told) == 2
    assert [str(error) for error in failed] == [line.split("left out: ")[1] for line in told[0].splitlines()]
    for name, reason in {
        "photo.psd": "'.psd' are not written",
        "text.png": "not an image",
        "gone.png": "does not exist",
        "wide.webp": "WEBP does not take 24000 x 64 pixels",
    }.items():
        (line,) = [str(error) for error in failed if name in str(error)]
        assert reason in line
    assert tree(tmp_path / "out") == ["a.jpg", "small.png"]


@pytest.mark.parametrize(
    ("inputs", "out", "expected"),
    [
        (["a.jpg"], "x.png", ["x.png"]),
        (["a.jpg"], "x", ["x/a.jpg"]),
        (["a.jpg"], "results.v2/", ["results.v2/a.jpg"]),
        (["a.jpg", "b.jpg"], "results.v2", ["results.v2/a.jpg", "results.v2/b.jpg"]),
        (["in"], "results.v2", ["results.v2/c.jpg"]),
        (["a.jpg"], "there.d", ["there.d/a.jpg"]),
        (["a.jpg"], "results.v2", "files of the suffix '.v2' are not written; for a folder give results.v2/"),
        (["a.jpg", "b.jpg"], "x.jpg", "it is the name of one file; for a folder give x.jpg/"),
        (["in"], "x.jpg", "x.jpg: it is the name of one file"),
    ],
)
def test_what_is_a_folder_and_what_a_file(here, darker, inputs, out, expected):
    photographs(here, "a.jpg", "b.jpg", "in/c.jpg")
    (here / "there.d").mkdir()
    before = tree(here)
    if isinstance(expected, str):
        with pytest.raises(ReplicationError, match=expected):
            transform_files(inputs, out, Transform(darker))
        assert darker.names == []
        expected = []
    else:
        assert transform_files(inputs, out, Transform(darker)) == []
    assert sorted(set(tree(here)) - set(before)) == expected


def test_a_result_never_replaces_its_input(tmp_path, darker):
    photographs(tmp_path, "in/a.png", "b.png")
    before = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    failed = transform_files(
        [tmp_path / "link", tmp_path / "b.png"], tmp_path / "in", Transform(darker), overwrite=True
    )
    assert "would replace its input" in str(failed[0])
    assert (tmp_path / "in" / "a.png").read_bytes() == before
    assert darker.names == ["b.png"]


def test_a_defect_is_not_explained_away(tmp_path):
    photographs(tmp_path, "a.png")
    with pytest.raises(TypeError):
        transform_files([tmp_path], tmp_path / "out", Transform(lambda image: image))


def test_a_failure_of_any_kind_is_that_of_one_image(tmp_path):
    photographs(tmp_path, *(f"{i}.png" for i in range(6)))
    errors = iter([MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), OSError(28, "No space left"), None])

    def apply(image, name):
        error = next(errors, None)
        if error:
            raise error
        return image / 0 * 0 if name == "4.png" else image  # not finite

    failed = transform_files([tmp_path], tmp_path / "out", Transform(apply))
    assert [Path(str(error).split(":")[0]).name for error in failed] == ["0.png", "1.png", "2.png", "4.png"]
    assert "not enough memory" in str(failed[1])
    assert "No space left" in str(failed[2])
    assert tree(tmp_path / "out") == ["3.png", "5.png"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says how much memory a process has")
def test_an_image_too_large_for_the_memory_is_left_out_by_the_command(tmp_path):
    save_image(torch.zeros(1, 3, 2000, 2000), tmp_path / "a.png")
    photographs(tmp_path, "b.png")
    code = (
        "import resource, sys, torch, replication.style_transfer\n"
        "from replication.__main__ import main\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 6 * 10**8,) * 2)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    files = [tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out"]
    command = [sys.executable, "-c", code, "stylise", *files, "--style", "great_wave", "--tile", "4096"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"left out: {tmp_path / 'a.png'}: there is not enough memory" in result.stderr
    assert "Traceback" not in result.stderr
    assert tree(tmp_path / "out") == ["b.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_in_a_folder_and_written(tmp_path, darker, kind):
    photographs(tmp_path / "in", f"a.{kind}", f"b.{kind.upper()}")
    assert transform_files([tmp_path / "in"], tmp_path / "out", Transform(darker)) == []
    assert tree(tmp_path / "out") == [f"a.{kind}", f"b.{kind.upper()}"]
    assert (load_image(tmp_path / "out" / f"a.{kind}") - PHOTOGRAPH / 2).abs().mean() < 4 / 255


@pytest.fixture
def forbidden():
    """A folder with a photograph, where a folder cannot be read and one not be written into, for no one but root."""
    with tempfile.TemporaryDirectory() as name:  # not in tmp_path, which is root's alone
        folder = photographs(Path(name), "a.png", "closed/b.png", "listed/d.png", "locked/c.png")
        modes = {folder: 0o755, folder / "closed": 0o000, folder / "listed": 0o444, folder / "locked": 0o555}
        for path, mode in modes.items():
            path.chmod(mode)
        (folder / "a.png").chmod(0o644)
        user = os.geteuid()
        if user == 0:
            try:
                os.seteuid(65534)
            except OSError:
                pytest.skip("root alone is a user here")
        try:
            yield folder
        finally:
            os.seteuid(user)
            for path in modes:
                path.chmod(0o755)


def test_what_may_not_be_read_or_written_is_named_beforehand(forbidden, darker):
    found = []
    assert image_files(forbidden, found.append) == [forbidden / "a.png", forbidden / "locked" / "c.png"]
    assert sorted(found) == [
        f"{forbidden / 'closed'} cannot be read (Permission denied); check its permissions",
        f"{forbidden / 'listed'} cannot be entered (Permission denied); check its permissions",
    ]
    failed = transform_files([forbidden / "a.png"], forbidden / "locked" / "out" / "x.png", Transform(darker))
    assert f"{forbidden / 'locked'} is no folder that can be written into" in str(failed[0])
    assert darker.names == []


def test_names_up_to_the_longest_work_and_longer_ones_are_refused_beforehand(tmp_path, darker):
    name = "ä" * 125 + ".png"  # 254 bytes
    photographs(tmp_path / "in", name)
    assert transform_files([tmp_path / "in"], tmp_path / "out", Transform(darker)) == []
    assert tree(tmp_path / "out") == [name]
    (failed,) = transform_files([tmp_path / "in" / name], tmp_path / f"ää{name}", Transform(darker))
    assert "its name is longer than 255 bytes; shorten it" in str(failed)
    assert len(darker.names) == 1


def animation(path, durations=(40, 80, 120), loop=0):
    """Three shades of a photograph."""
    frames = [Image.fromarray(to_pixels(PHOTOGRAPH * share)) for share in (1, 0.6, 0.3)]
    more = {} if path.suffix == ".tif" else {"duration": list(durations), "loop": loop}
    frames[0].save(path, save_all=True, append_images=frames[1:], **more)
    return path


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "avif", "tif"])
def test_an_animation_gives_an_animation(tmp_path, darker, kind):
    source = animation(tmp_path / f"a.{kind}")
    target = tmp_path / f"b.{kind}"
    assert transform_files([source], target, Transform(darker)) == []
    assert frame_count(target) == 3
    for found, given, share in zip(load_frames(target), load_frames(source), (1, 0.6, 0.3), strict=True):
        assert (found.duration, found.loop) == (given.duration, given.loop)
        assert (found.image - PHOTOGRAPH * share / 2).abs().mean() < 6 / 255


@pytest.mark.parametrize("loop", [1, 3])
@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_an_animation_is_shown_as_often_as_it_was(tmp_path, darker, kind, loop):
    source = animation(tmp_path / f"a.{kind}", loop=loop)
    assert transform_files([source], tmp_path / f"b.{kind}", Transform(darker)) == []
    assert {frame.loop for frame in load_frames(tmp_path / f"b.{kind}")} == {loop}


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_in_an_animation_what_is_clear_stays_clear(tmp_path, darker, kind):
    """A square that moves leaves nothing behind."""
    frames = [Image.new("RGBA", (48, 48)) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame.paste((200, 100, 50, 255), (16 * i, 8, 16 * i + 16, 24))
    source = tmp_path / f"a.{kind}"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=40, disposal=2, kmin=0, kmax=1)
    assert transform_files([source], tmp_path / f"b.{kind}", Transform(darker)) == []
    for i, frame in enumerate(load_frames(tmp_path / f"b.{kind}")):
        assert frame.alpha.sum() == 256
        assert frame.alpha[..., 8:24, 16 * i : 16 * i + 16].min() == 1


def test_an_animation_gives_its_first_picture_where_the_format_holds_one_alone(tmp_path, darker, caplog):
    transform_files([animation(tmp_path / "a.gif")], tmp_path / "b.jpg", Transform(darker))
    assert "a.gif holds 3 pictures; one is taken" in caplog.text
    assert (load_image(tmp_path / "b.jpg") - PHOTOGRAPH / 2).abs().mean() < 6 / 255


def test_all_formats_have_a_suffix_and_are_written(tmp_path):
    by_format = {kind: suffix for suffix, kind in Image.registered_extensions().items()}
    for kind in FORMATS:
        save_image(PHOTOGRAPH, tmp_path / f"a{by_format[kind]}")
        assert load_image(tmp_path / f"a{by_format[kind]}").shape == PHOTOGRAPH.shape


@pytest.mark.parametrize("kind", ["webp", "avif", "heic"])
def test_lossy_results_are_as_good_as_a_jpeg(tmp_path, kind):
    image = content_picture("chelsea").image
    errors = []
    for suffix in ("jpg", kind):
        save_image(image, tmp_path / f"a.{suffix}")
        errors.append((load_image(tmp_path / f"a.{suffix}") - image).square().mean().item())
    assert errors[1] <= errors[0]
    assert -10 * np.log10(errors[1]) > 40


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif", ".heic"])
def test_transparency_is_kept_where_the_format_holds_it(tmp_path, suffix):
    clear = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)
    pixels = np.dstack([np.full((48, 64, 3), 90, np.uint8), clear])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert transform_files([tmp_path / "a.png"], tmp_path / f"b{suffix}", Transform(lambda x, _: enlarge(x), 2)) == []
    with Image.open(tmp_path / f"b{suffix}") as found:
        kept = np.asarray(found.getchannel("A").resize((64, 48), Image.Resampling.BOX), float)
    assert np.abs(kept - clear).mean() < 2
    laid = load_image(tmp_path / "a.png")
    assert (resize(load_image(tmp_path / f"b{suffix}"), 48, 64) - laid).abs()[..., 40:, :].max() < 0.1


def enlarge(image):
    return resize(image, 2 * image.shape[2], 2 * image.shape[3])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
def test_what_is_half_clear_keeps_its_colour(tmp_path, suffix):
    """A shadow: black, of which 30 % are to be seen."""
    Image.new("RGBA", (60, 60), (0, 0, 0, 77)).save(tmp_path / "a.png")
    assert transform_files([tmp_path / "a.png"], tmp_path / f"b{suffix}", Transform(lambda x, _: x)) == []
    with Image.open(tmp_path / f"b{suffix}") as found:
        assert max(found.getpixel((30, 30))[:3]) <= 2
    assert (load_image(tmp_path / f"b{suffix}") - load_image(tmp_path / "a.png")).abs().max() < 0.01


def test_what_is_half_clear_is_laid_on_white_in_a_gif_which_shows_it_whole(tmp_path):
    Image.new("RGBA", (60, 60), (0, 0, 0, 77)).save(tmp_path / "a.png")
    assert transform_files([tmp_path / "a.png"], tmp_path / "b.gif", Transform(lambda x, _: x)) == []
    with Image.open(tmp_path / "b.gif") as found:
        assert found.convert("RGB").getpixel((30, 30)) == (178, 178, 178)


@pytest.mark.parametrize("kind", [str, Path])
def test_one_input_needs_no_list(here, darker, kind):
    photographs(here, "a.png", "other.png")
    assert transform_files(kind("a.png"), "out", Transform(darker)) == []
    assert tree(here / "out") == ["a.png"]


def test_videos_that_are_not_read_are_told_from_images(here, darker):
    (here / "a.avi").touch()
    (failed,) = transform_files(["a.avi"], "b.mp4", Transform(darker))
    assert str(failed) == "a.avi: videos of this suffix are not read; copy it first: ffmpeg -i a.avi a.mkv"


def test_where_it_does_not_the_transparency_is_laid_on_white_with_a_word(tmp_path, caplog):
    Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert transform_files([tmp_path / "a.png"], tmp_path / "b.jpg", Transform(lambda x, _: x)) == []
    assert f"{tmp_path / 'b.jpg'}: its transparency is laid on white" in caplog.text
    assert load_image(tmp_path / "b.jpg").min() > 0.99


@pytest.mark.parametrize("source", [".jpg", ".tif", ".heic"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".heic"])
def test_exif_is_kept_but_for_the_orientation(tmp_path, source, suffix):
    exif, given = Image.Exif(), tmp_path / f"a{source}"
    exif[0x010E], exif[0x0112], exif[0x8769] = "a cat", 6, {0x9003: "2020:01:01 00:00:00"}  # 0x0112: to be turned
    exif.load(exif.tobytes())
    Image.new("RGB", (60, 40)).save(given, exif=exif.tobytes())
    assert transform_files([given], tmp_path / f"b{suffix}", Transform(lambda x, _: x)) == []
    with Image.open(tmp_path / f"b{suffix}") as found:
        assert found.size == (40, 60)
        assert found.getexif()[0x010E] == "a cat"
        assert found.getexif().get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
        assert found.getexif().get(0x0112, 1) == 1


def half(image, _):
    return 0.5 * image


@functools.cache  # it holds the time of its making
def swapped():
    """A profile whose red is sRGB's green and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif", ".heic"])
def test_a_result_is_in_the_profile_of_its_photograph(tmp_path, suffix):
    Image.new("RGB", (60, 40), (20, 200, 90)).save(tmp_path / "a.png", icc_profile=swapped())
    y = load_image(tmp_path / "a.png")
    assert y[0, :, 0, 0].mul(255).round().tolist() == pytest.approx([200, 20, 90], abs=2)
    assert transform_files([tmp_path / "a.png"], tmp_path / f"b{suffix}", Transform(half)) == []
    assert (load_image(tmp_path / f"b{suffix}") - 0.5 * y).abs().max() < 3 / 255
    with Image.open(tmp_path / f"b{suffix}") as found:
        assert found.info["icc_profile"] == swapped()
    transform_files([tmp_path / "a.png"], tmp_path / "b.bmp", Transform(half))  # which holds no profile
    assert (load_image(tmp_path / "b.bmp") - 0.5 * y).abs().max() < 2 / 255


def test_a_profile_that_does_not_fit_is_not_kept(tmp_path):
    Image.new("RGB", (60, 40), (20, 200, 90)).save(tmp_path / "a.png", icc_profile=b"none")
    assert transform_files([tmp_path / "a.png"], tmp_path / "b.png", Transform(half)) == []
    with Image.open(tmp_path / "b.png") as found:
        assert "icc_profile" not in found.info
