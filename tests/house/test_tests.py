"""The tests' own house: a test module imports from tests/lab/ and the package, never from another test module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("*.py"))


def imports(source: str) -> set[str]:
    """Returns the modules of this folder that a source imports, however it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"tests." * bool(node.level) + f"{node.module or ''}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("tests.")}


def is_of_the_lab(name: str) -> bool:
    return name.split(".")[1] == "lab"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(TESTS)))
def test_no_module_imports_from_a_test_module(module: Path) -> None:
    assert {name for name in imports(module.read_text(encoding="utf-8")) if not is_of_the_lab(name)} == set()


@pytest.mark.parametrize(
    "source",
    [
        "from tests.calls.test_merge import Pair",
        "from tests.calls import test_merge",
        "import tests.calls.test_merge",
        "from .test_merge import Pair",
        "from . import test_merge",
        "def inside():\n    from tests.calls.test_merge import Pair",
    ],
)
def test_every_form_of_such_an_import_is_found(source: str) -> None:
    assert [is_of_the_lab(name) for name in imports(source)] == [False]


def test_a_module_that_holds_no_test_lies_in_the_lab() -> None:
    elsewhere = [module for module in MODULES if module.parent.name != "lab"]
    named = {module.name for module in elsewhere if not module.name.startswith("test_")}
    assert named == {"__init__.py", "conftest.py"}
