"""The call behind diff(): finds the two commits that are meant, and compares their contexts."""

from __future__ import annotations

from tract_fs.context import ContextReader
from tract_fs.errors import ArgumentError
from tract_fs.model.diff import ContextDiff, compare
from tract_fs.model.names import CommitHash
from tract_fs.reading import TractReader


def diff(reader: TractReader, contexts: ContextReader, a: object, b: object) -> ContextDiff:
    """Returns what differs from the context of `a` (None: the first parent of b) to that of `b` (None: the head).

    Each context is what compile() answers where that commit is the head. Errors: ArgumentError, CommitNotFoundError, AmbiguousRefError.
    """
    for name, ref in (("a", a), ("b", b)):
        if ref is not None and type(ref) is not str:
            raise ArgumentError(f"diff: {name} is {ref!r}: give a ref as a string, or None")
    commit_b = reader.head() if b is None else reader.resolve(b)
    commit_a = _first_parent(reader, commit_b) if a is None else reader.resolve(a)
    return compare(
        contexts.compile_head(commit_a),
        contexts.compile_head(commit_b),
        counter=reader.counter,
        commit_a=commit_a,
        commit_b=commit_b,
    )


def _first_parent(reader: TractReader, name: CommitHash | None) -> CommitHash | None:
    parents = () if name is None else reader.commit(name).parents
    return parents[0] if parents else None
