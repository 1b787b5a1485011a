"""Figures that read without their notebook, each with the numbers behind it in a JSON file."""

import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from replication.files import ROOT, write_atomically, write_json
from replication.images import to_pixels

DPI = 150
STYLE = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 12, "figure.titleweight": "bold"}


def panels(rows: Sequence[Sequence[tuple[Tensor, str]]], title: str, caption: str) -> Figure:
    """Images in rows, each with its own title above it; a heading on top, the caption below.

    Args:
        rows: (image (1, 3, H, W), panel title) by row; rows of equal length.
        title: the figure's heading.
        caption: the claim, and what is to be seen.
    """
    columns = len(rows[0])
    lines = textwrap.fill(caption, 26 * columns)
    width, heading, foot = 1.9 * columns, 0.4, 0.25 + 0.16 * (lines.count("\n") + 1)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows), columns, figsize=(width, 2.35 * len(rows) + heading + foot), squeeze=False
        )
        for ax, (image, label) in zip(axes.flat, (panel for row in rows for panel in row), strict=True):
            ax.imshow(to_pixels(image))
            ax.set_title(label)
            ax.set_axis_off()
        height = figure.get_figheight()
        figure.suptitle(title, y=1 - 0.12 / height, va="top")
        figure.text(0.5, foot / height - 0.08 / height, lines, ha="center", va="top")
        figure.subplots_adjust(
            left=0.01, right=0.99, top=1 - (heading + 0.38) / height, bottom=foot / height, wspace=0.04, hspace=0.26
        )
    return figure


def verdict(checks: dict[str, bool]) -> str:
    """The verdict on a claim: "replicated", "partly replicated" or "not replicated", and what was seen.

    Args:
        checks: what was tested, with the numbers measured, and whether it holds.
    """
    word = "replicated" if all(checks.values()) else "partly replicated" if any(checks.values()) else "not replicated"
    return f"{word}: " + "; ".join(("" if holds else "does NOT hold: ") + check for check, holds in checks.items())


def save_figure(
    figure: Figure, name: str, *, claim: str, verdict: str, results: Any, provenance: dict[str, Any]
) -> list[Path]:
    """Write `figures/<profile>/<name>.png` and `.json`; the PNG carries the provenance in its text chunk "Provenance".

    The same figure, numbers and provenance give the same bytes.

    Args:
        figure: the picture.
        name: file name without suffix, "fig3_feature_inversion".
        claim: the paper's claim, with its section.
        verdict: from `verdict`.
        results: the numbers, as JSON takes them.
        provenance: from `provenance.provenance`; its "profile" chooses the folder.

    Returns:
        The two paths.

    Raises:
        ReplicationError: a file could not be written.
    """
    folder = ROOT / "figures" / provenance["profile"]
    record = {"figure": name, "claim": claim, "verdict": verdict, "results": results, "provenance": provenance}
    picture = io.BytesIO()
    metadata = {"Title": name, "Software": None, "Provenance": json.dumps(provenance)}
    figure.savefig(picture, format="png", dpi=DPI, metadata=metadata)
    png, numbers = folder / f"{name}.png", folder / f"{name}.json"
    write_atomically(png, picture.getvalue())
    write_json(numbers, record)
    return [png, numbers]
