"""The executed copies of the notebooks: where each lies, what made it, and how its text is kept up to date."""

import logging
import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from replication.io.files import FIGURES, write_atomically

log = logging.getLogger(__name__)

UP = re.compile(r"\]\(\.\./")  # how a link out of notebooks/ begins
DOWN = "](../../../"  # and one out of figures/<profile>/notebooks/
INJECTED = "injected-parameters"  # papermill's tag


def copy_of(notebook: Path, profile: str, end: str = "") -> Path:
    """Where the executed copy of a notebook lies."""
    return FIGURES / profile / "notebooks" / f"{notebook.stem}{end}.ipynb"


def metadata(notebook: Path, profile: str) -> dict[str, Any]:
    """The metadata of a notebook's executed copy, which say what made it; empty if it is missing or damaged."""
    path = copy_of(notebook, profile)
    try:
        found = nbformat.read(path, as_version=4).metadata if path.exists() else {}
    except ValueError as error:
        log.warning("%s cannot be read (%s)", path, str(error).splitlines()[0])
        return {}
    return found if "papermill" in found else {}


def retell(notebook: Path, profile: str) -> None:
    """Update the text of a notebook's executed copy from the notebook, if the copy exists and has the same code."""
    path = copy_of(notebook, profile)
    if metadata(notebook, profile) and (text := retold(notebook, path)) != path.read_bytes():
        write_atomically(path, text)


def retold(notebook: Path, copy: Path) -> bytes:
    """The content of an executed copy with the notebook's present text; relative links are adapted to its folder.

    If the code is not that of the notebook, the copy is returned as it is.
    """
    told, found = (nbformat.read(path, as_version=4) for path in (notebook, copy))
    cells = [cell for cell in found.cells if cell.cell_type == "code"]
    ran, injected = ([cell for cell in cells if _tagged(cell, INJECTED) == wanted] for wanted in (False, True))
    if [cell.source for cell in ran] != [cell.source for cell in told.cells if cell.cell_type == "code"]:
        return copy.read_bytes()
    found.cells, left = [], iter(ran)
    for cell in told.cells:
        is_code = cell.cell_type == "code"
        shown = next(left) | {"id": cell.id} if is_code else cell | {"source": UP.sub(DOWN, cell.source)}
        found.cells.append(NotebookNode(shown))
        found.cells += injected if _tagged(cell, "parameters") else []
    return f"{nbformat.writes(found)}\n".encode()


def _tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())
