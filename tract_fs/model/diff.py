"""Diffs: what differs between two compiled contexts, message by message, and what a prompt cache loses by it.

Immutable values: dicts are kept as canonical JSON and decoded at each access. Texts are compared at each access of
`text_diff`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from tract_fs.model import canonical
from tract_fs.model.alignment import Line, Pair, align, unified
from tract_fs.model.messages import Message
from tract_fs.model.snapshot import CompiledContext
from tract_fs.model.tokens import PER_REPLY, TokenCounter, count_json_message, iter_strings, source_name

_PLAIN_FIELDS = frozenset(["role", "content", "name", "tool_call_id"])


class ConfigChange(Struct, frozen=True):
    """One key of a generation config that differs; `path` leads to it, and lists are compared whole."""

    path: tuple[str, ...]
    before_json: str | None  # None: absent
    after_json: str | None

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        """What happened to the key."""
        if self.before_json is None:
            return "added"
        return "removed" if self.after_json is None else "changed"

    @property
    def before(self) -> Any:
        """The value in a (fresh); None where there is none."""
        return None if self.before_json is None else canonical.decode(self.before_json.encode())

    @property
    def after(self) -> Any:
        """The value in b (fresh); None where there is none."""
        return None if self.after_json is None else canonical.decode(self.after_json.encode())

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {"path": list(self.path), "kind": self.kind, "before": self.before, "after": self.after}


def text_of(message: Message) -> str:
    """Returns a message's text; the whole message as indented JSON where it is more than a text."""
    fields = message.to_dict()
    content = fields.get("content")
    return content if type(content) is str and fields.keys() <= _PLAIN_FIELDS else canonical.indent(fields)


def config_changes(before: str, after: str) -> tuple[ConfigChange, ...]:
    """Returns what differs between two generation configs (canonical JSON), by key path."""
    if before == after:
        return ()
    return tuple(_changes((), canonical.decode(before.encode()), canonical.decode(after.encode())))


class DiffedMessage(Struct, frozen=True):
    """A message of one side: its place in that context, the commit it came from, its tokens and its config."""

    index: int
    commit_hash: str | None  # None where a custom compiler names none
    message: Message
    token_count: int
    config_json: str

    @property
    def generation_config(self) -> dict[str, Any]:
        """The generation config (fresh); {} where there is none."""
        config: dict[str, Any] = canonical.decode(self.config_json.encode())
        return config

    @property
    def text(self) -> str:
        """The message's text; the whole message as indented JSON where it is more than a text."""
        return text_of(self.message)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "index": self.index,
            "commit_hash": self.commit_hash,
            "message": self.message.to_dict(),
            "text": self.text,
            "token_count": self.token_count,
            "generation_config": self.generation_config,
        }


class DiffEntry(Struct, frozen=True):
    """One difference: a message that only b has (`a` is None), that only a has (`b` is None), or that differs."""

    a: DiffedMessage | None
    b: DiffedMessage | None
    moved_index: int | None = None  # of an added message: where it was in a; of a removed one: where it is in b

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        """What happened to the message; a moved one has two entries, one removed and one added."""
        if self.a is None:
            return "added"
        return "removed" if self.b is None else "changed"

    @property
    def is_config_only(self) -> bool:
        """Whether the message is the same on both sides, and only its generation config differs."""
        return (
            self.a is not None and self.b is not None and self.a.message.canonical_json == self.b.message.canonical_json
        )

    @property
    def role_change(self) -> tuple[str, str] | None:
        """The roles in a and b of a message that changed its role, else None."""
        if self.a is None or self.b is None or self.a.message.role == self.b.message.role:
            return None
        return self.a.message.role, self.b.message.role

    @property
    def token_delta(self) -> int:
        """The tokens of the message in b less those in a."""
        return (0 if self.b is None else self.b.token_count) - (0 if self.a is None else self.a.token_count)

    @property
    def config_changes(self) -> tuple[ConfigChange, ...]:
        """What differs in the generation config, by key path; that of an absent message counts as empty."""
        before, after = ("{}" if side is None else side.config_json for side in (self.a, self.b))
        return config_changes(before, after)

    @property
    def text_diff(self) -> str:
        """The unified diff of the texts; of the whole messages as indented JSON if more than text and role differs."""
        if self.a is None or self.b is None:
            return unified(None if self.a is None else self.a.text, None if self.b is None else self.b.text)
        if self.is_config_only:
            return ""
        before, after = self.a.message, self.b.message
        if _beside_text(before) == _beside_text(after) != b"":
            return unified(self.a.text, self.b.text)
        return unified(canonical.indent(before.to_openai()), canonical.indent(after.to_openai()))

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "kind": self.kind,
            "a": None if self.a is None else self.a.to_dict(),
            "b": None if self.b is None else self.b.to_dict(),
            "moved_index": self.moved_index,
            "role_change": None if self.role_change is None else list(self.role_change),
            "config_changes": [change.to_dict() for change in self.config_changes],
            "text_diff": self.text_diff,
            "token_delta": self.token_delta,
        }


class DiffedContext(Struct, frozen=True):
    """One side of a diff: the commit whose context it is (None: that of no commits), and its totals."""

    commit_hash: str | None
    message_count: int
    token_count: int  # as compile() counts: with the start of the reply, 0 without messages
    tokens_from_difference: int  # of the messages from the first difference on

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class ContextDiff(Struct, frozen=True):
    """What differs between the contexts of two commits, with all tokens counted by `token_source`.

    `first_difference` is the index of the first message that differs for a provider: its prompt cache loses
    `a.tokens_from_difference` tokens, and it has to read `b.tokens_from_difference`. None: the messages are equal.
    """

    a: DiffedContext
    b: DiffedContext
    entries: tuple[DiffEntry, ...]  # in order; at one place what is removed comes before what is added
    unchanged_count: int
    first_difference: int | None
    kept_tokens: int  # of the messages before the first difference
    token_source: str
    warnings: tuple[str, ...]  # those of b that a does not have

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, configs included."""
        return not self.entries

    @property
    def token_delta(self) -> int:
        """The tokens of b less those of a.

        It is the sum over the entries, and the start of the reply where one side has no messages.
        """
        return self.b.token_count - self.a.token_count

    def count(self, kind: Literal["added", "removed", "changed"]) -> int:
        """Returns the number of entries of a kind."""
        return sum(entry.kind == kind for entry in self.entries)

    @property
    def moved_count(self) -> int:
        """The number of messages that both have, but in different places; each has two entries."""
        return sum(entry.a is None and entry.moved_index is not None for entry in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values (fresh)."""
        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "entries": [entry.to_dict() for entry in self.entries],
            "added_count": self.count("added"),
            "removed_count": self.count("removed"),
            "changed_count": self.count("changed"),
            "moved_count": self.moved_count,
            "unchanged_count": self.unchanged_count,
            "token_delta": self.token_delta,
            "first_difference": self.first_difference,
            "kept_tokens": self.kept_tokens,
            "token_source": self.token_source,
            "warnings": list(self.warnings),
        }


def compare(
    a: CompiledContext,
    b: CompiledContext,
    *,
    counter: TokenCounter,
    commit_a: str | None = None,
    commit_b: str | None = None,
) -> ContextDiff:
    """Returns what differs from `a` to `b`; the messages of both are counted by `counter`, each text once.

    Errors: JsonValueError if a custom compiler returned values that are not JSON.
    """
    counts: dict[str, tuple[int, bool]] = {}
    known = set(a.warnings)
    side_a, side_b = _Side(a, counter, counts), _Side(b, counter, counts)
    entries, unchanged_count = _entries(side_a, side_b)
    first = _first_difference(side_a.values, side_b.values)
    return ContextDiff(
        a=side_a.summary(commit_a, first),
        b=side_b.summary(commit_b, first),
        entries=tuple(entries),
        unchanged_count=unchanged_count,
        first_difference=first,
        kept_tokens=sum(side_a.tokens[:first]),
        token_source=source_name(counter, has_media=any(has_media for _, has_media in counts.values())),
        warnings=tuple(warning for warning in b.warnings if warning not in known),
    )


def messages_of(context: CompiledContext, counter: TokenCounter) -> tuple[DiffedMessage, ...]:
    """Returns the messages of a context, each with its commit, tokens and config. Errors: as `compare`."""
    side = _Side(context, counter, {})
    return tuple(side[index] for index in range(len(side.values)))


class _Side:
    """One context as parallel lists, one entry per message."""

    def __init__(self, context: CompiledContext, counter: TokenCounter, counts: dict[str, tuple[int, bool]]) -> None:
        self.messages = context.messages
        count = len(self.messages)
        self.values = [message.canonical_json for message in self.messages]
        self.commits = (
            context.commit_hashes
            if len(context.commit_hashes) == count
            else [message.commit_hashes[0] if message.commit_hashes else "" for message in self.messages]
        )
        configs = context.generation_configs
        if len(configs) != count:  # a custom compiler's, which belong to no single message
            configs = [{}] * count
        self.configs = [canonical.encode(c, name=f"generation_configs[{n}]").decode() for n, c in enumerate(configs)]
        self.tokens = []
        for value, message in zip(self.values, self.messages, strict=True):
            if value not in counts:
                counts[value] = count_json_message(counter, message.to_dict())
            self.tokens.append(counts[value][0])

    def __getitem__(self, index: int) -> DiffedMessage:
        return DiffedMessage(
            index, self.commits[index] or None, self.messages[index], self.tokens[index], self.configs[index]
        )

    def summary(self, commit: str | None, first: int | None) -> DiffedContext:
        total = sum(self.tokens) + PER_REPLY if self.tokens else 0
        return DiffedContext(commit, len(self.tokens), total, 0 if first is None else sum(self.tokens[first:]))


def _entries(a: _Side, b: _Side) -> tuple[list[DiffEntry], int]:
    """Returns the entries in order, and the number of messages that are the same."""
    pairs = align(Line(a.values, a.commits), Line(b.values, b.commits))
    moved = _moved(a, b, pairs)
    origins = {j: i for i, j in moved.items()}
    entries: list[DiffEntry] = []
    unchanged_count = 0
    i = j = 0
    for pair in (*_with_alike(a, b, pairs, moved), (len(a.values), len(b.values))):
        entries += [DiffEntry(a[n], None, moved.get(n)) for n in range(i, pair[0])]
        entries += [DiffEntry(None, b[n], origins.get(n)) for n in range(j, pair[1])]
        i, j = pair[0] + 1, pair[1] + 1
        if i > len(a.values):
            break
        if a.values[pair[0]] == b.values[pair[1]] and a.configs[pair[0]] == b.configs[pair[1]]:
            unchanged_count += 1
        else:
            entries.append(DiffEntry(a[pair[0]], b[pair[1]]))
    return entries, unchanged_count


def _moved(a: _Side, b: _Side, pairs: Sequence[Pair]) -> dict[int, int]:
    """Maps messages of a without a partner to messages of b without one: of the same commit, else equal."""
    lone_a = sorted(set(range(len(a.values))).difference(i for i, _ in pairs))
    lone_b = sorted(set(range(len(b.values))).difference(j for _, j in pairs))
    moved: dict[int, int] = {}
    for names_a, names_b in ((a.commits, b.commits), (a.values, b.values)):
        places: dict[str, list[int]] = {}
        taken = set(moved.values())
        for j in reversed(lone_b):
            if j not in taken:
                places.setdefault(names_b[j], []).append(j)
        for i in lone_a:
            if i not in moved and names_a[i] and places.get(names_a[i]):
                moved[i] = places[names_a[i]].pop()
    return moved


def _with_alike(a: _Side, b: _Side, pairs: Sequence[Pair], moved: dict[int, int]) -> Iterator[Pair]:
    """Yields the pairs, and between them those of a message and its replacement: one role, half of their words equal.

    Only stretches from which as many messages were removed as were added are searched.
    """
    taken = set(moved.values())
    i = j = 0
    for pair in (*pairs, (len(a.values), len(b.values))):
        removed = [n for n in range(i, pair[0]) if n not in moved]
        added = [n for n in range(j, pair[1]) if n not in taken]
        if len(removed) == len(added):
            yield from (p for p in zip(removed, added, strict=True) if _are_alike(a.messages[p[0]], b.messages[p[1]]))
        if pair[0] < len(a.values):
            yield pair
        i, j = pair[0] + 1, pair[1] + 1


def _are_alike(a: Message, b: Message) -> bool:
    if a.role != b.role:
        return False
    words_a, words_b = _words(a), _words(b)
    return 2 * (words_a & words_b).total() >= max(words_a.total(), words_b.total(), 1)


def _words(message: Message) -> Counter[str]:
    fields = {key: value for key, value in message.to_dict().items() if key != "role"}
    return Counter(word for text in iter_strings(fields) for word in text.split())


def _first_difference(a: Sequence[str], b: Sequence[str]) -> int | None:
    for n, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return n
    return None if len(a) == len(b) else min(len(a), len(b))


def _beside_text(message: Message) -> bytes:
    """Returns the fields of a text message besides text and role, as canonical JSON; empty for any other message."""
    fields = message.to_dict()
    if type(fields.get("content")) is not str or not fields.keys() <= _PLAIN_FIELDS:
        return b""
    return canonical.encode_checked([fields.get("name"), message.tool_call_id])


def _changes(path: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]) -> Iterator[ConfigChange]:
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _changes((*path, key), one, other)
            continue
        one_json, other_json = (
            canonical.encode_checked(side[key]).decode() if key in side else None for side in (before, after)
        )
        if one_json != other_json:
            yield ConfigChange((*path, key), one_json, other_json)
