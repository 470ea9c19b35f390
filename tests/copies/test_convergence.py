"""Copies converge: whatever three or more of them do, and however their files travel, after enough whole syncs all are one.

Here copies are sets of files, and syncs are set operations; heads, lines, joins, orders and contexts come from the pure parts of the package, each
held against the reference. With real directories and the real rsync: test_convergence_rsync.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.lab.folding import in_causal_order
from tests.lab.reference import ReferenceTract, ResetBeside, count_message
from tests.lab.strategies_events import TRACTS, Copy, History, encode, play
from tests.lab.views import Files, expected_of, facts_of
from tract_fs.errors import ResetConflict
from tract_fs.model import view as view_module
from tract_fs.model.compiler import ContextState, Loaded
from tract_fs.model.config_query import FieldColumn
from tract_fs.model.conflicts import find_conflicts
from tract_fs.model.content import ContentTypes
from tract_fs.model.events import Delete, Move, NewCommit, encode_event, move_op, split_parent
from tract_fs.model.history import linear_order
from tract_fs.model.merge import join_commit, join_time_us, plan_join, settled_resets
from tract_fs.model.messages import Rendering, render
from tract_fs.model.names import CommitHash, EventHash, format_time
from tract_fs.model.objects import Commit, encode_commit
from tract_fs.model.reach import Reach
from tract_fs.model.tokens import EstimateCounter
from tract_fs.model.view import View

CHUNKS = 12
HISTORIES = int(os.environ.get("TRACT_CONVERGENCE_HISTORIES", "3600")) // CHUNKS  # per chunk
MUTATED = 60
QUERIES: tuple[tuple[str, str, Any], ...] = (("model", "=", "m-1"), ("temperature", ">=", 1), ("model", "!=", "m-1"))
TYPES, COUNTER = ContentTypes(), EstimateCounter()


class PackageCopy(Copy):
    """A copy that asks the package: its view grows with each file that comes, and chooses heads, lines and joins."""

    is_held_against_reference = True

    def __init__(self, history: History, rng: random.Random, number: int, rude: bool) -> None:
        super().__init__(history, rng, number, rude)
        self.number = number
        self.known = Files(history, set())
        self.views = {tract: View(tract) for tract in TRACTS}
        self.taken: set[str] = set()

    @property
    def package_view(self) -> View:
        return self.views[self.tract]

    # -- files

    def take(self, names: set[str]) -> None:
        """Decodes files; mutants take something else."""
        self.known.take(self.history, sorted(names))

    def refresh(self) -> None:
        super().refresh()
        self.take(self.files - self.taken)
        self.taken |= self.files
        waiting = [(EventHash(name), event) for name, event in self.known.events.items()]
        for name, event in in_causal_order((n, e) for n, e in waiting if n not in self.known.visible):
            if self.views[event.tract].apply(name, event, self.known):
                self.known.visible.add(name)

    def put_event(self, body: dict[str, Any]) -> str:
        name = super().put_event(body)
        for op in body["ops"] if name in self.known.visible else ():
            if "branch" in op:
                self.package_view.note_own(op["branch"], EventHash(name), body["at"])
        return name

    def read(self, name: str) -> Commit:
        return self.known.commits[name]

    # -- choices

    def head(self, branch: str) -> str | None:
        found = self.package_view.own_head(branch, self.known)
        head = found and found.commit
        assert not self.is_held_against_reference or head == super().head(branch)
        return head

    def lawful_line(self, branch: str, head: str | None) -> list[str]:
        heads = {found.commit: found for found in self.package_view.heads(branch, self.known)}
        found = list(self.package_view.line_moves(branch, heads.get(CommitHash(head or "")), self.known))
        assert not self.is_held_against_reference or found == super().lawful_line(branch, head)
        return [str(name) for name in found]

    def join(self, branch: str, prefer: str | None) -> dict[str, dict[str, Any]]:
        made, expected = {}, {}
        try:
            expected = super().join(branch, prefer) if self.is_held_against_reference else {}
            made = self.package_join(branch, prefer)
        finally:
            if self.is_held_against_reference:
                assert made == expected
        return made

    def package_join(self, branch: str, prefer: str | None) -> dict[str, dict[str, Any]]:
        """Returns what the package writes for a join, decoded; its bytes are those of the format."""
        heads = [head.commit for head in self.package_view.heads(branch, self.known)]
        if not heads:
            return {}
        try:
            is_settled = settled_resets(self.package_view.branches[branch], partial(self.op_of, branch))
            plan = plan_join(branch, heads, self.read, prefer=prefer, is_settled=is_settled)  # type: ignore[arg-type]
        except ResetConflict as error:
            assert set(error.reset) <= self.set_back(branch), "nothing was set back, and yet the user is asked"
            raise ResetBeside(branch) from None
        if plan.kind == "up-to-date":
            return {}
        moves = self.package_view.branches[branch]
        commit = join_commit(plan.parents, self.read) if len(plan.parents) > 1 else None
        written = {} if commit is None else {"commit": encode_commit(commit)}
        made = {kind: json.loads(data)[kind] for kind, data in written.items()}
        head = self.put("commit", made["commit"]) if commit is not None else plan.parents[0]
        brought = [NewCommit(head, None, {})] if commit is not None else []
        op = move_op(plan.kind, branch, head, brought, list(moves))
        at = format_time(join_time_us(moves.values(), commit))
        written["event"] = encode_event(tract=self.tract, at=at, writer="", parents=list(moves), ops=[op])
        made["event"] = json.loads(written["event"])["event"]
        assert {kind: encode(kind, body) for kind, body in made.items()} == written
        return made

    def op_of(self, branch: str, name: EventHash) -> Any:
        event = self.known.events.get(name)
        return next((op for op in ([] if event is None else event.branch_ops()) if op.branch == branch), None)

    def set_back(self, branch: str) -> set[str]:
        return {str(move.head) for move in self.package_view.branches[branch].values() if move.is_reset}

    # -- answers

    def told(self, tract: str) -> dict[str, Any]:
        """Returns all that a user of this copy reads of a tract: branches, tags, and of each head log, context and configs; and queries."""
        view = self.views[tract]
        facts = facts_of(view, self.known)
        heads = sorted({head.commit for branch in view.branches for head in view.heads(branch, self.known)})
        configs = self.configs(tract)
        logs = {head: linear_order(head, self.read) for head in heads}
        return {
            "facts": facts,
            "logs": logs,
            "contexts": {head: self.context(order, configs) for head, order in logs.items()},
            "configs": {name: config for name, config in configs.items() if config is not None},
            "queries": [self.query(tract, configs, *query) for query in QUERIES],
        }

    def context(self, order: Iterable[CommitHash], configs: dict[str, Any]) -> dict[str, Any]:
        state = ContextState(COUNTER, TYPES)
        for name in order:
            config = configs.get(name)
            loaded = Loaded(self.read(name), self.rendering(name), None if config is None else json.dumps(config))
            state = state.apply(name, loaded)
        snapshot = state.snapshot()
        return {
            "messages": [message.to_dict() for message in snapshot.messages],
            "configs": list(snapshot.generation_configs),
            "commits": list(snapshot.commit_hashes),
            "tokens": snapshot.token_count,
        }

    def rendering(self, name: str) -> Rendering | None:
        commit = self.read(name)
        if commit.content is None or commit.content_type is None or commit.content not in self.files:
            return None
        typed = TYPES.decode(self.history.contents[commit.content], commit.content_type)
        return render(typed, commit.content_type, TYPES, COUNTER)

    def configs(self, tract: str) -> dict[str, Any]:
        """Returns the config of each commit that the events of a tract, or those that they build on, bring."""
        mine = [name for name in self.known.visible if self.known.events[name].tract == tract]
        seen = set(mine)
        for name in mine:
            event = self.known.events[name]
            fresh = {str(split_parent(parent, event.tract)[1]) for parent in event.parents} - seen
            seen |= fresh
            mine += fresh
        found: dict[str, Any] = {}
        for name in sorted(mine, key=lambda name: (self.known.events[name].at, name)):
            for entry in self.known.events[name].iter_commits():
                found.setdefault(entry.commit, json.loads(bytes(entry.config)) if entry.config else None)
        return found

    def tract_commits(self, tract: str) -> set[str]:
        found: set[str] = set()
        for name in self.known.visible:
            event = self.known.events[name]
            if event.tract == tract:
                found |= {entry.commit for entry in event.iter_commits()}
                for op in event.branch_ops():
                    found |= set(linear_order(op.head, self.read)) if isinstance(op, Move) else set()
        return found

    def query(self, tract: str, configs: dict[str, Any], field: str, operator: str, value: Any) -> list[str]:
        names = sorted(self.tract_commits(tract), key=lambda name: (self.read(name).created_at, name))
        column = FieldColumn((field,))
        column.add((number, configs[name]) for number, name in enumerate(names) if configs.get(name) is not None)
        return [names[number] for number in sorted(column.select(operator, value))]


class ReplacesNothing(PackageCopy):
    """A mutant: its moves replace none."""

    is_held_against_reference = False

    def take(self, names: set[str]) -> None:
        super().take(names)
        for name in names & self.known.events.keys():
            event = self.known.events[name]
            ops = [
                msgspec.structs.replace(op, replaces=()) if isinstance(op, Move | Delete) else op for op in event.ops
            ]
            self.known.events[name] = msgspec.structs.replace(event, ops=tuple(ops))


class DropsAnEvent(PackageCopy):
    """A mutant: one of the copies never takes the first event that another one wrote."""

    is_held_against_reference = False
    dropped: str | None = None

    def take(self, names: set[str]) -> None:
        super().take(names)
        others = sorted(name for name in names & self.known.events.keys() if not self.wrote(name))
        if self.number == 0 and self.dropped is None and others:
            self.dropped = others[0]
        self.known.events.pop(self.dropped or "", None)

    def wrote(self, name: str) -> bool:
        return self.known.events[name].writer in (self.writer, "")


class Unheld(PackageCopy):
    """A copy that only the other copies are held against."""

    is_held_against_reference = False


# -- the property


def sync_whole(copies: list[PackageCopy]) -> None:
    """Brings all files of each copy to the next one, round and round, until all have the same."""
    for _ in range(2):
        for source, target in zip(copies, copies[1:] + copies[:1], strict=True):
            target.files |= source.files
    for copy in copies:
        copy.refresh()


def check_agreement(copies: list[PackageCopy], reference: ReferenceTract | None) -> dict[str, dict[str, Any]]:
    """Checks that all copies tell the same, and what the reference tells, and returns it by tract."""
    told = {tract: copies[0].told(tract) for tract in TRACTS}
    for copy in copies[1:]:
        assert {tract: copy.told(tract) for tract in TRACTS} == told
    if reference is not None:
        assert {tract: told[tract]["facts"] for tract in TRACTS} == expected_of(reference)
        for tract in TRACTS:
            check_against(reference.of_tract(tract), told[tract])
    return told


def check_against(model: ReferenceTract, told: dict[str, Any]) -> None:
    for head, order in told["logs"].items():
        compiled = model.compile(head)
        assert order == model.linear(head)
        assert told["contexts"][head] == {
            "messages": compiled.messages,
            "configs": compiled.generation_configs,
            "commits": compiled.commit_hashes,
            "tokens": 3 + sum(map(count_message, compiled.messages)) if compiled.messages else 0,
        }
        assert all(told["configs"].get(name) == model.config(name) for name in order)
    assert told["queries"] == [model.query(*query) for query in QUERIES]


def check_nothing_is_missing(history: History, copies: list[PackageCopy], model: ReferenceTract) -> None:
    """Each acknowledged commit is below a head, or a reset or a delete saw it; and it is found anyway."""
    views = {tract: model.of_tract(tract) for tract in TRACTS}
    kept = {
        tract: {name for heads in view.branches().values() for head in heads for name in view.linear(head)}
        for tract, view in views.items()
    }
    removals = {
        tract: {name for _, name, _, op in view.ops() if op["kind"] in ("reset", "delete")}
        for tract, view in views.items()
    }
    found = {(copy.number, tract): copy.tract_commits(tract) for copy in copies for tract in TRACTS}
    for (tract, commit), event in history.acknowledged.items():
        assert all(event in copy.known.visible for copy in copies)
        assert all(commit in found[copy.number, tract] for copy in copies)
        assert commit in kept[tract] or any(views[tract].saw(removal, event) for removal in removals[tract])


def check_conflicts(copy: PackageCopy, heads: list[str], model: ReferenceTract) -> int:
    """Checks what is in conflict among heads, and returns how many commits are."""
    named = [CommitHash(head) for head in heads]
    found = find_conflicts(Reach(named, copy.read), copy.read, lambda name: name, own=0)
    conflicts = {(str(conflict.kind), str(conflict.target)) for conflict in found}
    assert conflicts == model.conflicts(heads)
    return len(conflicts)


def join_now(copy: PackageCopy, tract: str, branch: str, prefer: str) -> set[str]:
    """Joins the heads of a branch, and returns the names of the files."""
    copy.look_at(tract)
    made = copy.join(branch, prefer)
    names = {copy.put("commit", made["commit"])} if "commit" in made else set()
    names |= {copy.put_event(made["event"])} if made else set()
    copy.look_at("default")
    return names


def converge(seed: int, copy_type: type[PackageCopy] = PackageCopy) -> Counter[str]:
    """Plays a history, and checks that its copies come together; returns what occurred in it."""
    rng = random.Random(seed)
    history, played = play(rng, copy_type=copy_type)
    copies = [copy for copy in played if isinstance(copy, PackageCopy)]
    is_held = copy_type.is_held_against_reference
    sync_whole(copies)
    model = history.reference(copies[0].files)
    told = check_agreement(copies, model if is_held else None)
    check_nothing_is_missing(history, copies, model)
    joins = [body["parents"] for body in history.bodies()[1].values() if body["operation"] == "merge"]
    met = sum(check_conflicts(copies[0], parents, model) for parents in joins if len(parents) > 1 and is_held)
    split = [(t, b) for t in TRACTS for b, heads in told[t]["facts"]["branches"].items() if len(heads) > 1]
    for tract, branch in split:
        met += check_conflicts(copies[0], sorted(told[tract]["facts"]["branches"][branch]), model) if is_held else 0
    was_twin = False
    for tract, branch in split:
        prefer = rng.choice(("reset", "commits"))
        joiners = rng.sample(copies, rng.choice((1, 1, 2)))
        written = [join_now(copy, tract, branch, prefer) for copy in joiners]
        assert written == written[:1] * len(written)
        was_twin |= len(written) > 1
    sync_whole(copies)
    model = history.reference(copies[0].files)
    told = check_agreement(copies, model if is_held else None)
    check_nothing_is_missing(history, copies, model)
    assert all(len(heads) == 1 for tract in TRACTS for heads in told[tract]["facts"]["branches"].values())
    return Counter(
        two_heads=history.had_two_heads or bool(split),
        concurrent_removals=history.had_concurrent_removal,
        twin_merges=history.had_twin_merge or was_twin,
        branch_merges=history.had_branch_merge,
        merge_backs=history.had_merge_back,
        conflicts=bool(met),
        heads_to_join=bool(split),
    )


def seeds_that_fail(copy_type: type[PackageCopy]) -> list[int]:
    failed = []
    for seed in range(MUTATED):
        try:
            converge(seed, copy_type)
        except AssertionError:
            failed.append(seed)
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_copies_come_together_whatever_they_did(chunk: int) -> None:
    shares: Counter[str] = Counter()
    for seed in range(chunk * HISTORIES, (chunk + 1) * HISTORIES):
        try:
            shares += converge(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    print(f"of {HISTORIES} histories:", ", ".join(f"{name} {count / HISTORIES:.0%}" for name, count in shares.items()))
    assert shares["two_heads"] >= 0.40 * HISTORIES
    assert shares["concurrent_removals"] >= 0.10 * HISTORIES
    assert shares["twin_merges"] >= 0.05 * HISTORIES
    assert shares["branch_merges"] >= 0.05 * HISTORIES
    assert shares["conflicts"] >= 0.02 * HISTORIES


# -- the property can fail


def test_copies_that_nothing_but_each_other_holds_come_together() -> None:
    assert seeds_that_fail(Unheld) == []


def test_replaces_ignored_keeps_copies_apart() -> None:
    assert len(seeds_that_fail(ReplacesNothing)) >= MUTATED / 4


def test_one_event_dropped_keeps_copies_apart() -> None:
    assert len(seeds_that_fail(DropsAnEvent)) >= MUTATED / 2


def test_hiding_switched_off_is_seen_where_copies_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "_is_below", lambda self, *args: False)
    assert seeds_that_fail(Unheld)
    assert len(seeds_that_fail(PackageCopy)) >= MUTATED / 10


def test_every_commit_taken_for_unrelated_is_seen_where_copies_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "is_ancestor", lambda *args, **options: False)
    assert len(seeds_that_fail(Unheld)) >= MUTATED / 4
