"""The README's tables that repeat what figures/paper holds, written between their marks."""

import json
from collections.abc import Sequence
from typing import Any

from replication.evaluation_sets import SETS
from replication.files import ROOT, write_atomically
from replication.judgement import Judgement, word
from replication.ledger import judgements
from replication.super_resolution_claims import MATCHED, NAMES

README, PAPER = ROOT / "README.md", ROOT / "figures" / "paper"
MOST = 7  # sentences in a cell of the table of claims


def write_readme() -> None:
    """Write the README's tables anew, each between its two marks.

    Raises:
        ReplicationError: the file could not be written.
        ValueError: the README has no such marks.
    """
    text = README.read_text()
    scores = json.loads((PAPER / "table_super_resolution.json").read_text())["results"]
    tables = {"claims": claims_table([judgement for judgement, _ in judgements("paper")])}
    tables["super-resolution"] = super_resolution_table(scores)
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python -m replication readme` -->", f"<!-- {name} end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    write_atomically(README, text.encode())


def claims_table(found: Sequence[Judgement]) -> str:
    """The verdicts in Markdown, one row a figure."""
    lines = ["| the paper's claim | measured | verdict |", "|---|---|---|"]
    for judgement in found:
        verdict = word([check.holds for check in judgement.checks])
        lines.append(f"| {judgement.claim} | {_measured(judgement)} | {verdict} |")
    return "\n".join(lines)


def super_resolution_table(rows: Sequence[dict[str, Any]]) -> str:
    """PSNR and SSIM in Markdown, one row a factor and set, the paper's in brackets; see `score_rows`."""
    lines = ["| factor | set | bicubic | pixel loss | SRCNN | feature loss |", "|---|---|---|---|---|---|"]
    found = {(row["factor"], row["set"], row["method"]): row for row in rows}
    for factor, name in dict.fromkeys(key[:2] for key in found):
        cells = [
            _cell(found.get((factor, name, method + MATCHED), found.get((factor, name, method)))) for method in NAMES
        ]
        lines.append(f"| x{factor} | {SETS.get(name, name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["paper_psnr"] is None:
        return f"{row['psnr']:.2f} / {row['ssim']:.4f}"
    return f"{row['psnr']:.2f} / {row['ssim']:.4f} ({row['paper_psnr']:.2f} / {row['paper_ssim']:.4f})"


def _measured(judgement: Judgement) -> str:
    """All sentences, or where they are many the number that holds, and the others."""
    checks = judgement.checks
    if len(checks) <= MOST:
        return "; ".join(map(str, checks))
    hold = sum(check.holds is True for check in checks)
    others = [str(check) for check in checks if check.holds is not True]
    return "; ".join([f"{hold} of {len(checks)} checks hold", *others])
