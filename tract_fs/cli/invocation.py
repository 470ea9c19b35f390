"""One run of the command: which store, tract and branch it is about, and how it answers."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import wraps
from typing import Any

import click

from tract_fs import ANY, Store, Tract
from tract_fs.cli.current_branch import CurrentBranch, read_current_branch
from tract_fs.cli.declared import is_declared
from tract_fs.cli.output import echo_json, some, warn
from tract_fs.cli.streams import OutputLost
from tract_fs.errors import (
    ArgumentError,
    BranchExists,
    BranchNotFound,
    CommitNotFoundError,
    FormatMissing,
    HistoryIncomplete,
    StoreNotCheckedOut,
    StoreNotFound,
    TractError,
    TractNotFound,
)
from tract_fs.model.names import is_hex
from tract_fs.store.outer_git import how_to_check_out
from tract_fs.work.session import OnIncomplete
from tract_fs.work.writer import ExpectedHead

STORE_DIRECTORY = ".tract"
_PATHS = frozenset(["context_path", "file", "path"])  # parameters that may hold any bytes
_COMMON = ("context_path", "tract_id", "branch", "is_json", "is_incomplete_used", "is_unpaged")
_PAGED = frozenset(
    ["log", "show", "compile", "diff", "query", "reflog", "help", "search", "why", "blame", "compare", "tracts"]
)
_SHORTEST_HASH = 4  # digits that can name a commit
_MOST_TRACTS = 5  # that an error names
_UNWRITABLE = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])


class CommandError(TractError):
    """A command that can't do what it was asked for."""


class AnswerLost(CommandError):
    """Raised when a command has written, but its answer can't be printed. Do not run it again."""


class Stopped(CommandError):
    """Raised when Ctrl-C or SIGTERM stops a command that may have written a part."""


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
        is_unpaged: bool = False,
        above: Invocation | None = None,
    ) -> None:
        self.context_path: str | None = context_path
        self.tract_id: str | None = tract_id
        self.branch: str | None = branch
        self.is_json: bool = is_json
        self.is_incomplete_used: bool = is_incomplete_used
        self.is_unpaged: bool = is_unpaged
        self.answers: list[object] | None = None  # collects the documents, if a caller sets a list
        if above is not None:
            self.context_path = above.context_path if context_path is None else context_path
            self.tract_id = above.tract_id if tract_id is None else tract_id
            self.branch = above.branch if branch is None else branch
            self.is_json = is_json or above.is_json
            self.is_incomplete_used = is_incomplete_used or above.is_incomplete_used
            self.is_unpaged = is_unpaged or above.is_unpaged
            self.answers = above.answers

    def require_context(self) -> str:
        """Returns the context directory: the one given, else the nearest above that has a store, else the current one."""
        if self.context_path is not None:
            return _context_of(self.context_path)
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
        self,
        *,
        tract_id: str | None = None,
        is_created: bool = False,
        needs_branch: bool = True,
        is_any_branch: bool = False,
        is_whole: bool = False,
    ) -> Iterator[Tract]:
        """Opens the tract for writing; store, tract and branch must be there.

        With `is_created`, the branch must not be there: the first commit makes it. Without `needs_branch`, it may be
        there. `is_any_branch` is for commands that work on something else than the current branch. With `is_whole`, --incomplete has no effect. Errors: as Tract.open; CommandError, BranchNotFound, BranchExists.
        """
        t = self._open(tract_id=tract_id, is_any_branch=is_any_branch, is_whole=is_whole)
        try:
            if is_created:
                self._require_new(t)
            elif needs_branch and not is_any_branch:
                self._require_names(t)
            yield t
        except BaseException as error:
            named = _with_near_name(t, error) if type(error) in (BranchNotFound, CommitNotFoundError) else error
            with suppress(OSError, TractError):  # the first error counts: it may name what was written
                t.close()
            if named is not error:
                raise named from None
            raise
        try:
            t.close()
        except (OSError, TractError) as error:
            warn(f"everything is written, but the caches could not be saved: {error}")

    @contextmanager
    def reading(self, *, read_only: bool = False) -> Iterator[Tract]:
        """Opens the tract for reading; where the store can't be written, or with `read_only`, without its caches. Errors: as
        Tract.open.

        The start of an id is enough if one tract alone has it; a command that writes needs the whole.
        """
        try:
            t = self._open(is_reading=True, read_only=read_only)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            t = self._open(is_reading=True, read_only=True)
        with t:
            try:
                yield t
            except (BranchNotFound, CommitNotFoundError) as error:
                raise _with_near_name(t, error) from None

    @contextmanager
    def reading_all(self) -> Iterator[Store]:
        """Opens the store with all its tracts for reading; where it can't be written, without its caches. Errors: as `reading`."""
        with self.reading():  # it checks the store in the words of the command
            path = self.require_context()
        incomplete: OnIncomplete = "use" if self.is_incomplete_used else "raise"
        try:
            store = Store.open(path, create=False, incomplete=incomplete)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            store = Store.open(path, create=False, incomplete=incomplete, read_only=True)
        with store:
            yield store

    def _open(
        self,
        *,
        tract_id: str | None = None,
        is_reading: bool = False,
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
        names: dict[str, Any] = {"tract_id": tract_id or self.tract_id or "default", "branch": current.name}
        names["incomplete"] = "use" if self.is_incomplete_used and not is_whole else "raise"
        try:
            t = Tract.open(path, **names, create=False, read_only=read_only)
        except (TractNotFound, BranchNotFound):  # the commands decide what must be there, and say so in their own words
            if is_reading and self.tract_id and not is_declared(path, self.tract_id):
                longer = [name for name in Tract.tracts(path) if name.startswith(self.tract_id)]
                names["tract_id"] = longer[0] if len(longer) == 1 else self.tract_id
            t = Tract.open(path, **names, read_only=read_only)
        except (FormatMissing, StoreNotCheckedOut):
            raise
        except StoreNotFound:
            self._require_checked_out(path)
            above = "" if self.context_path is not None else ", nor in a directory above"
            raise StoreNotFound(f"{path}: no store here{above}; create one with 'tract init'", path=path) from None
        if current.is_unknown:
            warn(
                f"local/ was not created by this copy, so the branch chosen by 'tract switch' is unknown; using {current.name}"
            )
        return t

    def _require_checked_out(self, path: str) -> None:
        """Raises StoreNotCheckedOut if git's index has the store of a directory above that would be meant, were it there."""
        while self.context_path is None and path != os.path.dirname(path):
            path = os.path.dirname(path)
            command = how_to_check_out(path)
            if command is not None:
                raise StoreNotCheckedOut(path=path, command=command) from None

    def require_tract(self, t: Tract) -> None:
        """Raises CommandError if the tract is not here, but was asked for by name or others have events."""
        tracts = Tract.tracts(self.require_context())
        if t.tract_id in tracts or is_declared(self.require_context(), t.tract_id):
            return
        if tracts or self.tract_id is not None:
            raise CommandError(self.no_tract(t.tract_id, tracts))

    def no_tract(self, tract_id: str, tracts: Sequence[str]) -> str:
        """Returns the sentence that there is no such tract among `tracts`, and what to do."""
        alike = [name for name in tracts if tract_id in name]
        meant = near(tract_id, tracts) if not alike else f" (did you mean {alike[0]!r}?)" if len(alike) == 1 else ""
        if len(tracts) > _MOST_TRACTS:
            there = f"there are {len(tracts)}, which 'tract tracts' lists; choose one with --tract"
        else:
            there = f"there are: {', '.join(some(tracts))}; choose one with --tract" if tracts else "there are none yet"
        return f"no tract {tract_id!r} in this store{meant}; {there}; 'tract init --tract {tract_id}' makes it"

    def require_history(self, t: Tract, *, is_said: bool = True) -> bool:
        """Returns whether the branch has commits; False only in an empty store or tract, which `is_said` prints on stderr.

        Errors: CommandError, BranchNotFound.
        """
        if t.head is not None:
            return True
        incomplete = t.incomplete()
        if incomplete is not None:
            raise incomplete
        self.require_tract(t)
        self._require_whole(t)
        if self.branch is not None or t.tract_id in Tract.tracts(self.require_context()):
            raise self.no_branch(t)
        if is_said and not self.is_json:
            click.echo("no commits yet", err=True)
        return False

    def _require_names(self, t: Tract) -> None:
        """Raises CommandError or BranchNotFound unless a first commit may be made here: nothing is made unasked."""
        if t.head is not None:
            return
        tracts = Tract.tracts(self.require_context())
        if tracts or t.tract_id != "default":
            self.require_tract(t)
        self._require_whole(t)
        if t.branch != "main" or t.tract_id in tracts:
            raise self.no_branch(t)

    def require_known_branch(self, t: Tract) -> None:
        """Raises BranchNotFound for a --branch without a head that this copy never moved: a name that was mistyped."""
        if self.branch is not None and t.head is None and t.branches() and not t.reflog(1):
            raise self.no_branch(t)

    def _require_new(self, t: Tract) -> None:
        if t.head is not None:
            raise BranchExists(
                f"tract {t.tract_id!r} has a branch {str(t.branch)!r} already; leave out --create; nothing was written",
                tract_id=t.tract_id,
                branch=str(t.branch),
                head=t.head,
            )

    def _require_whole(self, t: Tract) -> None:
        status = t.status()
        waiting = len(status.pending) + len(status.damaged)
        if waiting:
            raise CommandError(
                f"branch {t.branch!r} has no head: {waiting} events are pending or damaged; see 'tract status'"
            )
        if status.under_way:
            raise CommandError(
                f"branch {t.branch!r} has no head: {len(status.under_way)} files are still under way; see 'tract status'"
            )

    def warn_if_incomplete(self, t: Tract) -> None:
        """Prints a warning if lost files hide a part of the branch, and of each commit whose config is not the one shown before; the
        answer lists what the head shows.
        """
        error = t.incomplete()
        if error is not None:
            warn(str(error))
        for line in t.changed_configs().values():
            warn(line)

    def no_branch(self, t: Tract) -> BranchNotFound:
        """Returns the error that the branch is missing, with the commands to choose or make one."""
        branches = list(t.branches())
        there = f"there are: {', '.join(some(branches))}" if branches else "it has none"
        name = str(t.branch)
        if self.branch is None:
            how = f"the current branch {name!r} is not in tract {t.tract_id!r}: it was renamed or deleted, maybe in another copy"
            advice = f"choose one with 'tract switch NAME'{near(name, branches)}"
        else:
            how = f"tract {t.tract_id!r} has no branch {name!r}{near(name, branches)}"
            advice = (
                f"'tract switch -c {name}' makes it at the head, 'tract commit --branch {name} -c' without a history"
            )
        return BranchNotFound(f"{how}; {there}; {advice}", tract_id=t.tract_id, branch=name)

    def answer(self, document: Callable[[], object], show: Callable[[], None], *, wrote: str = "") -> None:
        """Prints the answer: the document for programs, or what `show` prints for people.

        `wrote` is what the command has written, in words; empty if it only read. Errors: OutputLost; AnswerLost if
        it wrote.
        """
        try:
            if self.answers is not None:
                self.answers.append(document())
            elif self.is_json:
                echo_json(document())
            if not self.is_json:
                with nullcontext() if wrote or not self._is_paged() else _pager():
                    show()
            sys.stdout.flush()
        except OutputLost as error:
            if not wrote:
                raise
            raise AnswerLost(f"{wrote}; {error}; do not run the command again", wrote=wrote) from None

    def _is_paged(self) -> bool:
        """Returns whether the answer goes through a pager: that of a command that shows, on a terminal, unless --no-pager is given."""
        command = click.get_current_context().command.name
        return command in _PAGED and self.answers is None and not self.is_unpaged and sys.stdout.isatty()


def _pager() -> AbstractContextManager[None]:
    from tract_fs.cli.pager import paged  # needs subprocess

    return paged()


def _context_of(path: str) -> str:
    """Returns the context directory that a path means: the one that holds it, where it is a store's own directory."""
    whole = os.path.abspath(path)
    is_store = os.path.basename(whole) == STORE_DIRECTORY and os.path.isdir(whole)
    return os.path.dirname(whole) if is_store else path


def near(name: str, names: Sequence[str]) -> str:
    """Returns a question after the name that was meant, if one of `names` is like it."""
    from difflib import get_close_matches  # 10 ms

    found = get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _with_near_name(t: Tract, error: BaseException) -> BaseException:
    """Returns the error that a branch or commit is missing, with the name that was meant, if there is one like it."""
    if not isinstance(error, (BranchNotFound, CommitNotFoundError)) or str(error) != _template(error):
        return error
    is_branch = isinstance(error, BranchNotFound)
    name, meant = str(error.fields["branch" if is_branch else "hash"]), ""
    with suppress(OSError, TractError):
        meant = near(name, [*t.branches(), *(() if is_branch else t.tags())])
    if not meant and not is_branch and len(name) < _SHORTEST_HASH and is_hex(name):
        meant = f": the start of a hash needs {_SHORTEST_HASH} digits or more"
    if not meant:
        return error
    if is_branch:
        how = f"tract {t.tract_id!r} has no branch {name!r}{meant}; 'tract branch' lists them, 'tract branch NAME' makes one"
        return BranchNotFound(how, **error.fields)
    how = f"commit {name!r} is not in tract {t.tract_id!r}{meant}; 'tract log' lists the commits"
    return CommitNotFoundError(how, **error.fields)


def _template(error: TractError) -> str | None:
    """Returns the message that a class of errors has for these fields; None if it needs others."""
    try:
        return error.template.format(**error.fields)
    except KeyError:
        return None


def expected_of(t: Tract, given: str | None) -> ExpectedHead:
    """Returns the head that --expected-head names: a whole hash, or the first digits of one commit.

    Errors: CommitNotFoundError, AmbiguousRefError.
    """
    if given is None:
        return ANY
    return t.resolve(given) if 4 <= len(given) < 64 and is_hex(given) else given


def warnings_of(t: Tract) -> list[str]:
    """Returns what a compile of the head warns of; nothing where it can't be compiled: what was written stands all the same."""
    try:
        return t.compile().warnings
    except HistoryIncomplete as error:
        return [str(error)]
    except (TractError, OSError):
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
    @click.option("--no-pager", "is_unpaged", is_flag=True, help="Print to the terminal, without a pager.")
    @click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
    @click.pass_context
    @wraps(function)
    def run(context: click.Context, /, **options: Any) -> None:
        for parameter in context.command.params:
            if parameter.name in options and parameter.name not in _PATHS:
                options[parameter.name] = _as_text(options[parameter.name], parameter)
        given = {name: options.pop(name) for name in _COMMON}
        invocation = Invocation(**given, above=context.obj)
        if context.obj is None or isinstance(context.command, click.Group):
            context.obj = invocation
        function(invocation, **options)

    return run


def _as_text(value: Any, parameter: click.Parameter) -> Any:
    """Returns a value of the command line as text of UTF-8, whatever the locale. Errors: ArgumentError."""
    if isinstance(value, tuple):
        return tuple(_as_text(part, parameter) for part in value)
    try:
        if type(value) is str:
            value.encode()
        return value
    except UnicodeEncodeError:  # bytes that the locale can't read
        pass
    try:
        return os.fsencode(value).decode()
    except UnicodeError:
        raise ArgumentError(f"{parameter.opts[0]}: not UTF-8; nothing was written") from None
