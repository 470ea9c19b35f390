"""Reports: what `status()`, `repair()` and `pack()` return. Paths in them are relative to the store's root."""

from __future__ import annotations

from msgspec import Struct


class HeadDistance(Struct, frozen=True):
    """How far another head of the branch is from this copy's own, in commits since they diverged."""

    head: str
    common: str | None  # the last commit that both have, in linear order; None if they share none
    only_there: int
    only_here: int


class OtherHeads(Struct, frozen=True):
    """The other heads of a branch, and the commits that the context leaves out because only these contain them."""

    branch: str
    heads: tuple[str, ...]
    commit_count: int | None  # None if they can't all be read
    own_count: int  # how many of them writers of this copy made
    has_own_line: bool  # this copy goes on with the line that it moved last; else with the newest head
    has_more_elsewhere: bool  # another head has more of this copy's own commits than the one it goes on with
    is_unrelated: bool = False  # a head has no commit in common with the others: two projects met

    def describe(self) -> str:
        """Returns one sentence: how many heads, what the context leaves out, which rule chose its head, and what joins them."""
        others = "the other" if len(self.heads) == 1 else "the others"
        if self.commit_count is None:
            left_out = f"leaves out commits of {others}, not all of which can be read"
        elif self.commit_count == 0:
            left_out = f"contains all commits of {others}"
        else:
            own = f", {self.own_count} of them this copy's own" if self.own_count else ""
            left_out = f"leaves out {self.commit_count} commit{'s' * (self.commit_count > 1)} of {others}{own}"
        rule = ""
        if not self.has_own_line:
            rule = " (this copy has no line of its own here, so it goes on with the newest head)"
        elif self.has_more_elsewhere:
            rule = " (this copy goes on with the line that it moved last, though another has more of the commits that it made)"
        count = len(self.heads) + 1
        advice = "'tract merge' joins them"
        if self.is_unrelated:
            advice = "they have no commit in common, as where two projects met, so 'tract merge' refuses to join them"
        return f"branch {self.branch!r} has {count} heads; this context {left_out}{rule}; {advice}"


class WaitingEvent(Struct, frozen=True):
    """A pending event, and what this copy knows of the file that it waits for.

    `state` is that of `missing`: "quarantined", "damaged", "pending" (it waits itself), "gone" (this copy had it),
    "here", "unknown" (never seen here), or empty where `missing` is empty.
    """

    event: str
    reason: str
    missing: str
    state: str


class QuarantinedFile(Struct, frozen=True):
    """A damaged file that was set aside.

    `path` is where it was, `file` where it is now, `cause` what had happened to it; `is_back`: a good one is in its
    place.
    """

    path: str
    file: str
    cause: str
    at: str
    is_back: bool


class SalvageableFile(Struct, frozen=True):
    """An unknown file with the bytes of a missing one: where it is, and where it belongs."""

    path: str
    target: str


class LostFile(Struct, frozen=True):
    """A file that hidden events wait for, or are, or a blob that a content names: missing, or damaged and not repaired."""

    path: str
    kind: str  # content, commit, event, pack or blob
    hash: str
    is_damaged: bool
    hidden: tuple[str, ...]  # "hash: first words" of the commits that depend on it, or name it, oldest first


class RepairReport(Struct, frozen=True):
    """What a repair did, and what is lost."""

    checked_count: int  # files that were hashed
    mended: tuple[str, ...]  # files whose right bytes could be recovered from the damaged ones
    set_aside: tuple[str, ...]  # "path: cause"
    too_fresh: tuple[str, ...]  # "path: cause": damaged, but changed in the last ten seconds; repair again
    unmoved: tuple[str, ...]  # damaged files that could not be moved
    salvaged: tuple[str, ...]  # files written from good bytes under a wrong name
    dropped_caches: tuple[str, ...]
    adopted: tuple[str, ...]  # "branch hash": heads that came back with their commits
    not_adopted: tuple[str, ...]  # "event hash: what is missing"
    lost: tuple[LostFile, ...]  # of all tracts; until each is back or given up, what depends on it is not shown
    given_up: tuple[str, ...]  # hashes that were given up now
    accepted: tuple[str, ...]  # events that are gone, and not missed from now on
    advice: tuple[str, ...]


class PackReport(Struct, frozen=True):
    """What a run of `pack()` did."""

    files_before: int  # loose files and packs
    files_after: int
    packed_count: int  # loose files that were removed: their bytes are in packs
    packs_written: tuple[str, ...]
    packs_removed: tuple[str, ...]  # whose members are all in other packs
    written_bytes: int
    left: tuple[str, ...]  # "path: why" of files that stay as they are
    is_complete: bool  # False: packs changed during the run, as when two run at once; the next run does the rest
    waiting_count: (
        int  # files that a later run removes: packs with their bytes are new, or git does not track these yet
    )
    waiting: tuple[str, ...]  # why files stay beside packs, or are not packed, and what to do


class Status(Struct, frozen=True):
    """The state of a tract in this copy, and what to do about its problems."""

    tract_id: str
    branch: str
    head: str | None
    other_heads: tuple[str, ...]
    distances: tuple[HeadDistance, ...]  # one per other head
    diverged_branches: dict[str, tuple[str, ...]]  # the other branches with more than one head
    commit_count: int | None  # commits in the history of `head`; None if it can't be read
    effective_count: int
    token_count: int
    token_source: str
    token_budget: int | None
    pending: tuple[str, ...]  # "hash: reason", one per event
    waiting: tuple[WaitingEvent, ...]  # the same events, with the state of what each waits for
    damaged: tuple[str, ...]
    gone: tuple[str, ...]  # hashes of events that this copy knew and that are missing
    explained: dict[str, str]  # those of them that are not missed: why, such as "git took it away"
    overruled: tuple[str, ...]  # commits with another generation config than this copy showed before: both configs
    quarantined: tuple[QuarantinedFile, ...]
    lost: tuple[LostFile, ...]  # files without which a part of the tract is hidden; blobs that its contents name
    strays: tuple[str, ...]  # paths of unknown files in the store
    salvageable: tuple[SalvageableFile, ...]  # unknown files that repair() puts where they belong
    under_way: tuple[str, ...]  # unknown files that a copying tool has not finished: what they will be is missing
    unread_local: tuple[str, ...]  # names in local/ that were not made here, and are never read
    warnings: tuple[str, ...]
    needs_recovery: bool
    loose_count: int  # files of the store, all its tracts, outside packs
    pack_count: int
    small_pack_count: int  # packs under 32 MiB, which pack() joins into one
    superfluous: tuple[str, ...]  # why files stay whose bytes are in packs, and until when
    stopped_join: str  # what git stopped with conflicts in the store: "merge", "rebase", …; empty: nothing
    advice: tuple[str, ...]
