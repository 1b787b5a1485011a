"""Every number has one range, whoever gives it: the command line, a notebook's parameters, or an argument."""

import argparse
import ast
import subprocess
import sys
from inspect import signature

import numpy as np
import papermill
import pytest
import torch

from replication.__main__ import _parser, main
from replication.baseline import Adam, empty_losses, gatys, white_noise
from replication.io.checkpoints import save_network
from replication.io.files import ROOT, ReplicationError
from replication.io.photographs import (
    content_picture,
    load_photographs,
    photographs_of,
    style_picture,
    validation_pictures,
)
from replication.io.ranges import RANGES, SEVERAL, RangeError, check
from replication.lbfgs import LBFGS
from replication.losses import Objective
from replication.networks import SuperResolutionNetwork
from replication.report.profiles import SETTINGS
from replication.report.recipes import train_in_full
from replication.report.runner import run_notebooks
from replication.report.timing import interleaved
from replication.style_transfer import style_trainer, stylise_files, train_style, train_style_from_files
from replication.super_resolution import (
    super_resolution_trainer,
    train_super_resolution,
    train_super_resolution_from_files,
    upscale,
    upscale_files,
)
from replication.training import Trainer

NUMBERS = (int, float, int | None, float | None)
COMMANDS = {
    "baseline-curves": ["--style", "great_wave"],
    "train-style": ["--style", "great_wave", "--images", "nowhere", "--out", "a.safetensors"],
    "train-super-resolution": ["--images", "nowhere", "--out", "a.safetensors"],
    "train-in-full": ["--images", "nowhere"],
    "full-scale": ["--images", "nowhere"],
    "stylise": ["nowhere.png", "-o", "out.png", "--style", "great_wave"],
    "upscale": ["nowhere.png", "-o", "out.png"],
    "figures": [],
}


def wrong_values(name):
    """Just outside of the range, and what is no number."""
    least = RANGES[name].least
    return [least if RANGES[name].above else least - 1, float("nan"), float("inf"), True, "5", [5]]


def options():
    """The options of all commands that hold a number."""
    (commands,) = (each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction))
    return [
        (command, action)
        for command, parser in commands.choices.items()
        for action in parser._actions
        if type(action.default) in (int, float) or action.type in (int, float) or "number" in str(action.type)
    ]


@pytest.mark.parametrize(("command", "action"), options(), ids=lambda each: getattr(each, "dest", each))
def test_an_option_takes_what_is_in_its_range_and_nothing_else(command, action, capsys):
    assert "options.number" in f"{action.type.__module__}.{action.type.__qualname__}"
    assert action.default in (None, argparse.SUPPRESS) or RANGES[action.dest].holds(action.default)
    for wrong in ["", "5 5", "0x", *map(str, wrong_values(action.dest)[:4])]:
        with pytest.raises(SystemExit) as stopped:
            main([command, *COMMANDS[command], f"{action.option_strings[0]}={wrong}"])
        assert stopped.value.code == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert f"argument {action.option_strings[0]}: must be {RANGES[action.dest]}; got " in line


def test_all_commands_that_take_numbers_are_tried():
    assert {command for command, _ in options()} == COMMANDS.keys()
    assert len(options()) >= 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cooldown", "5", "--steps", "4"], "cooldown must be at most steps, 4; got 5"),
        (["--warmup", "5", "--steps", "4"], "warmup must be at most steps, 4; got 5"),
    ],
)
def test_what_does_not_go_together_is_one_line_before_anything_is_imported(arguments, message):
    code = (
        "import sys; from replication.__main__ import main\n"
        f"status = main({['train-style', *COMMANDS['train-style'], *arguments]!r})\n"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (1, f"error: {message}\n")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_parameter_of_a_notebook_has_its_range(path):
    parameters = papermill.inspect_notebook(str(path))
    assert parameters.keys() - {"profile"} <= RANGES.keys() | SEVERAL.keys()
    check(**{name: ast.literal_eval(about["default"]) for name, about in parameters.items()})
    for values in SETTINGS[path.stem].values():
        check(**values)


@pytest.fixture(scope="module")
def calls(photograph):
    """Functions that take numbers, and a call of each with everything else."""
    photographs = photographs_of([content_picture("chelsea")], 80)
    painting = style_picture("great_wave")
    conv = torch.nn.Conv2d(3, 3, 1)
    style, enlarging = ("great_wave", "nowhere", "a.safetensors"), ("nowhere", "a.safetensors")
    files = (["nowhere.png"], "out.png")
    return [
        (Trainer, lambda **wrong: Trainer(conv, None, None, {}, **wrong)),
        (Trainer.run, lambda **wrong: Trainer(conv, None, None, {}).run(**wrong)),
        (gatys, lambda **wrong: gatys(photograph, photograph, **wrong)),
        (Objective, lambda **wrong: Objective(photograph, **wrong)),
        (LBFGS, lambda **wrong: LBFGS(photograph, **wrong)),
        (Adam, lambda **wrong: Adam(photograph, **wrong)),
        (empty_losses, lambda terms=1, **wrong: empty_losses(x=photograph, terms=1, **wrong)),
        (white_noise, lambda **wrong: white_noise(64, **wrong)),
        (load_photographs, lambda **wrong: load_photographs("nowhere", **wrong)),
        (validation_pictures, validation_pictures),
        (interleaved, lambda **wrong: interleaved({}, **wrong)),
        (style_trainer, lambda **wrong: style_trainer(painting, photographs, **wrong)),
        (train_style, lambda **wrong: train_style(painting, photographs, "a.safetensors", **wrong)),
        (train_style_from_files, lambda **wrong: train_style_from_files(*style, **wrong)),
        (super_resolution_trainer, lambda **wrong: super_resolution_trainer(photographs, **wrong)),
        (train_super_resolution, lambda **wrong: train_super_resolution(photographs, "a.safetensors", **wrong)),
        (train_super_resolution_from_files, lambda **wrong: train_super_resolution_from_files(*enlarging, **wrong)),
        (train_in_full, lambda **wrong: train_in_full("nowhere", "training", **wrong)),
        (stylise_files, lambda **wrong: stylise_files(*files, "great_wave", **wrong)),
        (upscale, lambda **wrong: upscale(None, photograph, **wrong)),
        (upscale_files, lambda **wrong: upscale_files(*files, **wrong)),
        (run_notebooks, lambda **wrong: run_notebooks("smoke", **wrong)),
    ]


def test_every_function_refuses_numbers_out_of_their_range_before_it_does_anything(calls):
    tried = 0
    for function, call in calls:
        numbers = {each.name for each in signature(function).parameters.values() if each.annotation in NUMBERS}
        for name in numbers - {"terms"}:
            for wrong in wrong_values(name):
                with pytest.raises(RangeError, match=f"{name} must be "):
                    call(**{"seed": 0, name: wrong} if function is white_noise else {name: wrong})
                tried += 1
    assert tried > 200


@pytest.mark.parametrize("name", ["batch_size", "learning_rate", "cooldown", "seed", "log_every"])
def test_what_is_passed_on_to_the_trainer_is_refused_before_photographs_are_looked_for(name):
    for train in (
        lambda **wrong: train_style_from_files("great_wave", "nowhere", "a.safetensors", **wrong),
        lambda **wrong: train_super_resolution_from_files("nowhere", "a.safetensors", **wrong),
    ):
        with pytest.raises(RangeError, match=f"{name} must be "):
            train(**{name: -1})


def test_a_start_that_is_not_there_is_named_before_photographs_are_looked_for(tmp_path):
    start, out = str(tmp_path / "start.safetensors"), str(tmp_path / "a.safetensors")
    with pytest.raises(ReplicationError, match="start.safetensors does not exist"):
        train_style_from_files("great_wave", "nowhere", out, initial=start)
    with pytest.raises(ReplicationError, match="start.safetensors does not exist"):
        train_super_resolution_from_files("nowhere", out, initial=start)
    save_network(SuperResolutionNetwork(8), start, {})
    with pytest.raises(ReplicationError, match=r"start.safetensors has {'factor': 8}; wanted is {'factor': 4}"):
        train_super_resolution_from_files("nowhere", out, initial=start)


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
        ({"precision": "float16"}, "precision must be float32 or bfloat16; got 'float16'"),
    ],
)
def test_the_message_names_parameter_range_and_value(values, message):
    with pytest.raises(ReplicationError, match=message):
        check(**values)


def test_what_is_in_its_range_passes_and_so_does_what_has_none():
    check(steps=1, cooldown=1, warmup=0, tv_weight=0, style_weight=1e-9, seed=2**63 - 1, blur=None, tile=4, size=44)
    check(steps=np.int64(3), learning_rate=np.float32(0.5), content_weight=2, images=1, nothing=-1, flip=True)
    check(sizes=[256, 512], precisions=("float32",), tv_strength={"relu1_1": 0, "relu2_1": 0})
