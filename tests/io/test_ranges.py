"""Every number has one range, whoever gives it: the command line, a notebook's parameters, or an argument."""

import ast
from inspect import signature

import numpy as np
import papermill
import pytest
import torch

from replication.baseline import Adam, gatys, optimise_image, white_noise
from replication.config import StyleConfig, SuperResolutionConfig, TrainingConfig
from replication.io.files import ROOT
from replication.io.photographs import load_photographs
from replication.io.pictures import validation_pictures
from replication.io.ranges import PROFILES, RANGES, SEVERAL, RangeError, check
from replication.lbfgs import LBFGS
from replication.losses import Objective
from replication.report.curves import baseline_curves
from replication.report.profiles import profile_settings
from replication.report.runner import run_notebooks
from replication.report.timing import interleaved
from replication.style_transfer import stylise_files
from replication.super_resolution import upscale, upscale_files
from replication.training import Trainer

NUMBERS = (int, float, int | None, float | None)


def wrong_values(name):
    """Just outside of the range, and what is no number."""
    least = RANGES[name].least
    return [least if RANGES[name].above else least - 1, float("nan"), float("inf"), True, "5", [5]]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_parameter_of_a_notebook_has_its_range(path):
    parameters = papermill.inspect_notebook(str(path))
    assert parameters.keys() - {"profile"} <= RANGES.keys() | SEVERAL.keys()
    values = {name: ast.literal_eval(about["default"]) for name, about in parameters.items()}
    check(optional=values, **values)
    for profile in PROFILES:
        settings = profile_settings(path.stem, profile)
        check(optional=settings, **settings)


@pytest.fixture(scope="module")
def calls(photograph):
    """Functions that take numbers, and a call of each with everything else."""
    conv, config, files = torch.nn.Conv2d(3, 3, 1), TrainingConfig(steps=1), (["nowhere.png"], "out.png")
    return [
        (TrainingConfig, lambda **wrong: TrainingConfig(**{"steps": 1} | wrong)),
        (StyleConfig, StyleConfig),
        (SuperResolutionConfig, SuperResolutionConfig),
        (Trainer, lambda **wrong: Trainer(conv, None, None, config, **wrong)),
        (Trainer.run, lambda **wrong: Trainer(conv, None, None, config).run(**wrong)),
        (gatys, lambda **wrong: gatys(photograph, photograph, **wrong)),
        (Objective, lambda **wrong: Objective(photograph, **wrong)),
        (LBFGS, lambda **wrong: LBFGS(photograph, **wrong)),
        (Adam, lambda **wrong: Adam(photograph, **wrong)),
        (optimise_image, lambda **wrong: optimise_image(None, LBFGS(photograph), **wrong)),
        (white_noise, lambda **wrong: white_noise(64, **wrong)),
        (load_photographs, lambda **wrong: load_photographs("nowhere", **wrong)),
        (validation_pictures, validation_pictures),
        (interleaved, lambda **wrong: interleaved({}, **wrong)),
        (
            baseline_curves,
            lambda **wrong: baseline_curves("great_wave", **{"count": 1, "size": 48, "iterations": 1} | wrong),
        ),
        (stylise_files, lambda **wrong: stylise_files(*files, "great_wave", **wrong)),
        (upscale, lambda **wrong: upscale(None, photograph, **wrong)),
        (upscale_files, lambda **wrong: upscale_files(*files, **wrong)),
        (run_notebooks, lambda **wrong: run_notebooks("smoke", **wrong)),
    ]


def test_every_function_refuses_numbers_out_of_their_range_before_it_does_anything(calls):
    tried = 0
    for function, call in calls:
        numbers = {each.name for each in signature(function).parameters.values() if each.annotation in NUMBERS}
        for name in numbers:
            never = [None] * (signature(function).parameters[name].annotation in (int, float))
            for wrong in wrong_values(name) + never:
                with pytest.raises(RangeError, match=f"{name} must be "):
                    call(**{name: wrong})
                tried += 1
    assert tried > 200


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch": 100, "factor": 8}, "patch must be a multiple of factor, 8; got 100"),
        ({"patch": 64, "blur": 16}, "blur must be less than a quarter of patch, 64; got 16"),
        ({"loss": "srcnn", "factor": 8}, "factor must be 4 for srcnn; got 8"),
        (
            {"content_weight": 0, "style_weight": 0.0, "tv_weight": 0},
            "one of content_weight, style_weight, tv_weight mu",
        ),
        ({"seed": 2**63}, "seed must be a whole number, at least 0, at most 9223372036854775807; got"),
        ({"learning_rate": 1.5}, "learning_rate must be a finite number, more than 0, at most 1; got 1.5"),
        ({"tile": 250}, "tile must be a whole number of pixels, at least 4, a multiple of 4; got 250"),
        ({"steps": 1e3}, "steps must be a whole number of steps, at least 1; got 1000.0, write 1000"),
        ({"tv_weight": 10**400}, "tv_weight must be a finite number, at least 0; got 1000"),
        ({"precision": "float16"}, "precision must be float32 or bfloat16 or fast; got 'float16'"),
    ],
)
def test_the_message_names_parameter_range_and_value(values, message):
    with pytest.raises(RangeError, match=message):
        check(**values)


def test_what_is_in_its_range_passes_and_so_does_what_has_none():
    check(steps=1, lr_decay=1, warmup=0, tv_weight=0, style_weight=1e-9, seed=2**63 - 1, tile=4, size=44)
    check(steps=np.int64(3), learning_rate=np.float32(0.5), content_weight=2, images=1, nothing=-1, flip=True)
    check(optional=("blur",), blur=None)
    check(sizes=[256, 512], counts=[4, 4], precisions=("float32",), tv_strength={"relu1_1": 0, "relu2_1": 0})
