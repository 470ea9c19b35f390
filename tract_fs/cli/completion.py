"""Completion in a shell: the script that asks for it, and the answers.

The script runs `tract` with the words so far in its environment. Names come from a store, so from anywhere, and go to a
shell: only those of letters, digits and `._/-` are offered, none that a shell would read as more than a word.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial

import click
from click.shell_completion import get_completion_class, shell_complete, split_arg_string

from tract_fs import Tract
from tract_fs.cli.current_branch import read_current_branch
from tract_fs.cli.invocation import Invocation
from tract_fs.errors import TractError

VARIABLE = "_TRACT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_KINDS = {  # what a parameter of this name takes
    "tract_id": ("tracts",),
    "branch": ("branches",),
    "tag": ("tags",),
    **dict.fromkeys(("ref", "refs", "a", "b", "target", "at_commit", "first", "last"), ("branches", "tags")),
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
    """Makes the parameters of a command complete the names that they take."""
    for parameter in command.params:
        name = parameter.name or ""
        kinds = _KINDS_OF_NAMES.get(command.name or "", ()) if name in ("name", "names") else _KINDS.get(name, ())
        if kinds:
            parameter._custom_shell_complete = partial(_names, kinds)


def _names(kinds: tuple[str, ...], context: click.Context, _: click.Parameter, start: str) -> list[str]:
    """Returns the names of these kinds that begin with `start`; none where there is no store that can be read."""
    above = context.find_root().params
    given = {key: context.params.get(key) or above.get(key) for key in ("context_path", "tract_id", "branch")}
    found: list[str] = []
    with suppress(OSError, TractError):
        path = Invocation(context_path=given["context_path"]).require_context()
        if kinds == ("tracts",):
            found = list(Tract.tracts(path))
        else:
            branch = given["branch"] or read_current_branch(path).name
            with Tract.open(path, tract_id=given["tract_id"] or "default", branch=branch, read_only=True) as t:
                found += t.branches() if "branches" in kinds else ()
                found += t.tags() if "tags" in kinds else ()
    return [name for name in dict.fromkeys(found) if name.startswith(start) and _PLAIN.fullmatch(name)]
