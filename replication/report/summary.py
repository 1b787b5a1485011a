"""The paper against ours: a row for each figure, and one for each sentence or group of numbers, from figures' files."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from replication.config import PAPER, PAPER_SUPER_RESOLUTION
from replication.io.checkpoints import NETWORKS, steps_trained
from replication.io.files import FIGURES, sha256
from replication.report.claims import Claim, Finding, Judgement, claims, judge_record
from replication.report.profiles import profile_settings
from replication.report.rules import EXCEEDED, NOT_RUN, PARTLY, REPLICATED, verdict_on
from replication.report.tables import coloured

SORT = """<script>
document.querySelectorAll("table.sortable th").forEach(head => head.onclick = () => {
  const body = head.closest("table").tBodies[0], n = head.cellIndex, way = head.dataset.way = -(head.dataset.way || -1);
  [...body.rows].sort((a, b) => way * a.cells[n].innerText.localeCompare(b.cells[n].innerText, "en", {numeric: true}))
    .forEach(row => body.append(row));
});
</script>"""

SHOWN = "overnight"  # the profile that the README shows; "paper" once a GPU has run it
OF_STYLES = ("04_style_training", "05_style_transfer", "06_objective")  # whose verdicts depend on styles' trainings


def sources(profile: str) -> dict[str, str]:
    """SHA-256 of the file of each figure of a profile, by name, for the provenance."""
    paths = {figure: _path(profile, figure) for figure in claims()}
    return {figure: sha256(path.read_bytes()) for figure, path in paths.items() if path.exists()}


def judgements(profile: str) -> dict[str, Judgement]:
    """The verdict on each figure, by its name; a figure without a file counts as not run."""
    return {figure: _judgement(claim, _path(profile, figure)) for figure, claim in claims().items()}


def overview(profile: str) -> pd.DataFrame:
    """A row for each figure: what the paper and we found in its first headline check that was run, and the verdict."""
    rows = []
    for judgement in judgements(profile).values():
        first, (hold, ran) = judgement.first, judgement.held
        verdict = judgement.verdict + f", {hold} of {ran}" * (judgement.verdict == PARTLY)
        left = sum(found.check.headline and found.verdict == NOT_RUN for found in judgement.findings)
        verdict += f"; {left} not run" * bool(left and ran)
        rows.append((judgement.claim.title, first.check.paper, first.ours or "not run", verdict))
    return pd.DataFrame(rows, columns=["figure", "paper", "ours", "verdict"])


def summary(profile: str) -> pd.DataFrame:
    """A row for each sentence that was judged; the numbers of a group share a row.

    Returns:
        Columns of text: figure, source, claim, paper, ours, rule, why (where the rule's limits come from), kind
        ("headline" or "proxy"), verdict, reason (why it was not run), section and notebook (where it is measured).
    """
    rows = []
    for judgement in judgements(profile).values():
        for _, group in groupby(judgement.findings, lambda found: found.check.group or found.check.key):
            row = {"figure": judgement.claim.title} | _row(list(group))
            rows.append(row | {"notebook": judgement.claim.notebook})
    return pd.DataFrame(rows)


def _row(group: list[Finding]) -> dict[str, str]:
    check, verdicts = group[0].check, [found.verdict for found in group]
    row = {"claim": check.statement, "paper": check.paper, "ours": group[0].ours, "rule": check.rule.text}
    if check.group:
        good = sum(verdict in (REPLICATED, EXCEEDED) for verdict in verdicts)
        ours = [f"{found.check.key}: {found.ours}" for found in group if found.ours]
        papers = [f"{found.check.key}: {found.check.paper}" for found in group]
        row = {"claim": check.group, "paper": "; ".join(papers), "ours": "; ".join(ours)}
        row |= {"rule": f"{good} of {len(group)} hold"}
    kind = "headline" if check.headline else "proxy"
    row = {"source": check.source} | row | {"why": check.why, "kind": kind, "verdict": verdict_on(verdicts)}
    return row | {"reason": group[0].reason, "section": check.at}


def styled(frame: pd.DataFrame) -> HTML:
    """A summary for a notebook: a colour by verdict, each claim linked to what measures it, sorted by a click."""
    links = "<a href='" + frame["notebook"] + ".ipynb#" + frame["section"].str.replace(" ", "-") + "'>"
    shown = frame.assign(claim=links + frame["claim"] + "</a>").drop(columns=["notebook", "section"])
    style = coloured(shown.style.hide(axis="index")).set_properties(**{"text-align": "left", "font-size": "11px"})
    return HTML(style.set_table_attributes('class="sortable"').to_html() + SORT)


def _path(profile: str, figure: str) -> Path:
    return FIGURES / profile / f"{figure}.json"


def _judgement(claim: Claim, path: Path) -> Judgement:
    reason = "no such run yet"
    if path.exists():
        record = json.loads(path.read_text())
        keys, needed = {check.key for check in claim.checks}, {name for check in claim.checks for name in check.needs}
        if record["measures"].keys() == keys and needed <= record["provenance"]["settings"].keys():
            return judge_record(record)
        reason = f"{path.name} is of another version; run {claim.notebook} again"
    return Judgement(claim, [Finding(check, "", NOT_RUN, reason, None) for check in claim.checks], {})


def scales(profile: str) -> list[dict[str, str]]:
    """A row for each figure that was run: where its settings and networks are not the paper's, and its stand-ins."""
    rows = []
    for figure, claim in claims().items():
        if (path := _path(profile, figure)).exists():
            scale = _scale(figure, json.loads(path.read_text())["provenance"])
            rows.append({"figure": claim.title, "not the paper's": scale})
    return rows


def _scale(figure: str, source: dict[str, Any]) -> str:
    settings, paper = source["settings"], profile_settings(source["notebook"], "paper")
    parts = [f"{name} {settings[name]} for {full}" for name, full in paper.items() if settings.get(name, full) != full]
    others = [name for name in ("contents", "styles") if name in settings.keys() - paper]
    parts += [f"{name} {', '.join(settings[name])}" for name in others]
    if "photographs" in source:
        those = source["photographs"]
        parts.append(f"{those.get('count') or len(those['pictures'])} photographs")
    own = [f"{figure[-2:]}_{loss}" for loss in ("pixel", "feature")]  # "x8_pixel" for Fig. 9
    networks = [name for name in own if name in source.get("networks", [])]
    folder, full = "super_resolution", PAPER_SUPER_RESOLUTION.steps
    if source["notebook"] in OF_STYLES:
        folder, networks, full = "style", settings.get("styles") or [settings["style"]], PAPER.steps
    paths = [NETWORKS / folder / f"{name}.json" for name in networks]
    trained = [steps_trained(json.loads(path.read_text())) for path in paths if path.exists()]
    if trained:
        steps = " to ".join(map(str, sorted({min(trained), max(trained)})))
        parts.append(f"networks of {steps} training steps for {full}")
    parts += [f"{ours} in place of {papers}" for papers, ours in source.get("stand_ins", {}).items()]
    return ", ".join(parts)
