"""Lineages are unrelated only where both sides have a first event and nothing in common; heads, where no commit joins them."""

from __future__ import annotations

from tract_fs.model.events import Append, Event
from tract_fs.model.lineage import Lineage
from tract_fs.model.messages import first_words
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.reach import Reach


def lineage(**parents: str) -> Lineage:
    """Returns a lineage of events by name, each with its parents in one string, in order of time."""
    found = Lineage()
    for place, (name, names) in enumerate(parents.items()):
        move = Append(branch="main", commits=(), head=CommitHash(f"head of {name}"), replaces=())
        at = f"2026-01-01T00:00:00.{place:06}Z"
        found.add(name, Event(at=at, ops=(move,), parents=tuple(map(EventHash, names.split())), tract="t", writer=""))
    return found


def test_two_histories_with_first_events_and_nothing_in_common_are_unrelated() -> None:
    assert lineage(a="", b="a").is_unrelated(lineage(c="", d="c"))
    assert not lineage(a="", b="a").is_unrelated(lineage(a="", d="a"))


def test_a_side_without_a_first_event_proves_nothing() -> None:
    assert not lineage(a="").is_unrelated(lineage(d="c"))
    assert not lineage().is_unrelated(lineage(a=""))


def test_a_parent_on_the_other_side_relates() -> None:
    for one, other in ((lineage(a=""), lineage(c="", d="c a")), (lineage(c="", d="c a"), lineage(a=""))):
        assert not one.is_unrelated(other)


def test_a_fork_builds_on_another_tract_and_proves_nothing() -> None:
    assert not lineage(a="other/x").is_unrelated(lineage(b="other/y"))
    assert not lineage(a="other/x").is_unrelated(lineage(b=""))


def test_the_first_commit_is_that_of_the_earliest_first_event() -> None:
    assert lineage(b="a", c="", d="").first_commit() == "head of c"
    assert lineage(b="a").first_commit() is None


def test_first_words_are_one_short_line() -> None:
    assert first_words("one\n two\t three " + 100 * "x") == "one two three " + 46 * "x"


def unrelated(heads: str, **parents: str) -> str | None:
    order = list(parents)

    def read(name: CommitHash) -> Commit:
        names = tuple(map(CommitHash, parents[name].split()))
        at = f"2026-01-01T00:00:00.{order.index(name):06}Z"
        return Commit(operation=CommitOperation.MERGE, parents=names, created_at=at)

    return Reach([CommitHash(head) for head in heads.split()], read).unrelated()


def test_heads_are_related_through_a_common_commit_or_through_other_heads() -> None:
    assert unrelated("b c", a="", b="a", c="a") is None
    assert unrelated("c d e", a="", b="", c="a", d="b", e="a b") is None
    assert unrelated("a", a="") is None


def test_the_first_head_without_a_common_commit_is_named() -> None:
    assert unrelated("c d", a="", b="", c="a", d="b") == "d"
    assert unrelated("c e d", a="", b="", c="a", d="b", e="a") == "d"
