"""Tables as they are shown and as they are kept."""

import json
import re

import pandas as pd
import pytest

from replication.io.files import FIGURES
from replication.report import tables
from replication.report.summary import SHOWN
from replication.report.tables import coloured, save_table, table

RECORD = {"profile": "smoke"}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "FIGURES", tmp_path)
    return tmp_path / "smoke"


@pytest.mark.parametrize("frame", [list, pd.DataFrame])
def test_a_table_is_json_and_csv_with_what_is_missing_left_out(folder, frame):
    rows = [{"layer": "relu1_1", "n": 5, "x": 1 / 3}, {"layer": "a, b", "n": None, "x": 2.0}]
    save_table("some", frame(rows), RECORD)
    found = json.loads((folder / "some.json").read_text())
    assert list(found) == ["table", "results", "provenance"]
    assert found["results"] == [{"layer": "relu1_1", "n": 5, "x": 0.333333}, {"layer": "a, b", "n": None, "x": 2.0}]
    n = "5.0" if frame is pd.DataFrame else "5"  # a column of numbers with a gap
    assert (folder / "some.csv").read_bytes() == f'layer,n,x\nrelu1_1,{n},0.333333\n"a, b",,2.0\n'.encode()


def cells(style):
    return re.findall(r"<td[^>]*>(.*?)</td>", style.to_html())


def test_numbers_of_a_column_are_aligned_and_the_best_is_bold():
    rows = [{"layer": "a", "loss": 1234.5, "psnr": 30.123}, {"layer": "b", "loss": 12.0, "psnr": 9.5}]
    style = table([*rows, {"layer": "c", "loss": None, "psnr": 30.0}], {"psnr": "more", "loss": "less"})
    assert cells(style) == ["a", "1,234.5", "30.12", "b", "12.0", "9.50", "c", "", "30.00"]
    (selectors,) = re.findall(r"^(#.*) \{\n(?:  .*\n)*  font-weight: bold", style.to_html(), flags=re.M)
    assert set(re.findall(r"row\d_col\d", selectors)) == {"row0_col2", "row1_col1"}
    assert cells(table([{"x": 1e-7}, {"x": 1.0}])) == ["1e-07", "1"]
    assert cells(table([{"n": 40000, "ok": True}, {"n": 1, "ok": False}])) == ["40,000", "True", "1", "False"]


def test_every_verdict_has_its_colour():
    verdicts = ["replicated as far as run", "exceeded", "partly replicated", "differs", "not replicated"]
    html = coloured(pd.DataFrame({"verdict": [*verdicts, "not run at this scale"]}).style).to_html()
    assert len(set(re.findall(r"background-color: (#\w+)", html))) == 6


@pytest.mark.parametrize("path", sorted((FIGURES / SHOWN).glob("*.csv")), ids=lambda path: path.stem)
def test_the_csv_files_are_those_of_the_numbers(folder, path):
    rows = json.loads(path.with_suffix(".json").read_text())["results"]
    save_table(path.stem, rows, {"profile": "smoke"})
    assert (folder / path.name).read_bytes() == path.read_bytes()
