"""The commands on branches, tags, forks, and on moves of a branch."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tract_fs import CommitInfo, ReflogEntry, Tract
from tract_fs.cli.current_branch import read_branch_before, read_current_branch, write_current_branch
from tract_fs.cli.display import DIGITS, commit_text, name_warnings, require_commit, show_siblings, show_warnings
from tract_fs.cli.invocation import CommandError, Invocation, expected_of, with_store
from tract_fs.cli.output import Column, echo_table, inline, one_line, styled
from tract_fs.cli.values import Count
from tract_fs.errors import TractError


@click.command(short_help="List, make, rename or delete branches.")
@click.argument("names", nargs=-1, metavar="[NAME] [REF]")
@click.option("--at", "ref", metavar="REF", help="Start the new branch at this commit [the head].")
@click.option("-d", "--delete", "is_delete", is_flag=True, help="Delete branch NAME; its commits stay in the tract.")
@click.option(
    "-m", "--rename", "is_rename", is_flag=True, help="Rename a branch: OLD NEW, or NEW alone for the current one."
)
@click.option("-f", "--force", is_flag=True, help="Delete it even if it is the current branch or has several heads.")
@click.option("-v", "--verbose", "is_verbose", is_flag=True, help="List each head's text, too.")
@click.option("--show-current", "is_current", is_flag=True, help="Print the name of the current branch alone.")
@with_store
def branch(
    invocation: Invocation,
    *,
    names: tuple[str, ...],
    ref: str | None,
    is_delete: bool,
    is_rename: bool,
    force: bool,
    is_verbose: bool,
    is_current: bool,
) -> None:
    """List the branches with their heads, or make branch NAME at REF. The current branch stays the same (see 'switch')."""
    if is_delete and is_rename:
        raise click.UsageError("give --delete or --rename, not both")
    if is_current and (names or is_delete or is_rename):
        raise click.UsageError("--show-current goes alone")
    if not (is_delete or is_rename) and len(names) == 2 and ref is None:
        ref, names = names[-1], names[:1]
    if len(names) not in ((1, 2) if is_rename else (1,)) and (names or is_delete or is_rename):
        raise click.UsageError("give two names, the old and the new" if is_rename else "give one name")
    if (ref is not None and (not names or is_delete or is_rename)) or (force and not is_delete):
        raise click.UsageError("--at goes with a new branch, --force with --delete")
    if not names:
        with invocation.reading() as t:
            if is_current:
                invocation.answer(lambda: {"current": str(t.branch)}, lambda: click.echo(inline(t.branch)))
                return
            invocation.require_tract(t)
            _answer_branches(invocation, t, is_verbose=is_verbose)
        return
    with invocation.writing(needs_branch=False) as t:
        invocation.require_tract(t)
        warnings = [] if is_delete else name_warnings(names[-1], t.branches())
        if is_rename:
            context = invocation.require_context()
            current = read_current_branch(context).name
            old = names[0] if len(names) == 2 else current
            t.rename_branch(old, names[-1])
            if current == old:
                write_current_branch(context, names[-1], is_renamed=True)
        elif is_delete:
            t.delete_branch(names[0], force=force)
        else:
            if ref is None:
                invocation.require_known_branch(t)
            t.branch(names[0], at=ref)
        done = "renamed" if is_rename else "deleted" if is_delete else "made"
        show_warnings(warnings)
        _answer_branches(invocation, t, is_verbose=is_verbose, wrote=f"written: branch {inline(names[0])} is {done}")


def _answer_branches(invocation: Invocation, t: Tract, *, is_verbose: bool, wrote: str = "") -> None:
    branches = t.branches()

    def show() -> None:
        width = max(map(len, map(inline, branches)), default=0) if is_verbose else 0
        for name, heads in branches.items():
            mark = "*" if name == t.branch else " "
            shown = " ".join(head[:DIGITS] for head in heads)
            note = f" ({len(heads)} heads; this copy uses the first)" if len(heads) > 1 else ""
            text = f"  {one_line(commit_text(t, require_commit(t, heads[0])))}" if is_verbose else ""
            padding = " " * (width - len(inline(name)))
            click.echo(
                f"{mark} {styled(inline(name), bold=mark == '*')}{padding}  {styled(shown, fg='yellow')}{note}{text}"
            )

    invocation.answer(
        lambda: {"current": str(t.branch), "branches": {name: list(heads) for name, heads in branches.items()}},
        show,
        wrote=wrote,
    )


@click.command(short_help="Switch to another branch.")
@click.argument("name")
@click.argument("ref", required=False)
@click.option("-c", "--create", is_flag=True, help="Create it at the head of the current branch, or at REF.")
@with_store
def switch(invocation: Invocation, name: str, ref: str | None, create: bool) -> None:
    """Make NAME the current branch, which later commands use unless --branch is given. "-" is the branch that was current before."""
    if ref is not None and not create:
        raise click.UsageError("REF goes with --create: where the new branch starts")
    if name == "-":
        name = _require_before(invocation)
    with invocation.writing(is_any_branch=not create) as t:
        invocation.require_tract(t)
        warnings = name_warnings(name, t.branches()) if create else []
        if ref is not None:
            t.branch(name, at=ref)
        elif not create:
            _require_branch(t, name)
        t.switch(name, create=create and ref is None)
        show_warnings(warnings)
        write_current_branch(invocation.require_context(), name)
        _answer_head(invocation, t, t.head, "is the current branch")


def _require_branch(t: Tract, name: str) -> None:
    """Raises CommandError for a name that is a commit or tag, and no branch: only a branch can be the current one."""
    if name in t.branches():
        return
    try:
        t.resolve(name)
    except TractError:
        return  # and `switch` raises the error for a name that is nothing here
    raise CommandError(
        f"{name!r} is no branch, but a commit or tag: 'tract switch -c NAME {name}' starts a branch there, "
        f"'tract compile --at-commit {name}' shows its context"
    )


def _require_before(invocation: Invocation) -> str:
    before = read_branch_before(invocation.require_context())
    if before is None:
        raise CommandError("this copy has no previous branch; give a name, 'tract branch' lists them")
    return before


@click.command(short_help="Answer a prompt again, on a branch of its own.")
@click.argument("ref")
@click.option("--as", "name", metavar="NAME", help="The branch's name [main-retry-1, main-retry-2 …].")
@click.option("--list", "is_list", is_flag=True, help="List the answers to the prompt of REF, and make no branch.")
@with_store
def retry(invocation: Invocation, ref: str, name: str | None, is_list: bool) -> None:
    """Make a branch that starts before the answer REF, and switch to it: what you commit there is another answer to the same
    prompt. 'tract compare' shows two of them.
    """
    if is_list and name is not None:
        raise click.UsageError("give --as or --list, not both")
    if is_list:
        with invocation.reading() as t:
            invocation.require_tract(t)
            found = t.siblings(ref)
            invocation.answer(lambda: [one.to_dict() for one in found], lambda: show_siblings(t, found))
        return
    with invocation.writing() as t:
        invocation.require_tract(t)
        warnings = [] if name is None else name_warnings(name, t.branches())
        with t.retry(ref, branch=name) as again:
            show_warnings(warnings)
            write_current_branch(invocation.require_context(), str(again.branch))
            _answer_head(invocation, again, again.head, f"is the current branch, at {(again.head or '')[:DIGITS]}")


@click.command(short_help="Set the branch to any commit.")
@click.argument("ref")
@click.option("--expected-head", metavar="HASH", help="Do it only if this is the head.")
@with_store
def reset(invocation: Invocation, ref: str, expected_head: str | None) -> None:
    """Set the branch to the commit REF, such as main~3. The commits left behind stay in the tract; 'undo' goes back."""
    with invocation.writing() as t:
        invocation.require_tract(t)
        head = t.reset(ref, expected_head=expected_of(t, expected_head))
        _answer_head(invocation, t, head, f"is at {head[:DIGITS]}")


@click.command(short_help="Undo the last move of the branch.")
@click.option("--expected-head", metavar="HASH", help="Do it only if this is the head.")
@with_store
def undo(invocation: Invocation, expected_head: str | None) -> None:
    """Set the branch back to where it was before its last move in this copy, made by any process. A second undo goes one
    move further back; 'reset' goes forward again.
    """
    with invocation.writing(needs_branch=False) as t:
        invocation.require_tract(t)
        invocation.require_known_branch(t)
        before = [info.commit_hash for info in t.log(_COUNTED)]
        t.undo(expected_head=expected_of(t, expected_head), anyone=True)
        _answer_undo(invocation, t, t.reflog(1)[0], before)


_COUNTED = 1000  # commits that an undo counts at most


def _answer_undo(invocation: Invocation, t: Tract, entry: ReflogEntry, before: list[str]) -> None:
    """Prints where an undo went, and what it took back; `before` are the newest commits of the history it left."""
    head, left = entry.head, entry.old_head

    sentence = f"{inline(t.branch)} {'is deleted again' if head is None else f'is back at {head[:DIGITS]}'}"

    def show() -> None:
        click.echo(sentence)
        if left is None:
            click.echo("took back its deletion")
            return
        what = "the move to"
        if head in before:
            count = before.index(head)
            what = require_commit(t, left).operation.value if count == 1 else f"{count} commits up to"
        click.echo(f"took back {what} {left[:DIGITS]}; 'tract reset {left[:DIGITS]}' goes there again")

    document = {"tract_id": t.tract_id, "branch": str(t.branch), "head": head, "old_head": left}
    invocation.answer(lambda: document, show, wrote=f"written: {sentence}")


def _answer_head(invocation: Invocation, t: Tract, head: str | None, result: str) -> None:
    sentence = f"{inline(t.branch)} {result}"
    document = {"tract_id": t.tract_id, "branch": str(t.branch), "head": head}
    invocation.answer(lambda: document, lambda: click.echo(sentence), wrote=f"written: {sentence}")


@click.command(short_help="List the moves of the branch that this copy made.")
@click.option("-n", "--limit", type=Count(), metavar="N", help="How many [all].")
@with_store
def reflog(invocation: Invocation, limit: int | None) -> None:
    """List the moves of the branch that this copy made, newest first."""
    with invocation.reading() as t:
        invocation.require_tract(t)
        entries = t.reflog(limit)
        invocation.answer(lambda: list(map(_document, entries)), lambda: _show_reflog(entries))


def _document(entry: ReflogEntry) -> dict[str, object]:
    at = entry.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {name: getattr(entry, name) for name in entry.__struct_fields__} | {"at": at}


def _show_reflog(entries: Sequence[ReflogEntry]) -> None:
    rows = [
        [
            (entry.head or "")[:DIGITS],
            (entry.old_head or "")[:DIGITS],
            entry.at.strftime("%Y-%m-%d %H:%M:%S"),
            entry.kind,
            one_line(entry.message or ""),
        ]
        for entry in entries
    ]
    if rows:
        columns = [Column("to", style="yellow"), Column("from", style="yellow"), Column("at (UTC)", style="dim")]
        echo_table([*columns, Column("move"), Column("message")], rows)


@click.command(short_help="List, set or remove tags.")
@click.argument("name", required=False)
@click.argument("ref", required=False)
@click.option("-d", "--delete", "is_delete", is_flag=True, help="Remove the tag NAME.")
@click.option("-f", "--force", is_flag=True, help="Move an existing tag to another commit.")
@with_store
def tag(invocation: Invocation, *, name: str | None, ref: str | None, is_delete: bool, force: bool) -> None:
    """List the tags, or set the tag NAME to the commit REF (default: the head)."""
    if (is_delete and (name is None or ref is not None or force)) or (force and name is None):
        raise click.UsageError("--delete goes with one name, --force with a new tag")
    if name is None:
        with invocation.reading() as t:
            invocation.require_tract(t)
            _answer_tags(invocation, t)
        return
    with invocation.writing(needs_branch=False) as t:
        invocation.require_tract(t)
        if is_delete:
            t.untag(name)
        else:
            if ref is None:
                invocation.require_known_branch(t)
            show_warnings(name_warnings(name, t.tags()))
            t.tag(name, ref, force=force)
        done = "removed" if is_delete else "set"
        _answer_tags(invocation, t, wrote=f"written: tag {inline(name)} is {done}")


def _answer_tags(invocation: Invocation, t: Tract, *, wrote: str = "") -> None:
    tags = t.tags()

    def show() -> None:
        for name, target in tags.items():
            click.echo(f"{inline(name)}  {styled(target[:DIGITS], fg='yellow')}")

    invocation.answer(lambda: {"tags": tags}, show, wrote=wrote)


@click.command("cherry-pick", short_help="Repeat a commit on this branch.")
@click.argument("ref")
@with_store
def cherry_pick(invocation: Invocation, ref: str) -> None:
    """Repeat the commit REF of any branch on this one: the same content, config, message and metadata."""
    with invocation.writing() as t:
        invocation.require_tract(t)
        _answer_made(invocation, t, t.cherry_pick(ref))


@click.command(short_help="Undo a commit.")
@click.argument("ref")
@with_store
def revert(invocation: Invocation, ref: str) -> None:
    """Undo the commit REF: skip it, or, if it is an annotation, set the priority that it replaced."""
    with invocation.writing() as t:
        invocation.require_tract(t)
        _answer_made(invocation, t, t.revert(ref))


def _answer_made(invocation: Invocation, t: Tract, made: CommitInfo) -> None:
    def show() -> None:
        shown = styled(made.commit_hash[:DIGITS], fg="yellow")
        about = f" {made.priority.value}" if made.priority is not None else ""
        target = f" of {made.targets[0][:DIGITS]}" if made.targets else ""
        click.echo(f"[{inline(t.branch)} {shown}] {made.operation.value}{about}{target}")

    document = made.to_dict() | {"branch": str(t.branch)}
    invocation.answer(lambda: document, show, wrote=f"written as {made.commit_hash}")


@click.command(short_help="Start a new tract from the head.")
@click.argument("new_tract", metavar="ID")
@click.option("--as", "name", default="main", show_default=True, metavar="NAME", help="Its first branch.")
@with_store
def fork(invocation: Invocation, new_tract: str, name: str) -> None:
    """Make the tract ID, which starts with the history of the head. Later commits of one tract do not reach the other."""
    with invocation.writing() as t:
        invocation.require_tract(t)
        with t.fork(new_tract, branch=name) as made:
            head = made.head
            line = f"tract {new_tract} starts at {(head or '')[:DIGITS]}"
            invocation.answer(
                lambda: {"tract_id": new_tract, "branch": name, "head": head, "from": t.tract_id},
                lambda: click.echo(line),
                wrote=f"written: {line}",
            )


COMMANDS = (branch, switch, retry, reset, reflog, undo, tag, cherry_pick, revert, fork)
