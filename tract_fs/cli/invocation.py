"""One run of the command: which store, tract and branch it is about, and how it answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from tract_fs import Tract
from tract_fs.cli.current_branch import CurrentBranch, read_current_branch
from tract_fs.cli.output import echo_json, some, warn
from tract_fs.errors import (
    BranchNotFound,
    DamageError,
    FormatMissing,
    HistoryIncomplete,
    StoreNotFound,
    TractError,
)

STORE_DIRECTORY = ".tract"
_COMMON = ("context_path", "tract_id", "branch", "is_json", "is_incomplete_used")
_UNWRITABLE = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])


class CommandError(TractError):
    """A command that can't do what it was asked for."""


class InOrder(click.Group):
    """A group that lists its commands in the order of their work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class Invocation:
    """What the options common to all commands say; None where one was not given."""

    def __init__(
        self,
        *,
        context_path: str | None = None,
        tract_id: str | None = None,
        branch: str | None = None,
        is_json: bool = False,
        is_incomplete_used: bool = False,
        above: Invocation | None = None,
    ) -> None:
        self.context_path: str | None = context_path
        self.tract_id: str | None = tract_id
        self.branch: str | None = branch
        self.is_json: bool = is_json
        self.is_incomplete_used: bool = is_incomplete_used
        self.answers: list[object] | None = None  # collects the documents, if a caller sets a list
        if above is not None:
            self.context_path = above.context_path if context_path is None else context_path
            self.tract_id = above.tract_id if tract_id is None else tract_id
            self.branch = above.branch if branch is None else branch
            self.is_json = is_json or above.is_json
            self.is_incomplete_used = is_incomplete_used or above.is_incomplete_used
            self.answers = above.answers

    def require_context(self) -> str:
        """Returns the context directory: the one given, else the nearest above that has a store, else the current one."""
        if self.context_path is not None:
            return self.context_path
        current = os.getcwd()
        directory = current
        while not os.path.isdir(os.path.join(directory, STORE_DIRECTORY)):
            parent = os.path.dirname(directory)
            if parent == directory:
                return current
            directory = parent
        return directory

    @contextmanager
    def writing(
        self, *, tract_id: str | None = None, is_any_branch: bool = False, is_whole: bool = False
    ) -> Iterator[Tract]:
        """Opens the tract for writing, without gaps if `is_whole`; the store must be there. `is_any_branch` is for commands
        that work on something else than the current branch. Errors: as Tract.open; CommandError.
        """
        with self._open(tract_id=tract_id, is_any_branch=is_any_branch, is_whole=is_whole) as t:
            yield t

    @contextmanager
    def reading(self) -> Iterator[Tract]:
        """Opens the tract for reading; where the store can't be written, without its caches. Errors: as Tract.open."""
        try:
            t = self._open()
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            t = self._open(read_only=True)
        with t:
            yield t

    def _open(
        self,
        *,
        tract_id: str | None = None,
        read_only: bool = False,
        is_any_branch: bool = False,
        is_whole: bool = False,
    ) -> Tract:
        path = self.require_context()
        current = CurrentBranch(self.branch, is_unknown=False) if self.branch else read_current_branch(path)
        if current.fault and not is_any_branch:
            raise CommandError(
                f"{current.fault}, so the branch chosen by 'tract switch' is unknown; choose it again with 'tract switch NAME', or give --branch"
            )
        try:
            t = Tract.open(
                path,
                tract_id=tract_id or self.tract_id or "default",
                branch=current.name,
                create=False,
                read_only=read_only,
                incomplete="use" if self.is_incomplete_used and not is_whole else "raise",
            )
        except FormatMissing:
            raise
        except StoreNotFound:
            above = "" if self.context_path is not None else ", nor in a directory above"
            raise StoreNotFound(f"{path}: no store here{above}; create one with 'tract init'", path=path) from None
        if current.is_unknown:
            warn(
                f"local/ was not created by this copy, so the branch chosen by 'tract switch' is unknown; using {current.name}"
            )
        return t

    def require_tract(self, t: Tract) -> None:
        """Raises CommandError if the tract has no events here, but was asked for by name or others have."""
        tracts = Tract.tracts(self.require_context())
        if t.tract_id not in tracts and (tracts or self.tract_id is not None):
            there = f"there are: {', '.join(some(tracts))}; choose one with --tract" if tracts else "there are none yet"
            raise CommandError(f"no tract {t.tract_id!r} in this store; {there}")

    def require_history(self, t: Tract) -> bool:
        """Returns whether the branch has commits; False only in an empty store. Errors: CommandError, BranchNotFound."""
        if t.head is not None:
            return True
        incomplete = t.incomplete()
        if incomplete is not None:
            raise incomplete
        self.require_tract(t)
        status = t.status()
        waiting = len(status.pending) + len(status.damaged)
        if waiting:
            raise CommandError(
                f"branch {t.branch!r} has no head: {waiting} events are pending or damaged; see 'tract status'"
            )
        if self.branch is not None or t.tract_id in Tract.tracts(self.require_context()):
            raise BranchNotFound(tract_id=t.tract_id, branch=t.branch)
        if not self.is_json:
            click.echo("no commits yet", err=True)
        return False

    def warn_if_incomplete(self, t: Tract) -> None:
        """Prints a warning if lost files hide a part of the branch; the answer lists what the head shows."""
        error = t.incomplete()
        if error is not None:
            warn(str(error))

    def answer(self, document: Callable[[], object], show: Callable[[], None]) -> None:
        """Prints the answer: the document for programs, or what `show` prints for people."""
        if self.answers is not None:
            self.answers.append(document())
        elif self.is_json:
            echo_json(document())
        if not self.is_json:
            show()


def warnings_of(t: Tract) -> list[str]:
    """Returns what a compile of the head warns of; where damage prevents one, that."""
    try:
        return t.compile().warnings
    except HistoryIncomplete as error:
        return [str(error)]
    except DamageError:
        return []


def with_store(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options common to all commands; `function` gets them as its first argument."""

    @click.option("-C", "context_path", metavar="PATH", help="Context directory [the nearest above with .tract].")
    @click.option("--tract", "tract_id", metavar="ID", help="Tract in the store [default].")
    @click.option("--branch", metavar="NAME", help="Branch of the tract [the current one].")
    @click.option(
        "--incomplete",
        "is_incomplete_used",
        is_flag=True,
        help="Work with what is whole where files are lost.",
    )
    @click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
    @click.pass_context
    @wraps(function)
    def run(context: click.Context, /, **options: Any) -> None:
        given = {name: options.pop(name) for name in _COMMON}
        invocation = Invocation(**given, above=context.obj)
        if context.obj is None or isinstance(context.command, click.Group):
            context.obj = invocation
        function(invocation, **options)

    return run
