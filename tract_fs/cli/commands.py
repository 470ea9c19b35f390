"""The group `tract`: its commands in the order of their work, and the module that holds each.

A module is imported when one of its commands is used: importing all of them would double the time of a run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from tract_fs import __version__
from tract_fs.cli.examples import EXAMPLES
from tract_fs.cli.invocation import InOrder, Invocation, with_store

_NAMES_BY_MODULE = (
    ("store_commands", ("init", "import", "export", "check-session")),
    ("capture_commands", ("watch", "hook")),
    ("commit_commands", ("commit", "edit", "annotate")),
    ("read_commands", ("log", "show", "compile")),
    ("query_commands", ("query",)),
    ("search_commands", ("search",)),
    ("read_commands", ("usage",)),
    ("store_commands", ("tracts", "status", "demo")),
    (
        "branch_commands",
        ("branch", "switch", "retry", "reset", "reflog", "undo", "tag", "cherry-pick", "revert", "fork"),
    ),
    ("merge_commands", ("merge",)),
    ("diff_commands", ("diff",)),
    ("why_commands", ("why", "blame", "compare")),
    ("view_commands", ("view",)),
    ("browse_commands", ("browse",)),
    ("summary_commands", ("summarize", "expand")),
    ("repair_commands", ("repair",)),
    ("pack_commands", ("pack",)),
    ("sync_commands", ("sync", "bundle")),
    ("doctor_commands", ("doctor",)),
    ("help_commands", ("completion", "help")),
)
_MODULES = {name: module for module, names in _NAMES_BY_MODULE for name in names}


# How the help groups the commands; one that is in no group comes last.
_SECTIONS = (
    ("Start", ("init", "demo", "help", "completion", "doctor")),
    ("Record", ("commit", "edit", "annotate", "summarize", "expand")),
    (
        "Look",
        (
            *("log", "show", "compile", "diff", "status", "tracts", "query", "search", "why", "blame", "compare"),
            *("usage", "view", "browse"),
        ),
    ),
    (
        "Branch",
        ("branch", "switch", "merge", "tag", "cherry-pick", "revert", "retry", "fork", "reset", "undo", "reflog"),
    ),
    ("Sessions of agents", ("import", "export", "check-session", "watch", "hook")),
    ("Sync", ("sync", "bundle")),
    ("Upkeep", ("pack", "repair")),
)


class CommandGroup(InOrder):
    """A group that imports a command's module on first use."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: click.Command(name) for name in _MODULES}  # stand-ins: click lists and suggests names

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command, or None if there is none of this name."""
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        commands: tuple[click.Command, ...] = import_module(f"tract_fs.cli.{module}").COMMANDS
        command = next(command for command in commands if command.name == cmd_name)
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for one, name in ((command, cmd_name), *((part, f"{cmd_name} {part.name}") for part in inner)):
            one.epilog = f"Example: {EXAMPLES[name]}" if name in EXAMPLES else None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the first word names. Errors: click.UsageError, which for a command of git's names ours."""
        if args[0] not in _MODULES:
            from tract_fs.cli.git_words import COMMANDS

            if args[0] in COMMANDS:
                raise click.UsageError(f"there is no 'tract {args[0]}': {COMMANDS[args[0]]}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in their groups."""
        grouped = {name for _, names in _SECTIONS for name in names}
        rest = tuple(name for name in _MODULES if name not in grouped)
        for title, names in (*_SECTIONS, ("Other", rest)):
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, command.get_short_help_str(80)) for name, command in found if command is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=16)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tract")
@with_store
def tract(invocation: Invocation) -> None:
    """Version control for the context of an LLM agent, on plain files."""
