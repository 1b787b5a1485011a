"""The README's tables."""

import json
import re

import pytest

from replication.evaluation import NO_SET
from replication.io.files import FIGURES, ROOT
from replication.report import readme as module
from replication.report.claims import judge_record
from replication.report.readme import (
    README,
    TABLES,
    memory_table,
    super_resolution_table,
    works_table,
    write_readme,
)
from replication.report.summary import shown_profile

FOLDER = FIGURES / shown_profile()


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
    assert tables == 1 + len(TABLES)
    copy = tmp_path / "README.md"
    copy.write_text(text)
    monkeypatch.setattr(module, "README", copy)
    return copy


def test_the_readme_holds_the_tables_of_the_figures(readme):
    write_readme()
    assert readme.read_text() == (ROOT / "README.md").read_text()


def test_the_readme_has_every_verdict_and_what_does_not_hold():
    text = README.read_text()
    for figure in CLAIMS:
        judgement = judge_record(record(figure))
        assert re.search(rf"\| {re.escape(judgement.claim)} \| .*\| {judgement.word} \|\n", text)
        assert all(str(check) in text for check in judgement.checks if check.passed is False)


def test_the_readme_repeats_what_table_1_holds():
    text = README.read_text()
    for row in record("table1_speed")["results"]:
        seconds = " | ".join(f"{row[name]:.3g}" for name in ("iteration", "500 iterations", "network"))
        ratios = ", ".join(f"{row[f'speed-up over {number}']:.0f}" for number in (100, 300, 500))
        usual = f"{row['over plain 500']:.0f}"
        assert f"| {row['size']} x {row['size']} | {row['precision']} | {seconds} | {ratios} | {usual} |" in text


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


def work(name, precision, method, ratio, peak=None):
    times = {"seconds": ratio / 8, "lower_quartile": 0.1, "upper_quartile": 0.2, "ratio": ratio}
    row = {"work": name, "size": 256, "precision": precision, "method": method}
    return row | times | {"share of peak": 0.904, "peak GB": peak}


WORKS = [
    work("training step, style", "float32", "bare convolutions", 1.0),
    work("training step, style", "float32", "ours", 1.0625, 1.26),
    work("training step, style", "float32", "ours, compiled", 1.125),
    work("stylisation", "bfloat16", "bare convolutions", 1.0),
    work("stylisation", "bfloat16", "ours", 1.25, 2.0),
    work("stylisation", "bfloat16", "plain PyTorch", 4.0, 3.0),
]
MEMORY = [{"command": "upscale --factor 4", "side": 1024, "seconds": 2.7433, "peak GB": 1.09612}]


def test_the_works_are_a_row_each_with_the_ratios_of_all_methods():
    table = works_table(WORKS)
    start = ["work", "size", "precision", "seconds", "share of peak", "peak GB"]
    assert [*table] == [*start, "ratio: ours", "ratio: ours, compiled", "ratio: plain PyTorch"]
    assert table.to_numpy().tolist() == [
        ["training step, style", 256, "float32", "0.133", "0.90", "1.3", "1.06", "1.12", ""],
        ["stylisation", 256, "bfloat16", "0.156", "0.90", "2.0", "1.25", "", "4.00"],
    ]
    assert memory_table(MEMORY).to_numpy().tolist() == [["upscale --factor 4", 1024, "2.74", "1.1"]]


def test_the_readme_says_on_what_it_was_measured_or_that_it_was_not(readme, monkeypatch, tmp_path):
    folder = tmp_path / "overnight"
    folder.mkdir()
    monkeypatch.setattr(module, "FIGURES", tmp_path)
    source = {"device": "NVIDIA X", "precision": "float32 (TF32)"}
    (folder / "table_memory.json").write_text(json.dumps({"results": MEMORY, "provenance": source}))
    write_readme()
    text = readme.read_text()
    assert "Measured on: NVIDIA X; float32 rounds to TF32.\n\n| command | side |" in text
    assert "\n| upscale --factor 4 | 1024 | 2.74 | 1.1 |\n" in text
    assert text.count("Not run yet.") == len(TABLES) - 1
