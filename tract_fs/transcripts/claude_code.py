"""Claude Code: its session files and those of its sub-agents, read as the tool walks them, checked, and written.

Files: ~/.claude/projects/<directory>/<session>.jsonl, with <session>/subagents/ and <session>/tool-results/ beside it.
"""

from __future__ import annotations

from tract_fs.model.fields import text_in
from tract_fs.transcripts.claude_lines import FORM, GRAPH_TYPES
from tract_fs.transcripts.claude_resume import write as write  # the third of the format's calls
from tract_fs.transcripts.graph_file import check_graph, read_graph
from tract_fs.transcripts.resume import SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Transcript

NAME = FORM.name
_STATE_KEYS = {  # of the types that stand between the lines of the graph, a key that each has
    "custom-title": "customTitle",
    "ai-title": "aiTitle",
    "agent-name": "sessionId",
    "mode": "sessionId",
    "permission-mode": "sessionId",
    "tag": "sessionId",
    "last-prompt": "lastPrompt",
    "queue-operation": "operation",
    "file-history-snapshot": "snapshot",
    "content-replacement": "replacements",
    "summary": "leafUuid",
}


def matches(source: Source) -> bool:
    """Returns whether a line is one of the graph, or all are of the kinds that stand between those."""
    records = [record for record in source.sample if text_in(record, "type")]
    if any(FORM.is_of_graph(record) and record["type"] in GRAPH_TYPES for record in records):
        return True
    return bool(records) and all(_STATE_KEYS.get(record["type"], "") in record for record in records)


def read(source: Source) -> list[Transcript]:
    """Returns the session, with its sub-agents as branches."""
    return [read_graph(source, FORM)]


def check(source: Source) -> SessionCheck:
    """Returns what Claude Code would load of a session."""
    return check_graph(source, FORM)
