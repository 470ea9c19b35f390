"""AsyncTract beside Tract: the same names, arguments and docstrings, and each call in the thread that fits it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import pytest

from tract_fs import AsyncBatch, AsyncTract, Tract

NAMES = sorted(name for name in vars(Tract) if not name.startswith("_"))
METHODS = [name for name in NAMES if not isinstance(vars(Tract)[name], property)]
# Made by hand: they return handles, or a batch; end one; or wait in the event loop.
BY_HAND = {"open", "tracts", "close", "at", "on", "retry", "fork", "batch", "watch"}
LONG = {"summarize", "import_stream", "import_transcript", "repair", "pack", "sync", "bundle", "apply_bundle"}
# What a batch has no use for, or refuses.
NOT_IN_BATCH = BY_HAND | {
    "refresh",
    "flush",
    "switch",
    "rename_branch",
    "delete_branch",
    "undo",
    "register_content_type",
    "import_stream",
    "import_transcript",
    "repair",
    "pack",
    "sync",
    "bundle",
    "apply_bundle",
}


def public(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def arguments(call: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(call).parameters.values())


def guard(name: str) -> str:
    """Returns what a call of `Tract` enters first: "reading", "writing" or "changing"."""
    body = ast.parse(textwrap.dedent(inspect.getsource(vars(Tract)[name])))
    entered = [
        ast.unparse(item.context_expr) for node in ast.walk(body) if isinstance(node, ast.With) for item in node.items
    ]
    return entered[0].removeprefix("self._guard.")


def test_the_names_are_the_same() -> None:
    assert public(AsyncTract) == NAMES
    assert public(AsyncBatch) == sorted(set(NAMES) - NOT_IN_BATCH)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_arguments_of_that_of_tract_and_is_awaited(name: str) -> None:
    assert arguments(getattr(AsyncTract, name)) == arguments(getattr(Tract, name))
    assert inspect.iscoroutinefunction(getattr(AsyncTract, name)) == (name != "batch")
    assert getattr(AsyncTract, name).__doc__
    if name not in BY_HAND:
        assert getattr(AsyncTract, name).__doc__ == getattr(Tract, name).__doc__


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(METHODS)))
def test_a_property_is_one(name: str) -> None:
    assert isinstance(inspect.getattr_static(AsyncTract, name), property)


@pytest.mark.parametrize("name", sorted(set(METHODS) - BY_HAND - LONG - {"add", "edit"}))
def test_what_enters_the_guard_to_read_runs_in_the_thread_of_reads_and_all_else_in_that_of_writes(name: str) -> None:
    """A write in the thread of reads would hold up all reads while a batch is open."""
    made_by = getattr(AsyncTract, name).__code__.co_qualname
    assert (
        made_by == {"reading": "_reading", "writing": "_writing", "changing": "_writing"}[guard(name)] + ".<locals>.run"
    )


def test_what_takes_long_has_a_thread_of_its_own() -> None:
    made = {name: getattr(AsyncTract, name).__code__.co_qualname for name in METHODS}
    assert {name for name, by in made.items() if by == "_running_long.<locals>.run"} == LONG
    assert made["add"] == made["edit"] == made["commit"] == "_writing.<locals>.run"
