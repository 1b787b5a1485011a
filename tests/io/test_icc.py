"""Profiles in 16 bits against LittleCMS, which Pillow has for 8."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from replication.io.icc import SRGB, converted_16
from replication.io.images import load_frame, load_image
from replication.io.pixels import to_pixels
from replication.io.sixteen_bit import png
from replication.io.transform_files import Transform, transform_files

WIDE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))  # Adobe RGB, for D50
CURVES = {
    "identity": b"curv" + struct.pack(">II", 0, 0),
    "power": b"curv" + struct.pack(">IIH", 0, 1, 563),
    "table": b"curv" + struct.pack(">II5H", 0, 5, 0, 4000, 14000, 35000, 65535),
    "formula 0": (0, 1.8),
    "formula 1": (1, 2.2, 0.95, 0.05),
    "formula 2": (2, 2.2, 0.9, 0.05, 0.05),
    "formula 3": (3, 2.4, 0.948, 0.052, 0.0774, 0.0405),
    "formula 4": (4, 2.4, 0.93992, 0.05170, 0.07585, 0.04045, 0.01, 0.01),
}


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(number * 2**16) for number in numbers))


def profile(name, kind=b"RGB "):
    """A profile of one curve, as cameras and screens have, or of grey."""
    curve = CURVES[name]
    if isinstance(curve, tuple):
        curve = b"para" + struct.pack(">IHH", 0, curve[0], 0) + fixed(*curve[1:])
    curve = curve.ljust(-(-len(curve) // 4) * 4, b"\0")
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    if kind == b"RGB ":
        tags |= {
            name + b"XYZ": b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip((b"r", b"g", b"b"), WIDE, strict=True)
        }
    tags |= {name + b"TRC": curve for name in ((b"r", b"g", b"b") if kind == b"RGB " else (b"k",))}
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"", 0x04200000, b"mntr", kind, b"XYZ ", b"acsp")
    return (header + bytes(28) + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


@pytest.fixture
def colours():
    """Greys, and others that sRGB has as well."""
    grey = np.arange(256).reshape(16, 16, 1).repeat(3, -1)
    return np.concatenate([grey, 100 + np.random.default_rng(0).integers(0, 50, (16, 16, 3))]).astype(np.uint8)


def reference(pixels, source, target):
    """What LittleCMS makes of them in 8 bits, exactly, with black as it is."""
    image = Image.fromarray(pixels)
    profiles = (ImageCms.ImageCmsProfile(io.BytesIO(each)) for each in (source, target))
    how = {"renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC, "flags": ImageCms.Flags.NOOPTIMIZE}
    return np.asarray(ImageCms.profileToProfile(image, *profiles, outputMode="RGB", **how)).astype(float)


@pytest.mark.parametrize("name", CURVES)
def test_it_is_that_of_little_cms(colours, name):
    own = profile(name)
    for source, target in ((own, SRGB), (SRGB, own)):
        found = converted_16(colours.astype(np.uint16) * 257, source, target) / 257
        assert np.abs(found - reference(colours, source, target)).max() < 0.52
    given = colours[16:].astype(int) * 257 + 99
    there = converted_16(given.astype(np.uint16), SRGB, own)
    assert np.abs(converted_16(there, own, SRGB) - given).max() <= 3


@pytest.mark.parametrize("name", CURVES)
def test_grey_has_a_curve_alone(colours, name):
    own = profile(name, b"GRAY")
    found = converted_16(colours[..., :1].astype(np.uint16) * 257, own, SRGB) / 257
    assert np.abs(found - reference(colours[..., 0], own, SRGB)).max() < 0.52


@pytest.mark.parametrize("mode", ["LA", "L"])
def test_the_profile_of_grey_holds_beside_transparency(tmp_path, colours, mode, caplog):
    grey = Image.fromarray(colours[:16, :, 0]).convert(mode)
    grey.save(tmp_path / "a.png", icc_profile=profile("identity", b"GRAY"))
    found = to_pixels(load_image(tmp_path / "a.png")) / 255
    assert "ICC profile" not in caplog.text
    assert np.abs(found - (colours[:16] / 255) ** (1 / 2.2)).mean() < 0.02


def test_a_result_of_16_bits_is_in_the_profile_of_its_photograph(tmp_path, colours):
    own, pixels = profile("power"), colours[16:].astype(np.uint16) * 257 + 99
    (tmp_path / "a.png").write_bytes(png([pixels], None, own))
    given = load_frame(tmp_path / "a.png")
    assert np.abs(given.image[0].permute(1, 2, 0).numpy() * 255 - reference(colours[16:], own, SRGB)).max() < 1
    for name in ("b.png", "b.tif"):
        assert transform_files([tmp_path / "a.png"], tmp_path / name, Transform(lambda image, _: image)) == []
        kept = load_frame(tmp_path / name)
        assert kept.profile == own
        assert kept.sixteen_bit
        assert (kept.image - given.image).abs().max() < 3 / 65535


@pytest.mark.parametrize("other", [b"no profile", SRGB[:300], profile("table", b"GRAY")], ids=len)
def test_a_profile_that_does_not_fit_is_ignored_with_a_word(tmp_path, colours, caplog, other):
    (tmp_path / "a.png").write_bytes(png([colours.astype(np.uint16) * 257], None, other))
    frame = load_frame(tmp_path / "a.png")
    assert frame.sixteen_bit
    assert np.array_equal(to_pixels(frame.image), colours)
    assert "a.png: its ICC profile does not fit and is ignored" in caplog.text
