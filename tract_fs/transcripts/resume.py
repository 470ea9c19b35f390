"""Resume: what a tool would load of a session file (`check`), and session files that a tool can go on with (`write`).

A format that can do either has, in its module, one or both of

    def check(source: Source) -> SessionCheck
    def write(context: ResumeContext) -> ResumeFile

Both are pure. What the file holds or the format can't express is an entry of the result, never an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from msgspec import Struct

from tract_fs.model import canonical
from tract_fs.transcripts.units import Flaw


class Loss(Struct, frozen=True):
    """A message of a session file that its tool would not load: its line from 1 (0: in a document), the format's id of it,
    and the reason.
    """

    line: int
    key: str
    reason: str


class SessionCheck(Struct, frozen=True):
    """What the tool itself would load of one session.

    `messages` are those of the conversation in the file, without its sub-agents. Of these the tool would go on with
    `loaded`; `summarized` are those that a compaction replaced, `left` those on other ways that the session went back
    from; `lost` are the others, by line. `flaws` are all that is not right in the file, by line.
    """

    format: str
    session_id: str
    messages: int
    loaded: int
    summarized: int = 0
    left: int = 0
    lost: tuple[Loss, ...] = ()
    flaws: tuple[Flaw, ...] = ()

    @property
    def share(self) -> float:
        """The part that the tool would load of the messages that it should, 0 to 1; 1 where there are none."""
        wanted = self.loaded + len(self.lost)
        return self.loaded / wanted if wanted else 1.0


class ResumeContext(Struct, frozen=True, kw_only=True):
    """What a session file is made of.

    `messages` are a compiled context in Anthropic's form: dicts of a role, `user` or `assistant`, and a content, a text or
    blocks; for a format whose module has `MESSAGES = "openai_responses"`, as `to_openai_responses()` returns it. `system` is its system prompt, of which most session files have none. `session_id` is a new UUID, `at_us` the
    time of the last message in microseconds since 1970, UTC.
    """

    messages: Sequence[dict[str, Any]]
    system: str = ""
    session_id: str
    cwd: str
    title: str
    at_us: int
    model: str = ""  # that made the assistant's messages; empty if unknown
    provider: str = ""  # of the model, by opencode's name of it
    git_branch: str = ""
    forked_from: str = ""  # id of the session that the context came from; empty if there is none


class ResumeFile(Struct, frozen=True):
    """A session file to resume from: its place below the tool's folder of sessions, its records, and what was lost.

    `lost` has a text for each kind of thing that the format can't express, with its count.
    """

    path: str
    records: tuple[dict[str, Any], ...]
    lost: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Returns the file: a record a line."""
        return b"".join(canonical.encode_checked(record) + b"\n" for record in self.records)


def iso_time(moment: datetime) -> str:
    """Returns a time in UTC as the tools write it: ISO 8601, with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SessionBytes(bytes):
    """The bytes of a session file; of one to resume from with its place below the tool's folder of sessions, `path`, and
    a text for each kind of thing that it can't hold, `lost`.
    """

    path: str
    lost: tuple[str, ...]

    def __new__(cls, data: bytes, *, path: str = "", lost: tuple[str, ...] = ()) -> Self:
        made = super().__new__(cls, data)
        made.path = path
        made.lost = lost
        return made
