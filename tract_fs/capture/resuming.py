"""Resuming: a session file that a tool goes on with, made of any context: of a commit, a branch, a merge."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable
from uuid import uuid4

from tract_fs.capture import stamps
from tract_fs.capture.sessions import export_file
from tract_fs.errors import ArgumentError
from tract_fs.model.compiler import CompileOptions
from tract_fs.model.fields import fields_in
from tract_fs.model.providers.export import export
from tract_fs.model.providers.parts import Media, Result
from tract_fs.model.providers.reading import read_turn
from tract_fs.model.providers.request import request_of
from tract_fs.model.shapes import Shape
from tract_fs.model.snapshot import CompiledContext
from tract_fs.transcripts import REQUESTS, RESUMED_FORMATS, format_of
from tract_fs.transcripts.document import encode_document
from tract_fs.transcripts.resume import ResumeContext, ResumeFile, SessionBytes
from tract_fs.work.session import Session

# Formats whose results are texts, and do not say if they are errors.
_WITHOUT_ERRORS = ("codex", "openai-chat", "openai-responses")
_COMMIT = re.compile("^commit [0-9a-f]{64} ")
_LAST_OF_ASSISTANT = "is the last, and of the assistant"  # in a warning; a session may end so


def export_session(
    session: Session,
    *,
    format: str | None = None,
    session_id: str | None = None,
    cwd: str | None = None,
    title: str | None = None,
) -> SessionBytes:
    """Returns the file that a tract was imported from, or one of a format to resume from; see `Tract.export_transcript`."""
    if format is None:
        return SessionBytes(export_file(session))
    if format not in RESUMED_FORMATS:
        raise ArgumentError(
            f"format {format!r}: nothing resumes from such a file; use one of {', '.join(RESUMED_FORMATS)}"
        )
    context = session.contexts.compile(at_time=None, at_commit=None, options=CompileOptions())
    known_warnings = set(context.warnings)
    unsaid = _of_results(context, format)
    if format in REQUESTS:
        request = request_of(
            context.messages,
            REQUESTS[format],
            tools=context.tools,
            config=next((config for config in reversed(context.generation_configs) if config), {}),
            cache=False,
            warn=context.add_warning,
            is_partial=True,
        )
        return SessionBytes(encode_document(request), lost=(*_counted(context.warnings, known_warnings), *unsaid))
    module = format_of(format)
    form: Shape = "openai-responses" if getattr(module, "MESSAGES", "") == "openai_responses" else "anthropic"
    document = export(context.messages, form, context.add_warning, is_partial=True)
    lost = _counted((one for one in context.warnings if _LAST_OF_ASSISTANT not in one), known_warnings)
    origin = fields_in(session.reader.metadata(), stamps.KEY)
    texts = {key: value for key, value in origin.items() if isinstance(value, str)}
    configs = [config for config in context.generation_configs if isinstance(config.get("model"), str)]
    config = configs[-1] if configs else {}
    write: Callable[[ResumeContext], ResumeFile] = module.write  # type: ignore[attr-defined]
    made = write(
        ResumeContext(
            messages=[message for message, _ in document.messages],
            system="\n\n".join(block["text"] for block in document.system),
            session_id=session_id or str(uuid4()),
            cwd=cwd or texts.get("cwd", "/"),
            title=title or session.reader.title() or session.tract_id,
            at_us=session.writer.now_us(),
            model=config.get("model", ""),
            provider=config["provider"] if isinstance(config.get("provider"), str) else "",
            git_branch=texts.get("gitBranch", ""),
            forked_from=texts.get("session", ""),
        )
    )
    return SessionBytes(made.to_bytes(), path=made.path, lost=(*lost, *unsaid, *made.lost))


def _of_results(context: CompiledContext, format: str) -> tuple[str, ...]:
    """Returns what OpenAI's forms can't say of results of tools."""
    if format not in _WITHOUT_ERRORS:
        return ()
    turns = (read_turn(message, message.to_openai()) for message in context.messages)
    results = [part for turn in turns for part in turn.parts if isinstance(part, Result)]
    errors = sum(result.is_error for result in results)
    moved = sum(any(isinstance(part, Media) for part in result.content) for result in results)
    found = [f"{errors} results of tools that are no longer marked as errors"] if errors else []
    if moved and format == "openai-chat":
        found.append(f"{moved} results of tools whose files are in the user's message after them")
    return tuple(found)


def _counted(warnings: Iterable[str], known: Container[str]) -> tuple[str, ...]:
    """Returns the warnings that are not known; one text, with their count, for those that are the same of several commits."""
    counts = Counter(_COMMIT.sub("messages: ", warning) for warning in warnings if warning not in known)
    return tuple(f"{count} {what}" if what.startswith("messages: ") else what for what, count in counts.items())
