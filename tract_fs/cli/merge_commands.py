"""The command `tract merge`: brings lines together, and takes in words what settles their conflicts."""

from __future__ import annotations

from typing import Any

import click

from tract_fs import MergeResult, Priority, Tract
from tract_fs.cli.contents import with_text
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import Invocation, with_store

_WORDS = ("ours", "theirs", *(priority.value for priority in Priority))


@click.command(short_help="Join another line to this branch.")
@click.argument("ref", required=False)
@click.option(
    "--prefer",
    type=click.Choice(["ours", "theirs", "reset", "commits"]),
    multiple=True,
    help="What settles all that no --resolve names: a side, and for a head that was set back whether that holds, or the commits beside it.",
)
@click.option(
    "--resolve",
    "words",
    multiple=True,
    metavar="TARGET=WORD",
    help="Settles one commit: ours, theirs, or a priority.",
)
@click.option("--resolve-text", "texts", multiple=True, metavar="TARGET=TEXT", help="Settles one commit by a new text.")
@click.option("-m", "--message", metavar="TEXT", help="Commit message.")
@with_store
def merge(
    invocation: Invocation,
    *,
    ref: str | None,
    prefer: tuple[str, ...],
    words: tuple[str, ...],
    texts: tuple[str, ...],
    message: str | None,
) -> None:
    """Join the line of REF (a branch, a commit, TRACT:BRANCH) to this branch; without REF, the branch's own diverged heads.

    Where both lines changed the same, nothing is written until --resolve, --resolve-text or --prefer says what holds.
    """
    pairs = [(target, _word(word)) for target, word in (_pair(given, "--resolve") for given in words)]
    told = [_pair(given, "--resolve-text") for given in texts]
    with invocation.writing() as found:
        answers: dict[str, tuple[Any, ...]] = {}
        for target, answer in pairs + [(target, _new_content(found, target, text)) for target, text in told]:
            answers[target] = (*answers.get(target, ()), answer)
        result = found.merge(ref, prefer=prefer or None, resolutions=answers, message=message)
        invocation.answer(lambda: _document(found, result), lambda: click.echo(_sentence(found, result)))


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


def _new_content(found: Tract, target: str, text: str) -> dict[str, Any]:
    """Returns the target's content, as it was first committed, with another text."""
    return with_text(found.get_content(found.resolve(target)), text)


def _sentence(found: Tract, result: MergeResult) -> str:
    head = result.head[:DIGITS]
    if result.kind == "up-to-date":
        return f"{found.branch} is up to date at {head}"
    if result.commit is None:
        return f"{found.branch} {'goes forward' if result.kind == 'forward' else 'is set back'} to {head}"
    settled = f", {len(result.conflicts)} conflicts settled" if result.conflicts else ""
    return f"{found.branch} joins {len(result.commit.parents)} lines at {head}{settled}"


def _document(found: Tract, result: MergeResult) -> dict[str, object]:
    return {
        "tract_id": found.tract_id,
        "branch": found.branch,
        "kind": result.kind,
        "head": result.head,
        "commit": None if result.commit is None else result.commit.to_dict(),
        "resolutions": [info.to_dict() for info in result.resolutions],
        "conflicts": [conflict.to_dict() for conflict in result.conflicts],
    }


COMMANDS = (merge,)
