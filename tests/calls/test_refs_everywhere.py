"""Each call that names a commit takes a ref, and finds an old commit in the history without a walk over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.inside import log_of, reader_of, store_of
from tests.lab.talk import Clock, edit_one, say, texts, user
from tract_fs import Tract
from tract_fs.errors import AmbiguousRefError, CommitNotFoundError
from tract_fs.store.objects import Objects


@pytest.fixture
def t(tmp_path: Path) -> Iterator[Tract]:
    with Tract.open(tmp_path / "context", durability="fast", clock=Clock()) as opened:
        yield opened


CALLS: dict[str, Callable[[Tract, str], Any]] = {
    "get_commit": lambda t, ref: t.get_commit(ref).commit_hash,  # type: ignore[union-attr]
    "resolve": lambda t, ref: t.resolve(ref),
    "get_content": lambda t, ref: t.get_content(ref).text,
    "get_annotations": lambda t, ref: [one.target_hash for one in t.get_annotations(ref)],
    "edit": lambda t, ref: t.edit(ref, "new").targets,
    "annotate": lambda t, ref: t.annotate(ref, "skip").target_hash,
    "annotate_all": lambda t, ref: [one.target_hash for one in t.annotate_all([ref], "skip")],
    "revert": lambda t, ref: t.revert(ref).targets,
    "cherry_pick": lambda t, ref: t.cherry_pick(ref).content_hash,
    "summarize": lambda t, ref: t.summarize([ref], "in short", keep_pinned=False).targets,
    "reset": lambda t, ref: t.reset(ref),
    "tag": lambda t, ref: t.tag("v2", ref),
    "branch": lambda t, ref: t.branch("new", at=ref),
    "at": lambda t, ref: closed_head(t.at(ref)),
    "compile": lambda t, ref: texts(t, at_commit=ref),
    "log": lambda t, ref: [info.commit_hash for info in t.log(after=ref)],
    "commit": lambda t, ref: t.commit(user("new"), operation="edit", target=ref).targets,
    "summarize first": lambda t, ref: t.summarize(content="in short", first=ref, last=ref, keep_pinned=False).targets,
    "watch": lambda t, ref: [info.commit_hash for info in t.watch(after=ref, timeout_s=0)],
    "diff": lambda t, ref: t.diff(ref).a.commit_hash,
    "diff b": lambda t, ref: t.diff("@", ref).b.commit_hash,
    "merge": lambda t, ref: t.merge(ref, expected_head=t.head).head == t.head,
    "bundle": lambda t, ref: t.bundle(Path(repr(t).split("'")[1]).parent / "b", since=ref, force=True).commits,
}


def closed_head(t: Tract) -> str | None:
    with t:
        return t.head


@pytest.mark.parametrize("call", CALLS)
def test_each_call_takes_each_kind_of_ref(t: Tract, call: str) -> None:
    _, two, _ = say(t, "one", "two", "three")
    t.annotate(two, "pinned")
    t.branch("side", at=two)
    t.tag("v1", two)
    answers = []
    for ref in (two, two[:8], "side", "v1", "@~2", "main~2", "HEAD~2"):
        with t.fork(f"copy-{len(answers)}") as copy:
            copy.branch("side", at=two)
            copy.tag("v1", two)
            answers.append(CALLS[call](copy, ref))
    assert answers == answers[:1] * 7
    if call not in ("get_content", "cherry_pick", "compile", "log", "watch", "merge", "bundle"):
        assert answers[0] in (two, [two], (two,))


def test_a_summary_and_a_conflict_are_named_by_a_ref_too(t: Tract) -> None:
    (one,) = say(t, "one")
    with t.on("side", create=True) as side:
        edit_one(side, one, "theirs")
    edit_one(t, one, "ours")
    t.tag("v1", one)
    t.merge("side", resolutions={"v1": user("both")})
    assert texts(t) == ["both"]
    summary = t.summarize(["v1"], "in short").commit_hash
    for ref in (summary, summary[:8], "main", "@", "HEAD"):
        assert [info.commit_hash for info in t.expand(ref)] == [one]


def test_what_names_no_commit_is_none_or_an_error(t: Tract) -> None:
    say(t, *map(str, range(300)))
    for ref in ("nothing", "f" * 64, "@~400", "", "a b", None, 7):
        assert t.get_commit(ref) is None  # type: ignore[arg-type]
        with pytest.raises(CommitNotFoundError):
            t.get_content(ref)  # type: ignore[arg-type]
    names = [info.commit_hash for info in t.log(None)]
    t.annotate(names[5], "pinned")
    with pytest.raises(CommitNotFoundError):
        t.get_content("@")
    twice = [name[:4] for name in names if sum(other.startswith(name[:4]) for other in names) > 1]
    for prefix in twice[:1]:
        with pytest.raises(AmbiguousRefError):
            t.get_commit(prefix)


# -- no walk


def long_store(path: Path) -> list[str]:
    """Makes a store whose main branch has 400 commits, one move each, and returns them."""
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        return say(t, *map(str, range(400)))


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets each commit which is read from now on."""
    found: list[str] = []
    plain = Objects.require_commit

    def counted(self: Objects, name: Any) -> Any:
        found.append(name)
        return plain(self, name)

    monkeypatch.setattr(Objects, "require_commit", counted)
    return found


OLD: dict[str, Callable[[Tract, str], object]] = {
    "annotate": lambda t, name: t.annotate(name, "pinned"),
    "edit": lambda t, name: edit_one(t, name, "new"),
    "revert": lambda t, name: t.revert(name),
    "cherry_pick": lambda t, name: t.cherry_pick(name),
    "tag": lambda t, name: t.tag("v1", name),
    "reset": lambda t, name: t.reset(name),
    "get_commit": lambda t, name: t.get_commit(name),
    "get_content": lambda t, name: t.get_content(name),
    "log(after)": lambda t, name: t.log(after="@~1"),
    "clear": lambda t, name: t.clear(),
}
MOVED: dict[str, Callable[[Tract, list[str]], object]] = {
    "no other move": lambda t, names: None,
    "a reset": lambda t, names: (t.reset(names[300]), say(t, "more")),
    "two resets and an undo": lambda t, names: (t.reset(names[300]), t.reset(names[200]), t.undo(), say(t, "more")),
    "a branch": lambda t, names: (t.branch("side", at=names[300]), t.switch("side"), say(t, "more")),
    "a branch of a branch": lambda t, names: (
        (t.branch("side", at=names[300]), t.switch("side"), say(t, "more")),
        (t.switch("deep", create=True), say(t, "most")),
    ),
    "a merge": lambda t, names: (
        (t.branch("side", at=names[0]), t.switch("side"), say(t, "more")),
        (t.merge("main"), say(t, "most")),
    ),
    "a rename": lambda t, names: (t.rename_branch("main", "trunk"), say(t, "more")),
}


@pytest.mark.parametrize("moved", MOVED)
def test_a_call_on_an_old_commit_reads_few_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str) -> None:
    names = long_store(tmp_path)
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        MOVED[moved](t, names)
        branch = str(t.branch)
    reads = count_reads(monkeypatch)
    for call, act in OLD.items():
        with Tract.open(tmp_path, durability="fast", clock=Clock(), branch=branch) as t:
            head = t.head
            del reads[:]
            act(t, names[20])
            assert len(reads) < 40, call
            if t.head != head:
                t.reset(str(head))


def test_an_old_commit_of_a_fork_is_found_without_a_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = long_store(tmp_path)
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t, t.fork("sub") as sub, sub.fork("deep") as deep:
        say(sub, "more")
        say(deep, "most")
        say(t, "other")
    reads = count_reads(monkeypatch)
    for tract in ("sub", "deep"):
        with Tract.open(tmp_path, tract_id=tract, durability="fast", clock=Clock()) as t:
            del reads[:]
            t.annotate(names[20], "pinned")
            assert len(reads) < 40, tract


def test_a_batch_of_annotations_reads_few_commits_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = long_store(tmp_path)
    reads = count_reads(monkeypatch)
    with Tract.open(tmp_path, durability="fast", clock=Clock()) as t:
        with t.batch():
            for name in names[:200]:
                t.annotate(name, "pinned")
        assert len(reads) < 200 * 20
        del reads[:]
        log_of(t).view.lines.clear()  # as saved by an earlier version
        with t.batch():
            for name in names[:200]:
                t.annotate(name, "normal")
        assert len(reads) < 200 * 20 + 2 * 400


def test_a_commit_that_is_not_in_the_history_is_refused_in_a_batch_too(t: Tract) -> None:
    _, two = say(t, "one", "two")
    t.reset("@~1")
    with pytest.raises(CommitNotFoundError):
        t.annotate(two, "skip")
    with t.batch():
        (three,) = say(t, "three")
        t.annotate(three, "pinned")
        t.reset("@~2")
        for name in (two, three):
            with pytest.raises(CommitNotFoundError):
                t.annotate(name, "skip")
    assert texts(t) == ["one"]


def test_an_undone_batch_and_a_reset_leave_no_trace_in_what_is_known(t: Tract) -> None:
    one, two = say(t, "one", "two")
    log_of(t).view.lines.clear()
    t.annotate(two, "pinned")
    t.reset(one)
    assert not reader_of(t).is_in_history(two)  # type: ignore[arg-type]
    t.reset(two)
    assert reader_of(t).is_in_history(two)  # type: ignore[arg-type]


# -- a handle of its own


def test_handles_on_two_branches_each_commit_to_their_own(t: Tract) -> None:
    say(t, "base")
    with t.on("a", create=True) as a, t.on("b", create=True) as b:
        for number in range(3):
            a.commit(user(f"a{number}"))
            b.commit(user(f"b{number}"))
        assert (t.branch, a.branch, b.branch) == ("main", "a", "b")
        assert texts(a) == ["base", "a0", "a1", "a2"]
        assert texts(b) == ["base", "b0", "b1", "b2"]
        t.switch("a")
        assert (texts(t), str(b.branch)) == (["base", "a0", "a1", "a2"], "b")
    assert store_of(t).read_only is False


def test_a_handle_on_a_branch_of_a_read_only_one_is_read_only(tmp_path: Path) -> None:
    long_store(tmp_path)
    with Tract.open(tmp_path, read_only=True) as t, t.on("main") as other:
        assert other.head == t.head
        assert store_of(other).read_only


def test_a_target_is_looked_up_after_a_batch_that_was_dropped(t: Tract) -> None:
    first = t.commit(user("first")).commit_hash
    left = t.commit(user("left behind")).commit_hash
    t.reset(first)
    t.commit(user("second"))
    for _ in range(2):
        with pytest.raises(RuntimeError), t.batch():
            t.commit(user("dropped"))
            with pytest.raises(CommitNotFoundError):
                t.annotate(left, "skip")
            raise RuntimeError
        with pytest.raises(CommitNotFoundError):
            t.annotate(left, "skip")
        t.annotate(first, "pinned")
    assert texts(t) == ["first", "second"]
