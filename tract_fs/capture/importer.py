"""Imports a transcript into a tract, as often as its session grows: only what is new is committed.

Each branch of the transcript is compared with what the tract's branch holds of it, by the format's own keys and sums of
the records, never by the contents. A record that was changed in place becomes an edit; where the session went back and
on another way, what it left stays as a branch. All that a commit contains comes from the file, its time too, so two
machines that import one session make the same commits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

from msgspec import Raw, Struct, to_builtins

from tract_fs.capture import stamps
from tract_fs.capture.stamps import Stamp, stamp_of
from tract_fs.errors import ContentValidationError, JsonValueError, ObjectTooLarge, UsageError
from tract_fs.model import canonical
from tract_fs.model.content import MessageContent, RecordContent, ToolsContent, encode_message
from tract_fs.model.events import NewCommit, describe_op
from tract_fs.model.fields import fields_in, fields_of, items_of
from tract_fs.model.messages import first_words
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
    file: str


class _Known(Struct):
    """An entry that a branch holds: the stamp of its record as an import last saw it, and a commit for each content."""

    stamp: Stamp
    commits: list[CommitHash]


class _Marks:
    """The entries of a branch of the transcript by what identifies them; of each only its sum and the chain are kept, in six
    bytes each.
    """

    def __init__(self, entry: Callable[[int], Entry], positions: Sequence[int]) -> None:
        self._entry = entry
        self._positions = positions
        self._sums, self._chains = bytearray(), bytearray()
        self.files = {""}  # that the entries are of
        self.messages = 0  # that they make
        chain = ""
        for position in positions:
            one = entry(position)
            sum_ = stamps.sum_of(one)
            chain = stamps.chained(chain, one.key, sum_)
            self._sums += bytes.fromhex(sum_)
            self._chains += bytes.fromhex(chain)
            self.files.add(one.file)
            self.messages += sum(not isinstance(content, RecordContent | ToolsContent) for content in one.contents)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, place: int) -> _Mark:
        one = self._entry(self._positions[place])
        part = slice(place * stamps.CHAIN_BYTES, (place + 1) * stamps.CHAIN_BYTES)
        return _Mark(one.key, self._sums[part].hex(), self._chains[part].hex(), one.file)

    def count_of(self, chain: str) -> int:
        """Returns how many entries lead to a chain; 0 if none do."""
        if not stamps.is_chain(chain):
            return 0
        wanted, at = bytes.fromhex(chain), -1
        while (at := self._chains.find(wanted, at + 1)) >= 0:
            if at % stamps.CHAIN_BYTES == 0:
                return at // stamps.CHAIN_BYTES + 1
        return 0

    def count_known(self, keys: Container[str]) -> int:
        """Returns how many entries from the first on have one of some keys."""
        count = 0
        while count < len(self) and self._entry(self._positions[count]).key in keys:
            count += 1
        return count


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
    """The end of a branch while one transaction adds to it: its head, the time of that, and the commits that wait."""

    def __init__(self, session: Session, transaction: Transaction) -> None:
        self.session = session
        self.transaction = transaction
        self.head = head = transaction.head
        self.is_new_root = False
        self.staged: list[_Staged] = []
        self.size_bytes = 0
        self.known: dict[str, list[CommitHash]] | None = None  # by the keys of entries, from the first summary on
        self.keys: dict[int, str] = {}  # of the entries, by position
        self.last_us = 0 if head is None else session.reader.commit(head).created_us
        self._now_us = session.writer.now_us()

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
        self._holders: list[str] = []  # the branches that hold those of the transcript
        self._flaws = list(transcript.flaws)

    def run(self) -> TranscriptReport:
        """Commits what is new of all branches. Errors: as those of a commit; each transaction stands once it is written."""
        transcript, session = self._transcript, self._session
        main, *others = transcript.branches or [Branch(_MAIN, ())]
        marks = _Marks(self._entry, main.positions)
        self._extend(session, main, marks, is_last=not others)
        for branch in others:
            self._add_branch(main, branch)
        with session.guard.writing:
            if others:  # after all of them: what the description names is imported whole
                with session.writer.transaction(ANY, is_move=False) as transaction:
                    self._describe(transaction)
            head = session.reader.head()
        return TranscriptReport(
            tract_id=session.tract_id,
            format=transcript.format,
            session_id=transcript.id,
            entries=transcript.count,
            messages=marks.messages,
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

    def _extend(self, session: Session, branch: Branch, marks: _Marks, *, is_last: bool = False) -> None:
        """Commits to the branch of `session` what it lacks of a branch of the transcript, some thousand commits at a time."""
        is_over = False
        while not is_over:
            with session.guard.writing, session.writer.transaction(ANY) as transaction:
                line = _Line(session, transaction)
                start = self._start(line, branch, marks)
                is_over = self._add_entries(line, branch, marks, start)
                self._bring(line)
                if is_over and is_last:
                    self._describe(transaction)

    def _start(self, line: _Line, branch: Branch, marks: _Marks) -> int:
        """Returns how many entries the branch holds, once those that changed are edited and what went another way is left.

        What follows the last entry that both have is compared by key. Behind a merge it may be what another machine went on
        with, and stays.
        """
        after: list[tuple[CommitHash, Stamp, Commit]] = []
        base, count, is_merged = None, 0, False
        for name, stamp, commit, is_merged in self._stamped(line.session, line.head):  # noqa: B007 - the last one counts
            count = marks.count_of(stamp.chain)
            if count:
                base = name
                break
            after.append((name, stamp, commit))
        if is_merged:
            return count or marks.count_known({stamp.key for _, stamp, _ in after})
        # what is of another file stays when that file is gone
        known = [one for one in _grouped(after) if one.stamp.file in marks.files]
        common = 0
        while common < min(len(known), len(marks) - count) and self._goes_on(
            line.session, known[common], branch.positions[count + common], marks[count + common]
        ):
            common += 1
        if common < len(known):
            base = known[common - 1].commits[-1] if common else base
            self._go_back(line, known[-1].stamp.key, base)
        for place in range(common):
            mark = marks[count + place]
            if known[place].stamp.sum != mark.sum:
                self._edit(line, known[place], branch.positions[count + place], mark)
        return count + common

    def _stamped(self, session: Session, head: CommitHash | None) -> Iterator[tuple[CommitHash, Stamp, Commit, bool]]:
        """Yields the commits of the transcript in the history of a head, newest first, and whether a merge came before."""
        is_merged = False
        queue: list[tuple[int, CommitHash]] = []
        seen = {head}
        if head is not None:
            queue.append((0, head))
        while queue:
            _, name = heappop(queue)
            commit = session.reader.commit(name)
            stamp = stamp_of(commit)
            if stamp is not None and (stamp.format, stamp.session) == (self._transcript.format, self._transcript.id):
                yield name, stamp, commit, is_merged
            is_merged = is_merged or len(commit.parents) > 1
            for parent in commit.parents:
                if parent not in seen:
                    seen.add(parent)
                    age = -session.reader.commit(parent).created_us if is_merged else 0
                    heappush(queue, (age, parent))

    def _known(self, session: Session, head: CommitHash | None) -> list[_Known]:
        """Returns the entries that the history of a head holds, oldest first."""
        return _grouped([(name, stamp, commit) for name, stamp, commit, _ in self._stamped(session, head)])

    def _go_back(self, line: _Line, key: str, base: CommitHash | None) -> None:
        """Sets the branch back to the last entry that it shares with the transcript, and keeps what it had as a branch, named by
        its last key.
        """
        assert line.head is not None
        name = self._free_name(line.session, f"{line.transaction.branch}-{key}")
        line.session.writer.tick(line.transaction)
        line.transaction.add_move("create", name, line.head, ())
        self._made.append(name)
        line.head = base
        if base is not None:
            line.transaction.move_to(base, "reset")
        else:
            line.is_new_root = True

    def _free_name(self, session: Session, wanted: str) -> str:
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in wanted)[:_NAME_CHARACTERS].strip("-")
        taken = {*session.reader.overlay.branches(), *self._made}
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
        return next(found for found in names if found not in taken)

    def _goes_on(self, session: Session, known: _Known, position: int, mark: _Mark) -> bool:
        """Returns whether an entry is the same, or was changed so that edits of it can say that: it has no part less."""
        if known.stamp.key != mark.key:
            return False
        if known.stamp.sum == mark.sum:
            return True
        return len(self._drafts(session, self._entry(position), position, mark)) >= len(known.commits)

    def _edit(self, line: _Line, known: _Known, position: int, mark: _Mark) -> None:
        """Adds edits for an entry whose record changed in place, and the contents that it has got more of."""
        entry = self._entry(position)
        drafts = self._drafts(line.session, entry, position, mark, is_late=True)
        for target, draft in zip(known.commits, drafts, strict=False):
            line.add(draft, entry.at_us, operation=CommitOperation.EDIT, targets=[target])
        for draft in drafts[len(known.commits) :]:
            line.add(draft, entry.at_us)
        self._edited += 1

    def _add_entries(self, line: _Line, branch: Branch, marks: _Marks, start: int) -> bool:
        """Adds the entries from `start` on, up to a number; returns whether those were the last."""
        place = start
        while place < len(branch.positions) and len(line.staged) < _CHUNK_COMMITS and line.size_bytes < _CHUNK_BYTES:
            position = branch.positions[place]
            entry = self._entry(position)
            targets = self._covered(line, entry, branch)
            mark = marks[place]
            for draft in self._drafts(line.session, entry, position, mark):
                operation = CommitOperation.SUMMARIZE if targets else CommitOperation.APPEND
                name = line.add(draft, entry.at_us, operation=operation, targets=targets)
                if line.known is not None:
                    line.known.setdefault(mark.key, []).append(name)
                targets = []
            if entry.usage is not None:
                self._add_usage(line, entry)
            place += 1
        return place == len(branch.positions)

    def _covered(self, line: _Line, entry: Entry, branch: Branch) -> list[CommitHash]:
        """Returns the commits that the first content of an entry stands for, in the order of the history."""
        if not entry.covers:
            return []
        if line.known is None:
            before = self._written_head(line)
            held = self._known(line.session, before) if before else []
            line.known = {known.stamp.key: known.commits for known in held}
            line.keys = {position: self._entry(position).key for position in branch.positions}
            for new in line.staged:
                stamp = stamp_of(new.commit)
                if stamp is not None and new.commit.operation is not CommitOperation.EDIT:
                    line.known.setdefault(stamp.key, []).append(new.name)
        keys = [line.keys[position] for position in sorted(entry.covers) if position in line.keys]
        return [name for key in keys for name in line.known.get(key, ())]

    def _written_head(self, line: _Line) -> CommitHash | None:
        """Returns the last commit of a line that is not staged."""
        before = line.staged[0].commit.parents if line.staged else () if line.head is None else (line.head,)
        return CommitHash(before[0]) if before else None

    def _add_usage(self, line: _Line, entry: Entry) -> None:
        try:
            usage = TokenUsage.from_any(entry.usage)
        except UsageError as error:
            self._flaws.append(Flaw(0, "noted", f"entry {entry.key}: {error}"))
            return
        name = line.head if entry.usage_of is None else self._first_of_response(line, entry.usage_of)
        if name is not None:
            line.session.writer.tick(line.transaction)
            line.transaction.add_usage(name, usage)

    def _first_of_response(self, line: _Line, position: int) -> CommitHash | None:
        """Returns the commit that a response begins with, whose usage the last of its lines knows, so that one that grows
        counts once; the head of the line where there is none.
        """
        key = self._entry(position).key
        staged = ((one.name, stamp_of(one.commit)) for one in reversed(line.staged))
        written = ((name, stamp) for name, stamp, *_ in self._stamped(line.session, self._written_head(line)))
        for name, stamp in itertools.chain(staged, written):
            if stamp is not None and stamp.key == key and stamp.part == 0:
                return name
        return line.head

    def _bring(self, line: _Line) -> None:
        """Moves what is staged into the transaction; where that is much, into a pack first."""
        session, transaction = line.session, line.transaction
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
            plain.file, plain.place = entry.file, entry.place
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
                position=position if entry.place is None else entry.place,
                sum=mark.sum,
                chain="" if is_late else mark.chain,
                part=part,
                rest=rest if part == 0 else None,
                raw=(raw or "") if part == 0 else "",
                is_joined=entry.is_joined,
                file=entry.file,
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
        marks = _Marks(self._entry, branch.positions)
        with self._session.guard.writing:
            name, held = self._best_holder(marks, branch, shared := _shared(main.positions, branch.positions))
            if held == len(marks):
                self._holders += [name] if name else []
                return
            if not name:
                name = self._free_name(self._session, branch.name)
                self._begin_branch(name, marks[shared - 1].key if shared else "")
                self._made.append(name)
            self._holders.append(name)
            other = self._session.open_beside(tract_id=self._session.tract_id, branch=name)
        try:
            self._extend(other, branch, marks)
        finally:
            other.close()

    def _best_holder(self, marks: _Marks, branch: Branch, shared: int) -> tuple[str, int]:
        """Returns the branch that ends with the most entries of a branch of the transcript, and how many; one that has
        no more than the main branch does not count. 0 where entries of it changed in place, so only its keys are the same.
        """
        overlay, best = self._session.reader.overlay, ("", 0)
        names = sorted(overlay.branches() - {self._session.reader.branch})
        for name in names:
            last = next(self._stamped(self._session, overlay.head(name)), None)
            held = 0 if last is None else marks.count_of(last[1].chain)
            if held > max(best[1], shared):
                best = name, held
        if best[0]:
            return best
        keys = [self._entry(position).key for position in branch.positions]
        for name in names:
            known = [one.stamp.key for one in self._known(self._session, overlay.head(name))]
            if len(known) > max(best[1], shared) and known == keys[: len(known)]:
                best = name, len(known)
        return best[0], 0

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
        known = fields_in(metadata, stamps.KEY)
        title = transcript.title or self._first_words()
        own = {**transcript.metadata, "format": transcript.format, "session": transcript.id, "title": title}
        own |= {"encoding": transcript.encoding} if transcript.encoding else {}
        own["entries"] = transcript.count
        own |= {"branches": self._holders} if self._holders else {}
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
    texts = (fields_of(block).get("text") for block in items_of(content))
    return next((text.strip() for text in texts if isinstance(text, str)), "")


def _grouped(stamped: Sequence[tuple[CommitHash, Stamp, Commit]]) -> list[_Known]:
    """Returns the entries of commits, which are newest first; the entries oldest first."""
    found: dict[str, _Known] = {}
    for name, stamp, commit in reversed(stamped):
        known = found.get(stamp.key)
        if known is None:
            found[stamp.key] = _Known(stamp, [name])
            continue
        known.stamp = stamp
        if commit.operation is not CommitOperation.EDIT:
            known.commits.append(name)
    return list(found.values())


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Returns how many entries two branches begin with alike."""
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return count
