"""The page in docs/, as `make page` builds it, in headless Chromium: what it paints is what the library computes."""

import base64
import functools
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import websocket
from conftest import copy_project
from PIL import Image

from replication.io.files import ROOT, one_line
from replication.io.images import load_image, save_image
from replication.io.pictures import content_picture
from replication.io.pixels import resize
from replication.networks import for_inference
from replication.style_transfer import blended, style_network, stylise

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT = 240  # seconds
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars")


class Browser:
    """Chromium with one page, by the DevTools protocol."""

    def __init__(self, folder):
        port = folder / "profile" / "DevToolsActivePort"
        command = [CHROMIUM, *SWITCHES, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (port.exists() and port.read_text().count("\n")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                pytest.skip(f"{CHROMIUM} does not start, or is a snap, which does not see {folder}")
            time.sleep(0.05)
        number, path = port.read_text().split()
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{number}{path}", timeout=TIMEOUT, suppress_origin=True
        )
        self.numbers, self.events, self.session = itertools.count(1), [], {}
        (target,) = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters} | self.session))
        while (message := json.loads(self.socket.recv())).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def value(self, expression):
        """What an expression, or the promise that it gives, becomes."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def said(self, pattern):
        """The status, as soon as it is of this form."""
        status = "document.getElementById('status')?.textContent ?? ''"
        return until(lambda: re.fullmatch(pattern, self.value(status)))

    def choose(self, path):
        """A file, in the page's dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, canvas):
        """(H, W, 3), 0 to 255."""
        url = self.value(f"document.getElementById('{canvas}').toDataURL()")
        return pixels(io.BytesIO(base64.b64decode(url.split(",")[1])))

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()


def until(ready):
    deadline = time.monotonic() + TIMEOUT
    while not (found := ready()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def pixels(file):
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


@pytest.fixture(scope="module")
def site(once):
    """The address of what `make page` made, of one style."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm, which is not installed")
    reached = subprocess.run(
        ["npm", "ping", "--fetch-retries=0", "--fetch-timeout=30000", "--loglevel=error"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if reached.returncode:
        pytest.skip(f"npm does not reach its registry: {one_line(reached.stderr)}")

    def make(folder):
        copy_project(folder)
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "docs").mkdir()
        for path in (ROOT / "docs").glob("*.*"):
            shutil.copy(path, folder / "docs")
        (folder / ".venv").symlink_to(sys.prefix)
        command = ["make", "page", "STYLES=great_wave", "--old-file", ".venv/.ready"]
        made = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=900)
        assert made.returncode == 0, made.stdout + made.stderr

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=once("page", make) / "docs")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def browser(site, tmp_path):
    """With the page."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed")
    with closing(Browser(tmp_path)) as it:
        it.call("Page.navigate", url=site)
        it.said("Choose a painting.")
        yield it


def test_what_the_page_asks_for_is_made(site):
    asked = ["index.html", "page.js", "models/great_wave.onnx", "models/great_wave.jpg", "models/sample.jpg"]
    runtime = set(re.findall(r"\bort[-.][-.\w]+\.(?:mjs|wasm)\b", (ROOT / "Makefile").read_text()))
    assert len(runtime) == 6
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for name in (*asked, *(f"ort/{each}" for each in runtime)):
        with direct.open(f"{site}{name}", timeout=60) as answer:
            assert len(answer.read()) > 1000


def differences(found, wanted):
    """Of pixels, (H, W, 3) and (1, 3, H, W) in [0, 1]: the mean and the largest, in grey levels."""
    assert found.shape[:2] == wanted.shape[2:]
    apart = np.abs(found - 255 * wanted[0].permute(1, 2, 0).numpy())
    return apart.mean(), apart.max()


def test_the_result_is_the_librarys(browser, site, tmp_path):
    save_image(resize(content_picture("coffee").image, 133, 201), tmp_path / "coffee.png")
    photograph = load_image(tmp_path / "coffee.png")
    with torch.inference_mode():
        y_hat = stylise(for_inference(style_network("great_wave_instance")[0]), photograph)
    browser.choose(tmp_path / "coffee.png")
    browser.value("document.querySelector('[data-style=great_wave]').click()")
    browser.said(r"201 x 133 pixels in \d+ ms, by the processor\.")
    mean, largest = differences(browser.picture("result"), y_hat)
    assert mean < 0.5
    assert largest < 2
    moved = "at.value = 60; at.dispatchEvent(new Event('input'))"
    browser.value(f"{{ const at = document.getElementById('strength'); {moved} }}")
    mean, largest = differences(browser.picture("result"), blended(y_hat, photograph, 0.6, False))
    assert mean < 1
    assert largest < 4
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.value("document.getElementById('download').click()")
    saved = tmp_path / "coffee_great_wave.png"
    until(saved.exists)
    assert np.array_equal(pixels(saved), browser.picture("result"))
    asked = [
        each["params"]["request"]["url"] for each in browser.events if each["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("great_wave.onnx") for url in asked)
    assert all(url.startswith((site, f"blob:{site}", "data:")) for url in asked)
    assert not [each for each in browser.events if each["method"] == "Runtime.exceptionThrown"]


def test_a_picture_is_dropped_and_brought_to_a_size(browser):
    """The sample in the place of a file, as a drag brings it."""
    browser.value(
        """fetch("models/sample.jpg").then((answer) => answer.blob()).then((blob) => {
             const dataTransfer = new DataTransfer();
             dataTransfer.items.add(new File([blob], "dropped.jpg"));
             document.querySelector("#size").value = 256;
             document.dispatchEvent(new DragEvent("drop", { dataTransfer }));
             document.querySelector("[data-style=great_wave]").click();
           })"""
    )
    browser.said(r"256 x 170 pixels in \d+ ms, by the processor\.")
    assert browser.picture("result").std() > 20


def test_what_is_no_picture_or_too_small_is_named(browser, tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    browser.choose(tmp_path / "notes.txt")
    browser.said(r"notes\.txt could not be read: .*")
    Image.new("RGB", (300, 43)).save(tmp_path / "strip.png")
    browser.choose(tmp_path / "strip.png")
    browser.said(r"300 x 43 pixels are too few: each side needs 44 or more\.")
