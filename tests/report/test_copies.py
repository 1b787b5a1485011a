"""The executed copies of the notebooks: their code as it ran, their text as it is told today."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from replication.report.copies import copy_of, metadata, retell, retold

PARAMETERS = {"tags": ["parameters"]}
INJECTED = {"tags": ["injected-parameters"]}


@pytest.fixture
def notebook(tmp_path, put):
    """A notebook, and what was made of it when its text was another."""
    put(FIGURES=tmp_path / "figures")
    path = tmp_path / "notebooks" / "01_a.ipynb"
    copy = copy_of(path, "smoke")
    for folder in (path.parent, copy.parent):
        folder.mkdir(parents=True)
    text = "# New\n[code](../replication/a.py), [next](02_b.ipynb)"
    code = [new_code_cell("x = 1", metadata=PARAMETERS), new_code_cell("print(x)")]
    nbformat.write(new_notebook(cells=[new_markdown_cell(text), *code, new_markdown_cell("End")]), path)
    shown = new_code_cell("print(x)", outputs=[new_output("stream", text="2\n")])
    ran = [new_markdown_cell("# Old"), code[0], new_code_cell("x = 2", metadata=INJECTED), shown]
    nbformat.write(new_notebook(cells=ran, metadata={"papermill": {"duration": 1}}), copy)
    return path


def test_the_text_is_todays_and_the_rest_is_what_ran(notebook):
    copy = copy_of(notebook, "smoke")
    retell(notebook, "smoke")
    found = nbformat.read(copy, 4)
    sources = ["# New\n[code](../../../replication/a.py), [next](02_b.ipynb)", "x = 1", "x = 2", "print(x)", "End"]
    assert [cell.source for cell in found.cells] == sources
    assert found.cells[3].outputs[0].text == "2\n"
    told = [cell.id for cell in nbformat.read(notebook, 4).cells]
    assert [cell.id for cell in found.cells if cell.metadata.get("tags") != INJECTED["tags"]] == told
    assert found.metadata.papermill.duration == 1
    assert retold(notebook, copy) == copy.read_bytes()


def test_a_copy_of_other_code_stays_as_it_is(notebook):
    copy = copy_of(notebook, "smoke")
    cells = json.loads(notebook.read_text())
    cells["cells"][2]["source"] = ["print(x + 1)"]
    notebook.write_text(json.dumps(cells))
    before = copy.read_bytes()
    retell(notebook, "smoke")
    assert copy.read_bytes() == before


def test_a_damaged_copy_is_named_and_counts_as_none(notebook, caplog):
    copy_of(notebook, "smoke").write_text("<<<<<<< HEAD")
    assert metadata(notebook, "smoke") == {}
    retell(notebook, "smoke")
    assert copy_of(notebook, "smoke").read_text() == "<<<<<<< HEAD"
    assert "01_a.ipynb cannot be read" in caplog.text
