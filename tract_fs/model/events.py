"""Events: what happened to a tract, one immutable file per transaction.

An event is visible once its parents are visible and the objects it brings are present; until then it is pending.
Nothing here reads a clock or a disk. Format: FORMAT.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.canonical import Fragment
from tract_fs.model.names import (
    CommitHash,
    ContentHash,
    EventHash,
    are_hashes,
    is_branch_name,
    is_hash,
    is_hex,
    is_tract_id,
    parse_time,
    require_time,
)
from tract_fs.model.tokens import MOST_TOKENS
from tract_fs.model.usage import USAGE_LIMIT, TokenUsage

MAX_EVENT_BYTES = 16 * 1024 * 1024


class BroughtCommit(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A commit that an event brings, with the generation config that produced it (canonical JSON)."""

    commit: CommitHash
    config: Raw = Raw()  # empty: none
    tokens: dict[str, int] = {}


class Move(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", gc=False):
    """A branch operation: sets the branch to `head` in place of the moves of the events in `replaces`."""

    branch: str
    head: CommitHash
    commits: tuple[BroughtCommit, ...]
    replaces: tuple[EventHash, ...]


class Append(Move, tag="append", frozen=True, gc=False):
    """New commits on the branch's head."""


class Merge(Move, tag="merge", frozen=True, gc=False):
    """A merge commit, and the commits that resolve its conflicts."""


class Forward(Move, tag="forward", frozen=True, gc=False):
    """A move to a descendant that exists already."""


class Create(Move, tag="create", frozen=True, gc=False):
    """A new branch at an existing commit."""


class Reset(Move, tag="reset", frozen=True, gc=False):
    """A move to any commit."""


class Delete(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="delete"):
    """The end of a branch: it replaces all moves of the branch that its writer had seen."""

    branch: str
    replaces: tuple[EventHash, ...]


class Tag(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="tag"):
    """A tag set, or removed where `target` is None."""

    name: str
    target: CommitHash | None = None


class Usage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="usage"):
    """The token usage that a provider reported for the context compiled at `commit`."""

    commit: CommitHash
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def counts(self) -> TokenUsage:
        """The counts, without the commit."""
        return TokenUsage(*(getattr(self, name) for name in _COUNTS))


class Redact(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="redact"):
    """A content that may be absent from now on, or a commit or event that is given up."""

    object: ContentHash  # or the hash of that commit or event
    reason: str | None = None


class Describe(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="describe"):
    """A new title of the tract, new metadata, or both; what is None stays as it is. An empty one removes the one before."""

    title: str | None = None
    metadata: Raw = Raw()  # empty bytes: stays as it is


_COUNTS = TokenUsage.__struct_fields__
_LATER_COUNTS = tuple(name for name in _COUNTS if name.startswith(("cache", "reasoning")))  # left out where they are 0
BranchOp = Append | Merge | Forward | Create | Reset | Delete
Op = Append | Merge | Forward | Create | Reset | Delete | Tag | Usage | Redact | Describe
_FORWARD_ONLY = (Append, Merge, Forward)


class Event(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One transaction of one tract."""

    at: str
    ops: tuple[Op, ...]
    parents: tuple[str, ...]  # event hashes, or tract/hash for events of other tracts
    tract: str
    writer: str

    @property
    def at_us(self) -> int:
        """The time of the event in microseconds since 1970."""
        return parse_time(self.at)

    def branch_ops(self) -> list[BranchOp]:
        """Returns the operations that move branches."""
        return [op for op in self.ops if isinstance(op, (Move, Delete))]

    def iter_commits(self) -> list[BroughtCommit]:
        """Returns all commits that the event brings, in order."""
        return [entry for op in self.ops if isinstance(op, Move) for entry in op.commits]

    def moves_that_bring(self, commit: str) -> list[Move]:
        """Returns the operations that bring a commit; one of them must."""
        moves: list[Move] = [op for op in self.ops if isinstance(op, Move) and op.commits]
        return moves if len(moves) == 1 else [op for op in moves if any(one.commit == commit for one in op.commits)]

    def find(self, commit: str) -> BroughtCommit | None:
        """Returns the entry of a commit that this event brings, or None."""
        return next((entry for entry in self.iter_commits() if entry.commit == commit), None)


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    event: Event


_DECODER = Decoder(_Envelope)


class NewCommit(Struct, frozen=True, gc=False):
    """A commit to write into an event: hash, canonical config or None, token counts by counter name."""

    commit: str
    config: bytes | None
    tokens: dict[str, int]

    def as_brought(self) -> BroughtCommit:
        """Returns the entry as it will be read back."""
        return BroughtCommit(CommitHash(self.commit), Raw(self.config or b""), self.tokens)


def move_op(kind: str, branch: str, head: str, commits: Sequence[NewCommit], replaces: Sequence[str]) -> Fragment:
    """Returns the JSON form of a branch operation that sets a head.

    It is built from parts, since an event may bring thousands of commits.
    """
    entries = b",".join(map(_encode_brought, commits))
    replaced = ",".join([f'"{name}"' for name in sorted(replaces)])
    rest = f'],"head":"{head}","kind":"{kind}","replaces":[{replaced}]}}'
    return canonical.raw(b'{"branch":' + canonical.encode_checked(branch) + b',"commits":[' + entries + rest.encode())


def _encode_brought(new: NewCommit) -> bytes:
    config = b"" if new.config is None else b',"config":' + new.config
    tokens = b',"tokens":' + canonical.encode_checked(new.tokens) if new.tokens else b""
    return b'{"commit":"' + new.commit.encode() + b'"' + config + tokens + b"}"


def delete_op(branch: str, replaces: Sequence[str]) -> dict[str, object]:
    """Returns the JSON form of a branch operation that ends a branch."""
    return {"kind": "delete", "branch": branch, "replaces": sorted(replaces)}


def tag_op(name: str, target: str | None) -> dict[str, object]:
    """Returns the JSON form of a tag operation; a target of None removes the tag."""
    op: dict[str, object] = {"kind": "tag", "name": name}
    if target is not None:
        op["target"] = target
    return op


def redact_op(name: str) -> dict[str, object]:
    """Returns the JSON form of a redaction."""
    return {"kind": "redact", "object": name}


def describe_op(title: str | None, metadata: dict[str, object] | None) -> dict[str, object]:
    """Returns the JSON form of a description; what is None stays as it is."""
    fields = {"kind": "describe", "title": title, "metadata": metadata}
    return {key: value for key, value in fields.items() if value is not None}


def usage_op(commit: str, usage: TokenUsage) -> dict[str, object]:
    """Returns the JSON form of a usage operation.

    A count of the cache or of reasoning is left out where it is 0, since older versions know none.
    """
    counts = {name: count for name in _COUNTS if (count := getattr(usage, name)) or name not in _LATER_COUNTS}
    return {"kind": "usage", "commit": commit, **counts}


def encode_event(
    *, tract: str, at: str, writer: str, parents: Sequence[str], ops: Sequence[dict[str, object] | Fragment]
) -> bytes:
    """Returns the stored bytes of an event."""
    fields = {"at": at, "ops": ops, "parents": sorted(parents), "tract": tract, "writer": writer}
    return canonical.encode_checked({"event": fields})


def decode_event(data: bytes, *, is_known: bool = False) -> Event:
    """Returns the event of stored bytes; JsonValueError if they are not an event that this version understands.

    With `is_known`, for bytes whose hash was decoded before, only the types are checked.
    """
    event = canonical.decode_typed(_DECODER, data).event
    fault = None if is_known else _fault(event)
    if fault is not None:
        raise JsonValueError(path="event", reason=fault)
    return event


def is_forward_only(op: BranchOp) -> bool:
    """Returns whether the moves that `op` replaces must be ancestors of its head."""
    return isinstance(op, _FORWARD_ONLY)


def split_parent(parent: str, tract: str) -> tuple[str, EventHash]:
    """Returns tract and event hash of an entry of `parents` in an event of `tract`."""
    owner, slash, name = parent.rpartition("/")
    return (owner if slash else tract), EventHash(name)


def fault_of_entry(entry: BroughtCommit) -> str | None:
    """Returns what keeps an event from bringing a commit with this config and these counts, or None.

    Older versions did so, so these events can be read where they are visible already.
    """
    if entry.tokens and not all(0 <= count <= MOST_TOKENS for count in entry.tokens.values()):
        return "a token count is below 0 or too large"
    if entry.config and canonical.is_deep(bytes(entry.config)):
        return f"a config is over {canonical.MAX_DEPTH} arrays and objects deep"
    return None


def are_stored_counts(usage: Usage) -> bool:
    """Returns whether the counts of a usage are in the range that a writer stores; they are 0 or more."""
    return all(count < USAGE_LIMIT for count in msgspec.structs.astuple(usage.counts))


def _fault(event: Event) -> str | None:
    """Returns what is wrong beyond the types (the form of names, hashes and times, one move per branch), or None."""
    try:
        require_time(event.at)
    except ValueError as error:
        return str(error)
    if not is_tract_id(event.tract):
        return f"invalid tract id {event.tract!r}"
    if event.writer and not (len(event.writer) == 32 and is_hex(event.writer)):
        return f"invalid writer {event.writer!r}"
    for parent in () if are_hashes(event.parents) else event.parents:
        if is_hash(parent):
            continue
        owner, name = split_parent(parent, event.tract)
        if not is_hash(name) or not is_tract_id(owner):
            return f"invalid parent {parent!r}"
    branches: set[str] = set()
    for op in event.ops:
        fault = _op_fault(op, branches)
        if fault is not None:
            return fault
    return None


def _op_fault(op: Op, branches: set[str]) -> str | None:
    if isinstance(op, (Move, Delete)):
        if op.branch in branches or not is_branch_name(op.branch):
            return f"branch {op.branch!r} is not a branch name, or is moved twice"
        branches.add(op.branch)
        for name in op.replaces:
            if not is_hash(name):
                return "a replaced event is not a hash"
        return _move_fault(op) if isinstance(op, Move) else None
    if isinstance(op, Tag):
        if not is_branch_name(op.name) or (op.target is not None and not is_hash(op.target)):
            return f"invalid tag {op.name!r}"
    elif isinstance(op, Usage):
        if not is_hash(op.commit) or min(msgspec.structs.astuple(op.counts)) < 0:
            return "the commit of usage is not a hash, or a count is below 0"
    elif isinstance(op, Describe):
        if op.metadata and (not canonical.is_object(bytes(op.metadata)) or canonical.is_deep(bytes(op.metadata))):
            return f"the tract's metadata is no JSON object, or over {canonical.MAX_DEPTH} arrays and objects deep"
    elif not is_hash(op.object):
        return "a redacted object is not a hash"
    return None


def _move_fault(op: Move) -> str | None:
    names = [entry.commit for entry in op.commits]
    if (not names or op.head != names[-1]) and not is_hash(op.head):
        return "a head is not a hash"
    if not are_hashes(names):
        return "a commit is not a hash"
    for entry in op.commits:
        if entry.config and not canonical.is_object(bytes(entry.config)):
            return "a config is not a JSON object that the format allows"
    return None
