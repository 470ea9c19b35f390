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
from tract_fs.model.damage import UNREADABLE

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.command(short_help="Pack loose files.")
@click.option("--older-than", metavar="AGE", help="Only files not changed for 30m, 12h, 7d, 4w, or since a time.")
@with_store
def pack(invocation: Invocation, *, older_than: str | None) -> None:
    """Pack the loose files and small packs of the whole store, all its tracts, into packs of at most 256 MiB.

    Nothing is lost, and every answer stays the same: each pack is checked before its members are removed elsewhere.
    Others may read and write meanwhile. You may interrupt it at any point and run it again. Packs of 32 MiB and more
    are never written again. A file that can't be read stays as it is; then the exit code is 1.
    """
    age = None if older_than is None else _parse_age(older_than)
    with invocation.writing(is_any_branch=True) as t:
        report = t.pack(older_than=age)
    invocation.answer(lambda: asdict(report), lambda: _show(report), wrote="packed")
    fail_if(any(UNREADABLE in line for line in report.left))


def _parse_age(text: str) -> timedelta | datetime:
    age = _AGE.fullmatch(text)
    if age is not None:
        return timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return parse_moment(text, "--older-than")
    except click.BadParameter:
        hint = "write an age like 30m, 12h, 7d or 4w, or a time like 2026-01-02T03:04:05 (UTC)"
        raise click.BadParameter(f"{text!r}: {hint}", param_hint="--older-than") from None


def _show(report: PackReport) -> None:
    pairs = [
        ("files", f"{report.files_before} before, {report.files_after} after"),
        ("packed", f"{report.packed_count} loose files"),
        ("wrote", "\n".join([*report.packs_written, f"{report.written_bytes} bytes"]) if report.packs_written else ""),
        ("removed", "\n".join(report.packs_removed)),
        ("left", "\n".join(some(report.left))),
        (
            "stopped",
            "" if report.is_complete else "the packs changed meanwhile, as when two runs overlap; run it again",
        ),
    ]
    echo_pairs([(name, value) for name, value in pairs if value])


COMMANDS = (pack,)
