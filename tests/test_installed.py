"""The project away from its clone: a wheel in an environment of its own, and a copy that is run from another folder."""

import json
import os
import site
import subprocess
import sys

import pytest
from commands import TIMEOUT
from conftest import copy_project
from PIL import Image
from safetensors.torch import save_file

from replication.io.images import load_image, save_image
from replication.io.pictures import content_picture, style_picture
from replication.io.provenance import sources_digest

pytestmark = pytest.mark.slow

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
OFFLINE = ("--quiet", "--no-deps", "--no-index")
EACH = "import sys, replication.__main__ as it; print(*(it.main(command.split()) for command in sys.argv[1:]))"


def run(*command, cwd, **environment):
    """A process that has the libraries of these tests, and this project only where `PYTHONPATH` says so."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "REPLICATION_DATA")}
    env |= {name: str(value) for name, value in environment.items()}
    words = [str(word) for word in command]
    return subprocess.run(words, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def environment(once):
    """An environment with the wheel; behind it lie the libraries of this one, without what its .pth files add."""

    def make(folder):
        copy_project(folder / "copy")
        built = run(*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", folder, folder / "copy", cwd=folder)
        assert built.returncode == 0, built.stderr
        (wheel,) = folder.glob("*.whl")
        assert run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder).returncode == 0
        added = run(*PIP, "--python", folder / "bin" / "python", "install", "--no-user", *OFFLINE, wheel, cwd=folder)
        assert added.returncode == 0, added.stderr
        (packages,) = folder.glob("lib/*/site-packages")
        (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))

    return once("environment", make)


def installed(environment, *words, cwd):
    """The environment's Python, which takes nothing from variables nor from the folder it is started in."""
    return run(environment / "bin" / "python", "-I", *words, cwd=cwd)


def contents(environment):
    """The files of the installed package, with the time of their last change."""
    (package,) = environment.glob("lib/*/site-packages/replication")
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path: path.stat().st_mtime_ns for path in files}


def test_the_wheel_holds_the_code_and_the_data_of_the_project(environment, tmp_path):
    tell = "import replication.io.provenance as p; print(p.__file__, p.commit(), p.sources_digest())"
    told = installed(environment, "-c", tell, cwd=tmp_path)
    file, commit, sources = told.stdout.split()
    assert file.startswith(str(environment))
    assert commit == "unknown"
    assert sources == sources_digest()


def test_an_installed_package_works_in_any_folder(environment, tmp_path, weights):
    before = contents(environment)
    (tmp_path / "photographs").mkdir()
    for name in ("chelsea", "coffee"):
        save_image(content_picture(name).image[..., :48, :64], tmp_path / "photographs" / f"{name}.png")
    training = "--images photographs --steps 2 --batch-size 1"
    done = installed(
        *(environment, "-c", EACH, "weights"),
        f"train-style --style ejiri {training} --size 48 --out mine.safetensors",
        f"train-super-resolution {training} --patch 32 --out large.safetensors",
        cwd=tmp_path,
    )
    assert done.stdout.endswith(f"{weights.sha256}\n0 0 0\n"), done.stderr
    stylise = ("-m", "replication", "stylise", "photographs/chelsea.png", "--style", "great_wave", "-o", "styled.png")
    assert installed(environment, *stylise, cwd=tmp_path).returncode == 0
    upscale = (environment / "bin" / "perceptual-losses", "upscale", "photographs/chelsea.png", "-o", "large.png")
    assert run(*upscale, cwd=tmp_path).returncode == 0
    assert load_image(tmp_path / "styled.png").shape[2:] == (48, 64)
    assert load_image(tmp_path / "large.png").shape[2:] == (192, 256)
    record = json.loads((tmp_path / "mine.json").read_text())
    assert record["config"]["initial"] == "base"
    assert record["provenance"]["commit"] == "unknown"
    assert record["provenance"]["inputs"][0]["origin"] == "data/styles"
    assert (tmp_path / "large.safetensors").exists()
    assert contents(environment) == before


def test_what_works_on_the_project_itself_says_that_it_needs_a_clone(environment, tmp_path):
    before = contents(environment)
    commands = ("figures", "readme", "train-all --images .")
    refused = installed(environment, "-c", EACH, *commands, cwd=tmp_path)
    assert refused.stdout == "1 1 1\n"
    for line, name in zip(refused.stderr.splitlines(), commands, strict=True):
        assert line.startswith(f"error: `{name.split()[0]}` works on the project's own notebooks and networks, ")
        assert line.endswith("git clone the project and run it there")
    assert not [*tmp_path.iterdir()]
    assert contents(environment) == before


def test_an_installed_package_writes_tables_where_the_user_stands(environment, tmp_path):
    write = "from replication import save_table; save_table('some', [{'x': 1}], {'profile': 'smoke'})"
    installed(environment, "-c", write, cwd=tmp_path)
    assert {path.name for path in (tmp_path / "figures" / "smoke").iterdir()} == {"some.json", "some.csv"}


@pytest.fixture
def elsewhere(tmp_path, weights):
    """A folder with a photograph, a data folder and a cache, whose names are relative to it."""
    (tmp_path / "sets" / "styles").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    save_file(weights.tensors, tmp_path / "cache" / "vgg16.safetensors", {"source": "a test"})
    save_image(content_picture("coffee").image, tmp_path / "me.png")
    save_image(style_picture("ejiri").image, tmp_path / "sets" / "styles" / "mine.png")
    return tmp_path


def test_paths_are_those_of_the_folder_where_the_user_stands(checkout, elsewhere):
    values = ["-p", "contents", "['me.png']", "-p", "styles", "['mine', './me.png']", "-p", "iterations", "1"]
    words = (sys.executable, "-m", "replication", "figures", "--profile", "smoke", "--only", "03")
    relative = {"REPLICATION_DATA": "sets", "REPLICATION_CACHE": "cache", "REPLICATION_VGG16": ""}
    done = run(*words, *values, cwd=elsewhere, PYTHONPATH=checkout, **relative)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((checkout / "figures" / "smoke" / "gatys_baseline.json").read_text())["provenance"]
    assert [(each["name"], each["origin"]) for each in record["inputs"]] == [
        ("me", "file"),
        ("mine", "REPLICATION_DATA/styles"),
        ("me", "file"),
    ]
    assert record["settings"]["contents"] == ["me.png"]
    assert record["weights"]["source"] == "a test"
    assert not {"sets", "cache"} & {path.name for path in checkout.iterdir()}
    for executed in (checkout / "figures" / "smoke" / "notebooks").iterdir():
        assert str(elsewhere) not in executed.read_text()


def test_paths_of_plain_papermill_are_those_of_that_folder_too(checkout, elsewhere):
    notebook = checkout / "notebooks" / "02_style_reconstruction.ipynb"
    values = ("-p", "profile", "smoke", "-p", "style", "mine", "-p", "iterations", "1")
    relative = {"REPLICATION_DATA": "sets", "REPLICATION_VGG16": "cache/vgg16.safetensors"}
    words = (sys.executable, "-m", "papermill", notebook, "out.ipynb", *values)
    done = run(*words, cwd=elsewhere, PYTHONPATH=checkout, **relative)
    assert done.returncode == 0, done.stderr
    picture = Image.open(checkout / "figures" / "smoke" / "fig4_style_reconstruction.png")
    given, *_ = json.loads(picture.text["Provenance"])["inputs"]
    assert (given["name"], given["origin"]) == ("mine", "REPLICATION_DATA/styles")
