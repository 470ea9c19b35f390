"""The commands about the command itself: `tract help` and `tract completion`."""

from __future__ import annotations

import re
import sys

import click

from tract_fs.cli import git_words
from tract_fs.cli.completion import SHELLS, script
from tract_fs.cli.guides import page_of, topics
from tract_fs.cli.invocation import CommandError, Invocation, near, with_store
from tract_fs.cli.output import echo_lines, printable


@click.command("help", short_help="Show a guide, or the help of a command.")
@click.argument("topic", required=False)
@click.argument("part", required=False)
@with_store
def help_(invocation: Invocation, topic: str | None, part: str | None) -> None:
    """Show the guide TOPIC or the help of the command TOPIC, such as log or bundle create; without TOPIC, list them all."""
    root = click.get_current_context().find_root()
    group = root.command
    assert isinstance(group, click.Group)
    guides = topics()
    if topic is None:
        lines = [f"  tract help {name.ljust(max(map(len, guides)))}  {title}" for name, title in guides.items()]
        text = "\n".join(["Guides:", *lines, "", group.get_help(root)])
        invocation.answer(lambda: {"topics": guides, "commands": list(group.commands)}, lambda: click.echo(text))
        return
    if topic in guides:
        page = page_of(topic)
        invocation.answer(lambda: {"topic": topic, "text": page}, lambda: _show_page(page))
        return
    command = group.get_command(root, topic)
    if command is None:
        if topic in git_words.COMMANDS:
            raise CommandError(f"there is no 'tract {topic}': {git_words.COMMANDS[topic]}")
        names = [*guides, *group.commands]
        raise CommandError(f"no guide and no command {topic!r}{near(topic, names)}; 'tract help' lists them")
    with click.Context(command, parent=root, info_name=topic) as context:
        inner = command.get_command(context, part) if part and isinstance(command, click.Group) else None
        if part is not None and inner is None:
            raise CommandError(f"'tract {topic}' has no command {part!r}; 'tract help {topic}' shows what it has")
        shown = command.get_help(context)
        if inner is not None:
            shown = inner.get_help(click.Context(inner, parent=context, info_name=part))
    invocation.answer(lambda: {"topic": topic, "text": shown}, lambda: click.echo(shown))


def _show_page(page: str) -> None:
    text = printable(re.sub(r"\[([^]]+)\]\(([^)#:]+)\.md(?:#[^)]*)?\)", _link, page))
    if not sys.stdout.isatty():
        click.echo(text.rstrip("\n"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(width=min(100, Console().width)).print(Markdown(text, hyperlinks=False))


def _link(found: re.Match[str]) -> str:
    """Returns a link to another page as the command that shows it."""
    name = found[2].rpartition("/")[2]
    return f"{found[1]} (`tract help {name}`)" if name in topics() else found[1]


@click.command(short_help="Print the script that completes commands in a shell.")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@with_store
def completion(invocation: Invocation, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, and the names of branches, tags and tracts.

    \b
    bash    tract completion bash > ~/.local/share/bash-completion/completions/tract
    zsh     echo 'eval "$(tract completion zsh)"' >> ~/.zshrc      (after compinit)
    fish    tract completion fish > ~/.config/fish/completions/tract.fish

    Start a new shell to use it.
    """
    text = script(shell)
    invocation.answer(lambda: {"shell": shell, "script": text}, lambda: echo_lines(text.splitlines()))


COMMANDS = (completion, help_)
