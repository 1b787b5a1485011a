"""Figures that can be understood without their notebook, each with its numbers in a JSON file."""

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest
from types import SimpleNamespace
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from replication.io.files import FIGURES, rounded, write_atomically, write_json
from replication.io.pictures import Picture
from replication.io.pixels import to_pixels
from replication.io.provenance import provenance
from replication.report.claims import Measure, judge
from replication.report.tables import check_table

DPI = 150
COLORS = ("black", "#d55e00", "#0072b2", "#009e73")  # told apart by the colour-blind; DASHES tell them apart in grey
DASHES = ("-", "--", "-.", ":")
TERMS = {"total": 0, "content": 1, "style": 2, "total variation": 3}  # of COLORS, in every figure
GREYS = ("0.25", "0.5", "0.4", "0.6")
WIDTH = 256 / DPI  # inches of an image of the paper's size, whose pixels are then those of the figure
GAP, LINE, HEADING = 0.07, 0.165, 0.42  # inches: between images, of a line of text, of the title
STYLE = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 12, "figure.titleweight": "bold"}


class Panel(NamedTuple):
    """An image in a figure."""

    image: Tensor  # (1, 3, H, W) in [0, 1]
    above: str = ""
    below: str = ""
    box: tuple[float, float, float] | None = None  # top, left and side of a square to draw, in heights of the image
    scale: float = 1  # of its width


class Plot(NamedTuple):
    """Curves to draw below the images; y is logarithmic."""

    title: str
    xlabel: str
    ylabel: str
    curves: dict[str, tuple[Sequence[float], Sequence[float]]]  # x and y by label
    lines: dict[str, float] = {}  # noqa: RUF012  # horizontal ones, height by label
    bands: dict[str, tuple[Sequence[float], Sequence[float]]] = {}  # noqa: RUF012  # limits around a curve or a line
    marks: dict[str, tuple[Sequence[float], Sequence[float]]] = {}  # noqa: RUF012  # points alone
    points: bool = False  # whether the curves are marked where they are known, and x is logarithmic too
    linear: bool = False  # y


Row = Sequence[Panel | tuple[Tensor, str] | None]  # an image and what is above it; None leaves a place empty


def panels(
    rows: Sequence[Row],
    title: str,
    caption: str,
    plots: Sequence[Plot] = (),
    *,
    names: Sequence[str] = (),
    panel: float = WIDTH,
) -> Figure:
    """Images in rows, the figure's title on top, curves and the caption below.

    Args:
        rows: from the left, of any length; there may be none.
        plots: side by side under the images.
        names: one name for each row, written at its left.
        panel: the width in inches of an image with a scale of 1.
    """
    lines = [[each if each is None or isinstance(each, Panel) else Panel(*each) for each in row] for row in rows]
    sizes = [[_size(each, panel) for each in row] for row in lines]
    left = 0.35 if any(names) else GAP
    width = max([left + sum(w + GAP for w, _ in row) for row in sizes] + [4.2 * len(plots), 5.5])
    text = textwrap.fill(caption, round(12 * width))
    tops = [LINE * _most(row, "above") + 0.05 for row in lines]
    feet = [LINE * _most(row, "below") + 0.05 for row in lines]
    foot, curves = 0.25 + LINE * (text.count("\n") + 1), 3.4 if plots else 0
    heights = [top + max(h for _, h in row) + low for top, row, low in zip(tops, sizes, feet, strict=True)]
    heading = HEADING if title else GAP
    height = heading + sum(heights) + curves + foot
    figure = plt.figure(figsize=(width, height))  # before the context, whose end undoes what a notebook's backend sets
    with plt.rc_context(STYLE):
        y = height - heading
        for row, own, top, tall, name in zip_longest(lines, sizes, tops, heights, names, fillvalue=""):
            _draw_row(figure, row, own, left, y - top)
            figure.text(0.12 / width, (y - tall / 2) / height, name, rotation=90, ha="left", va="center")
            y -= tall
        if plots:
            span = {"left": 0.75 / width, "right": 0.99, "top": (foot + curves - 0.45) / height}
            grid = figure.add_gridspec(1, len(plots), bottom=(foot + 0.5) / height, wspace=0.24, **span)
            for cell, plot in zip(grid, plots, strict=True):
                _draw(figure.add_subplot(cell), plot)
        figure.suptitle(title, y=1 - 0.12 / height, va="top")
        figure.text(0.5, foot / height - 0.08 / height, text, ha="center", va="top", multialignment="left")
    return figure


def _size(each: Panel | None, panel: float) -> tuple[float, float]:
    """Width and height in inches."""
    if each is None:
        return panel, 0
    tall, wide = each.image.shape[2:]
    return panel * each.scale, panel * each.scale * tall / wide


def _most(row: Sequence[Panel | None], where: str) -> int:
    """Lines of the longest text above or below the images of a row."""
    texts = [getattr(each, where) for each in row if each]
    return max((each.count("\n") + 1 for each in texts if each), default=0)


def _draw_row(
    figure: Figure, row: Sequence[Panel | None], sizes: Sequence[tuple[float, float]], x: float, y: float
) -> None:
    """Images side by side from (x, y), the upper left corner, in inches."""
    width, height = figure.get_size_inches()
    for each, (wide, tall) in zip(row, sizes, strict=True):
        if each:
            ax = figure.add_axes((x / width, (y - tall) / height, wide / width, tall / height))
            ax.imshow(to_pixels(each.image), aspect="auto")
            ax.set_title(each.above, pad=3)
            ax.set_axis_off()
            ax.text(0.5, -0.03 / tall, each.below, transform=ax.transAxes, ha="center", va="top")
            if each.box:
                top, start, side = (share * each.image.shape[2] for share in each.box)
                ax.add_patch(Rectangle((start, top), side, side, fill=False, edgecolor="#ffd400", linewidth=1.5))
        x += wide + GAP


def _draw(ax: Axes, plot: Plot) -> None:
    in_turn = {label: number % len(COLORS) for number, label in enumerate(plot.curves)}
    places = TERMS if plot.curves.keys() <= TERMS.keys() else in_turn
    colors = {label: COLORS[places[label]] for label in plot.curves}
    for label, (x, y) in plot.curves.items():
        style = {"color": colors[label], "linestyle": DASHES[places[label]], "linewidth": 1.6}
        ax.plot(x, y, label=label, marker="o" if plot.points else None, **style)
    first, _ = next(iter(plot.curves.values()))
    for (label, height), color, dashes in zip(plot.lines.items(), cycle(GREYS), cycle(DASHES[1:]), strict=False):
        ax.axhline(height, label=label, color=color, linestyle=dashes, linewidth=1.2)
        colors[label] = color
    for label, limits in plot.bands.items():
        over = plot.curves[label][0] if label in plot.curves else (min(first), max(first))
        ax.fill_between(over, *limits, color=colors[label], alpha=0.2, linewidth=0)
    for (label, (x, y)), marker in zip(plot.marks.items(), cycle("xs^d"), strict=False):
        ax.plot(x, y, marker, label=label, color="black", markersize=6, markerfacecolor="none")
    ax.set_yscale("linear" if plot.linear else "log")
    if plot.points:
        ax.set_xscale("log", base=2)
        known = sorted({*first, *(at for x, _ in plot.marks.values() for at in x)})
        ax.set_xticks(known, map(str, known))
        ax.set_xlim(right=4 * known[-1])  # room for the legend
    if (plot.bands or plot.lines) and not plot.linear:
        low, high = ax.get_ylim()
        ax.set_ylim(top=low * (high / low) ** (1 + 0.035 * len(ax.get_legend_handles_labels()[0])))  # room for it
    ax.set(title=plot.title, xlabel=plot.xlabel, ylabel=plot.ylabel)
    ax.grid(alpha=0.3)
    ax.legend(edgecolor="none", fontsize=8, labelspacing=0.25, loc="center right" if plot.points else "best")


def conclude(
    figure: str,
    run: SimpleNamespace,
    results: Any,
    *,
    measures: Mapping[str, Measure],
    title: str = "",
    rows: Sequence[Row] = (),
    plots: Sequence[Plot] = (),
    names: Sequence[str] = (),
    panel: float = WIDTH,
    caption: str = "",
    network: nn.Module | None = None,
    inputs: Sequence[Picture] = (),
    **more: Any,
) -> None:
    """Close a section of a notebook: judge the numbers, show the verdict, draw the figure, write both with provenance.

    Args:
        figure: one of `claims()`.
        run: the settings, from `profiles.start`.
        results: all numbers that the figure shows, as JSON takes them.
        measures: the number that each check judges, by its key; see `judge`.
        title, rows, plots, names, panel, network, inputs: see `panels` and `provenance`.
        caption: text after the claim and the verdict.
        more: further entries of the provenance.

    Raises:
        ReplicationError: a file could not be written.
        ValueError: the measures are not those of the figure's checks.
    """
    measures = rounded(dict(measures))
    judgement = judge(figure, measures, vars(run))
    display(check_table(judgement))
    sources = provenance(run, network, inputs) | more
    judged = {"figure": figure, "claim": judgement.claim.text, "verdict": judgement.sentence, "measures": measures}
    drawn = panels(rows, title, f"{judgement.caption} {caption}".strip(), plots, names=names, panel=panel)
    save_figure(figure, drawn, results, sources, judged)


def save_figure(
    name: str, figure: Figure, results: Any, sources: dict[str, Any], judged: dict[str, Any] | None = None
) -> None:
    """Write `figures/<profile>/<name>.png` and `.json`; the PNG carries the provenance in a chunk of that name.

    The same figure, numbers and provenance give the same bytes.

    Args:
        name: file name without suffix.
        results: the numbers, as JSON takes them.
        sources: from `provenance.provenance`; its "profile" chooses the folder.
        judged: figure, claim, verdict and measures, with which the JSON begins; None for what is not judged.
    """
    path, picture = FIGURES / sources["profile"] / f"{name}.png", io.BytesIO()
    metadata = {"Title": name, "Software": None, "Provenance": json.dumps(sources)}
    figure.savefig(picture, format="png", dpi=DPI, metadata=metadata)
    write_atomically(path, picture.getvalue())
    write_json(path.with_suffix(".json"), (judged or {"picture": name}) | {"results": results, "provenance": sources})
