"""Figures that read without their notebook, each with the numbers behind it in a JSON file; and tables."""

import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor, nn

from replication.io.files import FIGURES, rounded, write_atomically, write_json
from replication.io.images import to_pixels
from replication.io.pictures import Picture
from replication.io.provenance import provenance
from replication.report.claims import judge
from replication.report.rules import Judgement

DPI = 150
COLORS = ("black", "#d55e00", "#0072b2", "#009e73")  # told apart by the colour-blind; DASHES tell them apart in grey
DASHES = ("-", "--", "-.", ":")
STYLE = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 12, "figure.titleweight": "bold"}
Rows = Sequence[dict[str, Any]]


class Plot(NamedTuple):
    """Curves to draw below the images; y is logarithmic."""

    title: str
    xlabel: str
    ylabel: str
    curves: dict[str, tuple[Sequence[float], Sequence[float]]]  # x and y by label
    lines: dict[str, float] = {}  # noqa: RUF012  # horizontal ones, height by label
    band: Sequence[Sequence[float]] = ()  # lower and upper limits around the first curve
    points: bool = False  # whether the curves are marked where they are known, and x is logarithmic too


def panels(
    rows: Sequence[Sequence[tuple[Tensor, str]]], title: str, caption: str, plots: Sequence[Plot] = ()
) -> Figure:
    """Images in rows, each with its own title above it; the figure's title on top, curves and the caption below.

    Args:
        rows: (image (1, 3, H, W) in [0, 1], panel title) by row; rows of equal length; there may be none.
        plots: side by side under the images.
    """
    columns = len(rows[0]) if rows else 3 * len(plots)
    lines = textwrap.fill(caption, 26 * columns)
    heading, foot = 0.4, 0.25 + 0.16 * (lines.count("\n") + 1)
    above = 0.07 + 0.16 * max((label.count("\n") + 1 for row in rows for _, label in row), default=0)  # an image
    curves = 3.4 if plots else 0
    width, height = 1.9 * columns, (1.9 + above) * len(rows) + heading + curves + foot
    figure = plt.figure(figsize=(width, height))  # before the context, whose end undoes what a notebook's backend sets
    with plt.rc_context(STYLE):
        top, bottom = 1 - (heading + above) / height, (foot + curves) / height
        grid = {"left": 0.01, "right": 0.99, "top": top, "bottom": bottom, "wspace": 0.04, "hspace": above / 1.9}
        cells = figure.add_gridspec(max(len(rows), 1), columns, **grid)
        for cell, (image, label) in zip(cells, (panel for row in rows for panel in row), strict=False):
            ax = figure.add_subplot(cell)
            ax.imshow(to_pixels(image))
            ax.set_title(label)
            ax.set_axis_off()
        if plots:
            top, bottom = (foot + curves - 0.45) / height, (foot + 0.5) / height
            grid = {"left": 0.75 / width, "right": 0.99, "top": top, "bottom": bottom, "wspace": 0.22}
            for cell, plot in zip(figure.add_gridspec(1, len(plots), **grid), plots, strict=True):
                _draw(figure.add_subplot(cell), plot)
        figure.suptitle(title, y=1 - 0.12 / height, va="top")
        figure.text(0.5, foot / height - 0.08 / height, lines, ha="center", va="top")
    return figure


def _draw(ax: Axes, plot: Plot) -> None:
    for (label, (x, y)), color, dashes in zip(plot.curves.items(), COLORS, DASHES, strict=False):
        marker = "o" if plot.points else None
        ax.semilogy(x, y, label=label, color=color, linestyle=dashes, marker=marker, linewidth=1.6)
    first, _ = next(iter(plot.curves.values()))
    if plot.band:
        ax.fill_between(first, *plot.band, color=COLORS[0], alpha=0.2, linewidth=0)
    if plot.points:
        ax.set_xscale("log", base=2)
        ax.set_xticks(first, map(str, first))
    for (label, height), dashes in zip(plot.lines.items(), DASHES[1:], strict=False):
        ax.axhline(height, label=label, color="0.45", linestyle=dashes, linewidth=1)
    ax.set(title=plot.title, xlabel=plot.xlabel, ylabel=plot.ylabel)
    ax.grid(alpha=0.3)
    ax.legend(edgecolor="none")


def table(rows: Rows) -> Styler:
    """Rows of equal keys as a notebook shows them: three digits, large numbers with thousands apart, None empty."""

    def text(value: object) -> str:
        if pd.isna(value):
            return ""
        if isinstance(value, float):
            return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return f"{value:,}" if isinstance(value, int) and abs(value) >= 1e4 else str(value)

    return pd.DataFrame(rows, dtype=object).style.hide(axis="index").format(text)


def conclude(
    figure: str,
    run: SimpleNamespace,
    results: Any,
    *,
    title: str = "",
    rows: Sequence[Sequence[tuple[Tensor, str]]] = (),
    plots: Sequence[Plot] = (),
    caption: str = "",
    network: nn.Module | None = None,
    inputs: Sequence[Picture] = (),
    **more: Any,
) -> None:
    """How a notebook closes: judge the numbers, print the verdict, draw the figure, and write both with where from.

    Args:
        figure: one of `CLAIMS`.
        run: the settings, from `profiles.start`.
        results: the numbers, as JSON takes them; rows of equal keys are a table, where there is nothing to draw.
        title, rows, plots, network, inputs: see `panels` and `provenance`.
        caption: what follows the claim.
        more: what else the provenance holds.

    Raises:
        ReplicationError: a file could not be written.
    """
    judgement = judge(figure, results, vars(run))
    print(judgement)
    sources = provenance(run, network, inputs) | more
    if rows or plots:
        drawn = panels(rows, title, f"{judgement.caption} {caption}".strip(), plots)
        save_figure(drawn, judgement, results=results, sources=sources)
    else:
        save_table(figure, results, sources, judgement)


def save_figure(figure: Figure, judgement: Judgement, *, results: Any, sources: dict[str, Any]) -> list[Path]:
    """Write `figures/<profile>/<figure>.png` and `.json`; the PNG carries the provenance in a chunk of that name.

    The same figure, numbers and provenance give the same bytes.

    Args:
        results: the numbers, as JSON takes them.
        sources: from `provenance.provenance`; its "profile" chooses the folder.

    Returns:
        The two paths.
    """
    paths = [FIGURES / sources["profile"] / f"{judgement.figure}.{end}" for end in ("png", "json")]
    picture = io.BytesIO()
    metadata = {"Title": judgement.figure, "Software": None, "Provenance": json.dumps(sources)}
    figure.savefig(picture, format="png", dpi=DPI, metadata=metadata)
    write_atomically(paths[0], picture.getvalue())
    write_json(paths[1], _judged(judgement) | {"results": results, "provenance": sources})
    return paths


def save_table(
    name: str, rows: Rows | pd.DataFrame, sources: dict[str, Any], judgement: Judgement | None = None
) -> list[Path]:
    """Write `figures/<profile>/<name>.json`, with the provenance, and `.csv`.

    Args:
        name: file name without suffix, "table_works".
        rows: of equal keys, or a frame; what is missing is null in JSON and empty in CSV.
        sources: see `save_figure`.
        judgement: of a table that is judged like a figure; its JSON then begins as that of a figure.

    Returns:
        The two paths.

    Raises:
        ReplicationError: a file could not be written.
    """
    frame = pd.DataFrame(rows, dtype=object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    paths = [FIGURES / sources["profile"] / f"{name}.{end}" for end in ("json", "csv")]
    begin = _judged(judgement) if judgement else {"table": name}
    write_json(paths[0], begin | {"results": rows, "provenance": sources})
    text = pd.DataFrame(rounded(rows), dtype=object).to_csv(index=False, lineterminator="\n")
    write_atomically(paths[1], text.encode())
    return paths


def _judged(judgement: Judgement) -> dict[str, str]:
    return {"figure": judgement.figure, "claim": judgement.claim, "verdict": judgement.verdict}
