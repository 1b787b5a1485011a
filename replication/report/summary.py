"""The ledger: one row a claim of the paper, with its value, ours, the rule and the verdict, from the figures' files."""

import json
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from replication.io.checkpoints import NETWORKS, steps_trained
from replication.io.downloads import SETS
from replication.io.files import FIGURES, ROOT, need_checkout, sha256, write_atomically
from replication.report.benchmark_convolutions import METHODS
from replication.report.claims import CLAIMS, MATCHED, NAMES, Judgement, judge_record, word
from replication.report.profiles import SETTINGS
from replication.report.timing import NUMBERS

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


README, PAPER = ROOT / "README.md", FIGURES / "paper"
MOST = 7  # sentences in a cell of the table of claims


def write_readme() -> None:
    """Write the README's tables anew, each between its two marks.

    Raises:
        ReplicationError: the package alone is installed, or the file could not be written.
        ValueError: the README has no such marks.
    """
    need_checkout("readme")
    text = README.read_text()
    tables = {"claims": claims_table([judgement for judgement, _ in judgements("paper")])}
    for name, (table, make) in TABLES.items():
        record = json.loads((PAPER / f"{table}.json").read_text())
        tables[name] = make(record["results"])
        if name != "super-resolution":
            rounds = name != "convolutions" and "TF32" in record["provenance"]["precision"]
            device = record["provenance"]["device"] + ("; float32 rounds to TF32" if rounds else "")
            tables[name] = f"Measured on: {device}.\n\n{tables[name]}"
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python -m replication readme` -->", f"<!-- {name} end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    write_atomically(README, text.encode())


def claims_table(found: Sequence[Judgement]) -> str:
    """The verdicts in Markdown, one row a figure."""
    cells = [
        [judgement.claim, _measured(judgement), word([check.holds for check in judgement.checks])]
        for judgement in found
    ]
    return _markdown("the paper's claim | measured | verdict", cells)


def super_resolution_table(rows: Sequence[dict[str, Any]]) -> str:
    """PSNR and SSIM in Markdown, one row a factor and set, the paper's in brackets; see `score_rows`."""
    found = {(row["factor"], row["set"], row["method"]): row for row in rows}
    cells = []
    for factor, name in dict.fromkeys(key[:2] for key in found):
        those = [found.get((factor, name, method + MATCHED), found.get((factor, name, method))) for method in NAMES]
        cells.append([f"x{factor}", SETS.get(name, name), *map(_cell, those)])
    return _markdown("factor | set | bicubic | pixel loss | SRCNN | feature loss", cells)


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


def speed_table(rows: Sequence[dict[str, Any]]) -> str:
    """Table 1 in Markdown; see `speed_rows`."""
    heading = (
        "image | precision | an iteration | 500 of them | network | speed-up over 100, 300, 500 | "
        "over 500 of the usual one"
    )
    cells = []
    for row in rows:
        seconds = [f"{row[name]:.3g}" for name in ("iteration", "500 iterations", "network")]
        ratios = ", ".join(f"{row[f'speed-up over {number}']:.0f}" for number in NUMBERS)
        cells.append(
            [f"{row['size']} x {row['size']}", row["precision"], *seconds, ratios, f"{row['over plain 500']:.0f}"]
        )
    return _markdown(heading, cells)


def stylising_table(rows: Sequence[dict[str, Any]]) -> str:
    """Stylisation in Markdown, and a sentence on a training step; see `benchmark_style`."""
    steps = [row for row in rows if row["method"] == "training step"]
    found = [row | {"size": f"{row['size']} x {row['size']}"} for row in rows if row["batch"] == 1]
    said = " and ".join(f"{row['seconds']:.3g} s in {row['precision']} ({row['ratio']:.2f})" for row in steps)
    return f"{_against_plain(found, 'image', 'stylise')}\n\nA training step takes {said}."


def enlarging_table(rows: Sequence[dict[str, Any]]) -> str:
    """Enlarging by 4 in Markdown; see `benchmark_super_resolution`."""
    return _against_plain([row for row in rows if row["batch"] == 1], "small image", "upscale")


def baseline_table(rows: Sequence[dict[str, Any]]) -> str:
    """An iteration of the baseline in Markdown; see `benchmark_baseline`."""
    heading = (
        "size | precision | ours, seconds | ours, ratio | `torch.optim.LBFGS` on our objective, ratio | "
        "on the usual one, ratio | ours, peak GB"
    )
    found = {(row["size"], row["precision"], row["method"]): row for row in rows if row["seconds"]}
    cells = []
    for size, precision in dict.fromkeys(key[:2] for key in found):
        ours, torchs, plain = (found[size, precision, name] for name in ("ours", "torch.optim.LBFGS", "plain PyTorch"))
        ratios = [f"{row['ratio']:.2f}" for row in (ours, torchs, plain)]
        cells.append([f"{size} x {size}", precision, f"{ours['seconds']:.3g}", *ratios, f"{ours['peak_GB']:.1f}"])
    return _markdown(heading, cells)


def convolutions_table(rows: Sequence[dict[str, Any]]) -> str:
    """All works against their bare convolutions in Markdown; see `benchmark_convolutions`."""
    heading = "work | size | precision | seconds | ratio | compiled, ratio | in CUDA graphs, ratio | share of the peak"
    found = {(row["work"], row["size"], row["precision"], row["method"]): row for row in rows}
    cells = []
    for case in dict.fromkeys(key[:3] for key in found):
        ratios = [found[*case, method]["ratio"] if (*case, method) in found else None for method in METHODS.values()]
        eager = found[*case, "eager"]
        shown = [f"{ratio:.2f}" if ratio else "" for ratio in ratios]
        cells.append([*map(str, case), f"{eager['seconds']:.3g}", *shown, f"{eager['share_of_peak']:.2f}"])
    return _markdown(heading, cells)


def _against_plain(rows: Sequence[dict[str, Any]], image: str, ours: str) -> str:
    """A network at work, float32 and bfloat16, beside plain PyTorch, which may not have been timed at a size."""
    heading = f"{image} | plain | float32 | bfloat16 | plain over bfloat16 | peak GB, bfloat16"
    found = {(row["size"], row["precision"], row["method"]): row for row in rows}
    cells = []
    for size in dict.fromkeys(row["size"] for row in rows):
        plain, full, half = (
            found.get((size, *case)) for case in (("float32", "plain PyTorch"), ("float32", ours), ("bfloat16", ours))
        )
        seconds = [f"{row['seconds']:.3g}" if row else "" for row in (plain, full, half)]
        gain = f"{plain['seconds'] / half['seconds']:.1f}" if plain else ""
        cells.append([size, *seconds, gain, f"{half['peak_GB']:.1f}"])
    return _markdown(heading, cells)


def _markdown(heading: str, cells: Sequence[Sequence[str]]) -> str:
    lines = [f"| {heading} |", "|" + "---|" * len(cells[0]), *(f"| {' | '.join(line)} |" for line in cells)]
    return "\n".join(lines)


TABLES = {
    "super-resolution": ("table_super_resolution", super_resolution_table),
    "speed": ("table1_speed", speed_table),
    "stylising": ("benchmark_style", stylising_table),
    "enlarging": ("benchmark_super_resolution", enlarging_table),
    "baseline": ("benchmark_baseline", baseline_table),
    "convolutions": ("benchmark_convolutions", convolutions_table),
}
