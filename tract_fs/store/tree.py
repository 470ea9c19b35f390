"""The tree: lists the files of a store outside `local/`. The only module that walks it; it opens no file.

A file counts if it is a regular one under the path of an address; everything else is an unknown file, which all readers ignore.
Other processes may write and pack during a walk. A packing writes a pack before it removes loose files, so loose files are listed first and
the packs are refreshed afterwards: then nothing that was there before the walk is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Literal, NamedTuple

from tract_fs.model.names import is_hash, is_tract_id
from tract_fs.store import files
from tract_fs.store.address import Address
from tract_fs.store.layout import TEXT_FILES, Layout, is_fan_name, is_loose_name
from tract_fs.store.packs import Packs

LooseKind = Literal["object", "event"]
_DEEPEST = 4  # directories in one another: events, a tract, a fan, and one of a copying tool


class Listing(NamedTuple):
    """The files of a store: the size in bytes of each, and which of the packs have events."""

    files: dict[Address, int]
    event_packs: set[Address]


# one directory


def list_fans(directory: str) -> list[str]:
    """Returns the directories of the fan-out in the objects' directory or that of a tract's events, in no order."""
    return [name for name in files.list_names(directory) if is_fan_name(name)]


def list_fan(directory: str, fan: str) -> list[str]:
    """Returns the hashes of the loose files in one directory of the fan-out."""
    return split_fan(fan, files.list_names(f"{directory}/{fan}"))[0]


def split_fan(fan: str, listed: list[str], *, known: Set[str] = frozenset()) -> tuple[list[str], list[str]]:
    """Returns the hashes of the loose files among the names in one directory of the fan-out, and the other names. Hashes
    in `known` are not checked again.
    """
    names = [fan + name for name in listed]
    loose = [name for name in names if name in known or is_loose_name(name[2:])]
    return loose, [] if len(loose) == len(names) else [name[2:] for name in names if not is_loose_name(name[2:])]


# regular files


def iter_files(layout: Layout) -> Iterator[tuple[Address, int]]:
    """Yields every file with its size in bytes: loose objects, loose events, packs."""
    yield from iter_loose(layout, "object")
    yield from iter_loose(layout, "event")
    yield from iter_packs(layout)


def iter_loose(layout: Layout, kind: LooseKind) -> Iterator[tuple[Address, int]]:
    """Yields the loose objects, or the loose events of all tracts, with their sizes in bytes, by tract and fan."""
    for tract, directory in _directories(layout, kind):
        for fan in sorted(list_fans(directory)):
            listed = files.list_files(f"{directory}/{fan}")
            yield from [(Address(kind, fan + name, tract), size) for name, size in listed if is_loose_name(name)]


def iter_packs(layout: Layout) -> Iterator[tuple[Address, int]]:
    """Yields the packs with their sizes in bytes, by hash."""
    for name, size in sorted(files.list_files(layout.packs)):
        if is_hash(name):
            yield Address("pack", name), size


def list_store(layout: Layout, packs: Packs) -> Listing:
    """Lists a store so that for every event listed its objects are listed too, even while others write and pack.

    A writer writes the objects before the event. So events are listed first, loose and in packs, and a pack whose events
    came after that is left out.
    """
    found = dict(iter_loose(layout, "event"))
    packs.refresh()
    packs_then = set(packs.names)
    found.update(iter_loose(layout, "object"))
    pack_files = list(iter_packs(layout))
    packs.refresh()
    with_events = {name for name in list(packs.names) if packs.has_events(name)}
    too_late = with_events - packs_then  # the objects of their events may not have been listed
    found.update((address, size) for address, size in pack_files if address.name not in too_late)
    return Listing(found, {Address("pack", name) for name in with_events})


def fan_directories(layout: Layout) -> list[str]:
    """Returns the paths of all directories of the fan-out, of objects and events."""
    places = [*_directories(layout, "object"), *_directories(layout, "event")]
    return [f"{directory}/{fan}" for _, directory in places for fan in sorted(list_fans(directory))]


def count_files(layout: Layout) -> tuple[int, int]:
    """Returns the number of loose files and of packs, by their names. Cost: lists the store."""
    loose = sum(sum(map(is_loose_name, files.list_names(fan))) for fan in fan_directories(layout))
    return loose, sum(map(is_hash, files.list_names(layout.packs)))


# events, loose or in packs


def list_tracts(layout: Layout, packs: Packs) -> list[str]:
    """Returns the ids of the tracts that have events, sorted."""
    found = {tract for tract, directory in _directories(layout, "event") if _has_loose(directory)}
    packs.refresh()
    return sorted(found | packs.tracts())


def has_tract(layout: Layout, packs: Packs, tract: str) -> bool:
    """Returns whether a tract has events."""
    if _has_loose(layout.tract_events(tract)):
        return True
    packs.refresh()  # after the loose ones: those may be packed meanwhile
    return packs.has_tract(tract)


def has_directory(layout: Layout, tract: str) -> bool:
    """Returns whether a tract has a directory for loose events, which may be empty."""
    return files.kind_at(layout.tract_events(tract)) == "directory"


def list_events(layout: Layout, packs: Packs, tract: str) -> set[str]:
    """Returns the hashes of all events of a tract."""
    directory = layout.tract_events(tract)
    found = {name for fan in list_fans(directory) for name in list_fan(directory, fan)}
    packs.refresh()
    return found | packs.event_names_in(packs.names, tract)


# unknown files


def list_unknown(layout: Layout) -> list[str]:
    """Returns the paths of unknown files and directories from the store's root on, sorted. Cost: lists the store.

    They are conflict copies, temporary files, links, a user's notes. Nothing in `local/` is among them.
    """
    known = {"objects", "events", "packs", "local", *TEXT_FILES}
    found = [name for name in files.list_names(layout.root) if name not in known]
    found += [f"packs/{name}" for name, kind in files.list_kinds(layout.packs) if kind != "file" or not is_hash(name)]
    fan_outs = [("objects", layout.objects)]
    for tract, kind in files.list_kinds(layout.events):
        if is_tract_id(tract) and kind == "directory":
            fan_outs.append((f"events/{tract}", layout.tract_events(tract)))
        else:
            found.append(f"events/{tract}")
    for shown, directory in fan_outs:
        for fan, kind in files.list_kinds(directory):
            if not is_fan_name(fan) or kind != "directory":
                found.append(f"{shown}/{fan}")
                continue
            names = files.list_kinds(f"{directory}/{fan}")
            found += [f"{shown}/{fan}/{name}" for name, kind in names if kind != "file" or not is_loose_name(name)]
    return sorted(found)


def iter_unknown_files(layout: Layout, unknown: Iterable[str]) -> Iterator[str]:
    """Yields the paths of unknown files, and of the files in unknown directories, from the store's root on.

    A copying tool renames whole directories, too. No link is followed.
    """
    for path in unknown:
        yield from _files_below(layout, path, _DEEPEST)


def _files_below(layout: Layout, path: str, depth: int) -> Iterator[str]:
    inside: list[tuple[str, str]] = []
    try:
        inside = files.list_kinds(f"{layout.root}/{path}")  # empty for a file and for a link
    except OSError as error:
        if error.errno not in files.UNREADABLE:
            raise
    if not inside:
        yield path
    for name, kind in sorted(inside):
        if kind != "directory":
            yield f"{path}/{name}"
        elif depth > 1:
            yield from _files_below(layout, f"{path}/{name}", depth - 1)


def _has_loose(directory: str) -> bool:
    return any(list_fan(directory, fan) for fan in list_fans(directory))


def _directories(layout: Layout, kind: LooseKind) -> list[tuple[str, str]]:
    """Returns tract (empty for objects) and path of the directories that have a fan-out."""
    if kind == "object":
        return [("", layout.objects)]
    tracts = sorted(name for name in files.list_names(layout.events) if is_tract_id(name))
    return [(tract, layout.tract_events(tract)) for tract in tracts]
