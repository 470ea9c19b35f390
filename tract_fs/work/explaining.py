"""The calls behind explain() and blame(): the history that is asked about, and where each of its commits came from."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from tract_fs.model.blame import BlamedLine, blame_slots
from tract_fs.model.compiler import CompileOptions
from tract_fs.model.explanation import CommitSource, Elsewhere, ExplainedCommit, Explanation, explain_history, fitted
from tract_fs.model.history import linear_order
from tract_fs.model.names import CommitHash, EventHash
from tract_fs.store.tract_log import TractLog
from tract_fs.work.contexts import ContextReader, Cut
from tract_fs.work.reader import TractReader
from tract_fs.work.session import Session


def explain(
    session: Session, ref: str | None, at_time: datetime | None, at_commit: str | None, max_tokens: int | None
) -> Explanation:
    """Returns what becomes of each commit of the head's history, or of a cut of it; with `ref`, of that commit alone.

    Errors: as `Tract.explain`.
    """
    reader, contexts = session.reader, session.contexts
    cut = contexts.cut(at_time, at_commit)
    name = None if ref is None else reader.resolve(ref)
    found = _explained(reader, cut, name)
    if max_tokens is not None:
        options = CompileOptions()
        context = contexts.compile(at_time=at_time, at_commit=at_commit, options=options, max_tokens=max_tokens)
        found = fitted(found, context.messages)
    if name is not None and not found:
        found = (_elsewhere(reader, contexts, name, cut),)
    head = cut.names[-1] if cut.names else None
    return Explanation(reader.log.tract, reader.branch, head, found)


def blame(session: Session, ref: str | None) -> list[BlamedLine]:
    """Returns the lines of the context of a commit (None: the head). Errors: as `Tract.blame`."""
    cut = session.contexts.cut(None, ref)
    lost = cut.state.lost() if session.reader.gaps else []
    if lost and not session.reader.store.accepts_gaps:
        raise session.reader.gap_error(lost)
    return list(blame_slots(cut.state, cut.later, session.reader.commit))


def _explained(reader: TractReader, cut: Cut, only: CommitHash | None) -> tuple[ExplainedCommit, ...]:
    return explain_history(
        [(name, reader.commit(name)) for name in cut.names],
        cut.state,
        later=cut.later,
        behind=[(name, reader.commit(name)) for name in cut.behind],
        source_of=lambda name, merge: _source(reader, name, merge),
        only=only,
    )


def _source(reader: TractReader, name: CommitHash, merge: str | None) -> CommitSource | None:
    """Returns the first visible event that brought a commit: of this tract, or of the one that it came from."""
    for log in (reader.log, *(reader.foreign.sources() if reader.log.view.foreign else ())):
        found = _first_event(log, name)
        if found is not None:
            return structs.replace(found, merge=merge)
    return None


def _first_event(log: TractLog, name: CommitHash) -> CommitSource | None:
    found = []
    for digest in log.origins.events_of(name):
        event = log.event(log.tract, EventHash(digest.hex()))
        for op in () if event is None else event.moves_that_bring(name):
            assert event is not None
            found.append((event.at, digest.hex(), event.writer, op.branch))
    if not found:
        return None
    at, event_name, writer, branch = min(found)
    return CommitSource(event_name, log.tract, branch, writer, at, None)


def _elsewhere(reader: TractReader, contexts: ContextReader, name: CommitHash, cut: Cut) -> ExplainedCommit:
    """Returns the explanation of a commit that a history lacks, as it is on the first branch that has it."""
    heads = {head: branch for branch in sorted(reader.overlay.branches()) for head in reader.overlay.heads(branch)}
    having = {head: branch for head, branch in heads.items() if name in linear_order(head, reader.commit)}
    end = next(iter(having), name)
    (one,) = _explained(reader, contexts.cut(None, end), name)
    where = Elsewhere(tuple(dict.fromkeys(having.values())), _last_shared(reader, name, set(cut.names)))
    return structs.replace(one, elsewhere=where)


def _last_shared(reader: TractReader, name: CommitHash, held: set[CommitHash]) -> CommitHash | None:
    """Returns the last commit before another one, along first parents, that a history has."""
    cursor: CommitHash | None = name
    while cursor is not None and cursor not in held:
        parents = reader.commit(cursor).parents
        cursor = parents[0] if parents else None
    return cursor
