"""Fitting: which messages of a context are shortened or left out so that it holds at most so many tokens.

Pinned messages, those of the system and summaries stay, and so does the last message with its calls. First the tool
payloads before the last message are shortened, the largest first, and those of the last only if it can't stay else;
then the oldest messages go, a tool call and its results together. A policy may decide instead which messages go.
Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from tract_fs.errors import ArgumentError, ContextTooLarge
from tract_fs.model.content import MessageContent, ToolIOContent
from tract_fs.model.messages import Message, Rendering
from tract_fs.model.payloads import shorten_payloads
from tract_fs.model.shapes import tool_ids


class FitCandidate(Struct, frozen=True):
    """A message that may go, as a policy gets it; `with_commits` are those that go with it, itself included."""

    commit_hash: str
    message: Message
    tokens: int
    with_commits: tuple[str, ...]


FitPolicy = Callable[[list[FitCandidate], int], Iterable[str]]
Shortened = MessageContent | ToolIOContent


class Fit(Struct, frozen=True):
    """What a context is to fit into; see `Tract.compile`."""

    max_tokens: int
    policy: FitPolicy | None = None

    @classmethod
    def of(cls, max_tokens: int | None, policy: FitPolicy | None) -> Fit | None:
        """Returns the checked options; None without a limit. Errors: ArgumentError."""
        if max_tokens is None:
            if policy is not None:
                raise ArgumentError("policy goes with max_tokens")
            return None
        return cls.require(max_tokens, policy)

    @classmethod
    def require(cls, max_tokens: int, policy: FitPolicy | None) -> Fit:
        """Returns the checked options. Errors: ArgumentError."""
        if type(max_tokens) is not int or max_tokens < 1:
            raise ArgumentError(f"max_tokens {max_tokens!r}: use an integer from 1")
        if policy is not None and not callable(policy):
            raise ArgumentError(f"policy {policy!r}: give a function of the messages that may go and the tokens over")
        return cls(max_tokens, policy)


class FitPlan(Struct, frozen=True):
    """What a fit changes, by position among the messages."""

    left_out: frozenset[int]
    shortened: dict[int, tuple[Shortened, Rendering]]
    warnings: list[str]


def plan_fit(
    messages: Sequence[Message],
    counts: Sequence[int],
    fit: Fit,
    *,
    beside: int,
    is_fixed: Callable[[str], bool],
    render: Callable[[Shortened], Rendering],
) -> FitPlan:
    """Returns what to change so that the messages and the tokens `beside` them fit. Errors: ContextTooLarge."""
    if sum(counts) + beside <= fit.max_tokens:
        return FitPlan(frozenset(), {}, [])
    return _Planner(messages, counts, fit, beside, is_fixed, render).plan()


class _Planner:
    """A plan while it is made. States: `_tokens` falls with each message that is shortened or left out."""

    def __init__(
        self,
        messages: Sequence[Message],
        counts: Sequence[int],
        fit: Fit,
        beside: int,
        is_fixed: Callable[[str], bool],
        render: Callable[[Shortened], Rendering],
    ) -> None:
        self._messages = messages
        self._committed = counts
        self._counts = list(counts)
        self._fit = fit
        self._tokens = sum(counts) + beside
        self._render = render
        self._groups = _groups(messages)
        self._members: dict[int, list[int]] = {}
        for position, group in enumerate(self._groups):
            self._members.setdefault(group, []).append(position)
        fixed = {
            position
            for position, message in enumerate(messages)
            if message.role in ("system", "developer") or is_fixed(message.commit_hashes[0])
        }
        self._fixed_messages = fixed
        self._fixed = {self._groups[position] for position in fixed}
        self._last = self._groups[-1] if messages else -1
        self._left_out: set[int] = set()
        self._shortened: dict[int, tuple[Shortened, Rendering]] = {}

    def plan(self) -> FitPlan:
        """Returns the plan. Errors: ContextTooLarge."""
        if self._fit.policy is not None:
            self._leave_out(self._chosen(self._fit.policy))
        else:
            self._shorten([n for n, group in enumerate(self._groups) if group != self._last])
            going = sum(self._counts[n] for n in range(len(self._messages)) if self._may_go(n))
            if self._tokens - going > self._fit.max_tokens:
                self._shorten(self._members[self._last])
            self._leave_out(range(len(self._messages)))
        if self._is_over():
            raise ContextTooLarge(max_tokens=self._fit.max_tokens, token_count=self._tokens)
        return FitPlan(frozenset(self._left_out), self._shortened, self._warnings())

    def _warnings(self) -> list[str]:
        limit = self._fit.max_tokens
        shortened = [
            f"commit {self._commit(n)}: its tool payload is shortened from {self._committed[n]:,} to "
            f"{rendering.tokens:,} tokens, to fit in {limit:,}"
            for n, (_, rendering) in sorted(self._shortened.items())
        ]
        left_out = [
            f"commit {self._commit(n)} is left out, with {self._committed[n]:,} tokens, to fit in {limit:,}"
            for n in sorted(self._left_out)
        ]
        return [*shortened, *left_out]

    def _is_over(self) -> bool:
        return self._tokens > self._fit.max_tokens

    def _may_go(self, position: int) -> bool:
        group = self._groups[position]
        return group not in self._fixed and group != self._last and position not in self._left_out

    def _commit(self, position: int) -> str:
        return self._messages[position].commit_hashes[0]

    def _shorten(self, positions: Iterable[int]) -> None:
        """Shortens payloads, the largest message first, until the rest fits."""
        for position in sorted(positions, key=lambda n: (-self._counts[n], n)):
            if not self._is_over():
                return
            if position in self._fixed_messages or position in self._shortened:
                continue
            made = _shortened(self._messages[position])
            if made is None:
                continue
            rendering = self._render(made)
            before = self._counts[position]
            if rendering.tokens >= before:
                continue
            self._shortened[position] = made, rendering
            self._counts[position] = rendering.tokens
            self._tokens -= before - rendering.tokens

    def _leave_out(self, positions: Iterable[int]) -> None:
        """Leaves messages out, in this order, each with what belongs to it, until the rest fits."""
        for position in positions:
            if not self._is_over():
                return
            if not self._may_go(position):
                continue
            for member in self._members[self._groups[position]]:
                self._left_out.add(member)
                self._tokens -= self._counts[member]
                self._shortened.pop(member, None)

    def _chosen(self, policy: FitPolicy) -> list[int]:
        """Returns the positions of the messages that a policy names. Errors: ArgumentError."""
        places = {self._commit(n): n for n in range(len(self._messages)) if self._may_go(n)}
        candidates = [
            FitCandidate(
                name, self._messages[n], self._counts[n], tuple(map(self._commit, self._members[self._groups[n]]))
            )
            for name, n in places.items()
        ]
        named = list(policy(candidates, self._tokens - self._fit.max_tokens))
        unknown = [name for name in named if name not in places]
        if unknown:
            raise ArgumentError(f"policy: {unknown[0]!r} is none of the commits that may go; return their hashes")
        return [places[name] for name in named]


def _groups(messages: Sequence[Message]) -> list[int]:
    """Returns for each message the group that goes together: a call and its results, reasoning and what follows it."""
    groups = list(range(len(messages)))
    called: dict[str, int] = {}
    is_reasoning = False
    for position, message in enumerate(messages):
        calls, answers = _ids(message)
        before = {groups[position - 1]} if is_reasoning else set()
        joined = before | {groups[called[id_]] for id_ in answers if id_ in called}
        if len(joined) > 1:
            groups = [min(joined) if group in joined else group for group in groups]
        groups[position] = min(joined, default=position)
        called.update(dict.fromkeys(calls, position))
        is_reasoning = '"type":"reasoning"' in message.canonical_json and message.to_dict().get("type") == "reasoning"
    return groups


def _ids(message: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tool_ids(message.to_openai())


def _shortened(message: Message) -> Shortened | None:
    """Returns the content of a message with its tool payloads shortened; None if there are none to shorten."""
    fields = message.fields()
    if not shorten_payloads(fields, message.commit_hashes[0], is_tool_io=message.is_tool_io):
        return None
    return ToolIOContent(**fields) if message.is_tool_io else MessageContent(fields)
