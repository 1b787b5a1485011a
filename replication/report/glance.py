"""One figure of the paper's numbers in headline claims: how far ours are from them, in units of the tolerance."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from replication.report.claims import Judgement
from replication.report.figures import STYLE
from replication.report.rules import DIFFERS, EXCEEDED, NOT_REPLICATED, REPLICATED
from replication.report.tables import colour_of

MARKERS = {REPLICATED: "X", EXCEEDED: "D", DIFFERS: "o", NOT_REPLICATED: "s"}  # told apart in grey
MOST = 100  # tolerances, where the axis ends
CAPTION = (
    "Headline claims with a tolerance; those with one limit have no place here. The axis is linear to 2 tolerances,\n"
    "and logarithmic beyond. The nine speed-ups of Table 1 are multiples of three measurements."
)


def distances(judgements: Iterable[Judgement]) -> list[dict[str, Any]]:
    """A row for each number: its figure, key and verdict, and its distance from the paper's value in tolerances."""
    rows = []
    for judgement in judgements:
        for found in judgement.findings:
            low, high = found.check.rule.low, found.check.rule.high
            if found.value is not None and found.check.rule.inside == REPLICATED and found.check.headline:
                row = {"figure": judgement.claim.title, "number": found.check.key, "verdict": found.verdict}
                rows.append(row | {"tolerances": (found.value - (low + high) / 2) / ((high - low) / 2)})
    return rows


def glance(rows: list[dict[str, Any]]) -> Figure:
    """Draw a line for each figure with a point for each number, coloured by its verdict; the band is the tolerance."""
    titles = list(dict.fromkeys(row["figure"] for row in rows))
    figure = plt.figure(figsize=(9, 1.8 + 0.5 * len(titles)))
    with plt.rc_context(STYLE):
        ax = figure.add_axes((0.36, 1.3 / figure.get_figheight(), 0.61, 1 - 1.8 / figure.get_figheight()))
        ax.axvspan(-1, 1, color="0.85", label="within the tolerance")
        for verdict in dict.fromkeys(row["verdict"] for row in rows):
            those = [row for row in rows if row["verdict"] == verdict]
            x = [max(-MOST, min(MOST, row["tolerances"])) for row in those]
            y = [titles.index(row["figure"]) + 0.09 * (number % 7 - 3) for number, row in enumerate(those)]  # apart
            ax.plot(x, y, MARKERS[verdict], color=colour_of(verdict), markeredgecolor="0.3", label=verdict)
        ax.set_xscale("symlog", linthresh=2)
        ax.set(xlim=(-1.2 * MOST, 1.2 * MOST), ylim=(len(titles) - 0.5, -0.5))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_yticks(range(len(titles)), titles)
        ax.set_xlabel("ours less the paper's, in tolerances")
        ax.grid(axis="y", alpha=0.3)
        ax.legend(loc="upper center", bbox_to_anchor=(0.3, -0.55 / (0.5 * len(titles))), ncols=5, frameon=False)
        figure.text(0.5, 0.1 / figure.get_figheight(), CAPTION, ha="center", va="bottom")
        figure.suptitle("The paper's numbers, and ours", y=1 - 0.1 / figure.get_figheight(), va="top")
    return figure
