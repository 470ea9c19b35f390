"""A transaction: its clock, what counts as an append, what a return to a mark drops, and the bytes of its event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tract_fs.model.names import CommitHash, hash_bytes
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.usage import TokenUsage
from tract_fs.model.view import Head, View
from tract_fs.store.transaction import Transaction

AT = "2026-01-02T03:04:05.000006Z"
AT_US = 1_767_323_045_000_006
ONE, TWO, EVENT, OTHER = (digit * 64 for digit in "12ef")


def transaction(newest: str = AT) -> Transaction:
    return Transaction("main", View("default", newest=newest), Head(CommitHash(ONE), EVENT, AT))  # type: ignore[arg-type]


def commit(staged: Transaction, label: str, config: bytes | None = None) -> CommitHash:
    """Stages a commit; its bytes are of no account here."""
    made = Commit(operation=CommitOperation.MERGE, parents=(), created_at=AT)
    return staged.add_commit(made, label.encode(), AT_US + 1, config, {})


def event(staged: Transaction, view: View | None = None) -> dict[str, Any]:
    """Returns the fields of the event that a transaction encodes to, with two events as its line."""
    view = View("default", newest=AT, event_heads={EVENT: AT}) if view is None else view  # type: ignore[dict-item]
    return dict(json.loads(staged.encode("default", "0" * 32, view, [OTHER, EVENT]))["event"])


@pytest.mark.parametrize(
    ("newest", "wall_us", "expected_us"),
    [
        (AT, AT_US + 5, AT_US + 5),
        (AT, AT_US, AT_US + 1),
        (AT, AT_US - 1_000_000_000, AT_US + 1),
        (AT, -1, AT_US + 1),
        ("", 7, 7),
        ("", 0, 1),
    ],
    ids=["ahead", "equal", "behind", "before 1970", "no event yet", "no event yet, at 1970"],
)
def test_time_is_the_wall_clocks_or_just_after_the_newest_seen(newest: str, wall_us: int, expected_us: int) -> None:
    assert transaction(newest).tick(wall_us) == expected_us


def test_each_tick_is_after_the_one_before_and_the_last_is_the_events() -> None:
    staged = transaction()
    assert [staged.tick(AT_US) for _ in range(3)] == [AT_US + 1, AT_US + 2, AT_US + 3]
    staged.set_tag("v1", CommitHash(ONE))
    assert event(staged)["at"] == "2026-01-02T03:04:05.000009Z"


def test_an_append_is_new_commits_on_the_line_and_nothing_else() -> None:
    staged = transaction()
    assert (staged.is_empty, staged.is_move, staged.is_append) == (True, False, False)
    name = commit(staged, "one")
    assert (staged.is_empty, staged.is_move, staged.is_append) == (False, True, True)
    assert staged.head == name == hash_bytes(b"one")
    staged.set_tag("v1", name)
    assert not staged.is_append


@pytest.mark.parametrize("kind", ["forward", "merge", "create", "reset"])
def test_a_set_head_is_no_append_and_the_strongest_kind_is_the_events(kind: str) -> None:
    staged = transaction()
    staged.tick(AT_US)
    commit(staged, "one")
    staged.move_to(CommitHash(TWO), kind)
    staged.move_to(CommitHash(TWO), "forward")
    assert not staged.is_append
    (op,) = event(staged)["ops"]
    assert (op["kind"], op["head"]) == (kind, TWO)


def test_the_event_of_an_append_names_its_commits_and_replaces_the_line() -> None:
    staged = transaction()
    staged.tick(AT_US)
    names = [commit(staged, "one", b'{"model":"m-1"}'), commit(staged, "two")]
    assert event(staged) == {
        "at": "2026-01-02T03:04:05.000007Z",
        "ops": [
            {
                "branch": "main",
                "commits": [{"commit": names[0], "config": {"model": "m-1"}}, {"commit": names[1]}],
                "head": names[1],
                "kind": "append",
                "replaces": [EVENT, OTHER],
            }
        ],
        "parents": [EVENT],
        "tract": "default",
        "writer": "0" * 32,
    }


def test_the_event_of_other_operations_lists_moves_then_tags_then_usage() -> None:
    staged = transaction()
    staged.tick(AT_US)
    staged.add_usage(CommitHash(ONE), TokenUsage(7, 5, 12))
    staged.set_tag("v1", CommitHash(ONE))
    staged.set_tag("v0", None)
    staged.add_move("create", "side", CommitHash(TWO), [])
    staged.add_delete("old", [OTHER, EVENT])
    assert event(staged)["ops"] == [
        {"branch": "side", "commits": [], "head": TWO, "kind": "create", "replaces": []},
        {"branch": "old", "kind": "delete", "replaces": [EVENT, OTHER]},
        {"kind": "tag", "name": "v1", "target": ONE},
        {"kind": "tag", "name": "v0"},
        {"commit": ONE, "completion_tokens": 5, "kind": "usage", "prompt_tokens": 7, "total_tokens": 12},
    ]


def test_a_fixed_event_has_this_time_these_parents_and_no_writer() -> None:
    staged = transaction()
    staged.move_to(CommitHash(TWO), "forward", replaces=[OTHER])
    staged.fix(AT_US - 1, [OTHER])
    found = event(staged)
    assert (found["at"], found["parents"], found["writer"]) == ("2026-01-02T03:04:05.000005Z", [OTHER], "")
    assert found["ops"][0]["replaces"] == [OTHER]


def test_what_comes_in_from_another_tract_is_a_parent_once_and_moves_the_clock() -> None:
    staged = transaction()
    later = "2026-01-02T03:04:06.000000Z"
    foreign = View("sub", newest=later, event_heads={OTHER: later})  # type: ignore[dict-item]
    staged.add_foreign(foreign)
    staged.add_foreign(foreign)
    assert staged.tick(AT_US) == 1_767_323_046_000_001
    commit(staged, "one")
    assert not staged.is_append
    assert event(staged)["parents"] == [EVENT, f"sub/{OTHER}"]


def test_a_return_to_a_mark_drops_all_that_was_staged_since() -> None:
    staged = transaction()
    staged.tick(AT_US)
    staged.add_content(OTHER, b"content")
    first = commit(staged, "one")
    staged.set_tag("v1", first)
    before = event(staged)
    mark = staged.mark()
    staged.add_content(TWO, b"another")
    commit(staged, "two")
    staged.move_to(CommitHash(TWO), "reset", replaces=[OTHER])
    staged.add_move("create", "side", CommitHash(TWO), [])
    staged.set_tag("v1", None)
    staged.add_usage(CommitHash(ONE), TokenUsage(7, 5, 12))
    staged.foreign_parents.append(f"sub/{OTHER}")
    staged.return_to(mark)
    assert event(staged) == before
    assert (staged.head, list(staged.objects), list(staged.contents)) == (first, [OTHER, first], [OTHER])
    assert (list(staged.commits), list(staged.made), staged.created_us) == ([first], [first], [AT_US + 1])
    assert (staged.usage, staged.others, staged.foreign_parents) == ([], {}, [])
