"""The README's tables, written from the figures' files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from replication.evaluation import NAMES, matched_rows
from replication.io.downloads import SETS
from replication.io.files import FIGURES, ROOT, need_checkout, write_atomically
from replication.report.benchmarks import NUMBERS
from replication.report.summary import overview, shown_profile

README = ROOT / "README.md"

Record = dict[str, Any]


def write_readme() -> None:
    """Write the README's tables anew, each between its two marks, from the figures of `shown_profile`.

    Raises:
        ReplicationError: the package alone is installed, or the file could not be written.
        ValueError: the README has no such marks.
    """
    need_checkout("readme")
    text, profile = README.read_text(), shown_profile()
    tables = {"claims": _markdown(overview(profile))}
    tables |= {name: _table_of(FIGURES / profile / f"{file}.json", make) for name, (file, make) in TABLES.items()}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python -m replication readme` -->", f"<!-- {name} end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    write_atomically(README, text.encode())


def _table_of(path: Path, make: Callable[[list[Record]], pd.DataFrame]) -> str:
    """A figure's table in Markdown, and before one of seconds what they were measured on."""
    if not path.exists():
        return "Not run yet."
    record = json.loads(path.read_text())
    table, source = _markdown(make(record["results"])), record["provenance"]
    if make is super_resolution_table:
        return table
    rounds = "; float32 rounds to TF32" if "TF32" in source["precision"] else ""
    return f"Measured on: {source['device']}{rounds}.\n\n{table}"


def _markdown(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True, stralign=None)


def super_resolution_table(rows: list[Record]) -> pd.DataFrame:
    """PSNR and SSIM, one row a factor and set, the paper's in brackets; see `score_rows`."""

    def cell(row: Record) -> str:
        paper = f" ({row['paper_psnr']:.2f} / {row['paper_ssim']:.4f})" if row["paper_psnr"] is not None else ""
        return f"{row['psnr']:.2f} / {row['ssim']:.4f}{paper}"

    cells = {key: cell(row) for key, row in matched_rows(rows).items()}
    titles = dict(zip(NAMES, ("bicubic", "pixel loss", "SRCNN", "feature loss"), strict=True))
    found = []
    for factor, name in dict.fromkeys(key[:2] for key in cells):
        scores = {title: cells.get((factor, name, method), "") for method, title in titles.items()}
        found.append({"factor": f"x{factor}", "set": SETS.get(name, name)} | scores)
    return pd.DataFrame(found)


def speed_table(rows: list[Record]) -> pd.DataFrame:
    """Table 1, one row a size and precision; see `speed_rows`."""
    frame = pd.DataFrame(rows)
    ratios = frame[[f"speed-up over {number}" for number in NUMBERS]].map("{:.0f}".format)
    columns = {
        "image": frame["size"].map("{0} x {0}".format),
        "precision": frame["precision"],
        "an iteration": frame["iteration"].map(_three),
        "500 of them": frame["500 iterations"].map(_three),
        "network": frame["network"].map(_three),
        f"speed-up over {', '.join(map(str, NUMBERS))}": ratios.agg(", ".join, axis=1),
        "over 500 of the usual one": frame["over plain 500"].map("{:.0f}".format),
    }
    return pd.DataFrame(columns)


def works_table(rows: list[Record]) -> pd.DataFrame:
    """Ours, one row a work, size and precision, and each method's ratio to the bare convolutions; see `work_rows`."""
    frame = pd.DataFrame(rows).set_index(["work", "size", "precision", "method"])
    ours = frame.xs("ours", level="method")
    shown = pd.DataFrame({"seconds": ours["seconds"].map(_three), "share of peak": ours["share of peak"].map(_two)})
    shown["peak GB"] = ours["peak GB"].astype(float).map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    ratios = frame["ratio"].drop("bare convolutions", level="method").unstack(sort=False)
    ratios = ratios.map(_two, na_action="ignore").fillna("").add_prefix("ratio: ")
    return shown.join(ratios).reset_index()


def memory_table(rows: list[Record]) -> pd.DataFrame:
    """The commands on image files; see `memory_rows`."""
    frame = pd.DataFrame(rows)
    return frame.assign(seconds=frame["seconds"].map(_three), **{"peak GB": frame["peak GB"].map("{:.1f}".format)})


_two, _three = "{:.2f}".format, "{:.3g}".format  # decimals, and significant digits
TABLES = {  # by the name of the marks: the figures' file, and what makes its table
    "super-resolution": ("table_super_resolution", super_resolution_table),
    "speed": ("table1_speed", speed_table),
    "works": ("table_works", works_table),
    "memory": ("table_memory", memory_table),
}
