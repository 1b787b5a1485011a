"""The notebooks through papermill: each figure and table from one command."""

import ast
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError

from replication.io.files import (
    FIGURES,
    ROOT,
    ReplicationError,
    data_folder,
    kept_folder,
    need_checkout,
    one_line,
    reason,
    sha256,
)
from replication.io.image_files import image_files
from replication.io.processes import alone
from replication.io.provenance import digests, environment
from replication.io.ranges import check
from replication.io.weights import vgg16_weights
from replication.report.claims import FOLDER
from replication.report.copies import copy_of, metadata, retell, retold
from replication.report.kernels import ENGINE
from replication.report.profiles import checked
from replication.report.summary import sources

SUMMARY = "10_paper_against_ours"  # reads the files of the other figures
TIME_LIMIT = {"smoke": 300, "quick": 1800, "overnight": 6 * 3600, "paper": 24 * 3600}  # seconds a notebook


def run_notebooks(
    profile: str,
    only: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    time_limit: float | None = None,
    resume: bool = False,
) -> bool:
    """Execute notebooks and report on standard output; everything that can be checked is checked before the first one.

    Executed copies go to `figures/<profile>/notebooks/`. One that fails is kept there as `<name>.failed.ipynb`, the
    result of an earlier run stays as it was, and the other notebooks are run all the same.

    Args:
        profile: one of `PROFILES`.
        only: numbers or names of notebooks, ("01", "02_style_reconstruction"); empty for all.
        parameters: values for parameters that all of the notebooks have; text is read as the value that it spells.
        time_limit: seconds a notebook may take; by default that of the profile.
        resume: keep what was executed with this code and data, on this device, with these parameters.

    Returns:
        Whether all of them succeeded.

    Raises:
        ReplicationError: the package alone is installed, an unknown profile, notebook or parameter, a parameter's value
            that does not fit, or no VGG-16 weights.
    """
    need_checkout("figures")
    check(optional=("time_limit",), time_limit=time_limit)
    runs = {notebook: _parameters(notebook, profile, parameters or {}) for notebook in _selected(only)}
    print(f"VGG-16 weights: {vgg16_weights().source}")
    print(f"\n{_text(_plan(runs, profile, resume))}")
    summary = []
    for number, (notebook, values) in enumerate(runs.items(), 1):
        result, seconds, made = "kept", 0.0, []
        if resume and _is_done(notebook, profile, values):
            retell(notebook, profile)
        else:
            print(f"\n[{number}/{len(runs)}] {notebook.stem}: {title_of(notebook)}", flush=True)
            before, started = _files(profile), time.monotonic()
            error = _execute(notebook, profile, values, time_limit or TIME_LIMIT[profile])
            result, seconds = "FAILED" if error else "done", time.monotonic() - started
            made = sorted(map(str, _made(notebook, profile, before)))
            print(f"  {error or 'done'} ({seconds:.0f} s)", *made, sep="\n  ", flush=True)
        summary.append({"notebook": notebook.stem, "result": result, "seconds": round(seconds), "files": len(made)})
    print(f"\n{_text(summary)}")
    return all(row["result"] != "FAILED" for row in summary)


def _text(rows: list[dict[str, Any]]) -> str:
    return pd.DataFrame(rows, dtype=object).fillna("").to_string(index=False)


def _selected(only: Sequence[str]) -> list[Path]:
    """The notebooks of those numbers or names, all where there are none, in order; the summary reads the others."""
    notebooks = (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
    notebooks = sorted(notebooks, key=lambda path: (path.stem == SUMMARY, path.name))
    if unknown := [name for name in only if not any(name in (path.stem, path.stem[:2]) for path in notebooks)]:
        names = ", ".join(path.stem for path in notebooks)
        raise ReplicationError(f"unknown notebook {', '.join(unknown)}; there are {names} (their numbers will do)")
    return [path for path in notebooks if not only or path.stem in only or path.stem[:2] in only]


def title_of(notebook: Path) -> str:
    """What a notebook regenerates: the heading of its first cell."""
    return nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")


def _parameters(notebook: Path, profile: str, given: dict[str, Any]) -> dict[str, Any]:
    """What papermill sets in a notebook: the profile, and what was given, as the notebook will take it."""
    found = papermill.inspect_notebook(_literal(notebook))
    known = {name: ast.literal_eval(about["default"]) for name, about in found.items()}
    if "profile" in given:
        raise ReplicationError(f"profile is no parameter; give --profile {given['profile']}")
    if unknown := [name for name in given if name not in known]:
        raise ReplicationError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    del known["profile"]
    settings = checked(notebook.stem, profile, known | given)
    return {"profile": profile} | {name: settings[name] for name in given}


def _execute(notebook: Path, profile: str, parameters: dict[str, Any], time_limit: float) -> str | None:
    """Run one notebook, unless another run is executing it; returns what went wrong in one line, or None."""
    lock = copy_of(notebook, profile).with_name(f".{notebook.stem}.lock")
    try:
        with alone(lock, f"another run is at {notebook.stem} in {profile}; wait for it, or take another profile"):
            return _executed(notebook, profile, parameters, time_limit)
    except ReplicationError as error:
        return f"{notebook.stem} failed: {error}"


def _executed(notebook: Path, profile: str, parameters: dict[str, Any], time_limit: float) -> str | None:
    before, had = _environment(notebook, profile, parameters), _files(profile)
    done, failed, running = (copy_of(notebook, profile, end) for end in ("", ".failed", ".running"))
    try:
        executed = papermill.execute_notebook(
            _literal(notebook),
            _literal(running),
            parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            progress_bar={"bar_format": "  {n}/{total} cells  {desc}", "desc": "", "mininterval": 0.5},
            deadline=time.monotonic() + time_limit,
        )
        for key, path in (("input_path", notebook), ("output_path", done)):  # so that a copy names no one's folders
            executed.metadata.papermill[key] = path.relative_to(ROOT).as_posix()
        made = [path for path in _made(notebook, profile, had) if path.parent.name == profile]
        executed.metadata["replication"] = before | {"made": digests(made)}
        nbformat.write(executed, running)
        running.write_bytes(retold(notebook, running))
    except BaseException as error:
        if _interrupted(error):
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # tasks that the kernel's end leaves behind
            running.unlink(missing_ok=True)
            raise KeyboardInterrupt from error
        if running.exists():
            running.replace(failed)
        return f"{notebook.stem} failed: {_describe(error, time_limit)}"
    running.replace(done)
    failed.unlink(missing_ok=True)
    shutil.rmtree(kept_folder(notebook.stem, profile), ignore_errors=True)
    return None


def _literal(path: Path) -> str:
    """A path for papermill, which takes what stands in braces for a parameter."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _plan(runs: dict[Path, dict[str, Any]], profile: str, resume: bool) -> list[dict[str, str | float | None]]:
    """One row a notebook: whether it will be run, and the minutes that it took the last time, and where."""
    rows = []
    for notebook, parameters in runs.items():
        kept, had = resume and _is_done(notebook, profile, parameters), metadata(notebook, profile)
        row = {"notebook": notebook.stem, "will be": "kept" if kept else "run"}
        row["minutes, last time"] = round(had["papermill"]["duration"] / 60, 2) if had else None
        rows.append(row | {"on": had.get("replication", {}).get("device", "")})
    return rows


def _environment(notebook: Path, profile: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What an executed copy depends on besides its parameters, including the files that they name."""
    folder = data_folder()
    paths = image_files(folder, told=False) if folder else []
    stats = [(path, path.stat()) for path in paths]
    images = [[path.relative_to(folder).as_posix(), each.st_size, each.st_mtime_ns] for path, each in stats]
    values = [item for value in parameters.values() for item in (value if isinstance(value, list) else [value])]
    named = [value for value in values if isinstance(value, str) and os.path.isfile(value)]
    return environment(notebook, *FOLDER.glob(f"{notebook.stem}.toml")) | {
        "images": sha256(json.dumps(images).encode()),
        "figures": sources(profile) if notebook.stem == SUMMARY else {},
        "files": {name: sha256(Path(name).read_bytes()) for name in named},
    }


def _is_done(notebook: Path, profile: str, parameters: dict[str, Any]) -> bool:
    """Whether a notebook was executed with these parameters in this environment, and its files are unchanged."""
    had = metadata(notebook, profile)
    if not had or had["papermill"]["parameters"] != parameters:
        return False
    made = had.get("replication", {}).get("made", {})
    return had.get("replication") == _environment(notebook, profile, parameters) | {"made": digests(map(Path, made))}


def _interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt is at the root of an error: closing down after one can fail in turn."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _interrupted(error.__context__))


def _describe(error: BaseException, time_limit: float) -> str:
    if isinstance(error, PapermillExecutionError):
        return f"cell [{error.exec_count}], {error.ename}: {one_line(error.evalue)}".removesuffix(": ")
    if isinstance(error, CellTimeoutError):
        return f"it took longer than its limit of {time_limit:.0f} s; raise it with --time-limit"
    if isinstance(error, ReplicationError):
        return str(error)
    return f"{type(error).__name__}: {reason(error)}"


def _files(profile: str) -> dict[Path, int]:
    """The files of a profile, relative to the project, with the time of their last change.

    Hidden and running ones are left out: those of another run may vanish at any moment.
    """
    files = (path for path in (FIGURES / profile).rglob("[!.]*") if ".running." not in path.name and path.is_file())
    return {path.relative_to(ROOT): path.stat().st_mtime_ns for path in files}


def _made(notebook: Path, profile: str, had: dict[Path, int]) -> list[Path]:
    """The files that have changed since `had`, except those that other runs made of other notebooks meanwhile."""
    changed = [path for path, stamp in _files(profile).items() if had.get(path) != stamp]
    return [path for path in changed if _maker(path) in (notebook.stem, None)]


def _maker(path: Path) -> str | None:
    """The notebook that a figure's or a table's JSON file names, or of which a file is a copy; None for others."""
    if path.suffix == ".ipynb":
        return path.name.split(".")[0]
    record = (ROOT / path).with_suffix(".json")
    found = json.loads(record.read_text()) if record.exists() else None
    return found.get("provenance", {}).get("notebook") if isinstance(found, dict) else None
