"""Refs: how a text names a commit, and what it must not name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.states import own_place
from tests.lab.talk import Clock, say, user
from tract_fs import Tract
from tract_fs.errors import AmbiguousRefError, CommitNotFoundError
from tract_fs.model.refs import Ref, parse_ref


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("main", Ref(None, "main")),
        ("feature/x", Ref(None, "feature/x")),
        ("main~3", Ref(None, "main", ((1, 3),))),
        ("main~", Ref(None, "main", ((1, 1),))),
        ("main^", Ref(None, "main", ((1, 1),))),
        ("main^2", Ref(None, "main", ((2, 1),))),
        ("v1^2~3^", Ref(None, "v1", ((2, 1), (1, 3), (1, 1)))),
        ("main~0^0", Ref(None, "main", ((1, 0), (0, 1)))),
        ("sub.1:main~2", Ref("sub.1", "main", ((1, 2),))),
        ("@~1", Ref(None, "@", ((1, 1),))),
    ],
)
def test_a_ref_is_taken_apart(text: str, ref: Ref) -> None:
    assert parse_ref(text) == ref


@pytest.mark.parametrize(
    "text",
    ["", "~1", "^", ":main", "a:b:c", "UPPER:main", "../x:main", "main~x", "main~1x", "main~99999999999", None, 7],
)
def test_what_is_no_ref_is_told_apart(text: object) -> None:
    assert parse_ref(text) is None


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, clock=Clock(), durability="fast")


def test_steps_back_lead_along_first_parents(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    assert [t.resolve(ref) for ref in ("main", "main~", "main~2", "main^^", "main^~1", "main~0", "main^0")] == [
        three,
        two,
        one,
        one,
        one,
        three,
        three,
    ]
    assert [t.resolve(f"{three}~1"), t.resolve(f"{three[:9]}^")] == [two, two]


def test_at_is_the_head_and_so_is_head_unless_a_branch_has_that_name(t: Tract) -> None:
    one, two = say(t, "one", "two")
    assert [t.resolve("@"), t.resolve("HEAD"), t.resolve("@~1")] == [two, two, one]
    t.branch("HEAD", at=one)
    assert [t.resolve("@"), t.resolve("HEAD")] == [two, one]


@pytest.mark.parametrize(
    "ref", ["main~3", "main^2", "main~2^", "nothing", "nothing~1", "main~x", ":main", "", "zz:main"]
)
def test_a_ref_that_leads_nowhere_is_an_error(t: Tract, ref: str) -> None:
    say(t, "one", "two", "three")
    with pytest.raises(CommitNotFoundError) as told:
        t.resolve(ref)
    assert told.value.hash in (ref, ref.partition("~")[0], "main")


def test_the_error_of_too_many_steps_says_how_many_parents_there_are(t: Tract) -> None:
    (one,) = say(t, "one")
    with pytest.raises(CommitNotFoundError, match=rf"commit {one} has 0 parents, so 'main~1' names no commit"):
        t.resolve("main~1")


def test_a_branch_comes_before_a_tag_and_a_tag_before_a_prefix(t: Tract) -> None:
    one, two, three = say(t, "one", "two", "three")
    prefix = one[:6]
    t.tag(prefix, two)
    assert t.resolve(prefix) == two
    t.branch(prefix, at=three)
    assert t.resolve(prefix) == three
    assert t.resolve(one[:7]) == one


def test_a_prefix_of_several_commits_is_ambiguous(t: Tract) -> None:
    names = say(t, *map(str, range(2000)))
    taken: dict[str, int] = {}
    for name in names:
        taken[name[:4]] = taken.get(name[:4], 0) + 1
    prefix = next(prefix for prefix, count in taken.items() if count == 2)
    with pytest.raises(AmbiguousRefError) as told:
        t.resolve(f"{prefix}~1")
    twins = tuple(sorted(name for name in names if name.startswith(prefix)))
    assert told.value.fields == {"ref": prefix, "count": 2, "matches": twins}


def test_the_own_tract_may_be_named(t: Tract) -> None:
    one, two = say(t, "one", "two")
    assert [t.resolve("default:main"), t.resolve("default:main~1"), t.resolve(f"default:{one[:8]}")] == [two, one, one]


def test_a_commit_of_another_tract_resolves_only_where_it_came_in(t: Tract, tmp_path: Path) -> None:
    (one,) = say(t, "one")
    with Tract.open(tmp_path, tract_id="other") as other:
        (foreign,) = say(other, "elsewhere")
    with t.fork("sub") as sub:
        (ahead,) = say(sub, "ahead")
        assert [sub.resolve("default:main"), sub.resolve("sub:main"), sub.resolve("sub:main~1")] == [one, ahead, one]
    for ref, name in (("other:main", foreign), ("sub:main", ahead)):
        with pytest.raises(CommitNotFoundError) as told:
            t.resolve(ref)
        assert told.value.hash == name
    assert t.resolve("sub:main~1") == one


def test_a_ref_makes_no_directory_for_a_tract_that_is_not_there(t: Tract, tmp_path: Path) -> None:
    say(t, "one")
    before = sorted(path.name for path in (own_place(tmp_path) / "tracts").iterdir())
    for ref in ("nobody:main", "con:main", "a/b:main"):
        with pytest.raises(CommitNotFoundError):
            t.resolve(ref)
    assert sorted(path.name for path in (own_place(tmp_path) / "tracts").iterdir()) == before


def test_what_a_batch_has_staged_resolves_inside_it(t: Tract) -> None:
    (one,) = say(t, "one")
    with t.batch():
        (two,) = say(t, "two")
        t.tag("here")
        t.branch("dev")
        assert [t.resolve(ref) for ref in ("main", "@", "here", "dev", "dev~1", two[:8])] == [
            two,
            two,
            two,
            two,
            one,
            two,
        ]
        with pytest.raises(CommitNotFoundError):
            t.resolve("main~2")


def test_a_log_compile_and_content_of_a_ref(t: Tract) -> None:
    one, two = say(t, "one", "two")
    assert t.compile(at_commit="main~1").commit_hashes == [one]
    edited = t.edit("main~1", user("one!")).commit_hash
    assert t.get_commit(edited).targets == (one,)  # type: ignore[union-attr]
    assert t.compile().commit_hashes == [one, two]
