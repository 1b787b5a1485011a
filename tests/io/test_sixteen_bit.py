"""Sixteen bits a channel: read in full, from files that others wrote, and written so that others read them."""

import struct
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from replication.io.files import ReplicationError
from replication.io.images import Frame, load_frame, load_frames, load_image, save_frames
from replication.io.pictures import content_picture
from replication.io.transform_files import Transform, transform_files
from replication.style_transfer import stylise_files
from replication.super_resolution import upscale_files

LAYOUTS = {"gray16": 1, "rgb48": 3, "rgba64": 4}
SAME = Transform(lambda image, _: image)


@pytest.fixture
def pixels():
    """Every value of 16 bits in red, half of them with another value beside it."""
    values = np.arange(2**16, dtype=np.uint16).reshape(128, 512)
    return np.dstack([values, values[::-1], values // 2 + 77, 65535 - values // 3])


def written(path, pixels, layout="rgb48", **options):
    """A file by FFmpeg."""
    codec = av.CodecContext.create("png" if path.suffix == ".png" else "tiff", "w")
    codec.height, codec.width, codec.time_base = *pixels.shape[:2], Fraction(1)
    codec.pix_fmt, codec.options = layout + ("be" if path.suffix == ".png" else "le"), options
    channels = pixels[..., : LAYOUTS[layout]]
    frame = av.VideoFrame.from_ndarray(channels.squeeze() if layout == "gray16" else channels.copy(), codec.pix_fmt)
    path.write_bytes(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode()]))
    return path


def with_chunk(path, chunk):
    """A PNG file that holds another chunk, behind its header."""
    content, length, check = path.read_bytes(), len(chunk) - 4, zlib.crc32(chunk)
    path.write_bytes(content[:33] + struct.pack(">I", length) + chunk + struct.pack(">I", check) + content[33:])
    return path


def found(path, layout="rgb48"):
    """What FFmpeg reads, which has to be of this layout."""
    with av.open(str(path)) as file:
        (frame,) = file.decode(video=0)
    assert frame.format.name.startswith(layout)
    return frame.to_ndarray()


def numbers(image):
    """An image (1, C, H, W) in [0, 1] in steps of 16 bits."""
    return image[0].permute(1, 2, 0).numpy().astype(np.float64) * 65535


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_value_is_read_and_written_again(tmp_path, pixels, suffix, layout):
    source = written(tmp_path / f"a{suffix}", pixels, layout)
    frame = load_frame(source)
    colours = pixels[..., [0, 0, 0] if layout == "gray16" else [0, 1, 2]].astype(np.float64)
    if layout == "rgba64":
        share = pixels[..., 3:] / 65535
        colours = share * colours + (1 - share) * 65535
        assert np.abs(numbers(frame.alpha) - pixels[..., 3:]).max() < 0.01
    assert np.abs(numbers(frame.image) - colours).max() < 0.01
    for result in ("b.png", "b.tiff"):
        assert transform_files([source], tmp_path / result, SAME) == []
        if layout == "rgba64":
            kept = found(tmp_path / result, layout)
            assert np.array_equal(kept[..., 3], pixels[..., 3])
            there = pixels[..., 3] > 655  # where one percent is to be seen
            assert np.abs(kept[..., :3].astype(float) - pixels[..., :3])[there].max() <= 2
        else:
            assert np.array_equal(found(tmp_path / result), colours)


@pytest.mark.parametrize("result", ["b.jpg", "b.webp", "b.bmp"])
def test_elsewhere_there_are_8(tmp_path, pixels, result):
    assert transform_files([written(tmp_path / "a.png", pixels)], tmp_path / result, SAME) == []
    with Image.open(tmp_path / result) as file:
        assert file.mode == "RGB"
        error = np.abs(np.asarray(file).astype(float) - pixels[..., :3] / 257).mean()
    assert error < (0.3 if result == "b.bmp" else 3)


def test_what_has_8_bits_keeps_8(tmp_path):
    Image.effect_noise((64, 48), 50).convert("RGB").save(tmp_path / "a.png")
    for result in ("b.png", "b.tif"):
        transform_files([tmp_path / "a.png"], tmp_path / result, SAME)
        assert found(tmp_path / result, "rgb24").dtype == np.uint8


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "predictor": True},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True, "rowsperstrip": 5},
    ],
    ids=str,
)
def test_the_kinds_of_tiff(tmp_path, pixels, options):
    for channels, more in ((3, {}), (4, {"extrasamples": ["unassalpha"]})):
        tifffile.imwrite(tmp_path / "a.tif", pixels[..., :channels], photometric="rgb", **options, **more)
        frame = load_frame(tmp_path / "a.tif")
        assert frame.sixteen_bit
        share = pixels[..., 3:] / 65535 if channels == 4 else 1
        assert np.abs(numbers(frame.image) - (share * pixels[..., :3] + (1 - share) * 65535)).max() < 0.01
        assert channels == 3 or np.abs(numbers(frame.alpha) - pixels[..., 3:]).max() < 0.01


def test_transparency_that_the_colours_of_tiff_are_multiplied_by(tmp_path, pixels):
    colours, alpha = pixels[..., :3], pixels[..., 3:] // 2 + 2**15
    stored = np.dstack([np.rint(colours * (alpha / 65535)).astype(np.uint16), alpha])
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    frame = load_frame(tmp_path / "a.tif")
    assert np.abs(numbers(frame.alpha) - alpha).max() < 0.01
    on_white = 65535 - (65535 - colours) * (alpha / 65535)
    assert np.abs(numbers(frame.image) - on_white).max() < 2


def test_a_large_png_is_written_in_several_chunks(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**16, (100, 200, 3), np.uint16)
    assert transform_files([written(tmp_path / "a.png", pixels)], tmp_path / "b.png", SAME) == []
    assert (tmp_path / "b.png").read_bytes().count(b"IDAT") > 2
    assert np.array_equal(found(tmp_path / "b.png"), pixels[..., :3])


@pytest.mark.parametrize("compression", ["raw", "lzw", "deflate"])
def test_how_tiff_is_compressed(tmp_path, pixels, compression):
    frame = load_frame(written(tmp_path / "a.tif", pixels, compression_algo=compression))
    assert np.abs(numbers(frame.image) - pixels[..., :3]).max() < 0.01


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_may_lie_in_planes(tmp_path, pixels, compression):
    planes = pixels[..., :3].transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", compression=compression)
    assert np.abs(numbers(load_image(tmp_path / "a.tif")) - pixels[..., :3]).max() < 0.01


@pytest.mark.parametrize(("dtype", "said"), [(np.uint32, "32"), (np.int32, "signed 32"), (np.int16, "signed 16")])
def test_more_bits_and_signs_are_refused(tmp_path, pixels, dtype, said):
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., 0].astype(dtype))
    with pytest.raises(ReplicationError, match=f"a.tif holds {said}-bit pixels; save it with 8 or 16 bits"):
        load_image(tmp_path / "a.tif")


def test_grey_of_other_formats_is_read_in_full(tmp_path, pixels):
    (tmp_path / "a.pgm").write_bytes(b"P5 512 128 65535 " + pixels[..., 0].astype(">u2").tobytes())
    assert np.abs(numbers(load_image(tmp_path / "a.pgm"))[..., 0] - pixels[..., 0]).max() < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_way_to_hold_a_camera(tmp_path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((pixels[..., :3] >> 8).astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    with_chunk(written(tmp_path / "b.png", pixels), b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0"))
    low, high = (numbers(load_image(tmp_path / name)) for name in ("a.png", "b.png"))
    assert low.shape == high.shape
    assert np.array_equal(low // 257, high.round() // 256)


def test_pages_of_two_profiles_are_written_in_the_first_ones(tmp_path):
    """A file of several pages has one profile."""
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    own = own.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")  # red and green, swapped
    plain, swapped = (Frame(content_picture("coffee").image, profile=profile) for profile in (None, own))
    for pages in ((plain, swapped), (swapped, plain)):
        save_frames(pages, tmp_path / "a.tif")
        for found in load_frames(tmp_path / "a.tif"):
            assert found.profile == pages[0].profile
            assert (found.image - plain.image).abs().max() < 2 / 255


def test_pages_each_keep_their_own(tmp_path, pixels):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (pixels[..., :3], (pixels[..., :3] >> 8).astype(np.uint8), pixels[:50, :, :3]):
            file.write(page, photometric="rgb")
    assert transform_files([tmp_path / "a.tif"], tmp_path / "b.tif", SAME) == []
    given, kept = ([*load_frames(tmp_path / name)] for name in ("a.tif", "b.tif"))
    assert [frame.sixteen_bit for frame in kept] == [True, False, True]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(given, kept, strict=True))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert [page.dtype for page in file.pages] == [np.uint16, np.uint8, np.uint16]
        assert np.array_equal(file.pages[2].tags["BitsPerSample"].value, (16, 16, 16))


def test_an_animation_is_written_in_8(tmp_path, pixels):
    with av.open(str(tmp_path / "a.png"), "w", format="apng") as file:
        stream = file.add_stream("apng", rate=2)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "rgb48be"
        for colours in (pixels[..., :3], pixels[..., 1:]):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(colours.copy(), "rgb48be")))
        file.mux(stream.encode(None))
    assert transform_files([tmp_path / "a.png"], tmp_path / "b.png", SAME) == []
    given, kept = ([*load_frames(tmp_path / name)] for name in ("a.png", "b.png"))
    assert [frame.sixteen_bit for frame in kept] == [False, False]
    assert all((a.image - b.image).abs().max() < 0.501 / 255 for a, b in zip(given, kept, strict=True))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_is_kept_and_the_picture_turned(tmp_path, pixels, suffix):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif.get_ifd(0x8769)[0x9003] = "a cat", 6, "2020:01:01 00:00:00"
    with_chunk(written(tmp_path / "a.png", pixels), b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0"))
    assert transform_files([tmp_path / "a.png"], tmp_path / f"b{suffix}", SAME) == []
    assert np.array_equal(found(tmp_path / f"b{suffix}"), np.rot90(pixels[..., :3], -1))
    with Image.open(tmp_path / f"b{suffix}") as file:
        assert file.getexif()[0x010E] == "a cat"
        assert file.getexif().get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
        assert file.getexif().get(0x0112, 1) == 1


def test_the_transparent_colour_is_that_of_all_bits(tmp_path, pixels):
    source = with_chunk(written(tmp_path / "a.png", pixels), b"tRNS" + pixels[0, 7, :3].astype(">u2").tobytes())
    frame = load_frame(source)
    clear = (pixels[..., :3] == pixels[0, 7, :3]).all(-1)
    assert clear.sum() == 1
    assert np.array_equal(frame.alpha[0, 0].numpy() == 0, clear)
    assert frame.image[0, :, 0, 7].tolist() == [1, 1, 1]


def test_both_commands_work_in_full_depth(tmp_path):
    smooth = np.linspace(20_000, 24_000, 48 * 64).reshape(48, 64, 1).repeat(3, -1).astype(np.uint16)
    source = written(tmp_path / "a.png", smooth)
    assert upscale_files([source], tmp_path / "b.tif") == []
    assert stylise_files([source], tmp_path / "c.png", "poppies_instance") == []
    assert len(np.unique(found(tmp_path / "b.tif"))) > 2000  # 16 would be all of 8 bits
    assert len(np.unique(found(tmp_path / "c.png"))) > 2000


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_cut_short_is_named(tmp_path, pixels, suffix):
    source = written(tmp_path / f"a{suffix}", pixels)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(ReplicationError, match=f"a{suffix} could not be read as an image"):
        load_image(source)
