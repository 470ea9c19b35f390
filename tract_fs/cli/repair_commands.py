"""The command `tract repair`."""

from __future__ import annotations

import click
from msgspec import to_builtins
from msgspec.structs import replace

from tract_fs import RepairReport
from tract_fs.cli.display import lost_lines, show_warnings
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import echo_pairs, fail_if, some
from tract_fs.model.damage import UNREADABLE
from tract_fs.upkeep.repair import restore_format


@click.command(short_help="Check every file and repair the store.")
@click.option("--adopt", is_flag=True, help="Bring back pending commits whose parents' events are gone for good.")
@click.option(
    "--give-up", "give_up", multiple=True, metavar="HASH", help="Go on without a lost file for good, in all copies."
)
@click.option("--accept", is_flag=True, help="Accept that events which this copy had are gone.")
@with_store
def repair(invocation: Invocation, *, adopt: bool, give_up: tuple[str, ...], accept: bool) -> None:
    """Check every file of the store by its hash, and repair what can be repaired.

    A damaged file that has not changed for ten seconds is moved to the quarantine below .tract/local and kept there;
    fetch a good one from another copy. Rewritten line ends are restored, good files under a wrong name are recovered,
    all caches are rebuilt, a FORMAT file that is missing or damaged is written again, and temporary files that a killed
    writer left over a day ago are removed. Nothing else is deleted.

    --adopt is for pending events whose missing files will never come. Each of their heads whose whole history is here
    becomes a second head of its branch, with its commits and their configs.

    Lost files are listed with the commits that depend on them, and the exit code is 1. --give-up HASH makes the gap of
    one permanent: a lost content is left out of every context, and nothing waits for a lost commit or event any more. If
    the file comes back later, it takes effect again.

    --accept is for events that this copy had and that are gone as a whole, as after a restore of an older state: it goes
    on without them. If their files come back later, they show again. It also ends the warnings of generation configs
    that an event from another copy changed.
    """
    mended = ["FORMAT"] if restore_format(invocation.require_context()) else []
    with invocation.writing(is_any_branch=True, is_whole=True) as t:
        if invocation.tract_id is not None:
            invocation.require_tract(t)
        report = t.repair(adopt=adopt, give_up=give_up, accept=accept)
    report = replace(report, mended=(*mended, *report.mended))
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    document = {name: to_builtins(value) for name, value in fields.items()}

    def show() -> None:
        _show(report)
        show_warnings(report.advice)

    invocation.answer(lambda: document, show, wrote="repaired")
    fail_if(report.lost or any(UNREADABLE in line for line in report.unmoved))


def _show(report: RepairReport) -> None:
    pairs = [
        ("checked", f"{report.checked_count} files"),
        ("repaired", "\n".join(some(report.mended))),
        ("quarantined", "\n".join(some(report.set_aside))),
        ("too recent", "\n".join(some(report.too_fresh))),
        ("not moved", "\n".join(some(report.unmoved))),
        ("recovered", "\n".join(some(report.salvaged))),
        ("adopted", "\n".join(report.adopted)),
        ("not adopted", "\n".join(some(report.not_adopted))),
        ("given up", "\n".join(report.given_up)),
        ("accepted", "\n".join(some(report.accepted))),
        ("lost", "\n".join(lost_lines(report.lost))),
    ]
    echo_pairs([(name, value) for name, value in pairs if value])


COMMANDS = (repair,)
