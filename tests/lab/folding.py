"""The view after many events at once: the model's law that the order in which events arrive does not matter."""

from __future__ import annotations

from collections.abc import Iterable

from tract_fs.model.events import Event
from tract_fs.model.names import EventHash
from tract_fs.model.view import Source, View


def fold(events: Iterable[tuple[EventHash, Event]], *, tract: str, source: Source) -> View:
    """Returns the view after all `events` of one tract, given in any order.

    `source` answers for commits, contents and other tracts; the events of this tract, and which are visible, are kept here.
    """
    folding = _Folding(dict(events), tract, source)
    view = View(tract)
    for name, event in in_causal_order(folding.events.items()):
        if view.apply(name, event, folding):
            folding.visible.add(name)
    return view


def in_causal_order(events: Iterable[tuple[EventHash, Event]]) -> list[tuple[EventHash, Event]]:
    """Returns events by (`at`, hash): every parent before its children."""
    return sorted(events, key=lambda item: (item[1].at, item[0]))


class _Folding:
    """A source whose events of one tract are the ones being folded."""

    def __init__(self, events: dict[EventHash, Event], tract: str, source: Source) -> None:
        self.events = events
        self.visible: set[EventHash] = set()
        self._tract = tract
        self._source = source
        self.commit = source.commit
        self.content_type = source.content_type

    def event(self, tract: str, name: EventHash) -> Event | None:
        return self.events.get(name) if tract == self._tract else self._source.event(tract, name)

    def is_visible(self, tract: str, name: EventHash) -> bool:
        return name in self.visible if tract == self._tract else self._source.is_visible(tract, name)
