"""The command `tract merge`: joins lines, and reads the options that settle conflicts."""

from __future__ import annotations

from typing import Any

import click

from tract_fs import MergeResult, Priority, Tract
from tract_fs.cli.contents import to_plain
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import inline
from tract_fs.model.text_edits import with_text

_WORDS = ("ours", "theirs", *(priority.value for priority in Priority))


@click.command(short_help="Merge another line into this branch.")
@click.argument("ref", required=False)
@click.option(
    "--prefer",
    type=click.Choice(["ours", "theirs", "newer", "reset", "commits"]),
    multiple=True,
    help="Settle each conflict that has no --resolve: ours, theirs or newer; where a head was set back, reset or "
    "commits (the default with one of the first three).",
)
@click.option(
    "--resolve",
    "words",
    multiple=True,
    metavar="TARGET=WORD",
    help="Settle one commit: ours, theirs, or a priority.",
)
@click.option(
    "--resolve-text", "texts", multiple=True, metavar="TARGET=TEXT", help="Settle one commit with a new text."
)
@click.option("--unrelated", is_flag=True, help="Join heads that have no commit in common, too.")
@click.option("-m", "--message", metavar="TEXT", help="Commit message.")
@with_store
def merge(
    invocation: Invocation,
    *,
    ref: str | None,
    prefer: tuple[str, ...],
    words: tuple[str, ...],
    texts: tuple[str, ...],
    unrelated: bool,
    message: str | None,
) -> None:
    """Merge the line of REF (a branch, a commit, TRACT:BRANCH) into this branch; without REF, join its diverged heads.

    Where both lines changed the same commit, nothing is written until --resolve, --resolve-text or --prefer decides.
    """
    pairs = [(target, _word(word)) for target, word in (_pair(given, "--resolve") for given in words)]
    pairs_of_text = [_pair(given, "--resolve-text") for given in texts]
    with invocation.writing() as t:
        answers: dict[str, tuple[Any, ...]] = {}
        for target, answer in pairs + [(target, _new_content(t, target, text)) for target, text in pairs_of_text]:
            answers[target] = (*answers.get(target, ()), answer)
        result = t.merge(ref, prefer=prefer or None, resolutions=answers, message=message, allow_unrelated=unrelated)
        wrote = "" if result.kind == "up-to-date" else f"written: {merge_sentence(t, result)}, which is {result.head}"
        invocation.answer(lambda: merge_document(t, result), lambda: click.echo(merge_sentence(t, result)), wrote=wrote)


def _pair(given: str, option: str) -> tuple[str, str]:
    target, mark, value = given.partition("=")
    if not mark or not target:
        raise click.BadParameter(
            f"{given!r}: write TARGET={'WORD' if option == '--resolve' else 'TEXT'}", param_hint=option
        )
    return target, value


def _word(word: str) -> str:
    if word not in _WORDS:
        raise click.BadParameter(f"{word!r}: use {', '.join(_WORDS)}", param_hint="--resolve")
    return word


def _new_content(t: Tract, target: str, text: str) -> dict[str, Any]:
    """Returns the target's content, as it was first committed, with another text. Errors: click.BadParameter."""
    if not text.strip():
        hint = f"the text is empty; --resolve {target}=skip leaves the commit out"
        raise click.BadParameter(hint, param_hint="--resolve-text")
    return with_text(to_plain(t.get_content(t.resolve(target))), text)


def merge_sentence(t: Tract, result: MergeResult) -> str:
    """Returns what a merge did, in one line."""
    head, branch = result.head[:DIGITS], inline(t.branch)
    if result.kind == "up-to-date":
        return f"{branch} is up to date at {head}"
    if result.commit is None:
        return f"{branch} {'goes forward' if result.kind == 'forward' else 'is set back'} to {head}"
    settled = f", {len(result.conflicts)} conflicts settled" if result.conflicts else ""
    return f"{branch} joins {len(result.commit.parents)} lines at {head}{settled}"


def merge_document(t: Tract, result: MergeResult) -> dict[str, object]:
    """Returns what a merge did as a JSON document."""
    return {
        "tract_id": t.tract_id,
        "branch": t.branch,
        "kind": result.kind,
        "head": result.head,
        "commit": None if result.commit is None else result.commit.to_dict(),
        "resolutions": [info.to_dict() for info in result.resolutions],
        "conflicts": [conflict.to_dict() for conflict in result.conflicts],
    }


COMMANDS = (merge,)
