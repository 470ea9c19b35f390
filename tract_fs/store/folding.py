"""Folding many events: yields them in causal order, in bounded memory, and makes the arrival records of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tract_fs.model.events import Event, Usage
from tract_fs.model.names import EventHash, parse_time
from tract_fs.store import arrivals
from tract_fs.store.arrivals import NO_BRANCH, NO_HASH, Record
from tract_fs.store.objects import Objects

_HELD_COMMITS = 1 << 16  # the events in memory bring about so many; the others are read twice


def iter_in_causal_order(
    names: Iterable[EventHash], read: Callable[[EventHash], Event | None]
) -> Iterator[tuple[EventHash, Event]]:
    """Yields events by (`at`, hash), so each parent before its children; skips those for which `read` returns None.

    Memory: names and times of all, and events that bring some ten thousand commits; the other events are read twice.
    """
    order: list[tuple[str, EventHash]] = []
    held: dict[EventHash, Event] = {}
    held_count = 0
    for name in names:
        event = read(name)
        if event is not None:
            order.append((event.at, name))
            if held_count < _HELD_COMMITS:
                held[name] = event
                held_count += 1 + len(event.iter_commits())
    for _, name in sorted(order):
        event = held.pop(name, None) or read(name)
        if event is not None:
            yield name, event


def records_of(
    name: EventHash, event: Event, kind: bytes, objects: Objects, is_brought: Callable[[bytes], bool]
) -> list[Record]:
    """Returns the records of a visible event, its own last; `is_brought`: whether an earlier event brings a commit."""
    records = []
    event_name = bytes.fromhex(name)
    at_us = event.at_us
    for entry in event.iter_commits():
        commit = bytes.fromhex(entry.commit)
        created_at = objects.require_commit(entry.commit).created_at
        created_us = at_us if created_at == event.at else parse_time(created_at)
        brings = arrivals.BRINGS_AGAIN if is_brought(commit) else arrivals.BRINGS
        records.append(Record(brings, NO_BRANCH, event_name, commit, created_us))
    usage = [bytes.fromhex(op.commit) for op in event.ops if isinstance(op, Usage)]
    if kind == arrivals.SEEN and records and brings == arrivals.BRINGS and not usage:
        records[-1] = Record(arrivals.SEEN_BRINGS, NO_BRANCH, event_name, commit, created_us)
        return records
    records += [Record(arrivals.USAGE, NO_BRANCH, event_name, commit, at_us) for commit in usage]
    records.append(Record(kind, NO_BRANCH, event_name, NO_HASH, at_us))
    return records
