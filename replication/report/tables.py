"""Tables for display in a notebook, and as JSON, with their provenance, and CSV files."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from replication.io.files import FIGURES, rounded, write_atomically, write_json
from replication.report.claims import Judgement
from replication.report.rules import DIFFERS, EXCEEDED, NOT_REPLICATED, NOT_RUN, PARTLY, REPLICATED

Rows = Sequence[dict[str, Any]]
COLOURS = {  # by how a verdict begins
    REPLICATED: "#c8e6c9",
    EXCEEDED: "#b2dfdb",
    PARTLY: "#fff3c4",
    DIFFERS: "#ffe0b2",
    NOT_REPLICATED: "#ffcdd2",
    NOT_RUN: "#eeeeee",
}


def table(rows: Rows | pd.DataFrame, best: Mapping[str, str] | None = None) -> Styler:
    """Rows of equal keys as a notebook shows them: numbers aligned, None empty, the best value of a column bold.

    Args:
        rows: the numbers of a column get equal decimals, enough for three digits of the least; thousands get commas.
        best: "more" or "less", by the name of each column that has a best value.
    """
    frame = pd.DataFrame(rows, dtype=object)
    style = frame.style.hide(axis="index")
    for name in frame:
        values = frame[name].dropna()
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if numbers and len(numbers) == len(values):
            style = style.format(_form(numbers), subset=[name], na_rep="").set_properties(
                subset=[name], **{"text-align": "right", "font-variant-numeric": "tabular-nums"}
            )
        else:
            left = {"selector": "", "props": "text-align: left"}  # of the column and its heading
            style = style.format(na_rep="", subset=[name]).set_table_styles({name: [left]}, overwrite=False)
    for name, way in (best or {}).items():
        highlight = style.highlight_max if way == "more" else style.highlight_min
        style = highlight(subset=[name], props="font-weight: bold")
    return style


def _form(numbers: Sequence[float]) -> str:
    """The format of a column of numbers."""
    sizes = [abs(number) for number in numbers if number and math.isfinite(number)]
    if all(isinstance(number, int) for number in numbers) or not sizes:
        return "{:,}"
    least, largest = min(sizes), max(sizes)
    if largest / least > 1e6 or least < 1e-4:
        return "{:.3g}"
    return f"{{:,.{max(0, min(4, 2 - math.floor(math.log10(least))))}f}}"


def check_table(judgement: Judgement) -> Styler:
    """The checks of a figure as a notebook shows them, each with its verdict; what is no headline is a proxy."""
    rows = [
        {
            "": "" if found.check.headline else "proxy",
            "claim": found.check.statement,
            "paper": found.check.paper,
            "ours": found.ours or found.reason,
            "rule": found.check.rule.text,
            "verdict": found.verdict,
        }
        for found in judgement.findings
    ]
    places = "; ".join(f"in place of {papers}: {ours}" for papers, ours in judgement.stand_ins.items())
    title = f"{judgement.claim.title}: {judgement.verdict}" + f" ({places})" * bool(places)
    return coloured(table(rows)).set_caption(title)


def coloured(style: Styler) -> Styler:
    """Colour the verdicts of a table of texts."""
    style = style.set_table_styles([{"selector": "th", "props": "text-align: left"}], overwrite=False)
    return style.map(lambda verdict: f"background-color: {colour_of(verdict)}", subset=["verdict"])


def colour_of(verdict: str) -> str:
    """The colour of a verdict."""
    return next(colour for start, colour in COLOURS.items() if verdict.startswith(start))


def save_table(name: str, rows: Rows | pd.DataFrame, sources: dict[str, Any]) -> None:
    """Write `figures/<profile>/<name>.json`, with the provenance, and `.csv`.

    Args:
        name: file name without suffix, "table_works".
        rows: of equal keys, or a frame; what is missing is null in JSON and empty in CSV.
        sources: see `save_figure`.

    Raises:
        ReplicationError: a file could not be written.
    """
    frame = pd.DataFrame(rows, dtype=object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    path = FIGURES / sources["profile"] / f"{name}.json"
    write_json(path, {"table": name, "results": rows, "provenance": sources})
    text = pd.DataFrame(rounded(rows), dtype=object).to_csv(index=False, lineterminator="\n")
    write_atomically(path.with_suffix(".csv"), text.encode())
