"""A style network's scores against the objective itself, and the benchmark of trainings by the real command."""

import json

import pytest
import torch
from commands import run_command
from replication.io.pictures import content_picture, style_picture
from replication.report.benchmark_training import RUNS

from replication.evaluation import style_scores
from replication.io.images import square
from replication.losses import Objective
from replication.networks import ImageTransformationNetwork


def test_scores_are_means_of_the_terms_and_a_lattice_shows_in_the_peaks(weights):
    torch.manual_seed(0)
    network = ImageTransformationNetwork("instance").eval()
    pictures = [content_picture(name) for name in ("chelsea", "coffee")]
    objective = Objective(square(style_picture("great_wave").image, 64))
    scores = style_scores(network, objective, pictures, [64, 96])
    totals, styles = [], []
    for picture in pictures:
        y = square(picture.image, 64)
        with torch.no_grad():
            terms = objective(network(y), objective.content_target(y))
        totals.append(terms.total.item())
        styles.append(terms.style.item())
    assert scores["objective"] == pytest.approx(sum(totals) / 2, rel=1e-4)
    assert scores["style"] == pytest.approx(sum(styles) / 2, rel=1e-4)
    assert scores["objective"] == pytest.approx(
        scores["content"] + scores["style"] + scores["total_variation"], rel=1e-4
    )
    assert [*scores][4:] == ["peak 2 at 64", "peak 4 at 64", "peak 2 at 96", "peak 4 at 96"]
    assert scores["peak 2 at 96"] > 2  # random transposed convolutions make one


@pytest.mark.slow
@pytest.mark.usefixtures("weights_file")
def test_the_benchmark_of_training(checkout):
    result = run_command("benchmark", "training", "--profile", "smoke", cwd=checkout)
    assert result.returncode == 0, result.stderr
    record = json.loads((checkout / "figures" / "smoke" / "benchmark_training.json").read_text())
    rows = {row["training"]: row for row in record["results"]}
    assert list(rows) == list(RUNS)
    assert all(row["images"] == 4 for row in rows.values())
    assert len({row["objective"] for row in rows.values()}) == len(rows)
    assert "train2014" in str(record["provenance"]["stand_ins"])
