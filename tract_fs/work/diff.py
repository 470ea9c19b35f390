"""The calls behind diff() and compare(): they find the two commits that are meant, and compare their contexts."""

from __future__ import annotations

from tract_fs.errors import ArgumentError
from tract_fs.model.comparison import AnswerComparison, ComparedHead, compare_contexts
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
    reader, contexts = session.reader, session.contexts
    a, b = (None if ref is None else _ref("diff", name, ref) for name, ref in (("a", a), ("b", b)))
    contexts_b, commit_b = (contexts, reader.head()) if b is None else _find(reader, contexts, b)
    contexts_a, commit_a = (contexts_b, _first_parent(reader, commit_b)) if a is None else _find(reader, contexts, a)
    _require_whole(reader, (contexts_a, commit_a), (contexts_b, commit_b))
    return compare(
        contexts_a.compile_head(commit_a),
        contexts_b.compile_head(commit_b),
        counter=reader.counter,
        commit_a=commit_a,
        commit_b=commit_b,
    )


def compare_answers(session: Session, a: str, b: str) -> AnswerComparison:
    """Returns two answers to one prompt side by side. Errors: as `diff`."""
    reader = session.reader
    sides = []
    for side, ref in (("a", a), ("b", b)):
        owner, name = reader.resolve_foreign(_ref("compare", side, ref))
        contexts = session.contexts if owner is reader else session.contexts.beside(owner)
        sides.append((contexts, name, owner.overlay.usage(name)))
    (contexts_a, commit_a, usage_a), (contexts_b, commit_b, usage_b) = sides
    _require_whole(reader, (contexts_a, commit_a), (contexts_b, commit_b))
    return compare_contexts(
        ComparedHead(commit_a, contexts_a.compile_head(commit_a), usage_a),
        ComparedHead(commit_b, contexts_b.compile_head(commit_b), usage_b),
        counter=reader.counter,
    )


def _ref(call: str, name: str, ref: object) -> str:
    """Returns a ref, if it is a string. Errors: ArgumentError."""
    if not isinstance(ref, str):
        raise ArgumentError(f"{call}: {name} is {ref!r}: give a ref as a string{', or None' if call == 'diff' else ''}")
    return ref


def _require_whole(reader: TractReader, *sides: tuple[ContextReader, CommitHash | None]) -> None:
    """Raises HistoryIncomplete if one of two contexts lacks a lost content, unless the handle accepts gaps."""
    (contexts_a, commit_a), (contexts_b, commit_b) = sides
    lost = set(contexts_a.lost(commit_a)) ^ set(contexts_b.lost(commit_b))
    if lost and not reader.store.accepts_gaps:  # what both lack is no difference
        raise reader.gap_error(sorted(lost))


def _find(reader: TractReader, contexts: ContextReader, ref: str) -> tuple[ContextReader, CommitHash]:
    """Returns the commit of a ref, and what compiles it in its tract."""
    owner, name = reader.resolve_foreign(ref)
    return (contexts if owner is reader else contexts.beside(owner)), name


def _first_parent(reader: TractReader, name: CommitHash | None) -> CommitHash | None:
    parents = () if name is None else reader.commit(name).parents
    return parents[0] if parents else None
