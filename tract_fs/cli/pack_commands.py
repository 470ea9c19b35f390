"""The command `tract pack`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import click
from msgspec.structs import asdict

from tract_fs import PackReport
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import echo_pairs, fail_if, some
from tract_fs.cli.values import parse_moment
from tract_fs.errors import ArgumentError
from tract_fs.model.damage import UNREADABLE

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_SIZE = re.compile(r"(\d{1,9})([KM])B")
_SIZES = {"K": 1000, "M": 1_000_000}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.command(short_help="Pack loose files.")
@click.option("--older-than", metavar="AGE", help="Only files not changed for 30m, 12h, 7d, 4w, or since a time.")
@click.option(
    "--keep-loose",
    metavar="AGE",
    default="1h",
    show_default=True,
    help="Remove packed loose files once their packs are this old; 0s: at once, if nobody is copying the store.",
)
@click.option(
    "--max-size", metavar="SIZE", help="Packs of at most 45MB, 500KB; by default 45MB in a git work tree, else 256 MiB."
)
@click.option(
    "--with-others",
    is_flag=True,
    help="In a git work tree, pack what other copies wrote, too: only if no other clone packs.",
)
@with_store
def pack(
    invocation: Invocation, *, older_than: str | None, keep_loose: str, max_size: str | None, with_others: bool
) -> None:
    """Pack the loose files and small packs of the whole store, all its tracts.

    Nothing is lost, and every answer stays the same: each pack is verified before the loose files in it are removed. A later
    run removes them, so that a copy that is being made stays whole. Where git tracks the store, this copy packs what it
    wrote itself, and removes that once git tracks the packs: 'git add' them.
    Others may read and write meanwhile. You may interrupt it at any point and run it again. Packs of 32 MiB and more are
    never rewritten. A file that can't be read stays as it is; then the exit code is 1.
    """
    age = None if older_than is None else _parse_age(older_than)
    kept = _AGE.fullmatch(keep_loose)
    if kept is None:
        raise click.BadParameter(f"{keep_loose!r}: write an age like 0s, 30m or 1h", param_hint="--keep-loose")
    size = _parse_size(max_size)
    with invocation.writing(is_any_branch=True) as t:
        try:
            report = t.pack(older_than=age, keep_loose=_span(kept), max_size=size, with_others=with_others)
        except ArgumentError as error:  # a size out of range
            raise click.BadParameter(str(error), param_hint="--max-size") from None
    invocation.answer(lambda: asdict(report), lambda: _show(report), wrote="packed")
    fail_if(any(UNREADABLE in line for line in report.left))


def _parse_age(text: str) -> timedelta | datetime:
    age = _AGE.fullmatch(text)
    if age is not None:
        return _span(age)
    try:
        return parse_moment(text, "--older-than")
    except click.BadParameter:
        hint = "write an age like 30m, 12h, 7d or 4w, or a time like 2026-01-02T03:04:05 (UTC)"
        raise click.BadParameter(f"{text!r}: {hint}", param_hint="--older-than") from None


def _span(age: re.Match[str]) -> timedelta:
    return timedelta(**{_UNITS[age[2]]: int(age[1])})


def _parse_size(text: str | None) -> int | None:
    if text is None:
        return None
    size = _SIZE.fullmatch(text)
    if size is None:
        raise click.BadParameter(f"{text!r}: write a size like 45MB", param_hint="--max-size")
    return int(size[1]) * _SIZES[size[2]]


def _show(report: PackReport) -> None:
    removed = report.packed_count + len(report.packs_removed)
    pairs = [
        ("files", f"{report.files_before} before, {report.files_after} after"),
        ("packed", f"{removed + report.waiting_count} files, of which {removed} are removed"),
        ("wrote", "\n".join([*report.packs_written, f"{report.written_bytes} bytes"]) if report.packs_written else ""),
        ("removed", "\n".join(report.packs_removed)),
        ("waiting", "\n".join(report.waiting)),
        ("left", "\n".join(some(report.left))),
        (
            "stopped",
            "" if report.is_complete else "the packs changed meanwhile, as when two runs overlap; run it again",
        ),
    ]
    echo_pairs([(name, value) for name, value in pairs if value])


COMMANDS = (pack,)
