"""The house: imports point downwards only, and modules stay short enough to read."""

import ast
from pathlib import Path

import pytest

from tests.conftest import REPO

FLOORS = {"schemas": 1, "operators": 2, "pipeline": 3, "jobs": 4, "latentreel": 5}
NOT_BELOW_THE_PIPELINE = {"ray"}  # operators run in a notebook, schemas anywhere
NOT_IN_SCHEMAS = {"torch", "ray", "cv2", "dlib", "duckdb", "deltalake"}

# Modules above 300 lines, each with its excuse.
LONG_MODULES: dict[str, str] = {}


def _modules() -> list[Path]:
    return [path for floor in FLOORS for path in sorted((REPO / floor).rglob("*.py"))]


def _imported(path: Path) -> set[str]:
    """Top-level names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(REPO)))
def test_imports_point_downwards(path: Path) -> None:
    floor = path.relative_to(REPO).parts[0]
    imported = _imported(path)
    above = {name for name in imported if FLOORS.get(name, 0) > FLOORS[floor]}
    assert not above, f"{floor} must not import {above}"
    assert not imported & {"tests", "benchmarks"}
    if FLOORS[floor] <= FLOORS["operators"]:
        assert not imported & NOT_BELOW_THE_PIPELINE
    if floor == "schemas":
        assert not imported & NOT_IN_SCHEMAS


def test_the_check_above_sees_every_floor() -> None:
    assert {path.relative_to(REPO).parts[0] for path in _modules()} == FLOORS.keys()
    assert "ray" in _imported(REPO / "pipeline" / "run.py")  # so the walk does find imports


def test_modules_stay_under_300_lines() -> None:
    lengths = {str(path.relative_to(REPO)): len(path.read_text().splitlines()) for path in _modules()}
    assert {name for name, lines in lengths.items() if lines > 300} == LONG_MODULES.keys()
