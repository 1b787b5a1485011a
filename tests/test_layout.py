"""Three floors: the report stands on the paper's modules, and these on what reads and writes files."""

import ast
from graphlib import TopologicalSorter

import pytest
from commands import ROOT

PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "replication").rglob("*.py"))
}
MODULES = {name: path for name, path in PATHS.items() if not name.endswith("__init__")}
LINES, FUNCTION_LINES = 300, 40


def floor(name):
    """`io`, `report`, or `paper`, on which the others stand or which stands on them."""
    first = name.split(".")[1]
    return first if first in ("io", "report") else "paper"


def imported(path):
    """The modules of the project that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            assert node.level == 0
            assert node.module != "replication"  # whose names are everyone's
    return found & MODULES.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_floor_and_below(name):
    known = {"io": {"io"}, "paper": {"io", "paper"}, "report": {"io", "paper", "report"}}
    allowed = known[floor(name)] if name != "replication.__main__" else known["report"]
    wrong = {other for other in imported(MODULES[name]) if floor(other) not in allowed}
    assert not wrong


def test_the_settings_stand_on_the_files_alone():
    found = imported(MODULES["replication.config"])
    assert found
    assert {floor(other) for other in found} == {"io"}


def test_nothing_imports_the_command_line():
    main = "replication.__main__"
    assert not [name for name, path in MODULES.items() if main in imported(path)]


def test_there_is_no_cycle():
    order = [*TopologicalSorter({name: imported(path) for name, path in MODULES.items()}).static_order()]
    assert len(order) == len(MODULES) > 30


def test_no_module_is_long():
    assert not {name for name, path in PATHS.items() if len(path.read_text().splitlines()) > LINES}


def test_no_function_is_long():
    """Its statements, without the lines of its signature and docstring."""
    long = set()
    for name, path in PATHS.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and body[-1].end_lineno - body[0].lineno >= FUNCTION_LINES:
                    long.add((name, node.name))
    assert not long
