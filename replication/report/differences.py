"""What differs from the paper, network by network, from the records of their training."""

import json
from dataclasses import asdict

import pandas as pd
from pandas.io.formats.style import Styler

from replication.config import PAPER, SuperResolutionConfig
from replication.io.checkpoints import NETWORKS, steps_trained

PAPERS = {  # what no setting says
    "style": {"network": "the paper's", "painting": "The Muse and others", "photographs": "MS-COCO, 80,000"},
    "super_resolution": {"network": "the paper's", "photographs": "MS-COCO, 10,000"},
}


def network_differences(kind: str) -> pd.DataFrame:
    """One row a network that comes with the project, the paper's first; columns are settings that differ anywhere.

    Args:
        kind: "style" or "super_resolution".
    """
    paper = PAPER if kind == "style" else SuperResolutionConfig()
    rows = [PAPERS[kind] | {"steps in all": paper.steps} | asdict(paper)]
    for path in sorted((NETWORKS / kind).glob("*.json")):
        record = json.loads(path.read_text())
        source = record["provenance"]
        row = (
            {"network": path.stem, "painting": source["inputs"][0]["name"]}
            if kind == "style"
            else {"network": path.stem}
        )
        row["photographs"] = f"{source['settings']['photographs']['count']:,}"
        made = type(paper)(**record["config"])
        rows.append(row | {"steps in all": steps_trained(record)} | asdict(made))
    frame = pd.DataFrame(rows, dtype=object)
    return frame.loc[:, frame.map(str).nunique() > 1]


def marked(frame: pd.DataFrame) -> Styler:
    """Such a table for a notebook, in colour what is not as in its first row."""

    def colour(column: pd.Series) -> list[str]:
        return ["background-color: #fff3c4" if str(value) != str(column.iloc[0]) else "" for value in column]

    settings = [name for name in frame if name != "network"]
    return (
        frame.style.hide(axis="index")
        .apply(colour, subset=settings)
        .format(na_rep="")
        .set_properties(**{"font-size": "11px"})
    )
