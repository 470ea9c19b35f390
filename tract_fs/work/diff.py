"""The call behind diff(): finds the two commits that are meant, and compares their contexts."""

from __future__ import annotations

from tract_fs.errors import ArgumentError
from tract_fs.model.diff import ContextDiff, compare
from tract_fs.model.names import CommitHash
from tract_fs.work.contexts import ContextReader
from tract_fs.work.reader import TractReader
from tract_fs.work.session import Session


def diff(session: Session, a: str | None, b: str | None) -> ContextDiff:
    """Returns what differs from the context of `a` (None: the first parent of b) to that of `b` (None: the head).

    Each context is what compile() answers where that commit is the head; `tract:branch` may name one of another tract.
    Errors: ArgumentError, CommitNotFoundError, AmbiguousRefError.
    """
    for name, ref in (("a", a), ("b", b)):
        if ref is not None and type(ref) is not str:
            raise ArgumentError(f"diff: {name} is {ref!r}: give a ref as a string, or None")
    reader, contexts = session.reader, session.contexts
    contexts_b, commit_b = (contexts, reader.head()) if b is None else _find(reader, contexts, b)
    contexts_a, commit_a = (contexts_b, _first_parent(reader, commit_b)) if a is None else _find(reader, contexts, a)
    lost = set(contexts_a.lost(commit_a)) ^ set(contexts_b.lost(commit_b))
    if lost and not reader.store.accepts_gaps:  # what both lack is no difference
        raise reader.gap_error(sorted(lost))
    return compare(
        contexts_a.compile_head(commit_a),
        contexts_b.compile_head(commit_b),
        counter=reader.counter,
        commit_a=commit_a,
        commit_b=commit_b,
    )


def _find(reader: TractReader, contexts: ContextReader, ref: str) -> tuple[ContextReader, CommitHash]:
    """Returns the commit of a ref, and what compiles it in its tract."""
    owner, name = reader.resolve_foreign(ref)
    return (contexts if owner is reader else contexts.beside(owner)), name


def _first_parent(reader: TractReader, name: CommitHash | None) -> CommitHash | None:
    parents = () if name is None else reader.commit(name).parents
    return parents[0] if parents else None
