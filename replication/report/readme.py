"""The README's tables, written from the figures' files."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from replication.evaluation import AUTHORS, NAMES, matched_rows
from replication.io.downloads import SETS
from replication.io.files import FIGURES, ROOT, need_checkout, write_atomically, write_json
from replication.report.copies import metadata, retell
from replication.report.runner import title_of
from replication.report.summary import SHOWN, judgements, overview

README = ROOT / "README.md"
THUMBNAIL = 480  # pixels, of the longer side

Record = dict[str, Any]


def write_readme() -> None:
    """Rewrite the README's tables, each between its two marks, from the figures of the profile `SHOWN`.

    The executed notebooks of that profile get their notebooks' present text. Its figures get thumbnails, and their JSON
    files the verdicts of today's rules; the captions in the pictures keep those of their day.

    Raises:
        ReplicationError: the package alone is installed, or the file could not be written.
        ValueError: the README has no such marks.
    """
    need_checkout("readme")
    text, profile = README.read_text(), SHOWN
    _write_thumbnails(profile)
    _write_verdicts(profile)
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        retell(notebook, profile)
    tables = {"claims": _markdown(overview(profile)), "notebooks": gallery(profile)}
    tables |= {name: _table_of(FIGURES / profile / f"{file}.json", make) for name, (file, make) in TABLES.items()}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python -m replication readme` -->", f"<!-- {name} end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    write_atomically(README, text.encode())


def _table_of(path: Path, make: Callable[[list[Record]], pd.DataFrame]) -> str:
    """A figure's table in Markdown; before a table of times stands the device on which they were measured."""
    if not path.exists():
        return "Not run yet."
    record = json.loads(path.read_text())
    table, source = _markdown(make(record["results"])), record["provenance"]
    if make is super_resolution_table:
        return table
    rounds = "; float32 rounds to TF32" if "TF32" in source["precision"] else ""
    return f"Measured on: {source['device']}{rounds}.{_over_its_worth(record, path.parent)}\n\n{table}"


def _over_its_worth(speed: Record, folder: Path) -> str:
    """How many times faster a pass is than the iterations that it is worth by Fig. 5; "" if that was not measured."""
    path = folder / "fig5_objective.json"
    networks = json.loads(path.read_text())["results"]["networks"] if path.exists() else []
    style, row = speed["provenance"]["settings"]["style"], speed["results"][0]
    for each in networks:
        if (each["network"], each["size"]) == (style, row["size"]):
            times, size = each["iterations"] * row["iteration"] / row["network"], f"{row['size']} x {row['size']}"
            worth = f" By Fig. 5 a pass of `{style}` at {size} is worth {each['iterations']} iterations"
            return f"{worth}, not 500: over those it is {times:.0f} times as fast."
    return ""


def _markdown(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True, stralign=None)


def super_resolution_table(rows: list[Record]) -> pd.DataFrame:
    """PSNR and SSIM, one row a factor and set, the paper's in brackets; SRCNN with its authors' weights if there.

    Args:
        rows: see `score_rows`.
    """

    def cell(row: Record) -> str:
        paper = f" ({row['paper_psnr']:.2f} / {row['paper_ssim']:.4f})" if row["paper_psnr"] is not None else ""
        return f"{row['psnr']:.2f} / {row['ssim']:.4f}{paper}"

    cells = {key: cell(row) for key, row in matched_rows(rows).items()}
    cells |= {(*key[:2], "srcnn"): text for key, text in cells.items() if key[2] == AUTHORS}
    titles = dict(zip(NAMES, ("bicubic", "pixel loss", "SRCNN", "feature loss"), strict=True))
    found = []
    for factor, name in dict.fromkeys(key[:2] for key in cells):
        scores = {title: cells.get((factor, name, method), "") for method, title in titles.items()}
        found.append({"factor": f"x{factor}", "set": SETS.get(name, name)} | scores)
    return pd.DataFrame(found)


def _three(number: float) -> str:
    """Three significant digits, without an exponent: 1150."""
    return np.format_float_positional(number, precision=3, unique=False, fractional=False, trim="-")


def speed_table(rows: list[Record]) -> pd.DataFrame:
    """Table 1, one row a size and precision, as notebook 07 measures it."""
    frame = pd.DataFrame(rows)
    ratios = frame[[f"speed-up over {number}" for number in (100, 300, 500)]].map("{:.0f}".format)
    columns = {
        "image": frame["size"].map("{0} x {0}".format),
        "precision": frame["precision"],
        "an iteration": frame["iteration"].map(_three),
        "500 of them": frame["500 iterations"].map(_three),
        "network": frame["network"].map(_three),
        "speed-up over 100, 300, 500": ratios.agg(", ".join, axis=1),
        "over 500 of the usual one": frame["over plain 500"].map("{:.0f}".format),
    }
    return pd.DataFrame(columns)


def thumbnail_of(picture: Path) -> Path:
    """Where the small copy of a figure lies, figures/<profile>/thumbnails/<name>.jpg."""
    return picture.with_name("thumbnails") / f"{picture.stem}.jpg"


def thumbnail(picture: Path) -> Image.Image:
    """The top of a figure, at most three quarters as high as it is wide, so that the page is not of megabytes."""
    with Image.open(picture) as figure:
        top = figure.convert("RGB").crop((0, 0, figure.width, min(figure.height, 3 * figure.width // 4)))
    top.thumbnail((THUMBNAIL, THUMBNAIL))
    return top


def pictures(profile: str) -> dict[str, Path]:
    """The first figure of each notebook, by the notebook's name."""
    found: dict[str, Path] = {}
    for path in sorted((FIGURES / profile).glob("*.png")):
        found.setdefault(json.loads(path.with_suffix(".json").read_text())["provenance"]["notebook"], path)
    return found


def _write_thumbnails(profile: str) -> None:
    for path in pictures(profile).values():
        thumbnail(path).save(content := io.BytesIO(), "JPEG", quality=85)
        write_atomically(thumbnail_of(path), content.getvalue())


def _write_verdicts(profile: str) -> None:
    for figure, judgement in judgements(profile).items():
        path = FIGURES / profile / f"{figure}.json"
        if path.exists() and not judgement.findings[0].reason.startswith(path.name):  # else it is of another version
            record = json.loads(path.read_text())
            today = {"claim": judgement.claim.text, "verdict": judgement.sentence}
            if not today.items() <= record.items():
                write_json(path, record | today)


def gallery(profile: str) -> str:
    """A row a notebook: a picture that it made, what it is about, its source, its executed copy, and its minutes."""
    rows = ["| | notebook | minutes |", "|---|---|---|"]
    found = pictures(profile)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        picture, minutes, links = "", "", f"[source](notebooks/{path.name})"
        if shown := found.get(path.stem):
            small = f"figures/{profile}/thumbnails/{thumbnail_of(shown).name}"
            picture = f'<a href="figures/{profile}/{shown.name}"><img src="{small}" width="240" alt=""></a>'
        if had := metadata(path, profile):
            minutes = f"{had['papermill']['duration'] / 60:.0f}"
            links += f", [executed](figures/{profile}/notebooks/{path.name})"
        rows.append(f"| {picture} | **{path.stem[:2]}** {title_of(path)}<br>{links} | {minutes} |")
    return "\n".join(rows)


TABLES = {  # by the name of the marks: the figures' file, and what makes its table
    "super-resolution": ("table_super_resolution", super_resolution_table),
    "speed": ("table1_speed", speed_table),
}
