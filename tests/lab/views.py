"""A view and the files behind it, in the words in which the reference model is compared with it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.folding import in_causal_order
from tests.lab.reference import ReferenceView
from tests.lab.strategies_events import TRACTS, History
from tract_fs.errors import JsonValueError
from tract_fs.model.events import Event, Redact, decode_event
from tract_fs.model.objects import Commit, decode_commit
from tract_fs.model.view import View


class Files:
    """The named files of a history, decoded: what a view asks of a store."""

    def __init__(self, history: History, names: set[str] | None = None) -> None:
        self.events: dict[str, Event] = {}
        self.unreadable: set[str] = set()
        self.commits: dict[str, Commit] = {}
        self.contents: set[str] = set()
        self.visible: set[str] = set()
        self.redacted: set[str] = set()
        self.take(history, history.all_files() if names is None else names)
        self.settle()

    def take(self, history: History, names: Iterable[str]) -> None:
        """Takes files in; what is visible is for others to say."""
        for name in names:
            if name in history.events:
                try:
                    self.events[name] = decode_event(history.events[name])
                except JsonValueError:
                    self.unreadable.add(name)
            elif name in history.commits:
                self.commits[name] = decode_commit(history.commits[name])
            else:
                self.contents.add(name)
        self.redacted = {op.object for event in self.events.values() for op in event.ops if isinstance(op, Redact)}

    def settle(self) -> None:
        """Finds what is visible, the events of all tracts together."""
        views = {tract: View(tract) for tract in TRACTS}
        self.visible = set()
        for name, event in in_causal_order(self.events.items()):  # type: ignore[arg-type]
            if views[event.tract].apply(name, event, self):
                self.visible.add(name)

    def event(self, tract: str, name: str) -> Event | None:
        return self.events.get(name)

    def is_visible(self, tract: str, name: str) -> bool:
        return name in self.visible

    def commit(self, name: str) -> Commit | None:
        return self.commits.get(name)

    def content_type(self, name: str) -> str | None:
        """These contents are names without bytes: of each, no type is known."""
        return "" if name in self.contents or name in self.redacted else None


Facts = dict[str, object]


FactsByTract = dict[str, Facts]


def facts_of(view: View, files: Files) -> Facts:
    """Returns what a view says, in the words of the comparison."""
    heads = {branch: {head.commit for head in view.heads(branch, files)} for branch in view.branches}
    moves = {branch: {move.head for move in moves.values()} - {None} for branch, moves in view.branches.items()}
    return {
        "branches": {branch: found for branch, found in heads.items() if found},
        "hidden": {branch: moves[branch] - heads[branch] for branch in heads if heads[branch]},
        "unreplaced": {branch: set(moves) for branch, moves in view.branches.items()},
        "tags": {name: tag.target for name, tag in view.tags.items() if tag.target is not None},
        "event heads": set(view.event_heads),
        "not visible": set(view.pending) | files.unreadable,
    }


def expected_of_tract(reference: ReferenceView) -> Facts:
    branches = {op["branch"] for _, _, _, op in reference.ops() if "branch" in op}
    return {
        "branches": reference.branches(),
        "hidden": {branch: reference.hidden_heads(branch) for branch in reference.branches()},
        "unreplaced": {branch: set(reference.unreplaced(branch)) for branch in branches},
        "tags": reference.tags(),
        "event heads": reference.event_heads(),
        "not visible": reference.pending | reference.invalid,
    }


def expected_of(reference: ReferenceView) -> FactsByTract:
    return {tract: expected_of_tract(reference.of_tract(tract)) for tract in TRACTS}
