"""The differences of each trained network from the paper, taken from the records of the trainings."""

import json
from dataclasses import asdict

import pandas as pd

from replication.config import PAPER, PAPER_SUPER_RESOLUTION
from replication.io.checkpoints import NETWORKS, steps_trained

PAPERS = {  # the paper's values that are not settings
    "style": {"network": "the paper's", "painting": "The Muse and others", "photographs": "MS-COCO, 80,000"},
    "super_resolution": {"network": "the paper's", "photographs": "MS-COCO, 10,000"},
}


def network_differences(kind: str) -> pd.DataFrame:
    """A row for the paper's network and one for each of the project's; columns are the settings that differ anywhere.

    Args:
        kind: "style" or "super_resolution".
    """
    paper = PAPER if kind == "style" else PAPER_SUPER_RESOLUTION
    rows = [PAPERS[kind] | {"steps in all": paper.steps} | asdict(paper)]
    for path in sorted((NETWORKS / kind).glob("*.json")):
        record = json.loads(path.read_text())
        source = record["provenance"]
        row = {"network": path.stem}
        if kind == "style":
            row["painting"] = source["inputs"][0]["name"]
        row["photographs"] = f"{source['settings']['photographs']['count']:,}"
        made = type(paper)(**record["config"])
        rows.append(row | {"steps in all": steps_trained(record)} | asdict(made))
    frame = pd.DataFrame(rows, dtype=object)
    return frame.loc[:, frame.map(str).nunique() > 1]
