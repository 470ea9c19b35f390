"""The status of a tract: what it contains, which events wait and for what, which files are damaged or unknown, and what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct, structs

from tract_fs.errors import DamageError, TokenizerError
from tract_fs.model.blobs import iter_references
from tract_fs.model.damage import NO_FILE
from tract_fs.model.history import linear_order
from tract_fs.model.incomplete import BY_CUT, BY_GIT, Lost
from tract_fs.model.messages import first_words
from tract_fs.model.names import CommitHash, format_time, is_branch_name, is_hex
from tract_fs.model.slots import LOST
from tract_fs.model.status import (
    HeadDistance,
    LostFile,
    OtherHeads,
    QuarantinedFile,
    SalvageableFile,
    Status,
    WaitingEvent,
)
from tract_fs.model.view import View
from tract_fs.store import outer_git
from tract_fs.store.address import Address
from tract_fs.store.git_ignore import find_ignored
from tract_fs.store.outer_git import TrackedStore, tracked_store
from tract_fs.store.packs import SMALL_BYTES
from tract_fs.store.place import unproved
from tract_fs.store.store import Store
from tract_fs.store.tree import count_files, iter_loose, list_unknown
from tract_fs.upkeep.lost_blobs import find_lost_blobs
from tract_fs.upkeep.salvage import MOST_READ, find_salvageable, find_under_way
from tract_fs.upkeep.settled import KEEP_NS, SettledPacks, describe_delays
from tract_fs.work.reader import WRITTEN_AGAIN, TractReader
from tract_fs.work.session import Session

_DAY_US = 86_400_000_000
_MANY_FILES = 3000  # of a thousand commits: 4 KiB of disk and an inode each, and most of the time of a cold compile
_MOST_NAMED = 3
_DIGITS = 12
_MAY_LACK = "it may have had newer events, of any tract"
_MANY_PACKS = 16  # that a handle keeps open


class _History(Struct):
    """The history of the branch; `fault` is the damage that kept it from being read, if any."""

    head: CommitHash | None = None
    others: tuple[CommitHash, ...] = ()
    other_heads: OtherHeads | None = None
    distances: tuple[HeadDistance, ...] = ()
    commit_count: int | None = None  # None if the history can't be read
    effective_count: int = 0
    token_count: int = 0
    token_source: str = ""
    fault: str = ""
    shown_blobs: frozenset[str] = frozenset()  # that the messages of the context name

    def is_blob_there(self, reader: TractReader) -> Callable[[str], bool]:
        """Returns what checks a blob: its bytes where the context shows it, so that a compile reads them too; else its presence."""
        objects = reader.store.objects
        return lambda name: (objects.get(name) is not None) if name in self.shown_blobs else objects.exists(name)


def status_of(session: Session) -> Status:
    """Returns the state of the reader's tract. Cost: reads the history of the head, and lists the store."""
    reader = session.reader
    log = reader.log
    history = _history(session)
    budget = session.options.config.token_budget
    quarantined = tuple(_quarantined(reader.store))
    absent = {_hash_of(file.file) for file in quarantined if not file.is_back}
    waiting = tuple(_waiting(reader, absent))
    gone = tuple(sorted(name for name in log.gone if name not in absent and not _is_here(reader, name)))
    lost = (*lost_files(reader), *lost_blobs(reader, history.is_blob_there(reader)))
    unknown = list_unknown(reader.store.layout)
    wanted = missing_names(reader).union(file.hash for file in lost)
    salvageable = find_salvageable(reader.store, unknown, wanted, limit=MOST_READ) if unknown else []
    under_way = find_under_way(reader.store, unknown).keys() - {found.path for found in salvageable}
    git = tracked_store(reader.store.layout)
    loose_count, pack_count = count_files(reader.store.layout)
    small_pack_count = sum(size < SMALL_BYTES for size in reader.store.packs.sizes())
    status = Status(
        tract_id=log.tract,
        branch=reader.branch,
        head=history.head,
        other_heads=history.others,
        distances=history.distances,
        diverged_branches=_diverged_branches(reader),
        commit_count=history.commit_count,
        effective_count=history.effective_count,
        token_count=history.token_count,
        token_source=history.token_source,
        token_budget=None if budget is None else budget.max_tokens,
        pending=tuple(f"{name}: {pending.describe()}" for name, pending in sorted(log.view.pending.items())),
        waiting=waiting,
        damaged=(*_damaged_packs(reader), *sorted(f"{name}: {reason}" for name, reason in log.damaged.items())),
        gone=gone,
        explained={name: why for name, why in sorted(log.accepted.items()) if name in gone},
        overruled=tuple(reader.overruled_configs().values()),
        quarantined=quarantined,
        lost=lost,
        strays=tuple(unknown),
        salvageable=tuple(SalvageableFile(found.path, found.target.path) for found in salvageable),
        under_way=tuple(sorted(under_way)),
        unread_local=tuple(unproved(reader.store.layout)),
        warnings=tuple(_warnings(log.view, history.fault, session.writer.now_us(), reader.store.lock_warning)),
        needs_recovery=reader.store.needs_recovery,
        loose_count=loose_count,
        pack_count=pack_count,
        small_pack_count=small_pack_count,
        superfluous=tuple(_superfluous(reader.store, git)),
        stopped_join="" if git is None else git.stopped_join(),
        advice=(),
    )
    advice = [
        *_advice(status, history.other_heads, has_own_lines=bool(log.view.last_own), git_head=_git_head(reader.store))
    ]
    missing = {file.hash for file in status.lost}.union(gone) - log.accepted.keys()
    if missing and not reader.store.redo_names().isdisjoint(missing):
        advice.insert(0, WRITTEN_AGAIN)
    ignored = find_ignored(reader.store.layout.context)
    if ignored is not None:
        advice.append(ignored.describe())
    return structs.replace(status, advice=tuple(advice))


def _superfluous(store: Store, git: TrackedStore | None) -> Iterator[str]:
    """Yields why loose files stay whose bytes are in packs that a packing does not rely on yet."""
    packs = store.packs
    packs.refresh()
    settled = SettledPacks(store.layout, packs.names, keep_ns=KEEP_NS, store=git)
    unsettled = sorted(packs.names - settled.names)
    loose: set[bytes] = set()
    if unsettled:
        for kind in ("object", "event"):
            loose.update(bytes.fromhex(address.name) for address, _ in iter_loose(store.layout, kind))
    counts: Counter[str] = Counter()
    for name in unsettled if loose else ():
        there = loose & packs.member_names(name)
        counts[settled.delay(name)] += len(there)
        loose -= there
    yield from describe_delays(counts, settled.young_until)


def _damaged_packs(reader: TractReader) -> Iterator[str]:
    """Yields the damaged packs of the store, and those that were quarantined and may have had events that nothing names."""
    doubtful = {pack.path: pack.cause for pack in reader.log.damaged_packs if pack.is_doubtful}
    for name, damage in sorted(reader.store.packs.damaged().items()):
        path = Address("pack", name).path
        doubtful.pop(path, None)
        if damage.lost is None:
            yield f"{path}: {damage.cause}; {_MAY_LACK}"
        elif damage.lost or damage.cause != NO_FILE:
            lost = ", ".join(f"{len(names)} of tract {tract or '?'}" for tract, names in sorted(damage.lost.items()))
            yield f"{path}: {damage.cause}; " + (f"events lost with it: {lost}" if lost else "no event is lost with it")
    for path, cause in sorted(doubtful.items()):
        yield f"{path}: quarantined ({cause}); {_MAY_LACK}: fetch these from another copy, then remove it from the quarantine"


def lost_files(reader: TractReader) -> list[LostFile]:
    """Returns the lost files of the reader's tract, with the commits that depend on each."""
    return [_lost_file(reader, gap.lost, gap.commits) for gap in reader.hidden.lost_files()]


def lost_blobs(reader: TractReader, is_there: Callable[[str], bool]) -> list[LostFile]:
    """Returns the lost blobs of the reader's tract, with the commits that name each; see `find_lost_blobs`."""
    return [_lost_file(reader, lost, commits) for lost, commits in find_lost_blobs(reader, is_there).items()]


def _lost_file(reader: TractReader, lost: Lost, commits: Iterable[CommitHash]) -> LostFile:
    return LostFile(
        path=lost.path,
        kind=lost.kind,
        hash=lost.hash,
        is_damaged=lost.is_damaged,
        hidden=tuple(f"{name}: {_first_words(reader, name)}" for name in commits),
    )


def _first_words(reader: TractReader, name: CommitHash) -> str:
    """Returns the start of a commit's text, or what is known of it instead."""
    commit = reader.log.commit(name)
    if commit is None:
        return "(the commit is lost)"
    if commit.content is None:
        return f"({commit.operation.value})"
    try:
        rendering = reader.loaded(name).rendering
    except DamageError:
        rendering = LOST
    if rendering is None or rendering is LOST:
        return "(its content is lost)"
    return first_words(rendering.text or rendering.body or "")


def missing_names(reader: TractReader) -> set[str]:
    """Returns the hashes of the missing files: those that events wait for, and those gone, damaged or quarantined."""
    log = reader.log
    names = {pending.missing for pending in log.view.pending.values()} | log.gone | log.damaged.keys()
    return names | {_hash_of(file.file) for file in _quarantined(reader.store) if not file.is_back}


def state_of(reader: TractReader, missing: str) -> str:
    """Returns the state of a hash that an event waits for; see WaitingEvent."""
    return _state_of(reader, missing, {_hash_of(f.file) for f in _quarantined(reader.store) if not f.is_back})


def _first_of(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown


def _history(session: Session) -> _History:
    """Returns the history of the branch, as far as its commits can be read."""
    reader = session.reader
    found = _History()
    try:
        found.head = head = reader.head()
        heads = [shown.commit for shown in reader.log.view.heads(reader.branch, reader.log)]
        found.others = tuple(commit for commit in heads if commit != head)
        found.other_heads = session.contexts.other_heads.get()
        order = [] if head is None else linear_order(head, reader.commit)
        found.commit_count = len(order)
        found.distances = tuple(_distance(reader, order, other) for other in found.others)
        snapshot = session.contexts.state(head).snapshot()
        unread = session.contexts.lost(head)
        if unread:
            found.fault = str(reader.gap_error(unread))
        found.effective_count = snapshot.commit_count
        found.token_count, found.token_source = snapshot.token_count, snapshot.token_source
        messages = snapshot.list_messages() if snapshot.has_blobs else []
        found.shown_blobs = frozenset(
            place.hash for one in messages if one.has_blobs for place in iter_references(one.to_dict())
        )
    except (DamageError, TokenizerError) as error:
        found.fault = str(error)
    return found


def _distance(reader: TractReader, order: list[CommitHash], other: CommitHash) -> HeadDistance:
    here = set(order)
    there = linear_order(other, reader.commit)
    common = [commit for commit in there if commit in here]
    return HeadDistance(other, common[-1] if common else None, len(there) - len(common), len(order) - len(common))


def _diverged_branches(reader: TractReader) -> dict[str, tuple[str, ...]]:
    log = reader.log
    found: dict[str, tuple[str, ...]] = {}
    for branch, moves in sorted(log.view.branches.items()):
        if branch != reader.branch and len(moves) > 1:
            try:
                heads = tuple(head.commit for head in log.view.heads(branch, log))
            except DamageError:
                continue  # reported when that branch is the current one
            if len(heads) > 1:
                found[branch] = heads
    return found


def _quarantined(store: Store) -> Iterator[QuarantinedFile]:
    for file, note in store.quarantine.entries():
        address = note.address
        path = f"events/?/{note.name}" if address is None else address.path
        yield QuarantinedFile(path, file, note.cause, note.at, address is not None and _is_back(store, address))


def _is_back(store: Store, address: Address) -> bool:
    if address.kind == "event":
        return store.events.get(address.tract, address.name) is not None
    return store.bytes.is_written(address)


def _hash_of(file: str) -> str:
    return file.rpartition("-")[2][:64]


def _waiting(reader: TractReader, absent: set[str]) -> Iterator[WaitingEvent]:
    for name, pending in sorted(reader.log.view.pending.items()):
        yield WaitingEvent(name, pending.reason, pending.missing, _state_of(reader, pending.missing, absent))


def _state_of(reader: TractReader, missing: str, absent: set[str]) -> str:
    log = reader.log
    if not missing or missing in absent:
        return "quarantined" if missing else ""
    if missing in log.view.pending:
        return "pending"
    if missing in log.damaged or _is_damaged_object(reader, missing):
        return "damaged"
    if missing in log.gone:
        return "here" if _is_here(reader, missing) else "gone"
    return "here" if _is_here(reader, missing) or reader.store.objects.exists(missing) else "unknown"


def _is_damaged_object(reader: TractReader, name: str) -> bool:
    objects = reader.store.objects
    return objects.exists(name) and objects.get(name) is None


def _is_here(reader: TractReader, name: str) -> bool:
    return reader.store.events.exists(reader.log.tract, name)


def _warnings(view: View, fault: str, now_us: int, lock_warning: str) -> Iterator[str]:
    if fault:
        yield f"the history can't be read whole: {fault}"
    if lock_warning:
        yield lock_warning
    if view.newest_us > now_us + _DAY_US:
        yield f"the newest event is of {view.newest}, over a day ahead of this clock ({format_time(now_us)}); what is written now is dated after it"


def _git_head(store: Store) -> str:
    """Returns what HEAD of the outer git repository names, in words."""
    git = outer_git.git_directory(store.layout.context)
    head = "" if git is None else outer_git.head_of(git)
    branch = head.removeprefix("ref: refs/heads/")
    if branch != head and is_branch_name(branch):
        return f"branch {branch}"
    return head[:_DIGITS] if is_hex(head) else "HEAD"


def _advice(status: Status, other_heads: OtherHeads | None, *, has_own_lines: bool, git_head: str) -> Iterator[str]:
    if status.needs_recovery:
        yield "a power cut left work to finish: open the store once for writing"
    if status.damaged:
        yield "damaged files: fetch them from another copy, or run 'tract repair' to quarantine them"
    if any(not file.is_back for file in status.quarantined):
        yield "quarantined files: fetch them from another copy of this store (sync, rsync, git); they take effect by themselves when they are back"
    if any(file.kind == "blob" for file in status.lost):
        yield (
            "blobs that contents name are lost, so a context shows a text in the place of each: fetch them from another copy of this store. "
            "Where there is none, 'tract repair --give-up HASH' makes that permanent"
        )
    if any(file.kind != "blob" for file in status.lost):
        yield (
            "lost files hide a part of the history: fetch them from another copy of this store. Where there is none: --incomplete "
            "goes on with what is whole, and 'tract repair --give-up HASH' makes the gap permanent"
        )
    went = list(status.explained.values())
    if len(status.gone) > len(went):
        yield (
            f"{len(status.gone) - len(went)} events that this copy knew are gone, and no checkout by git explains it (a restore, a sync with --delete, "
            "lost files): fetch their files from another copy; if they are to stay away, 'tract repair --accept'"
        )
    if BY_GIT in went:
        yield (
            f"{went.count(BY_GIT)} events that this copy knew are gone: they went with git's checkout of {git_head}, and are back after a 'git switch' back"
        )
    if BY_CUT in went:
        yield f"{went.count(BY_CUT)} events that this copy knew are gone: a power cut came before they were durable"
    if status.pending:
        yield (
            "pending events: finish the copy that brought them; they apply by themselves when the rest arrives. "
            "If it is gone for good: tract repair --adopt"
        )
    if other_heads is not None:
        yield other_heads.describe()
    for branch, heads in status.diverged_branches.items():
        yield f"branch {branch!r} has {len(heads)} heads: 'tract merge --branch {branch}' joins them"
    if status.salvageable:
        yield "unknown files have the bytes of missing ones: 'tract repair' restores these"
    if status.under_way:
        yield (
            f"files are still under way: {_first_of(status.under_way)}; a copying tool has not finished them, and what they bring is missing "
            "here: let it finish. If it was broken off, run it again"
        )
    named = [*(found.path for found in status.salvageable), *status.under_way]
    if any(not any(f"{path}/".startswith(f"{stray}/") for path in named) for stray in status.strays):
        yield "unknown files are ignored; move out of the store what you do not need"
    if status.loose_count >= _MANY_FILES or status.small_pack_count >= _MANY_PACKS:
        yield (
            f"{status.loose_count} loose files and {status.small_pack_count} packs under 32 MiB: 'tract pack' makes a few packs of them, "
            "which takes less room and makes copies and cold reads faster"
        )
    yield from status.superfluous
    if status.stopped_join:
        end = "git commit --no-edit" if status.stopped_join == "merge" else f"git {status.stopped_join} --continue"
        yield f"git stopped a {status.stopped_join} because it took new files for renamed ones; each file is whole: run 'git add .', then '{end}'"
    if status.unread_local:
        yield (
            f"local/ contains entries that this copy did not create here: {_first_of(status.unread_local)}. A copying tool brought them, or an earlier version "
            "wrote them. They are never read; remove them, unless another machine mounts this directory and works in it"
        )
        if not has_own_lines:
            yield (
                "this copy has no record of a commit of its own in this tract. If a tool that also deletes (rsync --delete) brought that local/, it removed those of before: events that "
                "went with them are not listed as gone, and no line counts as this copy's own. Leave local/ out: --exclude=/.tract/local/"
            )
    if status.warnings:
        yield "nothing is lost by waiting: another copy of the store may have what can't be read here"
