"""Branches, tags and forks of one tract: what moves a branch other than by a commit.

Branch and tag names are data, never paths. Every check is made before the first byte is written; each call is one
event.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

from tract_fs.errors import (
    ArgumentError,
    BatchOpen,
    BranchDiverged,
    BranchExists,
    BranchInUse,
    BranchNotFound,
    CommitNotFoundError,
    ReadOnlyError,
    TagExists,
    TagNotFound,
    TractExists,
    UndoError,
)
from tract_fs.model.content import SILENT_TYPES, Priority
from tract_fs.model.events import describe_op
from tract_fs.model.history import is_ancestor
from tract_fs.model.info import CommitInfo, Sibling
from tract_fs.model.names import CommitHash, EventHash, require_branch_name, require_tract_id
from tract_fs.model.objects import ABOUT_ONE, CommitOperation
from tract_fs.store.transaction import Transaction
from tract_fs.work.contexts import ContextReader
from tract_fs.work.reflog import Undoable, find_undoable, undo_mark
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY, Draft, ExpectedHead

_RETRY = re.compile(r"-retry-[0-9]+$")


class TractBranches:
    """The branches and tags of one tract."""

    def __init__(self, session: Session) -> None:
        self._reader = session.reader
        self._writer = session.writer

    def branch(self, name: str, at: str | None) -> CommitHash:
        """Makes a branch at a ref (None: the head), and returns its head; see the facade."""
        reader = self._reader
        require_branch_name(name)
        reader.store.require_writable()
        with self._writer.transaction(ANY, is_move=at is None) as transaction:
            heads = reader.overlay.heads(name)
            if heads:
                raise BranchExists(tract_id=reader.log.tract, branch=name, head=heads[0])
            reader.require_complete(name)
            start = self._require_start("a branch") if at is None else reader.resolve(at)
            self._writer.tick(transaction)
            if name == transaction.branch:
                transaction.move_to(start, "create")
            else:
                transaction.add_move("create", name, start, self._moves(name))
            return start

    def switch(self, name: str, *, create: bool) -> None:
        """Makes the handle work on another branch; see the facade."""
        self._reader.branch = self.require_for_handle(name, create=create, call="switch()")

    def require_for_handle(self, name: str, *, create: bool, call: str = "on()") -> str:
        """Returns the name of a branch that a handle is to work on; with `create`, makes it at the head. Errors: as
        `Tract.switch`.
        """
        reader = self._reader
        require_branch_name(name)
        self._require_moving(call)
        if create:
            self.branch(name, None)
        else:
            reader.require_branch(name)
        return name

    def _require_moving(self, call: str) -> None:
        """Raises BatchOpen amid a batch, and ReadOnlyError for a handle that stays at one commit."""
        self._require_no_batch(call)
        if self._reader.pinned is not None:
            reason = f"this handle stays at one commit; call {call} of the handle that it was made from"
            raise ReadOnlyError(path=self._reader.store.layout.context, reason=reason)

    def retry(self, ref: str, name: str | None) -> str:
        """Makes a branch at the parent of an answer, and returns its name; see the facade."""
        reader = self._reader
        answer = self._require_answer(ref)
        parents = reader.commit(answer).parents
        if not parents:
            raise ArgumentError(f"commit {answer} begins the history: there is no prompt before it to answer again")
        if name is None:
            there = self.branches()
            base = _RETRY.sub("", reader.branch)
            name = next(name for n in count(1) if (name := f"{base}-retry-{n}") not in there)
        self._require_moving("retry()")
        self.branch(name, parents[0])
        return name

    def siblings(self, ref: str) -> list[Sibling]:
        """Returns the commits that follow the same prompt as an answer, with the branches that have each; see the facade."""
        reader = self._reader
        prompt = self._prompt_of(self._require_answer(ref))
        found = []
        for name in map(CommitHash, reader.overlay.names_with_prefix("")):
            commit = reader.commit(name)
            if commit.operation is CommitOperation.APPEND and self._prompt_of(name) == prompt:
                found.append((commit.created_us, name))
        heads = [(branch, CommitHash(head)) for branch, several in self.branches().items() for head in several]
        made = []
        for _, name in sorted(found):
            branches = dict.fromkeys(b for b, head in heads if is_ancestor(name, head, reader.commit))
            made.append(Sibling(reader.info(name), tuple(branches)))
        return made

    def _require_answer(self, ref: str) -> CommitHash:
        """Returns the commit of an answer; an edit or annotation stands for its target. Errors: ArgumentError."""
        name = self._reader.resolve(ref)
        commit = self._reader.commit(name)
        if commit.operation in ABOUT_ONE:
            name, commit = commit.targets[0], self._reader.commit(commit.targets[0])
        if commit.operation is not CommitOperation.APPEND:
            raise ArgumentError(f"commit {name} is of operation {commit.operation.value}: give the commit of an answer")
        return name

    def _prompt_of(self, name: CommitHash) -> CommitHash | None:
        """Returns the commit that another one follows, edits and annotations aside; None at a root."""
        parents = self._reader.commit(name).parents
        while parents and (commit := self._reader.commit(parents[0])).operation in ABOUT_ONE:
            parents = commit.parents
        return parents[0] if parents else None

    def branches(self) -> dict[str, tuple[str, ...]]:
        """Returns the branches with their heads, the one that this copy works on first."""
        reader = self._reader
        names = sorted({*reader.overlay.branches(), reader.branch})
        heads = {name: tuple(reader.overlay.heads(name)) for name in names}
        return {name: several for name, several in heads.items() if several}

    def rename(self, old: str, new: str) -> None:
        """Renames a branch, in one event; see the facade."""
        reader = self._reader
        require_branch_name(old)
        require_branch_name(new)
        reader.store.require_writable()
        self._require_no_batch("rename_branch()")
        with self._writer.transaction(ANY, is_move=False) as transaction:
            heads = self._require_heads(old)
            if len(heads) > 1:
                raise BranchDiverged(branch=old, heads=heads)
            there = reader.overlay.heads(new)
            if there:
                raise BranchExists(tract_id=reader.log.tract, branch=new, head=there[0])
            reader.require_complete(old)
            reader.require_complete(new)
            self._writer.tick(transaction)
            transaction.add_move("create", new, heads[0], self._moves(new))
            transaction.add_delete(old, self._moves(old))
        if reader.branch == old:
            reader.branch = new

    def delete(self, name: str, *, force: bool) -> None:
        """Deletes a branch with all its heads; see the facade."""
        reader = self._reader
        require_branch_name(name)
        reader.store.require_writable()
        self._require_no_batch("delete_branch()")
        with self._writer.transaction(ANY, is_move=False) as transaction:
            heads = self._require_heads(name)
            if len(heads) > 1 and not force:
                raise BranchDiverged(branch=name, heads=heads)
            if name == reader.branch and not force:
                raise BranchInUse(branch=name)
            reader.require_complete(name)
            self._writer.tick(transaction)
            transaction.add_delete(name, self._moves(name))

    def delete_tract(self) -> bool:
        """Deletes all branches and tags, the title and the metadata; returns False if there was no such tract."""
        reader = self._reader
        reader.store.require_writable()
        with self._writer.transaction(ANY, is_move=False) as transaction:
            view = reader.log.view
            if not view.newest or view.is_deleted:
                return False
            self._writer.tick(transaction)
            for name in view.branches or (reader.branch,):
                reader.require_complete(name)
                transaction.add_delete(name, self._moves(name))
            for tag in reader.overlay.tags():
                transaction.set_tag(tag, None)
            if view.title or view.metadata != "{}":
                transaction.ops.append(describe_op("", {}))
            return True

    def reset(self, ref: str, expected_head: ExpectedHead) -> CommitHash:
        """Sets the branch to a commit of the tract, and returns it; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        with self._writer.transaction(expected_head) as transaction:
            reader.require_branch(reader.branch)
            target = reader.resolve(ref)
            if target != transaction.head:
                self._writer.tick(transaction)
                transaction.move_to(target, "reset")
            return target

    def clear(self, expected_head: ExpectedHead) -> CommitHash | None:
        """Sets the branch to a new root that shows nothing, and returns it; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        with self._writer.transaction(expected_head) as transaction:
            self._writer.require_branch()
            if transaction.head is not None and not self._is_empty_root(transaction.head):
                self._move_to_root(transaction)
            return transaction.head

    def pop(self, contexts: ContextReader, expected_head: ExpectedHead) -> CommitInfo | None:
        """Takes the last message away, and returns its commit; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        with self._writer.batch(), self._writer.transaction(expected_head) as transaction:
            self._writer.require_branch()
            head = transaction.head
            last = None if head is None else self._last_shown(contexts, head)
            if head is None or last is None:
                return None
            info = reader.info(last)
            if not self._ends_with(head, last):
                draft = Draft(operation=CommitOperation.ANNOTATE, priority=Priority.SKIP, reason="popped")
                self._writer.stage(transaction, draft, targets=(last,))
            elif parents := reader.commit(last).parents:
                self._writer.tick(transaction)
                transaction.move_to(parents[0], "reset")
            else:
                self._move_to_root(transaction)
            return info

    def _last_shown(self, contexts: ContextReader, head: CommitHash) -> CommitHash | None:
        """Returns the commit of the last message of the head's context. Cost: none where the head is a message."""
        commit = self._reader.commit(head)
        is_append = commit.operation is CommitOperation.APPEND and commit.content is not None
        is_message = is_append and commit.content_type not in SILENT_TYPES
        if is_message and self._reader.default_priority(head) is not Priority.SKIP:
            return head
        shown = contexts.state(head).snapshot().list_commits()
        return CommitHash(shown[-1]) if shown else None

    def _ends_with(self, head: CommitHash, last: CommitHash) -> bool:
        """Returns whether a commit is the head, or only edits and annotations of it follow."""
        while head != last:
            commit = self._reader.commit(head)
            if commit.operation not in (CommitOperation.EDIT, CommitOperation.ANNOTATE) or commit.targets[0] != last:
                return False
            head = commit.parents[0]
        return len(self._reader.commit(last).parents) <= 1

    def _is_empty_root(self, name: CommitHash) -> bool:
        commit = self._reader.commit(name)
        return commit.operation is CommitOperation.MERGE and not commit.parents

    def _move_to_root(self, transaction: Transaction) -> None:
        """Stages a root without content, which is a merge of nothing, and a reset to it."""
        root = self._writer.stage(transaction, Draft(operation=CommitOperation.MERGE), parents=())
        transaction.move_to(CommitHash(root.commit_hash), "reset")

    def undo(self, expected_head: ExpectedHead, *, anyone: bool) -> CommitHash:
        """Sets the branch back to where it was before its last move that no undo took back; see the facade."""
        reader = self._reader
        reader.store.require_writable()
        self._require_no_batch("undo()")
        with self._writer.transaction(expected_head) as transaction:
            found = self._require_undoable(transaction, anyone=anyone)
            self._writer.tick(transaction)
            if found.old_head is None:
                assert found.move.head is not None
                moves = self._moves(reader.branch)
                transaction.add_delete(reader.branch, sorted({*moves, *self._mark(moves)}))
                return found.move.head
            line = reader.log.view.line_moves(reader.branch, transaction.start, reader.log)
            kind = "create" if transaction.head is None else "reset"
            transaction.move_to(found.old_head, kind, replaces=[*line, *self._mark(line)])
            return found.old_head

    def _require_undoable(self, transaction: Transaction, *, anyone: bool) -> Undoable:
        """Returns what an undo takes back. Errors: UndoError."""
        branch, found = self._reader.branch, find_undoable(self._reader)
        if found is None:
            raise UndoError(branch=branch, reason="this copy made no move of it that can be undone")
        move = found.move
        for left in (found.last.head, move.head):
            if left != transaction.head:
                raise UndoError(branch=branch, reason=_not_where(transaction.head, left))
        others = [one for one in (found.last, move) if one.writer not in ("", self._reader.store.writer)]
        if others and not anyone:
            reason = (
                f"another handle made its last move ({others[0].kind} to {others[0].head}, event {others[0].event}); "
                "undo(anyone=True) takes back what any handle of this copy did"
            )
            raise UndoError(branch=branch, reason=reason)
        is_first = found.old_head is None and (move.head is None or not move.op.replaces)
        if is_first:
            raise UndoError(branch=branch, reason="only the move that made the branch is left")
        return found

    def _mark(self, replaced: Sequence[EventHash]) -> list[EventHash]:
        return undo_mark(self._reader.log, self._reader.branch, replaced)

    def tag(self, name: str, ref: str | None, *, force: bool) -> CommitHash:
        """Names a commit (None: the head), and returns it; see the facade."""
        reader = self._reader
        require_branch_name(name)
        reader.store.require_writable()
        with self._writer.transaction(ANY, is_move=False) as transaction:
            target = self._require_start("a tag") if ref is None else reader.resolve(ref)
            old = reader.overlay.tag(name)
            if old is not None and old != target and not force:
                raise TagExists(tag=name, target=old)
            if old != target:
                self._writer.tick(transaction)
                transaction.set_tag(name, target)
            return target

    def untag(self, name: str) -> None:
        """Removes a tag; see the facade."""
        reader = self._reader
        require_branch_name(name)
        reader.store.require_writable()
        with self._writer.transaction(ANY, is_move=False) as transaction:
            if reader.overlay.tag(name) is None:
                raise TagNotFound(tract_id=reader.log.tract, tag=name)
            self._writer.tick(transaction)
            transaction.set_tag(name, None)

    def tags(self) -> dict[str, str]:
        """Returns the tags with the commits that they name."""
        return dict(self._reader.overlay.tags())

    def fork(self, tract_id: str, branch: str) -> None:
        """Makes a tract that starts at the head; see the facade."""
        reader, store = self._reader, self._reader.store
        require_tract_id(tract_id)
        require_branch_name(branch)
        store.require_writable()
        self._require_no_batch("fork()")
        with store.locked():
            reader.log.catch_up(is_locked=True)
            reader.require_complete()
            head = self._require_start("a fork")
            if store.has_tract(tract_id):
                raise TractExists(tract_id=tract_id)
            log = store.log(tract_id)
            transaction = Transaction(branch, log.view, None)
            transaction.add_foreign(reader.log.view)
            self._writer.tick(transaction)
            transaction.move_to(head, "create")
            usage = reader.log.origins.usage(head)
            if usage is not None:
                transaction.add_usage(head, usage.counts)
            store.write(log, transaction)

    def _require_start(self, what: str) -> CommitHash:
        reader = self._reader
        head = reader.head()
        if head is None:
            raise CommitNotFoundError(
                f"branch {reader.branch!r} of tract {reader.log.tract!r} has no commits yet that {what} could start at; "
                "commit first, or give a commit",
                hash=None,
            )
        return head

    def _require_heads(self, branch: str) -> tuple[CommitHash, ...]:
        heads = tuple(self._reader.overlay.heads(branch))
        if not heads:
            raise BranchNotFound(tract_id=self._reader.log.tract, branch=branch)
        return heads

    def _require_no_batch(self, call: str) -> None:
        if self._writer.is_in_batch:
            raise BatchOpen(call=call)

    def _moves(self, branch: str) -> list[EventHash]:
        """Returns the events of all moves of a branch that nothing replaces, deletes included."""
        return list(self._reader.log.view.branches.get(branch, ()))


def _not_where(head: CommitHash | None, left: CommitHash | None) -> str:
    return f"it is at {head}, no longer where this copy's last move left it ({left}); reset() can go to any commit"
