"""Commits made from other commits: a cherry-pick makes one again on this branch, a revert undoes one."""

from __future__ import annotations

from tract_fs.errors import CherryPickError, ContentRedacted, ObjectMissing, RevertError
from tract_fs.model.conflicts import SETTLEMENT
from tract_fs.model.content import Priority
from tract_fs.model.info import CommitInfo
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit, CommitOperation
from tract_fs.work.reader import TractReader
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY, Draft


def cherry_pick(session: Session, ref: str) -> CommitInfo:
    """Makes a commit of this tract again on the branch: the same content, config, message and metadata.

    Errors: CherryPickError for a merge, and where what it is about is not in this branch's history.
    """
    reader = session.reader
    reader.store.require_writable()
    name = reader.resolve(ref)
    commit = reader.commit(name)
    if commit.operation is CommitOperation.MERGE:
        reason = "it is a merge; pick the commits that it brought, or merge the branch"
        raise CherryPickError(target=name, branch=reader.branch, reason=reason)
    for target in commit.targets:
        if not reader.is_in_history(target):
            reason = f"it is about {target}, which is not in this branch's history; pick that first"
            raise CherryPickError(target=name, branch=reader.branch, reason=reason)
    return session.writer.write(_copy(reader, name, commit), ANY, targets=commit.targets)


def revert(session: Session, ref: str) -> CommitInfo:
    """Reverts a commit of this branch's history by an annotation: a skip, or for an annotation the priority before it.

    Errors: RevertError for a merge; CommitNotFoundError.
    """
    reader = session.reader
    reader.store.require_writable()
    name = reader.require_in_history(ref)
    commit = reader.commit(name)
    if commit.operation is CommitOperation.MERGE:
        reason = "it is a merge; reset() goes back to before it, and revert() reverts single commits that it brought"
        raise RevertError(target=name, reason=reason)
    is_annotation = commit.operation is CommitOperation.ANNOTATE
    target = commit.targets[0] if is_annotation else name
    priority = _priority_before(reader, name, target) if is_annotation else Priority.SKIP
    draft = Draft(operation=CommitOperation.ANNOTATE, target=target, priority=priority, reason=f"reverts commit {name}")
    return session.writer.write(draft, ANY)


def _copy(reader: TractReader, name: CommitHash, commit: Commit) -> Draft:
    config, metadata = reader.facts(name).config, bytes(commit.metadata) or None
    data = rendering = None
    if commit.content is not None:
        try:
            data = reader.store.objects.require(commit.content, "content")
        except ObjectMissing as error:
            if commit.content not in reader.store.redacted():
                raise
            raise ContentRedacted(hash=name, content_hash=commit.content) from error
        rendering = reader.require_loaded(name).rendering
    return Draft(
        operation=commit.operation,
        data=data,
        content_type=commit.content_type,
        priority=commit.priority,
        reason=commit.reason,
        message=commit.message,
        metadata=metadata if metadata != SETTLEMENT else None,  # a pick is a decision of its own
        config=config or None,
        rendering=rendering,
    )


def _priority_before(reader: TractReader, annotation: CommitHash, target: CommitHash) -> Priority:
    """Returns the priority that `target` had in this history before an annotation of it."""
    is_before = False
    for name, commit in reader.iter_about(target):
        if is_before and commit.priority is not None:
            return commit.priority
        is_before = is_before or name == annotation
    about = reader.commit(target)
    return Priority.NORMAL if about.operation is CommitOperation.EDIT else reader.default_priority(target)
