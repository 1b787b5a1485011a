"""Photographs: found by name, decoded once, batches that depend on seed and step alone, damaged files named."""

import logging

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from replication.io.files import ReplicationError
from replication.io.images import load_image, save_image
from replication.io.photographs import ImageDataset, load_photographs, photographs_of, photographs_on_device
from replication.io.pictures import PHOTOGRAPHS, content_picture, style_picture, validation_pictures
from replication.io.pixels import resize, square, to_pixels
from replication.io.ranges import RangeError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four photographs of four shapes, one in a subfolder, and an empty cache."""
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    shapes = {"a.png": (96, 120), "b.jpg": (130, 90), "sub/c.png": (64, 64), "d.jpeg": (70, 200)}
    pixels = to_pixels(content_picture("chelsea").image)
    (tmp_path / "photographs" / "sub").mkdir(parents=True)
    for name, (height, width) in shapes.items():
        Image.fromarray(pixels[:height, :width]).save(tmp_path / "photographs" / name)
    (tmp_path / "photographs" / "notes.txt").write_text("no image")
    return tmp_path / "photographs"


def image(photographs, i):
    height, width = photographs.shapes[i]
    end = photographs.ends[i]
    return photographs.pixels[end - 3 * height * width : end].view(height, width, 3).numpy()


def test_the_pixels_are_those_of_the_resized_files(folder):
    photographs = load_photographs(folder, 48)
    assert photographs.shapes == [(48, 60), (69, 48), (48, 137), (48, 48)]
    for i, name in enumerate(["a.png", "b.jpg", "d.jpeg", "sub/c.png"]):
        expected = to_pixels(resize(load_image(folder / name), *photographs.shapes[i]))
        assert np.array_equal(image(photographs, i), expected)
    assert load_photographs(folder, 48, "stretch").shapes == [(48, 48)] * 4


def test_files_are_decoded_once_and_again_when_they_change(folder, monkeypatch):
    first = load_photographs(folder, 48)
    monkeypatch.setattr("replication.io.photographs.load_image", None)
    again = load_photographs(folder, 48)
    assert torch.equal(first.pixels, again.pixels)
    assert first.record == again.record
    monkeypatch.undo()
    monkeypatch.setenv("REPLICATION_CACHE", str(folder.parent / "cache"))
    Image.new("RGB", (60, 60), "red").save(folder / "a.png")
    changed = load_photographs(folder, 48)
    assert changed.record["sha256"] != first.record["sha256"]
    assert (image(changed, 0) == (255, 0, 0)).all()


def test_a_batch_depends_on_seed_and_step_alone(folder):
    photographs = load_photographs(folder, 48)
    batches = [photographs.batch(step, 3, 32, seed=1, flip=True) for step in range(6)]
    assert torch.equal(photographs.batch(4, 3, 32, seed=1, flip=True), batches[4])
    assert not torch.equal(photographs.batch(4, 3, 32, seed=2, flip=True), batches[4])
    assert batches[0].shape == (3, 3, 32, 32)
    assert batches[0].is_contiguous(memory_format=torch.channels_last)
    assert batches[0].dtype == torch.float32


def test_the_first_by_name_are_taken(folder):
    some, all_of_them = (load_photographs(folder, 32, "stretch", count=count) for count in (2, None))
    assert some.record["count"] == len(some.shapes) == 2
    assert torch.equal(some.pixels, all_of_them.pixels[: some.pixels.numel()])


def test_each_pass_takes_every_photograph_once(folder):
    photographs = load_photographs(folder, 32, "stretch")
    singles = [torch.from_numpy(image(photographs, i)).permute(2, 0, 1) / 255 for i in range(4)]
    orders = []
    for first in (0, 4, 8):
        images = [photographs.batch(step, 1, 32, seed=5)[0] for step in range(first, first + 4)]
        orders.append([next(i for i in range(4) if torch.equal(found, singles[i])) for found in images])
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_batches_follow_each_other(folder):
    photographs = load_photographs(folder, 32, "stretch")  # so that a crop is the whole photograph
    ones = torch.cat([photographs.batch(step, 1, 32, seed=5) for step in range(4)])
    assert torch.equal(torch.cat([photographs.batch(step, 2, 32, seed=5) for step in range(2)]), ones)


def test_crops_come_from_everywhere_and_half_of_them_are_mirrored():
    picture = content_picture("chelsea")
    photographs = photographs_of([picture], 64)
    whole = torch.from_numpy(image(photographs, 0)).permute(2, 0, 1) / 255
    found = set()
    for step in range(60):
        crop = photographs.batch(step, 1, 60, seed=0, flip=True)[0]
        width = whole.shape[2]
        places = [(top, left) for top in range(5) for left in range(width - 59)]
        for mirrored in (False, True):
            candidate = crop.flip(2) if mirrored else crop
            hits = [p for p in places if torch.equal(whole[:, p[0] : p[0] + 60, p[1] : p[1] + 60], candidate)]
            found |= {(mirrored, *hit) for hit in hits}
    assert {top for _, top, _ in found} == set(range(5))
    assert {mirrored for mirrored, *_ in found} == {False, True}
    assert len(found) > 40


@pytest.mark.parametrize(("free", "moved"), [(3 * 70 * 90 * 2 + 2, True), (3 * 70 * 90 * 2, False)])
def test_photographs_that_take_half_of_a_gpus_free_memory_stay_where_they_are(monkeypatch, free, moved):
    """The device "meta" stands for the GPU: it shows where a tensor is, and holds none."""
    reserved = [free]  # what torch keeps for later
    monkeypatch.setattr(torch.cuda, "empty_cache", reserved.clear)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - sum(reserved), free))
    photographs = ImageDataset(torch.zeros(3 * 70 * 90, dtype=torch.uint8), [(70, 90)], {}).to("meta")
    assert photographs.pixels.is_meta == moved
    assert photographs.batch(0, 2, 64, seed=0).is_meta


def test_a_mac_keeps_the_pixels_where_the_processor_maps_them():
    pixels = torch.zeros(3 * 70 * 90, dtype=torch.uint8)
    assert ImageDataset(pixels, [(70, 90)], {}).to("mps").pixels.data_ptr() == pixels.data_ptr()


def test_processes_that_are_to_compute_on_the_cpu_meet_there_where_there_are_gpus(folder, monkeypatch):
    begun = []
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.distributed, "init_process_group", begun.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: begun.append("ended"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with photographs_on_device(str(folder), side=48):
        pass
    assert begun == ["gloo", "ended"]


def test_a_crop_larger_than_a_photograph_is_refused(folder):
    with pytest.raises(RangeError, match="crops of 64 x 64 do not fit into photographs of 48 pixels a side"):
        load_photographs(folder, 48).batch(0, 4, 64, seed=0)


def test_photographs_are_made_smaller_never_larger(folder):
    """A strip of 2 x 4000, made 288 pixels high, would be 576,000 pixels wide."""
    Image.new("RGB", (4000, 2)).save(folder / "strip.png")
    assert load_photographs(folder, 80).shapes == [(80, 100), (116, 80), (70, 200), (2, 4000), (64, 64)]
    assert photographs_of([content_picture("chelsea")], 1000).shapes == [(300, 451)]


def test_photographs_that_are_too_small_are_left_out_with_a_word(folder, caplog):
    Image.new("RGB", (4000, 2)).save(folder / "strip.png")
    for _ in range(2):  # decoded, and from the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            photographs = load_photographs(folder, 288, least=80)
        assert photographs.shapes == [(96, 120), (130, 90)]
        assert photographs.record["count"] == 2
        assert "left out: 3 photographs have a side of less than 80 pixels" in caplog.text
    with pytest.raises(ReplicationError, match="none of the 5 images in .* has 256 pixels a side; give larger ones"):
        load_photographs(folder, 256, "stretch", least=256)


def damage(path, kind):
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if kind == "cut" else b"no index")


@pytest.mark.parametrize(
    ("suffix", "kind", "reason"),
    [
        (".pixels", "cut", "pixels is cut short"),
        (".pixels", "missing", "No such file"),
        (".json", "cut", "are damaged"),
        (".json", "text", "are damaged"),
    ],
)
def test_damaged_files_of_the_cache_are_named_and_made_again(folder, caplog, suffix, kind, reason):
    first = load_photographs(folder, 48)
    (path,) = (folder.parent / "cache" / "photographs").glob(f"*{suffix}")
    wanted, pixels = path.read_bytes(), first.pixels.clone()
    damage(path, kind)
    with caplog.at_level(logging.WARNING):
        again = load_photographs(folder, 48)
    assert f"the photographs in {path.with_suffix('.json')} are damaged" in caplog.text
    assert reason in caplog.text
    assert "it is made again" in caplog.text
    assert path.read_bytes() == wanted
    assert torch.equal(again.pixels, pixels)


def test_a_damaged_file_among_many_is_named_and_left_out(folder, caplog):
    for i in range(120):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(folder / f"plain{i:03}.png")
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:300])
    with caplog.at_level(logging.WARNING):
        photographs = load_photographs(folder, 40)
    assert photographs.record["count"] == len(photographs.shapes) == 123
    assert "b.jpg could not be read" in caplog.text
    assert "left out: 1 photographs cannot be read" in caplog.text


def test_many_damaged_files_are_an_error_that_leaves_nothing_behind(folder):
    (folder / "b.jpg").write_bytes(b"")
    with pytest.raises(ReplicationError, match="more than 1% of the 4 images in .*, the last b.jpg; replace or remove"):
        load_photographs(folder, 48)
    assert {path.suffix for path in (folder.parent / "cache").rglob("*.*")} <= {".lock"}


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(ReplicationError, match="holds no photographs"):
        load_photographs(tmp_path)
    with pytest.raises(ReplicationError, match="is not a folder"):
        load_photographs(tmp_path / "nothing")
    with pytest.raises(ReplicationError, match="fit must be crop or stretch"):
        load_photographs(tmp_path, fit="pad")


def test_pictures_by_name(tmp_path, monkeypatch):
    assert [content_picture(name).name for name in PHOTOGRAPHS] == list(PHOTOGRAPHS)
    assert style_picture("great_wave").origin == "data/styles"
    monkeypatch.delenv("REPLICATION_DATA", raising=False)
    with pytest.raises(ReplicationError, match="no image 'seurat'.*great_wave.*set REPLICATION_DATA"):
        style_picture("seurat")
    (tmp_path / "styles").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "styles" / "seurat.png")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    picture = style_picture("seurat")
    assert picture.origin == "REPLICATION_DATA/styles"
    assert (
        picture.provenance()["sha256"] == style_picture(str(tmp_path / "styles" / "seurat.png")).provenance()["sha256"]
    )
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path / "none"))
    with pytest.raises(ReplicationError, match="REPLICATION_DATA is .*none, which is not a folder"):
        content_picture("chicago")


def test_a_photograph_of_ones_own_is_found_by_its_name(tmp_path, monkeypatch):
    save_image(square(content_picture("coffee").image, 40), tmp_path / "content" / "me.png")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    picture = content_picture("me")
    assert (picture.name, picture.image.shape) == ("me", (1, 3, 40, 40))


def test_validation_pictures_are_those_there_are(monkeypatch, tmp_path):
    monkeypatch.delenv("REPLICATION_DATA", raising=False)
    pictures, others = validation_pictures(2)
    assert [picture.name for picture in pictures] == ["astronaut", "chelsea"]
    assert others == {"50 MS-COCO validation images": f"astronaut, chelsea (scikit-image {skimage.__version__})"}
    assert len(validation_pictures(50)[0]) == 4
    (tmp_path / "val").mkdir()
    save_image(square(content_picture("coffee").image, 40), tmp_path / "val" / "x.png")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    pictures, others = validation_pictures(2)
    assert [picture.name for picture in pictures] == ["x"]
    assert others == {"50 MS-COCO validation images": "x (file)"}
