"""Which hidden events make a branch incomplete, from made-up events alone."""

from __future__ import annotations

from typing import Any

import pytest

from tract_fs.model.events import Append, BroughtCommit, Create, Event, Reset
from tract_fs.model.incomplete import Incomplete, Lost, Shown, Unread, Waiting, find_incomplete
from tract_fs.model.names import CommitHash, EventHash


def event_name(letter: str) -> EventHash:
    return EventHash(letter * 64)


def commit_name(letter: str) -> CommitHash:
    return CommitHash(letter.upper() * 64)


CONTENT = Lost("content", "0" * 64)
LOST_X = Lost("event", event_name("x"), "default")


def event(letter: str, replaces: str, *, kind: Any = Append, branch: str = "main") -> Event:
    head = commit_name(letter)
    op = kind(
        branch=branch, head=head, commits=(BroughtCommit(head),), replaces=tuple(event_name(name) for name in replaces)
    )
    return Event(
        at=f"2026-01-02T03:04:05.00000{ord(letter) - ord('a')}Z", ops=(op,), parents=(), tract="default", writer=""
    )


def find(
    *events: Event,
    unread: dict[str, Unread] | None = None,
    head: str | None = "b",
    is_own: bool = False,
    known: str = "",
    visible: str = "ab",
    contained: str = "",
) -> Incomplete | None:
    waiting = {event_name(found.ops[0].head[0].lower()): Waiting(found, CONTENT) for found in events}  # type: ignore[union-attr]
    shown = Shown(
        branch="main",
        event=None if head is None else event_name(head),
        is_own=is_own,
    )
    return find_incomplete(
        shown,
        waiting,
        {event_name(name): found for name, found in (unread or {}).items()},
        known={event_name(name) for name in known},
        is_visible=lambda name: name[0] in visible,
        contains=lambda commit: commit[0].lower() in contained,
    )


def missing(**changes: bool | CommitHash | None) -> Unread:
    """An event that is damaged, and of which nothing is known; with changes."""
    fields: dict[str, Any] = {
        "lost": LOST_X,
        "commit": None,
        "is_of_branch": None,
        "is_after_head": True,
        "is_taken_back": False,
    }
    return Unread(**(fields | changes))


def test_what_builds_on_the_head_counts_with_all_its_commits_oldest_first() -> None:
    found = find(event("d", "c"), event("c", "b"))
    assert found == Incomplete(
        "main", (CONTENT,), (event_name("c"), event_name("d")), (commit_name("c"), commit_name("d"))
    )


@pytest.mark.parametrize("known", ["", "cd"])
def test_a_copy_on_its_own_line_misses_only_what_it_knew(known: str) -> None:
    assert (find(event("c", "b"), event("d", "c"), is_own=True, known=known) is None) == (known == "")


def test_another_line_does_not_count_for_the_own_one_but_for_a_copy_that_has_none() -> None:
    assert find(event("c", "a"), is_own=True, known="c") is None
    assert find(event("c", "a")) is not None


def test_a_line_that_begins_by_itself_does_not_count_where_there_is_a_head() -> None:
    assert find(event("c", "", kind=Create)) is None
    assert find(event("c", "", kind=Create), head=None) is not None


def test_an_event_of_another_branch_does_not_count() -> None:
    assert find(event("c", "b", branch="other")) is None


def test_a_move_through_one_that_can_not_be_read_may_have_replaced_the_head() -> None:
    assert find(event("c", "x"), is_own=True, known="c", unread={"x": missing()}) is not None
    assert find(event("c", "x"), is_own=True, known="c", unread={"x": missing(is_after_head=False)}) is None


def test_what_an_adopted_head_contains_is_settled_with_all_that_its_moves_replaced() -> None:
    events = [event("c", "b"), event("d", "c"), event("e", "d", kind=Reset)]
    assert find(*events) is not None
    assert find(*events, contained="e") is None
    assert find(*events, contained="c") is not None
    assert find(event("d", "x"), contained="d", unread={"x": missing()}) is None


@pytest.mark.parametrize(
    ("unread", "options", "is_missed"),
    [
        (missing(), {}, True),
        (missing(is_of_branch=False), {}, False),
        (missing(commit=commit_name("c")), {"contained": "c"}, False),
        (missing(), {"is_own": True}, False),
        (missing(), {"is_own": True, "known": "x"}, True),
        (missing(is_after_head=False), {"is_own": True, "known": "x"}, False),
        (missing(is_taken_back=True), {"known": "x"}, True),
        (missing(is_taken_back=True), {"known": "x", "is_own": True}, True),
        (missing(is_taken_back=True, is_accepted=True), {"known": "x"}, False),
        (missing(is_accepted=True), {"known": "x", "head": None}, False),
    ],
)
def test_an_event_that_can_not_be_read(unread: Unread, options: dict[str, Any], is_missed: bool) -> None:
    found = find(unread={"x": unread}, **options)
    is_going_back = unread.is_taken_back
    assert found == (Incomplete("main", (LOST_X,), (), (), is_going_back) if is_missed else None)


def test_what_waits_for_an_accepted_event_is_a_hole_and_no_going_back() -> None:
    unread = {"x": missing(is_taken_back=True, is_accepted=True)}
    found = find(event("c", "x"), is_own=True, known="cx", unread=unread)
    assert found == Incomplete("main", (CONTENT,), (event_name("c"),), (commit_name("c"),), False)


def test_a_lost_file_is_described_by_its_path() -> None:
    assert LOST_X.describe() == f"events/default/xx/{'x' * 62} (event) is missing"
    assert Lost("content", "0" * 64, is_damaged=True).describe() == f"objects/00/{'0' * 62} (content) is damaged"
