"""Tables: plain text for notebooks and the terminal, JSON and CSV files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replication.io.files import FIGURES, rounded, write_atomically, write_json


def text_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as aligned text under a heading: numbers to the right, floats to three digits, None empty."""
    names = list(rows[0])
    cells = [names, *([_text(row[name]) for name in names] for row in rows)]
    numeric = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def save_table(name: str, rows: Sequence[dict[str, Any]], provenance: dict[str, Any]) -> list[Path]:
    """Write `figures/<profile>/<name>.json`, with the provenance, and `.csv`.

    Args:
        name: file name without suffix, "benchmark_baseline".
        rows: of equal keys.
        provenance: from `provenance.provenance`; its "profile" chooses the folder.

    Returns:
        The two paths.

    Raises:
        ReplicationError: a file could not be written.
    """
    path = FIGURES / provenance["profile"] / f"{name}.json"
    write_json(path, {"table": name, "results": rows, "provenance": provenance})
    return [path, *save_csv(name, rows, provenance["profile"])]


def save_csv(name: str, rows: Sequence[dict[str, Any]], profile: str) -> list[Path]:
    """Write rows of equal keys as `figures/<profile>/<name>.csv`; see `save_table`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rounded(list(rows)))
    path = FIGURES / profile / f"{name}.csv"
    write_atomically(path, text.getvalue().encode())
    return [path]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
