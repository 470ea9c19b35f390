"""The demo: runs the commands of the main job on a bundled transcript, each shown as it would be typed, and looks at the files.

The transcript's source and licence stand beside it, in data/airline.SOURCE.txt. The talk of `--shop` is made up; it comes as a
bundle, so that its commits have the same hashes everywhere.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

import click

from tract_fs import Tract
from tract_fs.cli.display import DIGITS
from tract_fs.cli.invocation import CommandError, Invocation
from tract_fs.cli.output import counted, echo_json, inline, styled

_DATA = os.path.join(os.path.dirname(__file__), "data")
TRANSCRIPT = os.path.join(_DATA, "airline.json")
_SHOP = os.path.join(_DATA, "lamps.bundle")
_SOURCE = "sierra-research/tau-bench, commit 59a200c, MIT licence"
_ANSWER, _ASIDE = 14, 11  # positions in the transcript: the agent's summing up, and a reservation that nobody asked for
_SHORTER = "Reservation **Z7GOZK** is in basic economy, which stays as booked. Shall I look for a new flight?"
_TEXT_FILES = frozenset(["FORMAT", ".gitattributes", ".gitignore"])


def make_shop(invocation: Invocation, path: str | None) -> None:
    """Makes a store of the bundled talk of a shop in `path`. Errors: CommandError if there is a store."""
    _require_own_store(invocation)
    if path is None:
        raise click.UsageError("give the PATH to make the store in: tract demo --shop PATH")
    directory = _require_new(path)
    with Tract.open(directory) as t:
        applied = t.apply_bundle(_SHOP)
    line = f"made a store in {inline(path)}: a made-up chat with a lamp shop, {counted(applied.new_commits, 'commit')}"
    invocation.answer(
        lambda: {"path": directory, "new_commits": applied.new_commits}, lambda: click.echo(line), wrote=line
    )


def _require_own_store(invocation: Invocation) -> None:
    if invocation.context_path is not None or invocation.tract_id is not None or invocation.branch is not None:
        raise click.UsageError("the demo makes a store of its own: tract demo [PATH]")


def _require_new(path: str) -> str:
    """Returns the whole path of a directory without a store. Errors: CommandError."""
    directory = os.path.abspath(path)
    if os.path.lexists(os.path.join(directory, ".tract")):
        raise CommandError(f"{directory}: there is a store already; give the demo another path")
    return directory


def run_demo(invocation: Invocation, path: str | None) -> None:
    """Runs the demo in `path`, or in a directory that is gone at the end. Errors: CommandError if there is a store."""
    _require_own_store(invocation)
    with ExitStack() as held:
        directory = _require_new(path or held.enter_context(TemporaryDirectory(prefix="tract-demo-")))
        demo = _Demo(directory, is_json=invocation.is_json)
        demo.run()
        files = demo.look_at_files()
        if invocation.is_json:
            echo_json({"path": directory if path else None, "steps": demo.steps, **files})
        elif path:
            click.echo(f"\nThe store stays in {directory}; continue with: tract -C {shlex.quote(path)} status")
        else:
            click.echo("\nThe store is removed now; 'tract demo PATH' keeps it in PATH.")


class _Demo:
    """The steps, each a command line run in this process."""

    def __init__(self, directory: str, *, is_json: bool) -> None:
        self.steps: list[dict[str, Any]] = []
        self._directory = directory
        self._is_json = is_json
        self._edit = ""

    def run(self) -> None:
        """Runs the main job."""
        self._say(f"A real conversation of a gpt-4o agent with tools ({_SOURCE}):")
        self._step("init")
        imported = self._step("import", TRANSCRIPT)["imported"][0]
        commits: list[str] = imported["commit_hashes"]
        self._say("Each message is a commit, with the config that the file names:")
        self._step("log", "-n", "8")
        self._say("An answer is replaced by a new one with another config:")
        answer = commits[_ANSWER][:DIGITS]
        config = ("--config", "model=gpt-4o", "--config", "temperature=0.2")
        self._edit = str(self._step("edit", answer, "-m", _SHORTER, *config)["commit_hash"])
        self._say(
            "A tool's result is skipped. Its call is left out too, because no provider accepts one without the other:"
        )
        self._step("annotate", commits[_ASIDE][:DIGITS], "skip", "--reason", "another trip")
        self._say("The messages to send next:")
        self._step("compile", "--format", "oneline")
        self._say("Which commits were made at a low temperature?")
        self._step("query", "temperature", "<", "0.5")
        self._step("status")

    def look_at_files(self) -> dict[str, Any]:
        """Shows what is on disk, and that each file is named by the SHA-256 of its bytes; returns the same as a dict."""
        root = os.path.join(self._directory, ".tract")
        sizes, hashed, shown = {}, [], ("", "")
        for folder, folders, names in os.walk(root):
            if folder == root:
                folders.remove("local")
            for name in names:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, root)
                sizes[relative] = os.path.getsize(path)
                if relative not in _TEXT_FILES:
                    with open(path, "rb") as stream:
                        data = stream.read()
                    hashed.append((relative, hashlib.sha256(data).hexdigest()))
                    if relative.startswith("events/") and b'"config"' in data and self._edit.encode() in data:
                        shown = hashed[-1]
        wrong = [relative for relative, found in hashed if "".join(relative.split("/")[-2:]) != found]
        if not self._is_json:
            _show_files(root, sizes, shown, count=len(hashed), wrong=wrong)
        return {"files": sizes, "named_by_sha256": len(hashed) - len(wrong), "misnamed": wrong}

    def _step(self, *arguments: str) -> Any:
        """Runs one command line, shown as a user would type it; returns its answer."""
        if not self._is_json:
            shown = [os.path.basename(word) if word == TRANSCRIPT else word for word in arguments]
            click.echo(styled(f"\n$ tract {shlex.join(shown)}", bold=True))
        base = Invocation(context_path=self._directory, is_json=self._is_json)
        base.answers = []
        everything = click.get_current_context().find_root().command
        everything.main(list(arguments), prog_name="tract", standalone_mode=False, obj=base)
        answer = base.answers[0]
        self.steps.append({"command": ["tract", *arguments], "answer": answer})
        return answer

    def _say(self, text: str) -> None:
        if not self._is_json:
            click.echo(f"\n{styled(text, dim=True)}")


def _show_files(root: str, sizes: dict[str, int], shown: tuple[str, str], *, count: int, wrong: list[str]) -> None:
    click.echo(f"\n{styled('What is on disk, in .tract/ (local/, which holds caches, may be deleted):', dim=True)}\n")
    for folder in ("objects", "events", "packs"):
        inside = [size for name, size in sizes.items() if name.startswith(f"{folder}/")]
        if inside:
            click.echo(f"  {folder + '/':<15}{len(inside):>4} files {sum(inside):>8,} bytes")
    for name in sorted(_TEXT_FILES & sizes.keys()):
        click.echo(f"  {name:<15}{'':>10} {sizes[name]:>8,} bytes")
    relative, found = shown
    click.echo(styled(f"\n$ cat .tract/{relative}", bold=True))
    with open(os.path.join(root, relative), encoding="utf-8") as stream:
        click.echo(stream.read())
    click.echo(styled(f"\n$ sha256sum .tract/{relative}", bold=True))
    click.echo(f"{found}  .tract/{relative}")
    result = (
        "all are named by the SHA-256 of their bytes"
        if not wrong
        else f"NOT named by their SHA-256: {', '.join(wrong)}"
    )
    click.echo(f"\n{count} files beside the three text files; {result}.")
