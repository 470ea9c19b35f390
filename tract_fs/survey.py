"""The survey behind status(): what a tract holds, what waits, what lies about in the store, and what to do about it."""

from __future__ import annotations

from tract_fs.context import ContextReader
from tract_fs.model.history import linear_order
from tract_fs.model.info import Status, TractConfig
from tract_fs.model.names import is_hash, is_tract_id
from tract_fs.reading import TractReader
from tract_fs.store import files
from tract_fs.store.layout import TEXT_FILES, Layout, is_fan_name, is_loose_name


def survey(reader: TractReader, contexts: ContextReader, config: TractConfig) -> Status:
    """Returns the state of the reader's tract. Cost: reads the history of the head, and lists the store."""
    log = reader.log
    head = reader.head()
    heads = [found.commit for found in log.view.heads(reader.branch, log)]
    snapshot = contexts.state(head).snapshot()
    pending = tuple(sorted(f"{name}: {p.reason} {p.missing}".rstrip() for name, p in log.view.pending.items()))
    damaged = tuple(sorted(f"{name}: {reason}" for name, reason in log.damaged.items()))
    gone = tuple(sorted(log.gone))
    strays = tuple(_strays(reader.store.layout))
    others = tuple(commit for commit in heads if commit != head)
    return Status(
        tract_id=log.tract,
        branch=reader.branch,
        head=head,
        other_heads=others,
        commit_count=0 if head is None else len(linear_order(head, reader.commit)),
        effective_count=snapshot.commit_count,
        token_count=snapshot.token_count,
        token_source=snapshot.token_source,
        token_budget=None if config.token_budget is None else config.token_budget.max_tokens,
        pending=pending,
        damaged=damaged,
        gone=gone,
        strays=strays,
        needs_recovery=reader.store.needs_recovery,
        advice=tuple(_advice(pending, damaged, gone, strays, others, reader.store.needs_recovery)),
    )


def _advice(
    pending: tuple[str, ...],
    damaged: tuple[str, ...],
    gone: tuple[str, ...],
    strays: tuple[str, ...],
    others: tuple[str, ...],
    needs_recovery: bool,
) -> list[str]:
    advice = []
    if needs_recovery:
        advice.append("a power cut left work to finish: open the store once for writing")
    if damaged:
        advice.append("damaged events: copy the files named from another copy of this store")
    if gone:
        advice.append(
            "events that this copy knew are gone: bring their files back from another copy if that was not meant"
        )
    if pending:
        advice.append(
            "pending events: finish the copy that brought them; they apply by themselves when the rest arrives"
        )
    if others:
        advice.append("the branch has several heads: all are kept, and this copy goes on with its own line")
    if strays:
        advice.append("stray files are ignored; move out of the store what you do not need")
    return advice


def _strays(layout: Layout) -> list[str]:
    """Returns what lies in the store, outside local/, under names that are none of its files'."""
    known = {"objects", "events", "packs", "local", *TEXT_FILES}
    found = [name for name in files.list_names(layout.root) if name not in known]
    found += [f"packs/{name}" for name in files.list_names(layout.packs) if not is_hash(name)]
    fans = [("objects", layout.objects)]
    for tract in files.list_names(layout.events):
        if is_tract_id(tract) and files.is_directory(layout.tract_events(tract)):
            fans.append((f"events/{tract}", layout.tract_events(tract)))
        else:
            found.append(f"events/{tract}")
    for shown, directory in fans:
        for fan in files.list_names(directory):
            path = f"{directory}/{fan}"
            if not is_fan_name(fan) or not files.is_directory(path):
                found.append(f"{shown}/{fan}")
                continue
            found += [f"{shown}/{fan}/{name}" for name in files.list_names(path) if not is_loose_name(name)]
    return sorted(found)
