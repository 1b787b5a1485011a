"""Stylising images with a trained network: folded norms, tiles, files and folders."""

import logging
import shutil

import pytest
import torch
from commands import run_command
from PIL import Image

from replication import style_transfer
from replication.io.checkpoints import load_network, save_network
from replication.io.files import ReplicationError
from replication.io.images import load_image, resize, save_image
from replication.io.pictures import content_picture, style_picture
from replication.networks import ImageTransformationNetwork, for_inference
from replication.style_transfer import PRETRAINED, style_names, style_network, stylise, stylise_files

PHOTOGRAPH = resize(content_picture("coffee").image, 133, 201)


@pytest.fixture(scope="module")
def trained():
    """A network whose running statistics are those of photographs, if nothing else is."""
    torch.manual_seed(1)
    network = ImageTransformationNetwork()
    with torch.no_grad():
        for _ in range(30):
            network(resize(content_picture("rocket").image, 96, 128).expand(2, -1, -1, -1))
    return network.eval()


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "test.safetensors"
    save_network(trained, path, {"final_losses": {"content": 1.23456789}})
    return path


@pytest.mark.parametrize("padding", ["reflection", "zero"])
@pytest.mark.parametrize("size", [(133, 201), (128, 128), (97, 64)])
def test_tiles_are_the_whole_image(padding, size):
    """In float64 to rounding; the network has random weights and runs on its running statistics."""
    torch.manual_seed(2)
    network = ImageTransformationNetwork(padding=padding)
    network(torch.rand(2, 3, 64, 64))
    network = for_inference(network, torch.float64)
    image = resize(PHOTOGRAPH, *size).double()
    assert (stylise(network, image, tile=48) - stylise(network, image, tile=None)).abs().max() < 1e-12


def test_tiles_of_a_trained_network_are_the_whole_image_in_both_precisions():
    network = style_network("great_wave")[0]
    for dtype in (torch.float32, torch.bfloat16):
        fast = for_inference(network, dtype)
        assert (stylise(fast, PHOTOGRAPH, tile=64) - stylise(fast, PHOTOGRAPH)).abs().max() < 1 / 255


def test_a_tile_that_is_no_multiple_of_4_is_refused(trained):
    with pytest.raises(ValueError, match="a multiple of 4; got 50"):
        stylise(trained, PHOTOGRAPH, tile=50)


def test_folding_the_norms_changes_nothing_but_rounding():
    network = style_network("great_wave")[0].double()
    folded = for_inference(network, torch.float64)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert (folded(PHOTOGRAPH.double()) - network(PHOTOGRAPH.double())).abs().max() < 1e-9


def test_the_fast_settings_stay_within_2_of_255_of_float32():
    network = style_network("great_wave")[0]
    image = resize(content_picture("chelsea").image, 256, 256)
    assert (stylise(for_inference(network, torch.bfloat16), image) - network(image)).abs().mean() < 2 / 255


@pytest.mark.parametrize("name", style_names())
def test_the_shipped_networks_are_small_and_say_how_they_came_about(name):
    network, record = style_network(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_679_235
    assert (PRETRAINED / f"{name}.safetensors").stat().st_size < 4e6
    assert record["final_losses"].keys() == {"content", "style", "total_variation"}
    assert record["provenance"]["settings"]["photographs"]["sha256"]
    assert not record["provenance"]["commit"].endswith("+changes")
    assert len(record["log"]["step"]) == len(record["log"]["style"]) > 5


def test_float16_storage_changes_the_output_by_less_than_1_of_255(trained, saved):
    found, record = load_network(saved)
    assert record == {"final_losses": {"content": 1.23457}}
    assert (found(PHOTOGRAPH) - trained(PHOTOGRAPH)).abs().max() < 1 / 255


def test_a_style_and_a_painting_may_have_a_dot_in_their_names(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(style_transfer, "PRETRAINED", tmp_path)
    shutil.copy(saved, tmp_path / "van.gogh.safetensors")
    (tmp_path / "styles").mkdir()
    save_image(PHOTOGRAPH, tmp_path / "styles" / "van.gogh.jpg")
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path))
    assert style_names() == ["van.gogh"]
    assert style_network("van.gogh")[1] == load_network(saved)[1]
    assert style_picture("van.gogh").name == "van.gogh"


def test_files_that_are_no_networks_are_named(tmp_path, saved):
    with pytest.raises(ReplicationError, match="there is no style 'waves': give a .safetensors file or one of"):
        style_network("waves")
    with pytest.raises(ReplicationError, match="nothing.safetensors does not exist"):
        style_network(tmp_path / "nothing.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:10_000])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name in ("cut", "empty"):
        with pytest.raises(ReplicationError, match=f"{name}.safetensors is damaged or no network of this project"):
            style_network(tmp_path / f"{name}.safetensors")


@pytest.fixture
def folder(tmp_path):
    """Photographs of two kinds, a damaged one, and one that is too small."""
    path = tmp_path / "in"
    path.mkdir()
    save_image(PHOTOGRAPH, path / "a.png")
    save_image(resize(PHOTOGRAPH, 60, 50), path / "b.jpg")
    (path / "c.png").write_bytes(b"no image")
    Image.new("RGB", (30, 90)).save(path / "d.png")
    return path


def test_files_and_folders_are_stylised_and_what_cannot_be_read_is_named(folder, saved, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        failed = stylise_files([folder], tmp_path / "out", saved)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.png", "b.jpg"]
    assert len(failed) == 2
    assert "c.png could not be read as an image" in caplog.text
    assert "d.png is too small: a side needs at least 44 pixels" in caplog.text
    expected = load_network(saved)[0](load_image(folder / "a.png"))
    assert (load_image(tmp_path / "out" / "a.png") - expected).abs().max() < 0.51 / 255


def test_the_command_stylizes_a_file_and_fails_for_what_it_cannot_read(folder, saved, tmp_path):
    done = run_command("stylise", folder / "a.png", "-o", tmp_path / "new" / "x.jpg", "--style", saved)
    assert done.returncode == 0, done.stderr
    assert load_image(tmp_path / "new" / "x.jpg").shape == PHOTOGRAPH.shape
    failed = run_command("stylise", folder / "a.png", folder / "c.png", "-o", tmp_path / "out", "--style", saved)
    assert failed.returncode == 1
    assert "c.png could not be read as an image" in failed.stderr
    assert (tmp_path / "out" / "a.png").exists()
    unknown = run_command("stylise", folder / "a.png", "-o", tmp_path / "out", "--style", "waves")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: there is no style 'waves'")
