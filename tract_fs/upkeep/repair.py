"""Repair: verifies every file of the store, quarantines or mends damaged ones, restores missing ones from unknown files, rebuilds caches.

Only caches and left-over temporary files are deleted. The report names what could not be mended, where it is, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from tract_fs.errors import ArgumentError
from tract_fs.model.damage import unreadable
from tract_fs.model.events import redact_op
from tract_fs.model.incomplete import Lost
from tract_fs.model.names import is_hash, is_tract_id
from tract_fs.model.status import LostFile, RepairReport
from tract_fs.store import files, texts
from tract_fs.store.address import Address
from tract_fs.store.bytes import read_hashed
from tract_fs.store.left_over import remove_left_over
from tract_fs.store.transaction import Transaction
from tract_fs.store.tree import iter_files, list_unknown
from tract_fs.upkeep.adopt import Adopted, Adoption
from tract_fs.upkeep.lost_blobs import find_lost_blobs
from tract_fs.upkeep.salvage import find_salvageable
from tract_fs.upkeep.status import lost_blobs, lost_files, missing_names
from tract_fs.work.reader import TractReader
from tract_fs.work.session import Session, StorePath, require_layout

_AT_ONCE = 8  # files dealt with in one hold of the lock
_LEAST_DIGITS = 4


def restore_format(path: StorePath) -> bool:
    """Writes the FORMAT file of a store again where it is missing or damaged; returns whether it did. Errors: ArgumentError, OSError."""
    return texts.restore_format(require_layout(path))


class Repair:
    """One repair of the store behind a handle, and of its tract."""

    def __init__(self, session: Session) -> None:
        self._reader = session.reader
        self._contexts = session.contexts
        self._store = session.store
        self._layout = session.store.layout
        self._now_us = session.writer.now_us()
        self._checked_count = 0
        self._mended: list[str] = []
        self._unmoved: list[str] = []
        self._salvaged: list[str] = []
        self._dropped: list[str] = []
        self._given_up: list[str] = []
        self._accepted: list[str] = []

    def run(self, *, adopt: bool, verify: bool, give_up: Iterable[str], accept: bool) -> RepairReport:
        """Repairs the store, and returns the report; see the facade."""
        self._store.require_writable()
        if self._store.accepts_gaps:
            raise ArgumentError("repair() of a handle that was opened with incomplete='use': open the store without it")
        if isinstance(give_up, str) or not isinstance(give_up, Iterable):
            raise ArgumentError(f"give_up {give_up!r}: give a list of hashes of lost files")
        names = list(give_up)
        if not any(map(files.list_names, (self._layout.objects, self._layout.events, self._layout.packs))):
            self._store.require_store()  # taken away, but for local/: no store is begun in its place
        if texts.restore_format(self._layout):
            self._mended.append("FORMAT")
        self._store.require_store()
        if self._reader.overlay.is_staging:
            raise ArgumentError("repair() can't run inside a batch: end the batch first")
        self._mend_texts()
        self._quarantine(list(self._find_damaged()) if verify else self._store.suspects.all())
        self._restore()
        if verify:
            self._rebuild()
        self._reader.log.list_events(is_forced=True)
        self._salvage({name for reader in self._readers() for name in reader.hidden.gone_tails()} if accept else set())
        self._give_up(names)
        remove_left_over(self._layout)
        adopted = self._adopt() if adopt else Adopted([], [])
        if accept:
            self._accept()
        return self._report(adopted)

    def _mend_texts(self) -> None:
        with self._store.locked():
            names = [name for name in texts.damaged(self._layout) if not files.exists(f"{self._layout.root}/{name}")]
            names += texts.outdated(self._layout)
            texts.write(self._layout, names)
            self._mended += names
            self._unmoved += [f"{name}: not the text that belongs there" for name in texts.damaged(self._layout)]

    def _find_damaged(self) -> Iterator[Address]:
        packs = self._store.packs
        for file, _ in iter_files(self._layout):
            self._checked_count += 1
            path = file.path_in(self._layout)
            try:
                data, is_good = read_hashed(path, file.name)
            except OSError as error:
                if error.errno not in files.UNREADABLE:
                    raise
                self._unmoved.append(f"{file.path}: {unreadable(error.strerror)}")
                continue
            if data is None and files.exists(path):
                self._unmoved.append(f"{file.path}: too large to be a file of this store")
            elif data is not None and not is_good:
                yield file
            elif data is not None and file.kind == "pack" and packs.drop_wrong_rows(file.name, data):
                self._dropped.append(self._layout.relative(self._layout.index))

    def _quarantine(self, suspects: list[Address]) -> None:
        for start in range(0, len(suspects), _AT_ONCE):
            with self._store.locked():
                for suspect in suspects[start : start + _AT_ONCE]:
                    self._store.examine(suspect)

    def _restore(self) -> None:
        """Writes quarantined files again from this copy's redo logs, if these have them; moves back those that became good."""
        findings = self._store.findings.items()
        absent = {suspect.name: found.path for suspect, found in findings if found.outcome == "set aside"}
        with self._store.locked():
            if absent:
                self._mended += [absent[name] for name in self._store.write_from_redo(absent)]
            self._mended += self._store.quarantine.give_back()

    def _rebuild(self) -> None:
        """Removes the caches of all tracts, and rebuilds their views, with every object read again."""
        self._store.forget()
        self._store.packs.refresh()
        self._contexts.forget()
        self._reader.forget_renderings()
        self._reader.close()
        if files.exists(self._layout.index):
            self._dropped.append(self._layout.relative(self._layout.index))
        self._store.index.discard()
        for tract in {self._reader.log.tract, *self._store.list_tracts()}:
            self._store.log(tract).rebuild(is_ours=True)
        for tract in files.list_names(f"{self._layout.local}/tracts"):
            if is_tract_id(tract):
                self._drop_caches(tract)

    def _drop_caches(self, tract: str) -> None:
        snapshots = self._layout.tract_local(tract, "snapshots")
        paths = [f"{snapshots}/{name}" for name in files.list_names(snapshots) if is_hash(name)]
        for path in paths:
            try:
                if files.exists(path):
                    files.remove(path)
                    self._dropped.append(self._layout.relative(path))
            except OSError as error:  # a directory in its place: no reader uses it
                self._unmoved.append(f"{self._layout.relative(path)}: can't be removed: {error.strerror}")

    def _lost_files(self) -> list[Lost]:
        return [gap.lost for reader in self._readers() for gap in reader.hidden.lost_files()]

    def _lost_blobs(self, reader: TractReader) -> set[Lost]:
        return set(find_lost_blobs(reader, self._store.objects.is_written))

    def _salvage(self, left: set[str]) -> None:
        """Writes lost files again that the redo logs hold, but for those of `left`; restores missing files from unknown,
        quarantined and fresh damaged ones. Repeats, since a restored event may wait for more.
        """
        blobs = set().union(*map(self._lost_blobs, self._readers()))
        while lost := {one.hash: one.path for one in (*self._lost_files(), *blobs) if one.hash not in left}:
            with self._store.locked():
                written = self._store.write_from_redo(lost)
            if not written:
                break
            left.update(written)
            self._mended += [lost[name] for name in written]
            self._store.list_events()  # an event that is back may wait for more
        misplaced = [found.path for found in self._store.findings.values() if found.outcome == "fresh"]
        misplaced += [entry.file for entry in self._store.quarantine.entries()]
        absent = {blob.hash for blob in blobs} - left
        while found := find_salvageable(
            self._store, [*list_unknown(self._layout), *misplaced], missing_names(self._reader) | absent
        ):
            with self._store.locked():
                for path, target in found:
                    data, is_good = read_hashed(f"{self._layout.root}/{path}", target.name)
                    if data is None or not is_good:
                        return  # a tool is changing the file right now
                    files.replace(target.path_in(self._layout), data, is_synced=True)
                    self._salvaged.append(target.path)
            self._reader.log.list_events(is_forced=True)

    def _readers(self) -> Iterator[TractReader]:
        """Yields a reader of each tract of the store, the handle's own first."""
        own = self._reader
        yield own
        for tract in self._store.list_tracts():
            if tract != own.log.tract:
                yield TractReader(self._store, self._store.log(tract), own.branch, own.types, own.counter)

    def _give_up(self, names: list[str]) -> None:
        """Redacts lost files, each in the tracts that miss it. Errors: ArgumentError if one is not lost, nothing written."""
        if not names:
            return
        lost = {
            reader.log.tract: {
                one.hash for one in (*(g.lost for g in reader.hidden.lost_files()), *self._lost_blobs(reader))
            }
            for reader in self._readers()
        }
        chosen = {_require_one(name, set().union(*lost.values())) for name in names}
        with self._store.locked():
            for tract, there in lost.items():
                log = self._store.log(tract)
                log.catch_up(is_locked=True)
                transaction = Transaction(self._reader.branch, log.view, None)
                transaction.ops += [redact_op(name) for name in sorted(chosen & there)]
                if not transaction.is_empty:
                    transaction.tick(self._now_us)
                    self._store.write(log, transaction)
        self._given_up = sorted(chosen)
        self._store.list_events()

    def _accept(self) -> None:
        """Accepts in each tract what this copy had and has no more: events that are gone, configs that it showed before."""
        for reader in self._readers():
            names = reader.hidden.gone_tails()
            if names or reader.log.overruled:
                self._accepted += names
                reader.log.accept(names)
                reader.log.overruled.clear()
                reader.log.rebuild(is_ours=True)  # other handles follow the new arrivals

    def _adopt(self) -> Adopted:
        with self._store.locked():
            log = self._reader.log
            log.catch_up(is_locked=True)
            log.list_events(is_forced=True)
            return Adoption(self._reader, now_us=self._now_us).run()

    def _lost(self) -> Iterator[LostFile]:
        """Yields the lost files of all tracts, each once."""
        seen: set[str] = set()
        for reader in self._readers():
            for found in (*lost_files(reader), *lost_blobs(reader, self._store.objects.is_written)):
                if found.path not in seen:
                    seen.add(found.path)
                    yield found

    def _report(self, adopted: Adopted) -> RepairReport:
        of: dict[str, list[str]] = {}
        for found in self._store.take_findings():  # also those from before the repair
            shown = f"{found.path}: {found.cause}" if found.cause and found.outcome != "repaired" else found.path
            of.setdefault(found.outcome, []).append(shown)
        report = RepairReport(
            checked_count=self._checked_count,
            mended=tuple(sorted({*self._mended, *of.get("repaired", ())})),
            set_aside=tuple(sorted(of.get("set aside", ()))),
            too_fresh=tuple(sorted(of.get("fresh", ()))),
            unmoved=tuple(sorted([*self._unmoved, *of.get("failed", ())])),
            salvaged=tuple(sorted(self._salvaged)),
            dropped_caches=tuple(sorted(self._dropped)),
            adopted=tuple(adopted.heads),
            not_adopted=tuple(adopted.refused),
            lost=tuple(self._lost()),
            given_up=tuple(self._given_up),
            accepted=tuple(sorted(self._accepted)),
            advice=(),
        )
        return structs.replace(report, advice=tuple(_advice(report)))


def _require_one(name: object, lost: set[str]) -> str:
    """Returns the lost hash that begins with the digits given. Errors: ArgumentError."""
    found = [one for one in lost if type(name) is str and len(name) >= _LEAST_DIGITS and one.startswith(name)]
    if len(found) != 1:
        known = ", ".join(sorted(lost)) or "nothing is lost"
        raise ArgumentError(f"give_up {name!r}: not the hash of one lost file ({known}); nothing was given up")
    return found[0]


def _advice(report: RepairReport) -> Iterator[str]:
    mended = set(report.mended)
    if any(line.partition(": ")[0] not in mended for line in report.set_aside):
        yield "quarantined files are kept: fetch the files named from another copy of this store"
    if report.too_fresh:
        yield "damaged files that changed just now may belong to a copy in progress: let it finish, wait ten seconds, and repair again"
    if report.unmoved:
        yield "some files could not be repaired: check their permissions, or move them out of the store by hand"
    if report.lost:
        yield (
            "the commits that depend on lost files are kept, and 'tract show HASH' reaches them. Fetch the files from another copy; "
            "where there is none, 'tract repair --give-up HASH' makes the gap permanent"
        )
    if report.not_adopted:
        yield "events that could not be adopted wait for the files named: fetch them from another copy of this store"
