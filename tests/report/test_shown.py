"""What the repository shows is one run of today's notebooks."""

import json

import nbformat
import pytest

from replication.io.files import FIGURES, ROOT
from replication.report.copies import retold
from replication.report.summary import SHOWN

FOLDER = FIGURES / SHOWN
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))


def code(path):
    """The cells of code that are the notebook's own, without the one that papermill injects."""
    cells = nbformat.read(path, as_version=4).cells
    own = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return [cell.source for cell in own if cell.cell_type == "code"]


def test_all_measurements_are_of_one_commit_and_one_kind_of_processor():
    found = [json.loads(path.read_text())["provenance"] for path in sorted(FOLDER.glob("*.json"))]
    measured = [record for record in found if record["notebook"] != "10_paper_against_ours"]  # which only reads
    assert {record["notebook"] for record in found} == {path.stem for path in NOTEBOOKS}
    assert len({record["commit"] for record in measured}) == 1
    assert len({record["device"].rsplit(",", 1)[0] for record in measured}) == 1  # without the number of threads


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_executed_copy_has_the_code_and_the_text_of_its_notebook(path, tmp_path):
    copy = FOLDER / "notebooks" / path.name
    assert code(copy) == code(path)
    before = copy.read_bytes()
    (tmp_path / copy.name).write_bytes(before)
    assert retold(path, tmp_path / copy.name) == before
