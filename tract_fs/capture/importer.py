"""Imports a transcript into a tract, as often as its session grows: only what is new is committed.

Each branch of the transcript is compared with what the tract's branch holds of it, by the format's own keys and sums of
the records, never by the contents. A record that was changed in place becomes an edit; where the session went back and
on another way, what it left stays as a branch. All that a commit contains comes from the file, its time too, so two
machines that import one session make the same commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw, Struct, to_builtins

from tract_fs.capture import stamps
from tract_fs.capture.stamps import Stamp, stamp_of
from tract_fs.errors import ContentValidationError, JsonValueError, ObjectTooLarge, UsageError
from tract_fs.model import canonical
from tract_fs.model.content import MessageContent, RecordContent, ToolsContent, encode_message
from tract_fs.model.events import NewCommit, describe_op
from tract_fs.model.lineage import first_words
from tract_fs.model.names import CommitHash, ContentHash, format_time, hash_bytes
from tract_fs.model.objects import Commit, CommitOperation, encode_commit
from tract_fs.model.tokens import count_json_message, source_name
from tract_fs.model.usage import TokenUsage
from tract_fs.store.transaction import Transaction
from tract_fs.transcripts.transcript import Branch, Entry, Transcript
from tract_fs.transcripts.units import Flaw
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY

_CHUNK_COMMITS = 4000  # in a transaction
_CHUNK_BYTES = 16 * 1024 * 1024
_PACKED_COMMITS = 100  # from so many on, a transaction's objects are one pack
_KEPT_ENTRIES = 5000  # of a transcript that is kept whole while it is imported
_NAME_CHARACTERS = 40
_MAIN = "main"
_TITLE_ENTRIES = 50  # that are looked at for the first words of the user


class TranscriptReport(Struct, frozen=True):
    """What an import of one session did.

    `entries` are the records of the file, `messages` what its main branch shows a model; then the commits added, the
    entries edited, the branches made, and what was not right in the file.
    """

    tract_id: str
    format: str
    session_id: str
    entries: int
    messages: int
    added: int
    edited: int
    branches: tuple[str, ...]
    head: str | None
    flaws: tuple[Flaw, ...]


class _Mark(Struct, frozen=True):
    """An entry of the transcript by what identifies it."""

    key: str
    sum: str
    chain: str


class _Known(Struct):
    """An entry that a branch holds: the stamp of its record as an import last saw it, and a commit for each content."""

    stamp: Stamp
    commits: list[CommitHash]


class _Draft(Struct, frozen=True):
    """A content of an entry, checked, encoded and counted, with the metadata of its commit."""

    data: bytes
    content_type: str
    tokens: dict[str, int]
    config: bytes | None
    metadata: bytes


class _Staged(Struct, frozen=True):
    """A commit that is not in a transaction yet."""

    name: CommitHash
    commit: Commit
    data: bytes
    created_us: int
    draft: _Draft


class _Line:
    """The end of a branch while commits are added to it: its head, the time of that, and the commits of the next transaction."""

    def __init__(self, head: CommitHash | None, last_us: int, now_us: int) -> None:
        self.head = head
        self.is_new_root = False
        self.staged: list[_Staged] = []
        self.size_bytes = 0
        self.last_us = last_us
        self._now_us = now_us

    def add(
        self,
        draft: _Draft,
        at_us: int | None,
        *,
        operation: CommitOperation = CommitOperation.APPEND,
        targets: Sequence[CommitHash] = (),
    ) -> CommitHash:
        """Adds a commit, at its own time where that is after its parent's, and returns its hash."""
        self.last_us = max(self.last_us + 1, min(self._now_us, at_us or self._now_us))
        commit = Commit(
            operation=operation,
            parents=() if self.head is None else (self.head,),
            created_at=format_time(self.last_us),
            content=ContentHash(hash_bytes(draft.data)),
            content_type=draft.content_type,
            targets=tuple(targets),
            metadata=Raw(draft.metadata),
        )
        data = encode_commit(commit)
        name = CommitHash(hash_bytes(data))
        self.staged.append(_Staged(name, commit, data, self.last_us, draft))
        self.size_bytes += len(data) + len(draft.data)
        self.head = name
        return name


class TranscriptImporter:
    """One import of a transcript into the tract of a session, whose branch gets the transcript's main one."""

    def __init__(self, session: Session, transcript: Transcript, digest: str = "") -> None:
        """`digest` is that of the file: an import of the same bytes has nothing to do."""
        self._session = session
        self._transcript = transcript
        self._digest = digest
        self._kept: dict[int, Entry] = {}
        self._added = self._edited = 0
        self._made: list[str] = []
        self._flaws = list(transcript.flaws)

    def run(self) -> TranscriptReport:
        """Commits what is new of all branches. Errors: as those of a commit; each transaction stands once it is written."""
        transcript, session = self._transcript, self._session
        main, *others = transcript.branches or [Branch(_MAIN, ())]
        marks = self._marks(main)
        self._extend(session, main, marks, is_last=not others)
        for branch in others:
            self._add_branch(main, branch)
        with session.guard.writing:
            if others:  # after all of them: what the description names is imported whole
                with session.writer.transaction(ANY, is_move=False) as transaction:
                    self._describe(transaction)
            head = session.reader.head()
        shown = [content for place in main.positions for content in self._entry(place).contents]
        return TranscriptReport(
            tract_id=session.tract_id,
            format=transcript.format,
            session_id=transcript.id,
            entries=transcript.count,
            messages=sum(not isinstance(content, RecordContent | ToolsContent) for content in shown),
            added=self._added,
            edited=self._edited,
            branches=tuple(self._made),
            head=head,
            flaws=tuple(sorted(self._flaws, key=lambda flaw: flaw.line)),
        )

    def _entry(self, position: int) -> Entry:
        entry = self._kept.get(position)
        if entry is None:
            entry = self._transcript.entry(position)
            if self._transcript.count <= _KEPT_ENTRIES:
                self._kept[position] = entry
        return entry

    def _marks(self, branch: Branch) -> list[_Mark]:
        marks, chain = [], ""
        for position in branch.positions:
            entry = self._entry(position)
            sum_ = stamps.sum_of(entry)
            chain = stamps.chained(chain, entry.key, sum_)
            marks.append(_Mark(entry.key, sum_, chain))
        return marks

    def _extend(self, session: Session, branch: Branch, marks: Sequence[_Mark], *, is_last: bool = False) -> None:
        """Commits to the branch of `session` what it lacks of a branch of the transcript, some thousand commits at a time."""
        is_over = False
        while not is_over:
            with session.guard.writing, session.writer.transaction(ANY) as transaction:
                line = self._line(session, transaction)
                start = self._start(session, transaction, line, branch, marks)
                is_over = self._add_entries(session, transaction, line, branch, marks, start)
                self._bring(session, transaction, line)
                if is_over and is_last:
                    self._describe(transaction)

    def _line(self, session: Session, transaction: Transaction) -> _Line:
        head = transaction.head
        last_us = 0 if head is None else session.reader.commit(head).created_us
        return _Line(head, last_us, session.writer.now_us())

    def _start(
        self, session: Session, transaction: Transaction, line: _Line, branch: Branch, marks: Sequence[_Mark]
    ) -> int:
        """Returns how many entries the branch holds, once those that changed are edited and what went another way is left."""
        last = next(self._stamped(session, line.head), None)
        if last is None:
            return 0
        places = {mark.chain: count for count, mark in enumerate(marks, 1)}
        if last[1].chain in places:
            return places[last[1].chain]
        known = self._known(session, line.head)
        common = 0
        while common < min(len(known), len(marks)) and known[common].stamp.key == marks[common].key:
            common += 1
        if common < len(known):
            self._go_back(session, transaction, line, known, common)
        for place in range(common):
            if known[place].stamp.sum != marks[place].sum:
                self._edit(session, line, known[place], branch.positions[place], marks[place])
        return common

    def _stamped(self, session: Session, head: CommitHash | None) -> Iterator[tuple[CommitHash, Stamp, Commit]]:
        """Yields the commits of the transcript on the line of a head, newest first."""
        name = head
        while name is not None:
            commit = session.reader.commit(name)
            stamp = stamp_of(commit)
            if stamp is not None and (stamp.format, stamp.session) == (self._transcript.format, self._transcript.id):
                yield name, stamp, commit
            name = commit.parents[0] if commit.parents else None

    def _known(self, session: Session, head: CommitHash | None) -> list[_Known]:
        """Returns the entries that the line of a head holds, oldest first."""
        found: dict[str, _Known] = {}
        for name, stamp, commit in reversed(list(self._stamped(session, head))):
            known = found.get(stamp.key)
            if known is None:
                found[stamp.key] = _Known(stamp, [name])
                continue
            known.stamp = stamp
            if commit.operation is not CommitOperation.EDIT:
                known.commits.append(name)
        return list(found.values())

    def _go_back(
        self, session: Session, transaction: Transaction, line: _Line, known: Sequence[_Known], common: int
    ) -> None:
        """Sets the branch back to the last entry that it shares with the transcript, and keeps what it had as a branch."""
        assert line.head is not None
        name = self._free_name(session, f"{transaction.branch}-{known[-1].stamp.key}")
        session.writer.tick(transaction)
        transaction.add_move("create", name, line.head, ())
        self._made.append(name)
        if common:
            line.head = known[common - 1].commits[-1]
            transaction.move_to(line.head, "reset")
        else:
            line.head, line.is_new_root = None, True

    def _free_name(self, session: Session, wanted: str) -> str:
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in wanted)[:_NAME_CHARACTERS].strip("-")
        taken = {*session.reader.overlay.branches(), *self._made}
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
        return next(found for found in names if found not in taken)

    def _edit(self, session: Session, line: _Line, known: _Known, position: int, mark: _Mark) -> None:
        """Adds edits for an entry whose record changed in place, and the contents that it has got more of."""
        entry = self._entry(position)
        drafts = self._drafts(session, entry, position, mark, is_late=True)
        if len(drafts) < len(known.commits):
            reason = f"entry {mark.key} lost a part; the tract keeps it as it was"
            self._flaws.append(Flaw(0, "noted", reason))
            return
        for target, draft in zip(known.commits, drafts, strict=False):
            line.add(draft, entry.at_us, operation=CommitOperation.EDIT, targets=[target])
        for draft in drafts[len(known.commits) :]:
            line.add(draft, entry.at_us)
        self._edited += 1

    def _add_entries(
        self,
        session: Session,
        transaction: Transaction,
        line: _Line,
        branch: Branch,
        marks: Sequence[_Mark],
        start: int,
    ) -> bool:
        """Adds the entries from `start` on, up to a number; returns whether those were the last."""
        place = start
        while place < len(branch.positions) and len(line.staged) < _CHUNK_COMMITS and line.size_bytes < _CHUNK_BYTES:
            position = branch.positions[place]
            entry = self._entry(position)
            targets = self._covered(session, line, entry)
            for draft in self._drafts(session, entry, position, marks[place]):
                operation = CommitOperation.SUMMARIZE if targets else CommitOperation.APPEND
                line.add(draft, entry.at_us, operation=operation, targets=targets)
                targets = []
            if entry.usage is not None:
                self._add_usage(session, transaction, line, entry)
            place += 1
        return place == len(branch.positions)

    def _covered(self, session: Session, line: _Line, entry: Entry) -> list[CommitHash]:
        """Returns the commits that the first content of an entry stands for."""
        if not entry.covers:
            return []
        keys = {self._entry(position).key for position in entry.covers}
        known = [] if self._is_staged_whole(line) else self._known(session, self._written_head(line))
        names = [name for found in known if found.stamp.key in keys for name in found.commits]
        staged = [(new, stamp_of(new.commit)) for new in line.staged]
        names += [
            new.name
            for new, stamp in staged
            if stamp and stamp.key in keys and new.commit.operation is not CommitOperation.EDIT
        ]
        return names

    def _written_head(self, line: _Line) -> CommitHash | None:
        parents = line.staged[0].commit.parents if line.staged else () if line.head is None else (line.head,)
        return CommitHash(parents[0]) if parents else None

    def _is_staged_whole(self, line: _Line) -> bool:
        return self._written_head(line) is None

    def _add_usage(self, session: Session, transaction: Transaction, line: _Line, entry: Entry) -> None:
        try:
            usage = TokenUsage.from_any(entry.usage)
        except UsageError as error:
            self._flaws.append(Flaw(0, "noted", f"entry {entry.key}: {error}"))
            return
        if line.head is not None:
            session.writer.tick(transaction)
            transaction.add_usage(line.head, usage)

    def _bring(self, session: Session, transaction: Transaction, line: _Line) -> None:
        """Moves what is staged into the transaction; where that is much, into a pack first."""
        if line.staged:
            new = [NewCommit(one.name, one.draft.config, one.draft.tokens) for one in line.staged]
            contents = {one.commit.content or "": one.draft.data for one in line.staged}
            objects = session.store.objects
            if len(line.staged) >= _PACKED_COMMITS:
                for name in objects.written(contents.keys(), fans=objects.fans()):
                    del contents[name]
                session.store.write_packed(contents | {one.name: one.data for one in line.staged})
                objects.remember(contents, {one.name: one.commit for one in line.staged})
                transaction.extend(new, [one.created_us for one in line.staged])
            else:
                for one in line.staged:
                    transaction.add_content(one.commit.content or "", one.draft.data)
                    transaction.add_commit(one.commit, one.data, one.created_us, one.draft.config, one.draft.tokens)
            transaction.tick(max(session.writer.now_us(), line.last_us))  # no event is older than what it brings
            self._added += len(line.staged)
        if line.is_new_root and line.head is not None:
            transaction.move_to(line.head, "reset")

    def _drafts(
        self, session: Session, entry: Entry, position: int, mark: _Mark, *, is_late: bool = False
    ) -> list[_Draft]:
        """Returns the contents of an entry with their metadata; where one can't be stored, the entry as a record."""
        try:
            return self._encoded(session, entry, position, mark, is_late=is_late)
        except (ContentValidationError, JsonValueError, ObjectTooLarge) as error:
            self._flaws.append(Flaw(0, "kept", f"entry {entry.key} is a record alone: {error}"))
            plain = Entry(entry.key, entry.value, at_us=entry.at_us, raw=entry.raw, is_joined=entry.is_joined)
            return self._encoded(session, plain, position, mark, is_late=is_late)

    def _encoded(self, session: Session, entry: Entry, position: int, mark: _Mark, *, is_late: bool) -> list[_Draft]:
        contents = list(entry.contents)
        raw = stamps.encode_raw(entry.raw)
        blobs = dict(entry.blobs)
        if entry.raw is not None and raw is None:
            blobs |= stamps.raw_blobs(entry.raw)
        rest = None
        if contents and entry.raw is None:
            rest = stamps.rest_of(entry)
        if blobs or not contents:
            record = {} if contents or entry.raw is not None else {"record": entry.value}
            hashes = {name: session.writer.put_blob(data) for name, data in blobs.items()}
            contents.append(RecordContent(stamps.RECORD_KIND, record, hashes))
        config = None if entry.config is None else canonical.encode(entry.config, name="generation_config")
        drafts = []
        for part, content in enumerate(contents):
            stamp = Stamp(
                format=self._transcript.format,
                session=self._transcript.id,
                key=mark.key,
                position=position,
                sum=mark.sum,
                chain="" if is_late else mark.chain,
                part=part,
                rest=rest if part == 0 else None,
                raw=(raw or "") if part == 0 else "",
                is_joined=entry.is_joined,
            )
            own = entry.metadata if part == 0 else {}
            metadata = canonical.encode({**own, stamps.KEY: to_builtins(stamp)}, name="metadata")
            drafts.append(self._draft(session, content, config, metadata))
        return drafts

    def _draft(self, session: Session, content: object, config: bytes | None, metadata: bytes) -> _Draft:
        message = content.message if isinstance(content, MessageContent) else content
        if isinstance(message, dict) and "content_type" not in message:
            data = encode_message(message)
            tokens, has_media = count_json_message(session.reader.counter, message)
            content_type = "message"
        else:
            draft = session.writer.draft(content)
            assert draft.data is not None and draft.content_type is not None and draft.rendering is not None
            data, content_type = draft.data, draft.content_type
            tokens, has_media = draft.rendering.tokens, draft.rendering.has_media
        recorded = {source_name(session.reader.counter, has_media=has_media): tokens}
        return _Draft(data, content_type, recorded, config, metadata)

    def _add_branch(self, main: Branch, branch: Branch) -> None:
        """Brings a branch beside the main one into the branch that holds the most of it, or into a new one."""
        marks = self._marks(branch)
        places = {mark.chain: count for count, mark in enumerate(marks, 1)}
        with self._session.guard.writing:
            name, held = self._best_holder(places, shared := _shared(main.positions, branch.positions))
            if held == len(marks):
                return
            if not name:
                name = self._free_name(self._session, branch.name)
                self._begin_branch(name, marks[shared - 1].key if shared else "")
                self._made.append(name)
            other = self._session.open_beside(tract_id=self._session.tract_id, branch=name)
        try:
            self._extend(other, branch, marks)
        finally:
            other.close()

    def _best_holder(self, places: dict[str, int], shared: int) -> tuple[str, int]:
        """Returns the branch that ends with the most entries of a branch of the transcript, and how many; one that has
        no more than the main branch does not count.
        """
        overlay, best = self._session.reader.overlay, ("", 0)
        for name in sorted(overlay.branches() - {self._session.reader.branch}):
            last = next(self._stamped(self._session, overlay.head(name)), None)
            held = 0 if last is None else places.get(last[1].chain, 0)
            if held > max(best[1], shared):
                best = name, held
        return best

    def _begin_branch(self, name: str, key: str) -> None:
        """Makes a branch at the entry of the main one with this key; without a key, its first commit makes it."""
        session = self._session
        known = next((k for k in self._known(session, session.reader.head()) if k.stamp.key == key), None)
        if known is not None:
            with session.writer.transaction(ANY, is_move=False) as transaction:
                session.writer.tick(transaction)
                transaction.add_move("create", name, known.commits[-1], ())

    def _describe(self, transaction: Transaction) -> None:
        """Sets the title and metadata of the tract to the session's; a title that a user gave it stays."""
        transcript, session = self._transcript, self._session
        metadata = session.reader.metadata()
        before = metadata.get(stamps.KEY)
        known = before if isinstance(before, dict) else {}
        title = transcript.title or self._first_words()
        own = {**transcript.metadata, "format": transcript.format, "session": transcript.id, "title": title}
        own |= {"encoding": transcript.encoding} if transcript.encoding else {}
        own |= {"sha256": self._digest} if self._digest else {}
        is_ours = session.reader.title() in (None, "", known.get("title"))
        new_title = title if title and is_ours and title != session.reader.title() else None
        if own != known or new_title is not None:
            session.writer.tick(transaction)
            transaction.ops.append(describe_op(new_title, {**metadata, stamps.KEY: own}))

    def _first_words(self) -> str:
        """Returns the start of what the user said first; empty if that is not known."""
        for position in self._transcript.branches[0].positions[:_TITLE_ENTRIES] if self._transcript.branches else ():
            for content in self._entry(position).contents:
                message = content.message if isinstance(content, MessageContent) else content
                text = _text_of(message) if isinstance(message, dict) and message.get("role") == "user" else ""
                if text and not text.startswith("<"):  # what a program puts before the user's words
                    return first_words(text)
        return ""


def _text_of(message: dict[str, Any]) -> str:
    """Returns the first text of a provider message; empty if it has none."""
    content = message.get("content", message.get("parts"))
    if isinstance(content, str):
        return content.strip()
    blocks = content if isinstance(content, list) else []
    texts = (block.get("text") for block in blocks if isinstance(block, dict))
    return next((text.strip() for text in texts if isinstance(text, str)), "")


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Returns how many entries two branches begin with alike."""
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return count
