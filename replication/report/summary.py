"""The paper against ours: one row a claim and one a sentence of it, from the figures' files; the README's tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from replication.evaluation import NAMES, matched_rows
from replication.io.checkpoints import NETWORKS, steps_trained
from replication.io.downloads import SETS
from replication.io.files import FIGURES, ROOT, need_checkout, sha256, write_atomically
from replication.report.benchmarks import NUMBERS
from replication.report.claims import CLAIMS, judge_record
from replication.report.profiles import profile_settings
from replication.report.rules import Judgement, verdict_on

README = ROOT / "README.md"
MOST = 7  # sentences in a cell of the README's table of claims
COLOURS = {"replicated": "#c8e6c9", "partly": "#fff3c4", "not replicated": "#ffcdd2", "not run": "#eeeeee"}

Record = dict[str, Any]


def shown_profile() -> str:
    """The profile that the README shows: "paper" where that has been run, else "overnight"."""
    return "paper" if (FIGURES / "paper" / "claims.json").exists() else "overnight"


def sources(profile: str) -> dict[str, str]:
    """SHA-256 of the file of each figure of a profile, by name, for the provenance."""
    return {path.stem: sha256(path.read_bytes()) for path in _paths(profile)}


def summary(profile: str) -> pd.DataFrame:
    """One row a figure, and below it one for each of its sentences.

    Returns:
        Columns of text: figure, claim (of a sentence the statement), paper, ours, rule, verdict and scale, which says
        how a run was smaller than the paper's. A figure that there is not is "not run at this scale", too.
    """
    rows = []
    for figure, claim in CLAIMS.items():
        path, checks, scale = FIGURES / profile / f"{figure}.json", [], ""
        if path.exists():
            record = json.loads(path.read_text())
            checks, scale = judge_record(record).checks, _scale(record)
        rows.append((figure, claim.text, "", "", "", verdict_on(checks), scale))
        rows += [(figure, *check[:4], verdict_on([check]), scale) for check in checks]
    return pd.DataFrame(rows, columns=["figure", "claim", "paper", "ours", "rule", "verdict", "scale"])


def styled(frame: pd.DataFrame) -> Styler:
    """The summary with a colour by verdict, and the rows of the figures in bold, for a notebook."""

    def colour(verdict: str) -> str:
        return next(f"background-color: {value}" for start, value in COLOURS.items() if verdict.startswith(start))

    def weight(row: pd.Series) -> list[str]:
        return ["font-weight: bold" if row["claim"] == CLAIMS[row["figure"]].text else ""] * len(row)

    style = frame.style.map(colour, subset=["verdict"]).apply(weight, axis=1)
    return style.set_properties(**{"text-align": "left"}).hide(axis="index")


def _paths(profile: str) -> list[Path]:
    paths = [FIGURES / profile / f"{figure}.json" for figure in CLAIMS]
    return [path for path in paths if path.exists()]


def _scale(record: Record) -> str:
    """Where a figure is not at the paper's scale: its settings, its photographs, and the training of its networks."""
    source, results = record["provenance"], record["results"]
    settings, paper = source["settings"], profile_settings(source["notebook"], "paper")
    parts = [f"{name} {settings[name]} for {full}" for name, full in paper.items() if settings.get(name, full) != full]
    if "photographs" in source:
        those = source["photographs"]
        parts.append(f"{those.get('count') or len(those['pictures'])} photographs")
    elif record["figure"] == "fig5_objective":
        parts.append(f"{results[0]['photographs']} photographs")
    folder, networks, full = "style", [], 40_000
    if "networks" in source:
        folder, networks, full = "super_resolution", source["networks"], 200_000
    elif source["notebook"] in ("05_style_transfer", "06_objective"):
        networks = settings.get("styles") or [settings["style"]]
    paths = [NETWORKS / folder / f"{name}.json" for name in networks]
    trained = [steps_trained(json.loads(path.read_text())) for path in paths if path.exists()]
    if trained:
        steps = " to ".join(map(str, sorted({min(trained), max(trained)})))
        parts.append(f"networks of {steps} training steps for {full}")
    parts += [f"{ours} in place of {papers}" for papers, ours in source.get("stand_ins", {}).items()]
    return ", ".join(parts)


def write_readme() -> None:
    """Write the README's tables anew, each between its two marks, from the figures of `shown_profile`.

    Raises:
        ReplicationError: the package alone is installed, or the file could not be written.
        ValueError: the README has no such marks.
    """
    need_checkout("readme")
    text, profile = README.read_text(), shown_profile()
    tables = {"claims": _markdown(claims_table([judge_record(json.loads(p.read_text())) for p in _paths(profile)]))}
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


def claims_table(found: list[Judgement]) -> pd.DataFrame:
    """The verdicts, one row a figure, with its sentences, of many the number that holds and the others."""
    rows = []
    for judgement in found:
        said, checks = list(map(str, judgement.checks)), judgement.checks
        if len(checks) > MOST:
            others = [str(check) for check in checks if check.passed is not True]
            said = [f"{len(checks) - len(others)} of {len(checks)} checks hold", *others]
        rows.append((judgement.claim, "; ".join(said), judgement.word))
    return pd.DataFrame(rows, columns=["the paper's claim", "measured", "verdict"])


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
