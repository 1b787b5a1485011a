"""What the repository shows is one run of today's notebooks."""

import json

import nbformat
import pytest

from replication.io.files import FIGURES, ROOT
from replication.report.summary import shown_profile

FOLDER = FIGURES / shown_profile()
COPIES = FOLDER / "notebooks"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))


def code(path):
    """The cells of code that are the notebook's own, without the one that papermill injects."""
    cells = nbformat.read(path, as_version=4).cells
    own = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return [cell.source for cell in own if cell.cell_type == "code"]


@pytest.mark.xfail(strict=True, reason="until a night has made all of it anew")
def test_all_records_are_of_one_commit_and_one_machine():
    found = [json.loads(path.read_text())["provenance"] for path in sorted(FOLDER.glob("*.json"))]
    assert len({record["commit"] for record in found}) == 1
    assert len({record["device"].rsplit(",", 1)[0] for record in found}) == 1  # without the number of threads


@pytest.mark.xfail(strict=True, reason="until a night has run notebook 11, too")
def test_every_notebook_has_an_executed_copy():
    assert [path.stem for path in NOTEBOOKS if not (COPIES / path.name).exists()] == []


@pytest.mark.parametrize("path", sorted(COPIES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_an_executed_copy_has_the_code_of_its_notebook(path):
    assert code(path) == code(ROOT / "notebooks" / path.name)
