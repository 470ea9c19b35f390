"""Depth is no limit: chains of tracts, edits and summaries of any length are read, and a stack that is nearly full damages nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.peers import Put, put_append, put_event, put_forks, put_object
from tests.lab.states import answers, remove_local
from tests.lab.stores import fill, make_store
from tests.lab.talk import Clock, say, texts
from tract_fs import Tract


def made(path: Path) -> Path:
    Tract.open(path, tract_id="empty").close()
    return path


def at_second(number: int, microsecond: int = 0) -> str:
    return f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.{microsecond:06}Z"


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_chain_of_forks_opens_in_a_fresh_copy(tmp_path: Path, count: int) -> None:
    path = made(tmp_path / "context")
    head = put_forks(path, count)
    expected = [f"s{number}" for number in range(count)]
    for options in ({"read_only": True}, {"durability": "fast"}):
        with Tract.open(path, tract_id=f"t{count - 1}", **options) as t:  # type: ignore[arg-type]
            assert t.head == head
            assert texts(t) == expected
            assert len(t.log(None)) == count
            assert t.status().pending == ()
    with Tract.open(path, tract_id=f"t{count - 1}", durability="fast", clock=Clock()) as t:
        say(t, "more")
        assert texts(t) == [*expected, "more"]


def test_forks_that_arrive_under_an_open_handle_are_found_through_the_whole_chain(tmp_path: Path) -> None:
    path, far = made(tmp_path / "context"), made(tmp_path / "far")
    put_forks(far, 150)
    put_forks(path, 1)
    with Tract.open(path, tract_id="t149", durability="fast", clock=Clock()) as t:
        assert texts(t) == []
        with Tract.open(far, tract_id="t149", durability="fast") as other:
            other.sync(path)
        t.refresh()
        assert texts(t) == [f"s{number}" for number in range(150)]


def put_nested(path: Path, depth: int) -> None:
    """Writes tracts t0, t1, ..., each a fork of the one before, which then goes on from the fork's head."""
    line: list[Put] = []
    for number in range(depth):
        tract, on = f"t{number}", None
        if line:
            create = {"branch": "main", "commits": [], "head": line[-1].commit, "kind": "create", "replaces": []}
            parents = [f"t{number - 1}/{line[-1].event}"]
            event = put_event(path, create, at=at_second(number, 1), tract=tract, parents=parents)
            on = Put("", line[-1].commit, event)
        content = {"content_type": "dialogue", "role": "user", "text": f"s{number}"}
        line.append(put_append(path, content, at=at_second(number, 2), tract=tract, on=on))
    below = line.pop()
    for number in range(depth - 2, -1, -1):
        here = line.pop()
        forward = {
            "branch": "main",
            "commits": [],
            "head": below.commit,
            "kind": "forward",
            "replaces": [here.event],
        }
        parents = [here.event, f"t{number + 1}/{below.event}"]
        at = at_second(2 * depth - number)
        below = Put("", below.commit, put_event(path, forward, at=at, tract=f"t{number}", parents=parents))


@pytest.mark.parametrize("depth", [15, 17, 150])
def test_forks_of_forks_that_were_all_merged_back_open_in_a_fresh_copy(tmp_path: Path, depth: int) -> None:
    path = made(tmp_path / "context")
    put_nested(path, depth)
    expected = [f"s{number}" for number in range(depth)]
    for number in (0, depth - 1):
        remove_local(path)
        with Tract.open(path, tract_id=f"t{number}", durability="fast") as t:
            assert texts(t) == expected
            assert t.status().pending == ()


def test_many_forks_that_were_merged_back_one_after_the_other_open_in_a_fresh_copy(tmp_path: Path) -> None:
    path = tmp_path / "context"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        say(t, "start")
        for number in range(40):
            with t.fork(f"t{number}") as fork:
                say(fork, f"s{number}")
            t.merge(f"t{number}:main")
        expected = texts(t)
    assert len(expected) == 41
    remove_local(path)
    with Tract.open(path) as t:
        assert texts(t) == expected
        assert t.status().pending == ()


def put_line(path: Path, commits: list[dict[str, Any]]) -> list[str]:
    """Writes one event that brings a line of commits, each on the one before; a callable field gets those before."""
    names: list[str] = []
    for number, fields in enumerate(commits):
        content = {"content_type": "dialogue", "role": "user", "text": f"c{number}"}
        given = {key: value(names) if callable(value) else value for key, value in fields.items()}
        body = {
            "content": put_object(path, "content", content),
            "content_type": "dialogue",
            "created_at": at_second(number),
            "parents": names[-1:],
            **given,
        }
        names.append(put_object(path, "commit", body))
    op = {
        "branch": "main",
        "commits": [{"commit": name} for name in names],
        "head": names[-1],
        "kind": "append",
        "replaces": [],
    }
    put_event(path, op, at=at_second(len(names)))
    return names


APPEND: dict[str, Any] = {"operation": "append"}


@pytest.mark.parametrize(
    ("operation", "shown"),
    [("append", [f"c{number}" for number in range(1500)]), ("edit", ["c1"]), ("summarize", ["c1499"])],
)
def test_long_chains_of_commits_about_each_other_compile(tmp_path: Path, operation: str, shown: list[str]) -> None:
    """An edit of an edit has no effect; a summary of a summary stands for all that it covers."""
    path = made(tmp_path / "context")
    later: dict[str, Any] = {"operation": operation}
    if operation != "append":
        later["targets"] = lambda names: [names[-1]]
    names = put_line(path, [APPEND, *[later] * 1499])
    with Tract.open(path, durability="fast") as t:
        assert texts(t) == shown
        assert texts(t, include_edit_annotations=True, orphans="keep")
        assert len(t.log(None)) == 1500
        assert t.status().commit_count == 1500
        assert t.diff(names[0], "main") is not None


# the stack


def with_frames_left(frames: int, call: Callable[[], Any]) -> Any:
    """Returns what a call returns where about so many frames of the interpreter's stack are left."""
    used, frame = 0, sys._getframe()
    while frame is not None:
        used, frame = used + 1, frame.f_back  # type: ignore[assignment]

    def go_down(count: int) -> Any:
        return call() if count <= 0 else go_down(count - 1)

    return go_down(sys.getrecursionlimit() - used - frames)


CALLS: dict[str, Callable[[Tract], Any]] = {
    "compile": lambda t: [message.to_dict() for message in t.compile().messages],
    "log": lambda t: [info.to_dict() for info in t.log(None)],
    "diff": lambda t: len(t.diff("main~3", "main").entries),
    "contents": lambda t: [repr(t.get_content(info.commit_hash)) for info in t.log(None) if info.content_hash],
}


@pytest.mark.parametrize("is_opened_before", [True, False], ids=["open handle", "new handle"])
@pytest.mark.parametrize("name", CALLS)
def test_a_stack_that_is_nearly_full_gives_a_recursion_error_and_no_damage(
    tmp_path: Path, name: str, is_opened_before: bool
) -> None:
    path = make_store(tmp_path / "context", fill)
    with Tract.open(path) as t:
        expected, everything = CALLS[name](t), answers(t)
    found = []
    for frames in range(8, 60) if is_opened_before else range(8, 100, 2):
        if not is_opened_before:
            remove_local(path)
        t = Tract.open(path, durability="fast") if is_opened_before else None
        try:
            found.append(with_frames_left(frames, lambda t=t: look(path, name, t)))
        except RecursionError:
            continue
        finally:
            if t is not None:
                t.close()
    assert found
    assert all(one == expected for one in found)
    with Tract.open(path) as t:
        assert answers(t) == everything
        status = t.status()
        assert (status.pending, status.damaged, status.gone, status.quarantined, status.strays) == ((), (), (), (), ())


def look(path: Path, name: str, t: Tract | None) -> Any:
    if t is not None:
        return CALLS[name](t)
    with Tract.open(path, durability="fast") as t:
        return CALLS[name](t)


def test_a_handle_that_met_a_full_stack_goes_on(tmp_path: Path) -> None:
    path = make_store(tmp_path / "context", fill)
    with Tract.open(path, durability="fast") as t:
        expected = answers(t)
        for frames in range(8, 80, 2):
            with suppress(RecursionError):
                assert with_frames_left(frames, lambda: texts(t)) == texts(t)
            assert answers(t) == expected
