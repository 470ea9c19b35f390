"""Runs a command line: turns every error into a sentence, or one JSON object, on stderr and an exit code; never a traceback."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from tract_fs.cli.commands import tract
from tract_fs.cli.invocation import AnswerLost, Stopped
from tract_fs.cli.output import error_line, json_text, warn
from tract_fs.cli.streams import OutputLost, whole_output
from tract_fs.errors import BranchNotFound, CommitUncertain, NoLockWarning, TractError
from tract_fs.model.conflicts import Conflict

OPERATION_FAILED = 1
USAGE_WRONG = 2
WRITTEN_UNSEEN = 4  # what the command was to write is written, or may be; a script must not just run it again
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
_EXIT_CODES: dict[type[TractError], int] = {
    AnswerLost: WRITTEN_UNSEEN,
    CommitUncertain: WRITTEN_UNSEEN,
    Stopped: INTERRUPTED,
}
_ADVICE = {
    errno.ENOENT: "check the path",
    errno.EACCES: "check the owner and the mode of this path",
    errno.EPERM: "check the owner and the mode of this path",
    errno.EROFS: "make this place writable, or work on a copy elsewhere",
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some space and run the command again",
}


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    with whole_output(), _warning_in_one_line():
        return _run(arguments, is_json="--json" in arguments)


@contextmanager
def _warning_in_one_line() -> Iterator[None]:
    """Prints a warning of the library as the commands print theirs."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, NoLockWarning):
            warn(str(message))
        else:
            shown(message, category, *rest, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("always", NoLockWarning)
        warnings.showwarning = show
        yield


def _run(arguments: list[str], *, is_json: bool) -> int:
    if not arguments:
        if "_TRACT_COMPLETE" in os.environ:
            from tract_fs.cli.completion import answer

            return answer(tract)
        click.echo(click.Context(tract, info_name="tract").get_help(), err=True)
        return USAGE_WRONG
    try:
        result = tract.main(arguments, prog_name="tract", standalone_mode=False)
        sys.stdout.flush()  # a full disk or a closed pipe shows here, not at the interpreter's end
        return result if isinstance(result, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.NoSuchOption as error:
        from tract_fs.cli.git_words import meant, option_advice

        understood = meant(arguments, error)
        if understood is not None:
            return _run(understood, is_json=is_json)
        advice = option_advice(error)
        _report_usage(error if advice is None else click.UsageError(advice), is_json=is_json)
        return error.exit_code
    except click.ClickException as error:
        _report_usage(error, is_json=is_json)
        return error.exit_code
    except TractError as error:
        _report(type(error).__name__, _words(error), error.fields, is_json=is_json)
        return _EXIT_CODES.get(type(error), OPERATION_FAILED)
    except OutputLost as error:
        if not error.is_broken_pipe:  # as of `| head`
            _report("OutputLost", str(error), {"errno": error.errno}, is_json=is_json)
    except OSError as error:
        fields: dict[str, object] = {"errno": error.errno, "path": _path_of(error)}
        _report(type(error).__name__, _sentence(error), fields, is_json=is_json)
    return OPERATION_FAILED


def _words(error: TractError) -> str:
    """Returns the message of an error; where the library's advice is a call, the command to type instead."""
    from tract_fs.cli.words import as_command  # needed for an error alone

    message = str(error)
    if not isinstance(error, BranchNotFound):
        return as_command(message)
    tract_id, branch = (error.fields[name] for name in ("tract_id", "branch"))
    if message == error.template.format(**error.fields):
        return f"tract {tract_id!r} has no branch {branch!r}; 'tract branch' lists them, 'tract branch NAME' makes one"
    if "was deleted: branch(" in message:
        return (
            f"branch {branch!r} of tract {tract_id!r} was deleted; 'tract branch {branch} --at COMMIT' makes it again"
        )
    return message


def _report(kind: str, message: str, fields: dict[str, object], *, is_json: bool) -> None:
    if is_json:
        shown = {key: _as_json(value) for key, value in fields.items()}
        click.echo(json_text({"error": kind, "message": message, "fields": shown}), err=True)
    else:
        click.echo(error_line(message), err=True)


def _report_usage(error: click.ClickException, *, is_json: bool) -> None:
    message = error.format_message()
    command = error.ctx.command.name if isinstance(error, click.UsageError) and error.ctx is not None else None
    if command in ("commit", "edit") and message.startswith("Got unexpected extra argument"):
        message += "; give the text with -m TEXT"
    if is_json:
        _report("CommandLineError", message.splitlines()[0] if message else "", {}, is_json=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(error_line(message), err=True)
    if context is not None:
        click.echo(f"Try '{context.command_path} --help'.", err=True)


def _sentence(error: OSError) -> str:
    """Returns what happened, where, and what to do."""
    if error.errno == errno.ENOENT and not error.filename and _is_directory_gone():
        return "the current directory is gone: it was removed or replaced; change to one that exists"
    where = f"{_path_of(error)}: " if error.filename else ""
    advice = f"; {_ADVICE[error.errno]}" if error.errno in _ADVICE else ""
    return f"{where}{error.strerror or error}{advice}"


def _is_directory_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _path_of(error: OSError) -> str | None:
    name = error.filename
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else None


def _as_json(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return [_as_json(item) for item in value]
    if isinstance(value, Conflict):
        return value.to_dict()
    return value if value is None or type(value) in (str, int, float, bool) else repr(value)
