"""Completion in a shell: the script that asks for it, and the answers.

The script runs `tract` with the words so far in its environment. Names come from a store, so from anywhere, and go to a
shell: only those of letters, digits and `._/-` are offered, none that a shell would read as more than a word.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete, split_arg_string

from tract_fs import Tract
from tract_fs.cli.invocation import Invocation
from tract_fs.errors import TractError

VARIABLE = "_TRACT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_WHERE = ("context_path", "tract_id", "branch")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_KINDS = {  # what a parameter of this name takes
    "tract_id": ("tracts",),
    "branch": ("branches",),
    "tag": ("tags",),
    "history": ("branches",),
    "topic": ("topics",),
    "context_path": ("dir",),
    **dict.fromkeys(("file", "files", "path", "paths", "output"), ("file",)),
    **dict.fromkeys(("ref", "refs", "a", "b", "target", "at_commit", "first", "last", "commits"), ("branches", "tags")),
}
_KINDS_OF_NAMES = {"switch": ("branches",), "branch": ("branches",), "tag": ("tags",)}


def script(shell: str) -> str:
    """Returns the script that makes a shell complete `tract`."""
    found = get_completion_class(shell)
    assert found is not None
    made = found(click.Group("tract"), {}, "tract", VARIABLE)
    return made.source_template % made.source_vars()


def answer(tract: click.Group) -> int:
    """Prints what can come next, in the form that the script expects, and returns the exit code."""
    _mark(tract)
    for word in split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]:
        command = tract.get_command(click.Context(tract), word)
        if command is not None:
            _mark(command)
    try:
        return shell_complete(tract, {}, "tract", VARIABLE, os.environ[VARIABLE])
    except (KeyError, ValueError):  # set by hand, without the words
        return 1


def _mark(command: click.Command) -> None:
    """Makes the parameters of a command, and of those in it, complete the names that they take."""
    if isinstance(command, click.Group) and command.name != "tract":
        for inner in command.commands.values():
            _mark(inner)
    for parameter in command.params:
        name = parameter.name or ""
        kinds = _KINDS_OF_NAMES.get(command.name or "", ()) if name in ("name", "names") else _KINDS.get(name, ())
        if kinds in (("file",), ("dir",)):
            parameter._custom_shell_complete = partial(_places, kinds[0])
        elif kinds:
            parameter._custom_shell_complete = partial(_names, kinds)


def _places(kind: str, *_: object) -> list[CompletionItem]:
    """Returns what makes the shell itself complete the names of files."""
    return [CompletionItem("", type=kind)]


def _names(kinds: tuple[str, ...], context: click.Context, _: click.Parameter, start: str) -> list[str]:
    """Returns the names of these kinds that begin with `start`; none where there is no store that can be read.

    Of A..B, B is completed.
    """
    if kinds == ("topics",):
        from tract_fs.cli.guides import topics

        root = context.find_root().command
        assert isinstance(root, click.Group)
        return [name for name in (*topics(), *root.commands) if name.startswith(start)]
    before, mark, start = start.rpartition("..")
    given: dict[str, Any] = {key: context.params.get(key) or context.find_root().params.get(key) for key in _WHERE}
    found: list[str] = []
    with suppress(OSError, TractError):
        invocation = Invocation(**given)
        if kinds == ("tracts",):
            found = list(Tract.tracts(invocation.require_context()))
        else:
            with invocation.reading() as t:
                found += t.branches() if "branches" in kinds else ()
                found += t.tags() if "tags" in kinds else ()
    names = [name for name in dict.fromkeys(found) if name.startswith(start) and _PLAIN.fullmatch(name)]
    return [f"{before}{mark}{name}" for name in names]
