"""The command line: what its options take, what it refuses before anything runs, and in which words."""

import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
import tyro
from commands import run_command

from replication.__main__ import SEVERAL, _by_recipe, _commands, main
from replication.io.arguments import words
from replication.io.files import ROOT
from replication.io.ranges import RANGES
from replication.style_transfer import style_names

NUMBERS = (int, float, int | None, float | None)
COMMANDS = {
    "train-style": ["--recipe=paper", "--style=great_wave", "--images=nowhere", "--out=a.safetensors"],
    "train-super-resolution": ["--images=nowhere", "--out=a.safetensors"],
    "stylise": ["nowhere.png", "--out=out.png", "--style=great_wave"],
    "upscale": ["nowhere.png", "--out=out.png"],
    "figures": ["--profile=none"],
}


def settings(kind):
    """The names and types of a command's options, with those of its configuration."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            yield from settings(hints[field.name])
        else:
            yield field.name, hints[field.name]


def options():
    """The options of all commands that hold a number, and its type."""
    kinds = {each.__metadata__[0].name: get_args(each)[0] for each in get_args(_commands([]))}
    found = ((command, name, kind) for command, each in kinds.items() for name, kind in settings(each))
    return [pytest.param(*option, id="-".join(option[:2])) for option in found if option[2] in NUMBERS]


def status(*arguments):
    try:
        return main([*arguments])
    except SystemExit as stopped:
        return stopped.code


@pytest.mark.parametrize(("command", "name", "kind"), options())
def test_an_option_takes_what_is_in_its_range_and_nothing_else(command, name, kind, capsys):
    known, option = RANGES[name], f"--{name.replace('_', '-')}"
    outside = [f"{known.least if known.above else known.least - 1:g}"]
    outside += ["nan", "inf"] if kind in (float, float | None) else []
    for wrong in [*outside, "", "5 5", "0x", "True"]:
        assert status(command, *COMMANDS[command], f"{option}={wrong}") == 2
        said = capsys.readouterr()
        assert said.out == ""
        if wrong in outside:
            (line,) = said.err.splitlines()
            assert line.startswith(f"error: {name} must be {known}; got {wrong}")
        else:
            assert said.err.count("For full helptext") == 1
            assert option in said.err
    inside = known.among[0] if known.among else min(max(known.least, 64), known.most)
    assert status(command, *COMMANDS[command], f"{option}={inside}") == 1  # the files are nowhere
    assert "must be" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_the_commands_that_a_text_shows_are_understood(name):
    lines = re.findall(r"bin/python -m replication ([a-z][^`\n]*)", (ROOT / name).read_text())
    assert lines
    for line in lines:
        arguments = words(shlex.split(line), SEVERAL.get(line.split()[0], ()))
        assert tyro.cli(_commands(arguments), args=arguments)


def test_the_readme_names_the_styles():
    text = (ROOT / "README.md").read_text()
    (names,) = re.findall(r"one of these names with `_instance` after it: (.*?)\. The", text, flags=re.DOTALL)
    named = {f"{name}_instance" for name in re.findall(r"`(\w+)`", names)}
    assert named == {name for name in style_names() if name.endswith("_instance")}


def test_all_commands_that_take_numbers_are_tried():
    assert {option.values[0] for option in options()} == COMMANDS.keys()
    assert len(options()) >= 25


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train-style", ["--warmup", "5", "--steps", "4"], "warmup must be at most steps, 4; got 5"),
        ("train-style", ["--batch-size", "1"], "batch_size must be at least 2 with batch norm"),
        ("train-super-resolution", ["--patch", "100", "--factor", "8"], "patch must be a multiple of factor, 8"),
    ],
)
def test_what_does_not_go_together_is_one_line_before_torch_is_imported(command, arguments, message):
    code = (
        "import sys; from replication.__main__ import main\n"
        f"status = main({[command, *COMMANDS[command], *arguments]!r})\n"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sharpen"], "sharpen"),
        (["upscale", "a.png"], "--out"),
        (["upscale", "a.png", "--out", "b.png", "--loss", "srcnn"], "srcnn"),
        (["train-style", *COMMANDS["train-style"], "--optimizer", "sgd"], "--optimizer"),
        (["train-style", *COMMANDS["train-style"], "--compiled", "fast"], "--compiled"),
        (["weights", "--quickly"], "--quickly"),
    ],
)
def test_what_there_is_not_is_named_in_one_message(arguments, message, capsys):
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("For full helptext") == 1
    assert message in said.err


@pytest.mark.parametrize("given", [["--recipe", "slow"], ["--recipe=slow"]])
def test_an_unknown_recipe_is_refused(given, capsys):
    assert status("train-style", *COMMANDS["train-style"][1:], *given) == 2
    assert capsys.readouterr().err == "error: recipe must be paper or quick; got 'slow'\n"


@pytest.mark.parametrize(
    ("given", "recipe"), [([], "paper"), (["--device", "cpu"], "quick"), (["--device=cpu"], "quick")]
)
def test_the_recipe_is_that_of_the_device_that_is_asked_for(monkeypatch, given, recipe):
    monkeypatch.setenv("REPLICATION_DEVICE", "cuda")
    assert _by_recipe(["train-style", *given]).recipe == recipe


@pytest.mark.parametrize("given", [["--recipe", "paper"], ["--recipe=paper"]])
@pytest.mark.parametrize("command", ["train-style", "train_style"])
def test_the_defaults_of_the_help_are_those_of_the_recipe(command, given, capsys):
    assert status(command, *given, "--help") == 0
    said = capsys.readouterr().out
    assert "iterations (default: 40000)" in said
    assert "(default: quick)" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["upscale", "--out", "large"], "give an image, a video or a folder"),
        (["stylise", "a.png", "--out", "large"], "style must name one at least"),
        (["figures", "--only", "03", "--only", "04"], "--only is given 2 times"),
        (["figures", "--profile", "none", "--only", ","], "only must name one at least"),
        (["figures", "--profile", "none", "-p", "size", "64", "-p", "size", "128"], "a parameter is given twice: size"),
        (["upscale", "a.png", "-oa.png", "--out", "b.png"], "--out is given 2 times"),
        (["train-all", "--images", "nowhere", "--only", ""], "only must name one at least"),
        (["train-style", *COMMANDS["train-style"], "--images", "b"], "--images is given 2 times"),
        (["train_style", "--recipe", "slow"], "recipe must be paper or quick"),
        (
            ["upscale", "a.png", "-o", "b.png", "--network", "c.safetensors", "--loss", "pixel"],
            "a network has the loss",
        ),
        (
            ["train-super-resolution", *COMMANDS["train-super-resolution"], "--kernels", "9", "1", "5"],
            "kernels must be",
        ),
        (
            ["train-super-resolution", *COMMANDS["train-super-resolution"], "--loss=srcnn", "--upsampling=resize"],
            "upsampling must be transposed for srcnn",
        ),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments, message, capsys):
    assert status(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("command", "function", "said"),
    [
        ("train-style", "style_transfer.train_style_from_files", "the same command goes on"),
        ("train-super-resolution", "super_resolution.train_super_resolution_from_files", "the same command goes on"),
        ("stylise", "style_transfer.stylise_files", "finished images are kept"),
        ("upscale", "super_resolution.upscale_files", "finished images are kept"),
    ],
)
def test_ctrl_c_says_what_becomes_of_the_work(command, function, said, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"replication.{function}", interrupted)
    assert status(command, *COMMANDS[command]) == 130
    assert f"interrupted; {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "function", "flags"),
    [
        ("stylise", "style_transfer.stylise_files", ["overwrite", "preserve_colours"]),
        ("upscale", "super_resolution.upscale_files", ["overwrite"]),
    ],
)
def test_what_is_switched_on_reaches_the_function(command, function, flags, monkeypatch):
    seen = {}
    monkeypatch.setattr(f"replication.{function}", lambda *_, **options: seen.update(options) or [])
    given = [f"--{name.replace('_', '-')}" for name in flags]
    assert status(command, *COMMANDS[command], *given, "--precision=bfloat16") == 0
    assert dict.fromkeys(flags, True).items() | {("precision", "bfloat16")} <= seen.items()


def test_where_an_error_came_from_is_shown_on_request(tmp_path):
    short, long = (
        run_command("stylise", "a.png", "-o", tmp_path, "--style", "waves", *more) for more in ((), ("--debug",))
    )
    assert short.returncode == long.returncode == 1
    assert short.stderr.startswith("error: there is no style 'waves'")
    assert len(short.stderr.splitlines()) == 1
    assert "Traceback" in long.stderr
