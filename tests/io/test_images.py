"""Every kind of image file that a user may bring: read rightly, or refused in one line that names the file."""

import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from replication.io import images
from replication.io.files import ReplicationError
from replication.io.images import jpeg, load_frame, load_image, save_frames, save_image
from replication.io.pictures import content_picture
from replication.io.pixels import from_pixels, resize, square, to_pixels


@pytest.fixture
def pixels():
    return to_pixels(content_picture("chelsea").image)[:64, :96]


def test_a_png_is_read_and_written_exactly(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.shape == (1, 3, 64, 96)
    assert image.dtype == torch.float32
    save_image(image, tmp_path / "b.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_exif_that_cannot_be_written_is_left_out(tmp_path, pixels, kind, orientation, caplog):
    tags = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0), struct.pack("<HHI4s", 282, 2, 3, b"72")]  # a text
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", exif=exif)
    frame = load_frame(tmp_path / f"a.{kind}")
    assert "its EXIF is damaged" in caplog.text
    assert frame.image.shape == ((1, 3, 64, 96) if orientation == 1 else (1, 3, 96, 64))
    save_frames([frame], tmp_path / f"b.{kind}")
    assert load_image(tmp_path / f"b.{kind}").shape == frame.image.shape


def test_exif_orientation_is_applied(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(to_pixels(load_image(tmp_path / "a.png")), np.rot90(pixels, -1))


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_becomes_rgb(tmp_path, bits):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(f"u{bits // 8}").reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    expected = np.round(ramp / (257 if bits == 16 else 1)).astype(np.uint8)
    assert np.array_equal(to_pixels(load_image(tmp_path / "a.png")), np.stack([expected] * 3, axis=-1))


def test_cmyk_is_near_rgb(tmp_path):
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = to_pixels(load_image(tmp_path / "red.jpg"))[16, 16]
    assert red > 200
    assert max(green, blue) < 60


def test_palette_and_its_transparent_colour(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    found = to_pixels(load_image(tmp_path / "a.png"))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    Image.new("L", (8, 8), 0).convert(mode).save(tmp_path / "a.png")
    half = Image.open(tmp_path / "a.png")
    half.putalpha(128)
    half.save(tmp_path / "a.png")
    assert to_pixels(load_image(tmp_path / "a.png"))[0, 0].tolist() == [127] * 3


def test_icc_profile_is_converted_to_srgb(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    grey = Image.new("LAB", (8, 8), (128, 128, 128))
    grey.save(tmp_path / "a.tif", icc_profile=lab.tobytes())
    expected = ImageCms.profileToProfile(grey, lab, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert np.array_equal(to_pixels(load_image(tmp_path / "a.tif")), np.asarray(expected))


def _saved(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("bits", [8, 16])
def test_where_white_is_0_it_is_white(tmp_path, bits):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(f"u{bits // 8}").reshape(8, 8)
    path = _saved(Image.fromarray(ramp), tmp_path / "a.tif")
    content = path.read_bytes()
    photometric = struct.pack("<HHIHH", 262, 3, 1, 1, 0)  # the tag, one short, of value 1: black is 0
    assert content.count(photometric) == 1
    path.write_bytes(content.replace(photometric, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    expected = 255 - np.round(ramp / (257 if bits == 16 else 1)).astype(np.uint8)
    assert np.array_equal(to_pixels(load_image(path))[..., 0], expected)


def test_the_transparent_value_of_16_bit_grey_is_laid_on_white(tmp_path):
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 512
    path = _saved(Image.fromarray(ramp), tmp_path / "a.png", transparency=512)
    assert to_pixels(load_image(path))[0, :3, 0].tolist() == [0, 255, 4]


def test_a_profile_that_does_not_fit_is_ignored_with_a_word(tmp_path, pixels, caplog):
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=b"no profile")
    assert np.array_equal(to_pixels(load_image(tmp_path / "a.png")), pixels)
    assert "a.png: its ICC profile does not fit" in caplog.text


def test_a_single_pixel_is_an_image(tmp_path):
    Image.new("RGB", (1, 1), (255, 0, 51)).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.flatten().tolist() == pytest.approx([1, 0, 0.2])
    assert square(image, 4).shape == (1, 3, 4, 4)


def test_a_huge_image_is_refused_by_its_header(tmp_path):
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    content = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(ReplicationError, match=r"huge.png is too large \(Image size \(400000000 pixels\) exceeds"):
        load_image(tmp_path / "huge.png")


def _truncated(path):
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _damaged(path):
    Image.effect_noise((64, 64), 50).save(path)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)


BAD = {
    "truncated.jpg": (_truncated, "truncated"),
    "truncated.png": (_truncated, "truncated"),
    "damaged.png": (_damaged, "could not be read"),
    "text.jpg": (lambda path: path.write_text("no image"), "not an image"),
    "empty.png": (lambda path: path.touch(), "not an image"),
    "folder.png": (lambda path: path.mkdir(), "is a folder"),
    "missing.png": (lambda path: None, "does not exist"),
    "float.tif": (lambda path: Image.new("F", (8, 8)).save(path), "floating-point"),
    "deep.tif": (lambda path: Image.new("I", (8, 8), 10**6).save(path), "32-bit"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named(tmp_path, name):
    make, reason = BAD[name]
    make(tmp_path / name)
    with pytest.raises(ReplicationError, match=reason) as caught:
        load_image(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(100, 150), (480, 720)])
def test_resize_is_pillows_bicubic(size):
    """Of the cat's fur, where other kernels are several times as far from it."""
    fur = content_picture("chelsea").image[..., :240, :360]
    expected = Image.fromarray(to_pixels(fur)).resize(size[::-1], Image.Resampling.BICUBIC)
    difference = np.abs(to_pixels(resize(fur, *size)).astype(int) - np.asarray(expected))
    assert difference.max() <= 2  # Pillow rounds between the two directions


def test_resize_stays_in_range():
    assert resize(torch.eye(3)[None, None].expand(1, 3, 3, 3), 20, 20).max() <= 1


def test_jpeg_is_that_of_a_file(tmp_path, pixels):
    image = from_pixels(pixels)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=60)
    assert torch.equal(jpeg(image, 60), load_image(tmp_path / "a.jpg"))
    assert (jpeg(image, 20) - image).square().mean() > (jpeg(image, 90) - image).square().mean() > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_out_of_range_is_clipped(dtype):
    image, most = torch.tensor([-0.2, 0, 1, 1.3]).expand(1, 3, 1, 4), np.iinfo(dtype).max
    assert to_pixels(image, dtype)[0, :, 0].tolist() == [0, 0, most, most]


def test_square_takes_the_centre():
    image = torch.zeros(1, 3, 10, 30)
    image[..., 10:20] = 1
    for wide_or_tall in (image, image.mT):
        assert torch.equal(square(wide_or_tall, 10), torch.ones(1, 3, 10, 10))


@pytest.mark.parametrize(
    ("name", "reason"), [("a.xyz", "'.xyz' are not written"), ("a.psd", "'.psd' are not"), ("none/a.png", None)]
)
def test_saving(tmp_path, name, reason):
    image = torch.rand(1, 3, 8, 8)
    if reason is None:
        save_image(image, tmp_path / name)
        assert (load_image(tmp_path / name) - image).abs().max() <= 0.5001 / 255
    else:
        with pytest.raises(ReplicationError, match=reason):
            save_image(image, tmp_path / name)


def test_an_image_of_many_megapixels_is_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    save_image(torch.zeros(1, 3, 60, 60), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    assert load_image(tmp_path / "a.png").shape == (1, 3, 60, 60)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ReplicationError, match="a.png is too large"):
        load_image(tmp_path / "a.png")


def test_threads_that_read_images_leave_the_filters_of_warnings_as_they_were(tmp_path):
    save_image(torch.zeros(1, 3, 8, 8), tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load_image, 400 * [tmp_path / "a.png"]))
    assert warnings.filters == before


def test_too_little_memory_is_no_damaged_file(tmp_path, monkeypatch):
    def starved(pixels):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    save_image(torch.zeros(1, 3, 8, 8), tmp_path / "a.png")
    monkeypatch.setattr(images, "from_pixels", starved)
    with pytest.raises(ReplicationError, match=r"a.png: there is not enough memory; free some"):
        load_image(tmp_path / "a.png")


def test_an_image_too_large_for_its_format_is_not_saved(tmp_path):
    with pytest.raises(ReplicationError, match=r"a.jpg: JPEG does not take 70000 x 1 pixels .*; use .png"):
        save_image(torch.zeros(1, 3, 1, 70_000), tmp_path / "a.jpg")


def test_what_is_no_image_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        save_image(torch.full((1, 3, 8, 8), torch.nan), tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"shape \(1, 3, H, W\)"):
        save_image(torch.zeros(2, 3, 8, 8), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    save_image(torch.zeros(1, 3, 8, 8), path)
    before = path.read_bytes()
    code = (
        "import resource, sys, torch; from replication.io.images import save_image\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "save_image(torch.rand(1, 3, 64, 64), sys.argv[1])"
    )
    result = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True, text=True)
    assert "ReplicationError" in result.stderr.splitlines()[-1]
    assert "a.png could not be written (File too large)" in result.stderr
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
