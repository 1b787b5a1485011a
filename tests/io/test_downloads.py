"""The cache, Set5, Set14, BSD100 and MS-COCO: read without a lock, made again where damaged, downloads that fail."""

import functools
import hashlib
import http.server
import io
import logging
import shutil
import socket
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from commands import run_command
from filelock import FileLock

from replication.baseline import white_noise
from replication.evaluation import luminance_scores
from replication.io import downloads as module
from replication.io.cache import cached
from replication.io.downloads import SETS, evaluation_set
from replication.io.files import ReplicationError, data_folder
from replication.io.image_files import image_files
from replication.io.images import load_image, save_image
from replication.io.pictures import content_picture
from replication.io.pixels import pixel_digest, square
from replication.super_resolution import bicubic, cropped, low_resolution

KEY = "0123456789abcdef"


def read(path):
    """The contents of a file that ends in a full stop."""
    if not path.is_file() or not path.read_text().endswith("."):
        raise ReplicationError(f"{path} is cut short")
    return path.read_text()


def make(path):
    path.write_text("Made.")


def test_what_is_there_is_read_while_others_hold_the_lock(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("There.")
    with FileLock(tmp_path / "a.lock"):
        assert cached(path, read, None) == "There."


def test_what_is_missing_is_made_and_what_is_damaged_is_named_and_made_again(tmp_path, caplog):
    path = tmp_path / "folder" / "a.txt"
    assert cached(path, read, make) == "Made."
    assert not caplog.text
    path.write_text("Hal")
    with caplog.at_level(logging.WARNING):
        assert cached(path, read, make) == "Made."
    assert f"{path} is cut short; it is made again" in caplog.text


def test_what_another_process_has_made_meanwhile_is_taken(tmp_path):
    answers = iter([ReplicationError("not yet"), None])

    def read_later(path):
        if error := next(answers):
            raise error
        return "theirs"

    assert cached(tmp_path / "a.txt", read_later, None) == "theirs"


def test_what_killed_processes_have_begun_is_removed_and_nothing_else(tmp_path):
    mine, neighbours, running, others = (
        tmp_path / name for name in (".a.txt.begun", f".{KEY}.pixels.begun", ".fedcba9876543210.json.begun", ".b.rc")
    )
    for path in (neighbours, running, others):
        path.write_text("begun")
        (tmp_path / f"{path.name.split('.')[1]}.lock").touch()
    mine.mkdir()
    (mine / "part").touch()
    with FileLock(tmp_path / "fedcba9876543210.lock"):
        cached(tmp_path / "a.txt", read, make)
    assert [path.exists() for path in (mine, neighbours, running, others)] == [False, False, True, True]


def test_a_place_that_cannot_be_written_is_one_line_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "a.lock").mkdir()
    for path, reason in (
        (tmp_path / "file" / "a.txt", "File exists"),
        (tmp_path / "file" / "below" / "a.txt", "Not a directory"),
        (tmp_path / "a.txt", "Is a directory"),
    ):
        with pytest.raises(ReplicationError, match=f"the cache {path.parent} cannot be written .{reason}.; .*CACHE"):
            cached(path, read, make)


@pytest.mark.parametrize("command", ["weights", "train-style", "train-super-resolution"])
def test_the_commands_say_in_one_line_that_the_cache_cannot_be_written(tmp_path, command):
    (tmp_path / "file").touch()
    (tmp_path / "photographs").mkdir()
    save_image(white_noise(300, 0), tmp_path / "photographs" / "a.png")
    training = ["--images", str(tmp_path / "photographs"), "--out", str(tmp_path / "a.safetensors")]
    style = ["--style", "great_wave"] if command == "train-style" else []
    arguments = [command] if command == "weights" else [command, *training, *style]
    result = run_command(*arguments, REPLICATION_CACHE=tmp_path / "file" / "below", REPLICATION_VGG16="")
    assert result.returncode == 1
    *said, line = result.stderr.splitlines()
    assert all(each.startswith("the quick recipe") for each in said)
    assert line.startswith(f"error: the cache {tmp_path / 'file' / 'below'}")
    assert "cannot be written (Not a directory); mend that, or set REPLICATION_CACHE to a folder that can be" in line


PUBLISHED = {"set5": (28.431, 0.8113), "set14": (25.997, 0.7031), "bsd100": (25.963, 0.6682)}  # bicubic, x4


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.data(f"sr/{name}")) for name in SETS])
def test_the_protocol_gives_the_published_figures_of_bicubic(name):
    scores = []
    for picture, grey in evaluation_set(name):
        y = cropped(picture.image, 4)
        scores.append([*luminance_scores(bicubic(low_resolution(y, 4), 4), y, 4, grey).values()])
    psnr, ssim = np.mean(scores, 0)
    assert psnr == pytest.approx(PUBLISHED[name][0], abs=0.01)
    assert ssim == pytest.approx(PUBLISHED[name][1], abs=0.0005)


@pytest.mark.data("sr/set5", "sr_reference/x4/set5/srcnn")
def test_the_protocol_gives_the_published_figure_of_srcnn():
    folder = data_folder() / "sr_reference" / "x4" / "set5" / "srcnn"
    scores = [
        luminance_scores(load_image(folder / f"{picture.name}.png"), cropped(picture.image, 4), 4)["psnr"]
        for picture, _ in evaluation_set("set5")
    ]
    assert np.mean(scores) == pytest.approx(30.49, abs=0.02)


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """A "set5" of two small images, no data folder, an empty cache; gives a folder with the images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        save_image(square(content_picture(name).image, 16), folder / f"{name}.png")
    digests = {path.stem: pixel_digest(load_image(path)) for path in image_files(folder)}
    monkeypatch.setattr(module, "DIGESTS", {"set5": digests})
    monkeypatch.delenv("REPLICATION_DATA", raising=False)
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder that a server gives out, and its address; an empty cache."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def server(web, monkeypatch):
    """Sources that are served from a folder: first.tar, then Set5.tar.gz; gives the folder."""
    folder, address = web
    monkeypatch.setattr(module, "SOURCES", (f"{address}/first.tar", address + "/{name}.tar.gz"))
    return folder


def archive(path, images, mode):
    with tarfile.open(path, mode) as tar:
        readme = tarfile.TarInfo("set/readme.txt")
        tar.addfile(readme, io.BytesIO())
        for number, image in enumerate(images):
            tar.add(image, f"set/HR/{number}.png")


def test_a_set_is_downloaded_once_and_known_by_its_pixels(small_set, server, caplog):
    archive(server / "Set5.tar.gz", image_files(small_set), "w:gz")
    pictures = evaluation_set("set5")
    assert [(picture.name, picture.origin, grey) for picture, grey in pictures] == [
        ("chelsea", "Set5", False),
        ("coffee", "Set5", False),
    ]
    assert "first.tar: 404" in caplog.text
    (server / "Set5.tar.gz").unlink()
    assert len(evaluation_set("set5")) == 2
    kept = sorted(path.name for path in (module.cache_folder() / "evaluation").rglob("*"))
    assert kept == ["chelsea.png", "coffee.png", "set5", "set5.lock"]


def test_a_damaged_picture_of_the_cache_is_named_and_fetched_again(small_set, server, caplog):
    archive(server / "Set5.tar.gz", image_files(small_set), "w:gz")
    evaluation_set("set5")
    folder = module.cache_folder() / "evaluation"
    (folder / "set5" / "coffee.png").write_bytes((folder / "set5" / "chelsea.png").read_bytes())
    (folder / ".set5.begun").mkdir()
    assert [picture.name for picture, _ in evaluation_set("set5")] == ["chelsea", "coffee"]
    assert "coffee.png is not the coffee of Set5" in caplog.text
    assert "it is made again" in caplog.text
    assert not (folder / ".set5.begun").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("missing image", "1 of its 2 images are not in the archive"),
        ("no archive", "it is no archive"),
        ("a part", "a damaged one"),
        ("nothing", "404"),
    ],
)
def test_what_cannot_be_downloaded_is_one_error_that_names_the_sources(small_set, server, content, reason):
    if content == "missing image":
        archive(server / "first.tar", image_files(small_set)[:1], "w")
    elif content == "no archive":
        (server / "first.tar").write_bytes(b"<html>moved</html>" * 100)
    elif content == "a part":
        archive(server / "first.tar", image_files(small_set), "w:gz")
        (server / "first.tar").write_bytes((server / "first.tar").read_bytes()[:-40])
    with pytest.raises(ReplicationError, match=f"Set5 could not be downloaded; tried .*first.tar .*{reason}.*Set5"):
        evaluation_set("set5")


def test_a_server_that_does_not_answer_is_one_line_and_not_asked_again(small_set, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", (1, 1))
    monkeypatch.setattr(module, "UNREACHED", {})
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen, so that no one else gets its port
        silent_url, closed_url = (f"http://127.0.0.1:{each.getsockname()[1]}/x.tar" for each in (silent, closed))
        monkeypatch.setattr(module, "SOURCES", (silent_url, closed_url))

        def refused():
            with pytest.raises(ReplicationError) as raised:
                evaluation_set("set5")
            return str(raised.value)

        messages = [refused()]
    messages.append(refused())  # where nobody listens any more, who would be asked again
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        f"Set5 could not be downloaded; tried {silent_url} (timed out), {closed_url} (Connection refused). Try again"
    )
    assert len(messages[0].splitlines()) == 1


def test_another_image_of_that_name_is_refused(small_set, tmp_path, monkeypatch):
    folder = tmp_path / "data" / "sr" / "set5"
    folder.mkdir(parents=True)
    monkeypatch.setenv("REPLICATION_DATA", str(tmp_path / "data"))
    shutil.copy(small_set / "chelsea.png", folder)
    with pytest.raises(ReplicationError, match="set5 lacks 1 of the 2 images of Set5: coffee.png does not exist; add"):
        evaluation_set("set5")
    shutil.copy(small_set / "chelsea.png", folder / "coffee.png")
    with pytest.raises(ReplicationError, match="coffee.png is not the coffee of Set5; replace or remove the file"):
        evaluation_set("set5")


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="the sets are set5, set14, bsd100; got 'urban100'"):
        evaluation_set("urban100")


def test_ms_coco_is_downloaded_checked_and_unpacked(web, monkeypatch):
    folder, address = web
    with zipfile.ZipFile(folder / "train2014.zip", "w") as file:
        file.writestr("train2014/a.jpg", b"a photograph")
    monkeypatch.setattr(module, "COCO", f"{address}/train2014.zip")
    with pytest.raises(ReplicationError, match="MS-COCO could not be downloaded .*; try again, or give a folder"):
        module.coco2014()
    monkeypatch.setattr(module, "COCO_MD5", hashlib.md5((folder / "train2014.zip").read_bytes()).hexdigest())
    assert (module.coco2014() / "a.jpg").read_bytes() == b"a photograph"
