"""The ledger: one row a claim of the paper, with its value, ours, the rule and the verdict, from the figures' files."""

import json
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from replication.claims import CLAIMS, judge_record
from replication.files import FIGURES, sha256
from replication.judgement import Judgement, word
from replication.network_files import NETWORKS, steps_trained
from replication.settings import SETTINGS

WIDTHS = {"claim": 62, "paper": 30, "ours": 44, "rule": 32, "verdict": 21}  # letters, in the text


def judgements(profile: str) -> list[tuple[Judgement, str]]:
    """The verdict on each figure that a profile's folder holds, in the order of `CLAIMS`, and how it was run.

    That is where it is not at the paper's scale; "" where it is.
    """
    found = []
    for figure in CLAIMS:
        path = FIGURES / profile / f"{figure}.json"
        if path.exists():
            record = json.loads(path.read_text())
            found.append((judge_record(record), _scale(record)))
    return found


def sources(profile: str) -> dict[str, str]:
    """SHA-256 of the file of each figure of a profile, by name, for the provenance."""
    paths = (FIGURES / profile / f"{figure}.json" for figure in CLAIMS)
    return {path.stem: sha256(path.read_bytes()) for path in paths if path.exists()}


def ledger(profile: str) -> list[dict[str, Any]]:
    """One row a figure, and one for each of its sentences.

    Returns:
        Rows of figure, claim, paper, ours, rule, verdict and scale. Figures that there are not are "not run at this
        scale", too.
    """
    found = {judgement.figure: (judgement, scale) for judgement, scale in judgements(profile)}
    rows = []
    for figure, claim in CLAIMS.items():
        judgement, scale = found.get(figure, (Judgement(figure, claim.text, []), ""))
        verdict = word([check.holds for check in judgement.checks])
        common = {"figure": figure, "claim": claim.text, "paper": "", "ours": "", "rule": ""}
        rows.append(common | {"verdict": verdict, "scale": scale})
        for check in judgement.checks:
            sentence = {
                "claim": check.says,
                "paper": check.paper,
                "ours": check.ours if check.holds is not None else "",
                "rule": check.rule,
            }
            rows.append(common | sentence | {"verdict": word([check.holds]), "scale": scale})
    return rows


def ledger_text(rows: Sequence[dict[str, Any]]) -> str:
    """The ledger as text: under each figure's claim and verdict a line or more for each of its sentences.

    Args:
        rows: from `ledger`.
    """
    lines = _line({"claim": "claim", "paper": "the paper", "ours": "ours", "rule": "rule", "verdict": "verdict"})
    for row in rows:
        if row["claim"] != CLAIMS[row["figure"]].text:
            lines += _line(row)
        else:
            scale = f" ({row['scale']})" if row["scale"] else ""
            text = f"{row['claim']} {row['verdict'].upper()}{scale}"
            lines += ["", *textwrap.wrap(text, sum(WIDTHS.values()) + 2 * len(WIDTHS))]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> list[str]:
    cells = [textwrap.wrap(row[name], width) or [""] for name, width in WIDTHS.items()]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, WIDTHS.values(), strict=True)).rstrip()
        for line in zip_longest(*cells, fillvalue="")
    ]


def _scale(record: dict[str, Any]) -> str:
    """Where a figure is not at the paper's scale: its settings, its photographs, and the training of its networks."""
    source, results = record["provenance"], record["results"]
    settings, paper = source["settings"], SETTINGS[source["notebook"]]["paper"]
    parts = [f"{name} {settings[name]} for {value}" for name, value in paper.items() if settings[name] != value]
    if "photographs" in source:
        those = source["photographs"]
        parts.append(f"{those.get('count') or len(those['pictures'])} photographs")
    elif record["figure"] == "fig5_objective":
        parts.append(f"{results[0]['photographs']} photographs")
    trained = [steps_trained(json.loads(path.read_text())) for path in _networks(source)]
    if trained:
        full = 200_000 if "networks" in source else 40_000
        steps = " to ".join(map(str, sorted({min(trained), max(trained)})))
        parts.append(f"networks of {steps} training steps for {full}")
    parts += [f"{ours} in place of {papers}" for papers, ours in source.get("stand_ins", {}).items()]
    return ", ".join(parts)


def _networks(source: dict[str, Any]) -> list[Path]:
    """The records of the networks of the project that a figure shows."""
    settings = source["settings"]
    if "networks" in source:
        return [NETWORKS / "super_resolution" / f"{name}.json" for name in source["networks"]]
    if source["notebook"] not in ("05_style_transfer", "06_objective"):
        return []
    names = settings["styles"] if "styles" in settings else [settings["style"]]
    return [NETWORKS / "style" / f"{name}.json" for name in names if (NETWORKS / "style" / f"{name}.json").exists()]
