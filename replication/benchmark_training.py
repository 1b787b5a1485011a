"""What optimizers, learning rates and penalties make of the same photographs in a short training of a style."""

import time
from types import SimpleNamespace
from typing import Any

from replication.data import PHOTOGRAPHS, style_picture, validation_pictures
from replication.device import default_device, keep_freed_memory
from replication.images import square
from replication.objective import Objective
from replication.photographs import training_photographs
from replication.provenance import provenance
from replication.recipes import QUICK
from replication.settings import check_profile
from replication.style_evaluation import style_scores
from replication.style_training import style_trainer
from replication.tables import save_table, text_table

STYLE = "great_wave"
STEPS = {"paper": 1200, "quick": 60, "smoke": 2}
SIZE = {"paper": 128, "quick": 128, "smoke": 64}  # of the crops
SIZES = {"paper": (256, 512), "quick": (256,), "smoke": (64,)}  # of the validation photographs
IMAGES = {"paper": 8, "quick": 4, "smoke": 1}
COMMON = {"norm": "instance", "batch_size": 2, "flip": True, "precision": "bfloat16"}
MUON, PENALTY = {"optimizer": "muon"}, {"lattice_weight": QUICK["lattice_weight"]}
RUNS = {
    "Adam, constant rate": {"cooldown": 0},
    "Adam": {},
    "Adam, penalty": PENALTY,
    "Muon": MUON,
    "Muon, a quarter of the rate": MUON | {"kernel_rate": 1.25e-3},
    "Muon, four times the rate": MUON | {"kernel_rate": 2e-2},
    "Muon, total variation 1e-4": MUON | {"tv_weight": 1e-4},
    "Muon, penalty": MUON | PENALTY,
    "Muon, half of the penalty": MUON | {"lattice_weight": QUICK["lattice_weight"] / 2},
}


def benchmark_training(profile: str) -> list[dict[str, Any]]:
    """Train and judge the networks; print the table, save it as `figures/<profile>/benchmark_training.json` and `.csv`.

    All see the same crops in the same order from the same random weights, and but for the first the learning rates fall
    to zero over all steps. Judged are photographs that they were not trained on, with the published code's weights.

    Args:
        profile: "paper" (1,200 steps of 2 crops of 128 x 128), "quick" or "smoke".

    Returns:
        The rows of the table: images, seconds of the training, and see `style_scores`.

    Raises:
        ReplicationError: an unknown profile, or a file could not be written.
    """
    check_profile(profile)
    keep_freed_memory()
    device, painting, steps = default_device(), style_picture(STYLE), STEPS[profile]
    photographs, standing_in = training_photographs(PHOTOGRAPHS[0])
    pictures, others = validation_pictures(IMAGES[profile])
    objective = Objective(square(painting.image, 256).to(device))
    rows = []
    for name, options in RUNS.items():
        settings = COMMON | {"size": SIZE[profile], "cooldown": steps} | options
        trainer, _ = style_trainer(painting, photographs.to(device), **settings)
        start = time.perf_counter()
        trainer.run(steps, name)
        row = {"training": name, "images": steps * settings["batch_size"], "seconds": time.perf_counter() - start}
        rows.append(row | style_scores(trainer.network, objective, pictures, SIZES[profile]))
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark training", profile=profile, seed=0, device=device, steps=steps)
    run.photographs, run.stand_ins = photographs.record, standing_in | others
    files = save_table("benchmark_training", rows, provenance(run, objective.network, [painting, *pictures]))
    print(*files, sep="\n")
    return rows
