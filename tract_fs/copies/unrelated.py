"""Unrelated histories: refuses to mix two projects, which both call their tract by the same name.

Nothing in a store separates them again. Lineages are compared before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from tract_fs.errors import JsonValueError, UnrelatedHistories
from tract_fs.model.content import ContentTypes
from tract_fs.model.events import decode_event
from tract_fs.model.lineage import Lineage
from tract_fs.model.messages import first_words, render
from tract_fs.model.objects import decode_commit
from tract_fs.model.tokens import EstimateCounter
from tract_fs.store.address import Address
from tract_fs.store.holdings import Holdings

ReadObject = Callable[[str], bytes | None]  # by its hash


def require_related_stores(ours: Holdings, theirs: Holdings) -> None:
    """Raises UnrelatedHistories if a tract of both stores has nothing in common; both are listed.

    Cost: a look at the names listed; where a tract has no event on both sides, a read of all of them.
    """
    here, there = ours.loose_events(), theirs.loose_events()
    related = {address.tract for address in ours.files.keys() & theirs.files.keys() if address.kind == "event"}
    related |= ours.tracts_in(ours.event_packs & theirs.event_packs)
    for tract in sorted((here.keys() & there.keys()) - related):
        names = here[tract], list(ours.packed_events(tract))
        if not any(theirs.has(Address("event", name, tract)) for name in chain(*names)):
            require_related(
                tract,
                lineage_of(ours, tract, chain(*names)),
                lineage_of(theirs, tract, chain(there[tract], theirs.packed_events(tract))),
                read_ours=lambda name: ours.read(Address("object", name)),
                read_theirs=lambda name: theirs.read(Address("object", name)),
                where=f", here and in {theirs.layout.context}",
            )


def require_related(
    tract: str, ours: Lineage, theirs: Lineage, *, read_ours: ReadObject, read_theirs: ReadObject, where: str
) -> None:
    """Raises UnrelatedHistories if two lineages of a tract have nothing in common."""
    if ours.is_unrelated(theirs):
        raise UnrelatedHistories(
            tract_id=tract,
            ours=_first_message(ours, read_ours),
            theirs=_first_message(theirs, read_theirs),
            where=where,
        )


def lineage_of(holdings: Holdings, tract: str, names: Iterable[str]) -> Lineage:
    """Returns the lineage of the events of a tract that can be read."""
    found = Lineage()
    for name in names:
        data = holdings.read(Address("event", name, tract))
        try:
            found.add(name, decode_event(data or b""))
        except JsonValueError:
            continue  # damaged, or of a later version
    return found


def _first_message(lineage: Lineage, read: ReadObject) -> str:
    """Returns the start of the first message of a lineage; empty if there is none, or it can't be read."""
    name = lineage.first_commit()
    try:
        commit = decode_commit((name and read(name)) or b"")
        if commit.content is None or commit.content_type is None:
            return ""
        types = ContentTypes()
        content = types.decode(read(commit.content) or b"", commit.content_type)
        rendering = render(content, commit.content_type, types, EstimateCounter())
    except JsonValueError:
        return ""
    return first_words(rendering.text or rendering.body or "")
