"""Completion in a shell: the script that asks for it, and the answers.

The script runs `tract` with the words so far in its environment. A name comes from a store, so from anywhere, and goes to
a shell: only names of letters, digits and `._/-` are offered, none that a shell would read as more than a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete, split_arg_string

from tract_fs.cli.current_branch import read_current_branch
from tract_fs.cli.invocation import Invocation

VARIABLE = "_TRACT_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_PLAIN = re.compile(r"[A-Za-z0-9_][\w./-]*")
_REFS = frozenset(["ref", "a", "b", "target", "target_hash", "refs", "at_commit", "first", "last", "after", "since_ref"])
_BRANCHES = frozenset(["branch", "names"])
_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def script(shell: str) -> str:
    """Returns the script that makes a shell complete `tract`."""
    found = get_completion_class(shell)
    assert found is not None
    made = found(click.Group("tract"), {}, "tract", VARIABLE)
    return made.source_template % made.source_vars()


def answer(tract: click.Group) -> int:
    """Prints what can come next, as the script in $_TRACT_COMPLETE expects it, and returns the exit code."""
    context = click.Context(tract, info_name="tract")
    _complete_names(tract)
    for word in split_arg_string(os.environ.get("COMP_WORDS", "")):
        command = tract.get_command(context, word)
        if command is not None:
            _complete_names(command)
    try:
        return shell_complete(tract, {}, "tract", VARIABLE, os.environ[VARIABLE])
    except (KeyError, ValueError):  # not from a script of a shell
        return 1


def _complete_names(command: click.Command) -> None:
    """Makes a command's parameters complete the names that they take, and those of its own commands."""
    for inner in command.commands.values() if isinstance(command, click.Group) and command.name != "tract" else ():
        _complete_names(inner)
    for parameter in command.params:
        kind = parameter.name or ""
        if kind == "tract_id":
            _set(parameter, _tracts)
        elif kind in _BRANCHES or (kind == "name" and command.name == "switch"):
            _set(parameter, _branches)
        elif kind == "tag" or (kind == "name" and command.name == "tag"):
            _set(parameter, _tags)
        elif kind in _REFS:
            _set(parameter, _both)


def _set(parameter: click.Parameter, complete: _Complete) -> None:
    parameter._custom_shell_complete = complete  # click takes it when the parameter is declared, too


def _tracts(context: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    return _items(context, start, lambda invocation: _open(invocation)[1])


def _branches(context: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    return _items(context, start, lambda invocation: _names(invocation, is_tag=False, is_branch=True))


def _tags(context: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    return _items(context, start, lambda invocation: _names(invocation, is_tag=True, is_branch=False))


def _both(context: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    return _items(context, start, lambda invocation: _names(invocation, is_tag=True, is_branch=True))
