"""Resuming: a session file that a tool goes on with, made of any context: of a commit, a branch, a merge."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tract_fs.capture import stamps
from tract_fs.capture.sessions import export_file
from tract_fs.errors import ArgumentError
from tract_fs.model.compiler import CompileOptions
from tract_fs.transcripts import SESSION_FORMATS, format_of
from tract_fs.transcripts.resume import ResumeContext, SessionBytes
from tract_fs.work.session import Session

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
    write = getattr(format_of(format), "write", None)
    if write is None:
        names = ", ".join(name for name in SESSION_FORMATS if hasattr(format_of(name), "write"))
        raise ArgumentError(f"format {format!r}: nothing resumes from such a file; use one of {names}")
    context = session.contexts.compile(at_time=None, at_commit=None, options=CompileOptions())
    known_warnings = set(context.warnings)
    if getattr(format_of(format), "MESSAGES", "") == "openai_responses":
        fields: dict[str, Any] = {"messages": context.to_openai_responses()}
    else:
        fields = context.to_anthropic()
    lost = [one for one in context.warnings if one not in known_warnings and _LAST_OF_ASSISTANT not in one]
    found = session.reader.metadata().get(stamps.KEY)
    origin = found if isinstance(found, dict) else {}
    texts = {key: value for key, value in origin.items() if isinstance(value, str)}
    models = [config["model"] for config in context.generation_configs if isinstance(config.get("model"), str)]
    made = write(
        ResumeContext(
            messages=fields["messages"],
            system="\n\n".join(block["text"] for block in fields.get("system", ())),
            session_id=session_id or str(uuid4()),
            cwd=cwd or texts.get("cwd", "/"),
            title=title or session.reader.title() or session.tract_id,
            at_us=session.writer.now_us(),
            model=models[-1] if models else "",
            git_branch=texts.get("gitBranch", ""),
            forked_from=texts.get("session", ""),
        )
    )
    return SessionBytes(made.to_bytes(), path=made.path, lost=(*lost, *made.lost))
