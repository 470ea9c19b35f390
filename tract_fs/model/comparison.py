"""Comparisons: two answers to one prompt, with their configs, usage and tokens, on top of a diff of their contexts."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct, structs

from tract_fs.model.diff import ConfigChange, ContextDiff, DiffedMessage, compare, config_changes, messages_of
from tract_fs.model.snapshot import CompiledContext
from tract_fs.model.tokens import TokenCounter
from tract_fs.model.usage import TokenUsage


class ComparedAnswer(Struct, frozen=True):
    """One side: the messages after those that both sides share, and what its head's usage is."""

    commit_hash: str
    messages: tuple[DiffedMessage, ...]
    usage: TokenUsage | None

    @property
    def config_json(self) -> str:
        """The generation config of its last message that has one, as canonical JSON."""
        return next((one.config_json for one in reversed(self.messages) if one.config_json != "{}"), "{}")

    @property
    def token_count(self) -> int:
        """The tokens of its messages."""
        return sum(one.token_count for one in self.messages)

    @property
    def text(self) -> str:
        """The texts of its messages, a blank line between."""
        return "\n\n".join(one.text for one in self.messages)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "commit_hash": self.commit_hash,
            "messages": [one.to_dict() for one in self.messages],
            "token_count": self.token_count,
            "usage": None if self.usage is None else structs.asdict(self.usage),
        }


class AnswerComparison(Struct, frozen=True):
    """Two answers side by side. `shared_count` messages come before both, the last of them made by commit `prompt`."""

    prompt: str | None  # None: the contexts have no message in common
    shared_count: int
    a: ComparedAnswer
    b: ComparedAnswer
    diff: ContextDiff  # of the whole contexts

    @property
    def config_changes(self) -> tuple[ConfigChange, ...]:
        """What differs from the generation config of a to that of b, by key path."""
        return config_changes(self.a.config_json, self.b.config_json)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "prompt": self.prompt,
            "shared_count": self.shared_count,
            "config_changes": [change.to_dict() for change in self.config_changes],
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "diff": self.diff.to_dict(),
        }


class ComparedHead(NamedTuple):
    """What to compare: a head, its context, and the usage recorded for it."""

    commit: str
    context: CompiledContext
    usage: TokenUsage | None


def compare_contexts(a: ComparedHead, b: ComparedHead, *, counter: TokenCounter) -> AnswerComparison:
    """Returns what comes in each context after the messages that both share: equal ones of the same commits.

    Where one context has nothing of its own, its last message counts as its answer. Errors: as `diff.compare`.
    """
    messages_a, messages_b = messages_of(a.context, counter), messages_of(b.context, counter)
    shared = 0
    for one, other in zip(messages_a, messages_b, strict=False):
        if one.commit_hash != other.commit_hash or one.message.canonical_json != other.message.canonical_json:
            break
        shared += 1
    shared = max(0, min(shared, len(messages_a) - 1, len(messages_b) - 1))
    return AnswerComparison(
        prompt=messages_a[shared - 1].commit_hash if shared else None,
        shared_count=shared,
        a=ComparedAnswer(a.commit, messages_a[shared:], a.usage),
        b=ComparedAnswer(b.commit, messages_b[shared:], b.usage),
        diff=compare(a.context, b.context, counter=counter, commit_a=a.commit, commit_b=b.commit),
    )
