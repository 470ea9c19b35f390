"""The commands that bring copies together: `sync` with another directory, and bundles."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from shutil import copyfileobj

import click
from msgspec.structs import asdict, replace

from tract_fs import BundleInfo, SyncReport, Transfer, verify_bundle
from tract_fs.cli.display import show_warnings
from tract_fs.cli.invocation import InOrder, Invocation, with_store
from tract_fs.cli.merge_commands import merge_document, merge_sentence
from tract_fs.cli.output import fail_if, inline, some
from tract_fs.cli.streams import read_whole
from tract_fs.errors import BundleDamaged, TractError
from tract_fs.model.exchange import Count, DivergedBranch

_KINDS = ("objects", "events", "packs")
_STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # beside "-"
_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_Progress = Callable[[int, int, str], None]


@click.command(short_help="Sync with another copy of the store.")
@click.argument("path")
@click.option("--verify", is_flag=True, help="Hash every file of both sides, not only those to copy.")
@click.option("--merge", "is_merged", is_flag=True, help="Then join the heads of the branch, and sync the result, too.")
@click.option(
    "--unrelated", is_flag=True, help="Mix tracts that have nothing in common, too; this can't be taken back."
)
@with_store
def sync(invocation: Invocation, path: str, verify: bool, is_merged: bool, unrelated: bool) -> None:
    """Bring this store and the one in the directory PATH to the same files, both ways.

    PATH is a context directory, or a directory to make a copy in, such as stick/NAME on a mounted stick: one for each
    project. Every file is checked before it is copied. A good file is never replaced; a bad one is quarantined if the
    other side has a good one. The exit code is 1 if a bad file stays, or a file is missing on both sides; each is shown.
    A branch with several heads is shown, too, and is no failure. You may interrupt it at any point and run it again.
    local/ is never copied.
    """
    fault: TractError | OSError | None = None
    merged: dict[str, object] | None = None
    sentence = ""
    with (
        invocation.writing(is_any_branch=not is_merged, needs_branch=False) as t,
        _progress(is_hidden=invocation.is_json) as progress,
    ):
        report = t.sync(path, verify=verify, allow_unrelated=unrelated, progress=progress)
        current = t.tract_id, str(t.branch)
        if is_merged and any((one.tract_id, one.branch) == current for one in report.diverged):
            try:
                result = t.merge(allow_unrelated=unrelated)
                merged, sentence = merge_document(t, result), merge_sentence(t, result)
                report = report.followed_by(t.sync(path))
            except (TractError, OSError) as error:  # what the sync brought stands, and is shown first
                fault = error

    def show() -> None:
        _show(report)
        if sentence:
            click.echo(sentence)
        show_warnings(some([_heads(one, is_current=(one.tract_id, one.branch) == current) for one in report.diverged]))

    invocation.answer(lambda: {**_document(report), "merge": merged}, show, wrote="synced")
    if fault is not None:
        raise fault
    fail_if(not report.is_whole)


@click.group(cls=InOrder, no_args_is_help=False, short_help="Carry a tract in one file.")
@with_store
def bundle(invocation: Invocation) -> None:
    """Make, check and apply bundles: one file with a tract's history, whole or only what is new."""


@bundle.command(short_help="Write a bundle.")
@click.argument("file")
@click.option("--since", metavar="REF", help="Leave out this commit and all before it.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@with_store
def create(invocation: Invocation, file: str, since: str | None, force: bool) -> None:
    """Write the tract, with what it builds on, into FILE. With - it goes to stdout, and the summary to stderr."""
    is_sent = file == "-" or file in _STDOUT
    with ExitStack() as held:
        t = held.enter_context(invocation.writing(is_any_branch=True))
        invocation.require_tract(t)
        if not is_sent:
            made = t.bundle(file, since=since, force=force)
        else:
            made = t.bundle(os.path.join(_temporary(held), "bundle"), since=since)
            _send(made.path)
    if not is_sent:
        invocation.answer(lambda: asdict(made), lambda: _show_bundle("made", made), wrote="written: the bundle")
    else:
        _answer_on_stderr(invocation, made)
    fail_if(made.missing)


def _answer_on_stderr(invocation: Invocation, made: BundleInfo) -> None:
    with redirect_stdout(sys.stderr):
        shown = replace(made, path="stdout")
        invocation.answer(lambda: asdict(shown), lambda: _show_bundle("made", shown))


def _temporary(held: ExitStack) -> str:
    from tempfile import TemporaryDirectory  # 4 ms

    return held.enter_context(TemporaryDirectory(prefix="tract-"))


def _is_stdin(file: str) -> bool:
    return file == "-" or file in _STDIN


def _send(path: str) -> None:
    """Writes a file to stdout. Errors: OSError, OutputLost."""
    with open(path, "rb") as stream:
        copyfileobj(stream, sys.stdout.buffer)
    sys.stdout.flush()


@contextmanager
def _received(file: str) -> Iterator[str]:
    """Yields the path of a bundle; where it comes on stdin, that of a copy that is removed afterwards."""
    if not _is_stdin(file):
        yield file
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("give the bundle on stdin")
    with ExitStack() as held:
        path = os.path.join(_temporary(held), "stdin")
        with open(path, "wb") as stream:
            stream.write(read_whole(sys.stdin))
        try:
            yield path
        except BundleDamaged as error:
            raise BundleDamaged(**{**error.fields, "path": "stdin"}) from None


@bundle.command(short_help="Check a bundle.")
@click.argument("file")
@with_store
def verify(invocation: Invocation, file: str) -> None:
    """Check every hash of the bundle FILE (- is stdin), and list what it contains. Needs no store."""
    with _received(file) as path:
        info = verify_bundle(path)
        info = replace(info, path="stdin") if _is_stdin(file) else info
    invocation.answer(lambda: asdict(info), lambda: _show_bundle("good", info))


@bundle.command(short_help="Apply a bundle.")
@click.argument("file")
@click.option("--unrelated", is_flag=True, help="Apply it to a tract that has nothing in common with it, too.")
@with_store
def apply(invocation: Invocation, file: str, unrelated: bool) -> None:
    """Apply the bundle FILE (- is stdin) to the store: all of it, or, if it is damaged or cut off, nothing."""
    with invocation.writing(is_any_branch=True) as t, _received(file) as path:
        report = t.apply_bundle(path, allow_unrelated=unrelated)
        report = replace(report, path="stdin") if _is_stdin(file) else report

    def show() -> None:
        counts = _counted(
            (report.new_blobs, "blob"),
            (report.new_contents, "content"),
            (report.new_commits, "commit"),
            (report.new_events, "event"),
        )
        click.echo(f"new from {inline(report.path)}: {counts}")
        show_warnings([f"pending: {line}" for line in some(report.pending)])

    invocation.answer(lambda: asdict(report), show, wrote="applied")


def _show_bundle(word: str, info: BundleInfo) -> None:
    kinds = (info.blobs, "blob"), (info.contents, "content"), (info.commits, "commit"), (info.events, "event")
    counts = _counted(*kinds)
    click.echo(
        f"{word}: {inline(info.path)}, {counts} of {', '.join(info.tracts) or 'no tract'}, {info.size_bytes} bytes"
    )
    for parent in some(info.builds_on):
        click.echo(f"builds on {parent}")
    show_warnings([f"not in the bundle, because the store lacks it: {name}" for name in some(info.missing)])


def _show(report: SyncReport) -> None:
    if report.is_new:
        click.echo(f"made a store in {inline(report.path)}/.tract")
    click.echo(f"received {_summary(report.received)}; sent {_summary(report.sent)}")
    for bad in report.bad:
        what = (
            "quarantined and replaced"
            if bad.is_replaced
            else "left as it is: there is no good copy, or the file can't be replaced"
        )
        show_warnings([f"bad file {bad.side}: {bad.path}: {bad.cause}; {what}"])
    for side, pending in (("here", report.pending_here), ("there", report.pending_there)):
        show_warnings([f"pending {side}: {line}" for line in some(pending)])
    show_warnings(
        [f"lost: {path} is on neither side; the copies are not whole without it" for path in some(report.lost)]
    )


def _heads(one: DivergedBranch, *, is_current: bool) -> str:
    if is_current:
        return (
            f"branch {one.branch!r} has {len(one.heads)} heads: 'tract merge' or 'tract sync PATH --merge' joins them"
        )
    names = f"--tract {one.tract_id} --branch {one.branch}"
    return (
        f"branch {one.branch!r} of tract {one.tract_id!r} has {len(one.heads)} heads: 'tract merge {names}' joins them"
    )


def _summary(transfer: Transfer) -> str:
    counts = _counted(*((getattr(transfer, kind).files, kind[:-1]) for kind in _KINDS))
    return f"{counts} ({transfer.size_bytes} bytes)" if transfer.files else "nothing"


def _counted(*counts: tuple[int, str]) -> str:
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count) or "nothing"


def _document(report: SyncReport) -> dict[str, object]:
    document = asdict(report)
    for name in ("received", "sent"):
        document[name] = {kind: _count(getattr(document[name], kind)) for kind in _KINDS}
    document["bad"] = [asdict(bad) for bad in report.bad]
    document["diverged"] = [asdict(one) for one in report.diverged]
    return document


def _count(count: Count) -> dict[str, int]:
    return {"files": count.files, "size_bytes": count.size_bytes}


@contextmanager
def _progress(*, is_hidden: bool) -> Iterator[_Progress | None]:
    """Yields what moves a progress bar on stderr, if that is a terminal."""
    if is_hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # 30 ms: only a terminal needs rich
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("syncing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("syncing", total=None)
        yield lambda done, total, _path: bar.update(task, completed=done, total=total)


COMMANDS = (sync, bundle)
