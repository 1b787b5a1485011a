"""The README's tables."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from replication.evaluation import NO_SET
from replication.io.files import FIGURES, ROOT
from replication.io.images import save_image
from replication.io.pictures import content_picture
from replication.io.pixels import square
from replication.report import readme as module
from replication.report import summary
from replication.report.readme import (
    README,
    TABLES,
    _write_verdicts,
    pictures,
    super_resolution_table,
    thumbnail,
    thumbnail_of,
    write_readme,
)
from replication.report.summary import SHOWN

FOLDER = FIGURES / SHOWN


def record(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.fixture
def readme(monkeypatch, tmp_path):
    """A copy of the README without its tables."""
    text, tables = re.subn(
        r"(written by `python -m replication readme` -->).*?(<!-- [-a-z]+ end -->)",
        r"\1\2",
        README.read_text(),
        flags=re.S,
    )
    assert tables == 2 + len(TABLES)
    copy = tmp_path / "README.md"
    copy.write_text(text)
    monkeypatch.setattr(module, "README", copy)
    monkeypatch.setattr(module, "retell", lambda notebook, profile: None)  # which writes, too, and so does the next
    monkeypatch.setattr(module, "_write_thumbnails", lambda profile: None)
    monkeypatch.setattr(module, "_write_verdicts", lambda profile: None)
    return copy


def test_the_readme_holds_the_tables_of_the_figures(readme):
    write_readme()
    assert readme.read_text() == (ROOT / "README.md").read_text()


def test_a_figures_file_gets_todays_verdict_and_nothing_else(tmp_path, monkeypatch):
    for each in (module, summary):
        monkeypatch.setattr(each, "FIGURES", tmp_path)
    (tmp_path / SHOWN).mkdir()
    path = tmp_path / SHOWN / "fig5_objective.json"
    whole = (FOLDER / path.name).read_text()
    path.write_text(json.dumps(json.loads(whole) | {"verdict": "replicated: by an older rule"}))
    _write_verdicts(SHOWN)
    assert path.read_text() == whole


def test_the_readme_repeats_what_table_1_holds():
    text = README.read_text()
    for row in record("table1_speed")["results"]:
        seconds = " | ".join(f"{float(f'{row[name]:.3g}'):g}" for name in ("iteration", "500 iterations", "network"))
        ratios = ", ".join(f"{row[f'speed-up over {number}']:.0f}" for number in (100, 300, 500))
        usual = f"{row['over plain 500']:.0f}"
        assert f"| {row['size']} x {row['size']} | {row['precision']} | {seconds} | {ratios} | {usual} |" in text


def test_the_readme_says_how_fast_a_pass_is_over_the_iterations_that_it_is_worth():
    worth = next(row for row in record("fig5_objective")["results"]["networks"] if row["network"] == "great_wave")
    row = record("table1_speed")["results"][0]
    times = worth["iterations"] / 500 * row["500 iterations"] / row["network"]
    assert (
        f"is worth {worth['iterations']} iterations, not 500: over those it is {times:.0f} times" in README.read_text()
    )


def test_the_readme_repeats_the_scores_of_super_resolution():
    text = README.read_text()
    rows = [row for row in record("table_super_resolution")["results"] if row["method"] == "bicubic"]
    assert len(rows) == 6
    for row in rows:
        ours, paper = (f"{row[p + 'psnr']:.2f} / {row[p + 'ssim']:.4f}" for p in ("", "paper_"))
        assert f" | {ours} ({paper}) | " in text


def test_what_stands_in_for_a_set_has_no_numbers_of_the_papers():
    row = {"factor": 8, "set": NO_SET, "psnr": 20.0, "ssim": 0.5, "paper_psnr": None, "paper_ssim": None}
    table = super_resolution_table([row | {"method": name} for name in ("bicubic", "pixel", "feature")])
    assert table.to_numpy().tolist() == [["x8", NO_SET, "20.00 / 0.5000", "20.00 / 0.5000", "", "20.00 / 0.5000"]]


SPEED = {"size": 256, "precision": "float32", "iteration": 0.4, "500 iterations": 200.0, "network": 0.1}
SPEED |= {
    "speed-up over 100": 400.0,
    "speed-up over 300": 1200.0,
    "speed-up over 500": 2000.0,
    "over plain 500": 2500.0,
}


def test_the_readme_says_on_what_it_was_measured_or_that_it_was_not(readme, monkeypatch, tmp_path):
    folder = tmp_path / "overnight"
    folder.mkdir()
    monkeypatch.setattr(module, "FIGURES", tmp_path)
    source = {"device": "NVIDIA X", "precision": "float32 (TF32)", "settings": {"style": "great_wave"}}
    (folder / "table1_speed.json").write_text(json.dumps({"results": [SPEED], "provenance": source}))
    write_readme()
    text = readme.read_text()
    assert "Measured on: NVIDIA X; float32 rounds to TF32.\n\n| image |" in text
    assert "\n| 256 x 256 | float32 | 0.4 | 200 | 0.1 | 400, 1200, 2000 | 2500 |\n" in text
    assert text.count("Not run yet.") == len(TABLES) - 1


def test_the_small_copies_are_of_the_figures_that_are_shown():
    found = pictures(SHOWN)
    assert len(found) == 11
    for path in found.values():
        with Image.open(thumbnail_of(path)) as copy:
            small = [np.asarray(each.resize((60, 45)), float) for each in (copy, thumbnail(path))]
        assert np.abs(small[0] - small[1]).mean() < 2, f"{path.name} is another now; run `python -m replication readme`"


@pytest.mark.slow
def test_the_code_that_the_readme_shows_runs(tmp_path, monkeypatch, weights):
    code = "".join(re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.M | re.S))
    small = re.sub(r"\b256\b", "64", code).replace("iterations=100", "iterations=2")
    assert code.count("256)") == small.count("64)") > 1
    small, shortened = re.subn(r"StyleConfig\(steps=2000\)", "StyleConfig(steps=2, size=64, style_size=64)", small)
    assert shortened == 1
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "photographs").mkdir()
    save_image(square(content_picture("coffee").image, 80), tmp_path / "photographs" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(small, "README.md", "exec"), found := {})
    assert found["loss"].isfinite()
    assert found["y_hat"].grad.any()
    assert found["terms"].total.shape == (4,)
    assert type(found["network"]) is found["MyNetwork"]
    made = {"chelsea.png", "chelsea.safetensors", "my.safetensors", "my.state.safetensors"}
    made |= {"my.json", "my.jsonl"}
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"data", "photographs", *made}
