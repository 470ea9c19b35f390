"""The lines of a view: what they show of a head's history is true, whatever the moves and the order of their arrival."""

from __future__ import annotations

import random

import pytest

from tests.lab.folding import in_causal_order
from tests.lab.strategies_events import TRACTS, History, make_history
from tests.lab.views import Files
from tract_fs.model.events import Append, BroughtCommit, Delete, Merge, Reset
from tract_fs.model.history import KnownHistory, is_ancestor, linear_order
from tract_fs.model.lines import BringingMove, Line, Turn, shows
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.model.view import View

A, B, C, D = (CommitHash(digit * 64) for digit in "abcd")
ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def views_in_parts(history: History, rng: random.Random) -> tuple[dict[str, View], Files]:
    """Returns the views after the files have come in random portions."""
    files = Files(history, set())
    views = {tract: View(tract) for tract in TRACTS}
    rest = sorted(history.all_files())
    rng.shuffle(rest)
    while rest:
        count = rng.randint(1, len(rest))
        part, rest = rest[:count], rest[count:]
        files.take(history, part)
        offered = [(name, event) for name, event in files.events.items() if name not in files.visible]
        for name, event in in_causal_order(offered):  # type: ignore[arg-type]
            if views[event.tract].apply(name, event, files):
                files.visible.add(name)
    return views, files


def moves_in(files: Files, views: dict[str, View], commit: CommitHash) -> list[BringingMove]:
    visible = [(name, event) for name, event in files.events.items() if name in files.visible and event.find(commit)]
    return [
        BringingMove(name, event.at, op, views[event.tract].lines.get(op.branch))  # type: ignore[arg-type]
        for name, event in visible
        for op in event.moves_that_bring(commit)
    ]


def test_what_the_lines_of_a_random_history_show_is_in_it() -> None:
    shown = 0
    for seed in range(1000):
        rng = random.Random(seed)
        views, files = views_in_parts(make_history(random.Random(seed)), rng)
        found = {entry.commit for n, e in files.events.items() if n in files.visible for entry in e.iter_commits()}
        brought = {commit: moves_in(files, views, commit) for commit in found}
        for view in views.values():
            for branch, moves in view.branches.items():
                line = view.lines[branch] if len(moves) == 1 else None
                for head in {move.head for move in moves.values()} - {None}:
                    for target in found:
                        if shows(target, head, line, lambda name: brought.get(name, [])):  # type: ignore[arg-type]  # noqa: B023
                            assert is_ancestor(target, head, files.commits.__getitem__), f"seed {seed}"  # type: ignore[arg-type]
                            shown += 1
    assert shown > 1000


def test_a_known_history_answers_as_a_walk_does() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        files = Files(make_history(random.Random(seed)))
        read = files.commits.__getitem__
        known = KnownHistory(read)  # type: ignore[arg-type]
        whole = [name for name in files.commits if all(one in files.commits for one in _all_parents(files, name))]
        for _ in range(80 if whole else 0):
            head, name = CommitHash(rng.choice(whole)), CommitHash(rng.choice(whole))
            assert known.has(head, name) == (name in linear_order(head, read)), f"seed {seed}"  # type: ignore[arg-type]


def _all_parents(files: Files, name: str) -> set[str]:
    found: set[str] = set()
    queue = [name]
    for one in queue:
        parents = files.commits[one].parents if one in files.commits else ()
        queue += [parent for parent in parents if parent not in found]
        found.update(parents)
    return found


# -- one line


def commit_of(*parents: CommitHash) -> Commit:
    return Commit(operation=CommitOperation.MERGE, parents=parents, created_at="2026-01-02T03:04:05.000006Z")


def move(kind: type, head: CommitHash, *commits: CommitHash, replaces: tuple[str, ...] = ()) -> object:
    return kind("main", head, tuple(map(BroughtCommit, commits)), replaces)


@pytest.mark.parametrize(
    ("op", "before", "line"),
    [
        (move(Append, B, A, B, replaces=(ONE,)), [ONE], Line([Turn("", None)], [], "")),
        (move(Append, B, A, B), [ONE], Line([Turn("", None)], [], "7")),
        (move(Append, B, A, B, replaces=(ONE, TWO)), [ONE, TWO], Line([Turn("", None)], [], "7")),
        (move(Append, B, A, B, replaces=(ONE, THREE)), [ONE], Line([Turn("", None)], [], "")),
        (move(Append, A, A, B, replaces=(ONE,)), [ONE], Line([Turn("", None), Turn("7", A)], [], "")),
        (move(Append, C, B, C, replaces=(ONE,)), [ONE], Line([Turn("", None), Turn("7", C)], [], "")),
        (move(Reset, D, replaces=(ONE,)), [ONE], Line([Turn("", None), Turn("7", D)], [], "")),
        (Delete("main", (ONE,)), [ONE], Line([Turn("", None), Turn("7", None)], [], "")),
        (move(Merge, D, D, replaces=(ONE,)), [ONE], Line([Turn("", None)], [Turn("7", B), Turn("7", C)], "")),
    ],
)
def test_a_move_bends_forks_or_joins_its_line(op: object, before: list[str], line: Line) -> None:
    commits = {A: commit_of(), B: commit_of(A), C: commit_of(A), D: commit_of(B, C)}
    found = Line()
    found.note("7", op, before, commits.__getitem__)  # type: ignore[arg-type]
    assert found == line


def test_a_line_keeps_its_newest_bends() -> None:
    line = Line()
    for number in range(40):
        line.note(f"{number:02}", move(Reset, A), [], {}.__getitem__)  # type: ignore[arg-type]
    assert [bend.at for bend in line.bends] == [f"{number:02}" for number in range(8, 40)]
    assert line.start_of("08") is None
    assert line.start_of("085") == Turn("08", A)
