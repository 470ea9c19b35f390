"""Caches with the right seal, chain and checks whose values are odd, as who can write into the place may make them: none raises, none leads elsewhere.

A plain open may answer by such a cache where its values are in their form; one that answers from no cache answers right.
"""

from __future__ import annotations

import json
import random
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.lab.altered import StoreWithCaches, odd
from tests.lab.hostile import FORGED, World, make_context
from tests.lab.index_rows import count_rows, make_sums_right, opened, put_saved_view, saved_view
from tests.lab.inside import contexts_of, log_of, reader_of
from tests.lab.states import (
    answers,
    bound_layout,
    copy_store,
    own_place,
    put,
    remove_local,
    settle_at_once,
    store_root,
    synced,
)
from tests.lab.stores import AT_ONCE
from tests.lab.talk import user
from tract_fs import InstructionContent, Tract
from tract_fs.errors import HistoryIncomplete, TractError
from tract_fs.model.names import hash_bytes
from tract_fs.store import arrivals, origins, snapshot_cache
from tract_fs.store.arrivals import Record
from tract_fs.store.layout import Layout
from tract_fs.store.snapshot_cache import StoredState

KINDS_OF_RECORD = b"AOaoSGCDUx\x00"
TRACT = "tracts/default"
Forge = Callable[[random.Random, Path, Layout], str]


def sealed(layout: Layout, body: bytes) -> bytes:
    return layout.sealed(body) + b"\n" + body


def any_file(chance: random.Random, directory: Path) -> Path:
    return chance.choice(sorted(directory.iterdir()))


def odd_often(chance: random.Random, value: Any) -> Any:
    for _ in range(chance.randint(1, 3)):
        value = odd(chance, value)
    return value


def odd_view(chance: random.Random, place: Path, layout: Layout) -> str:
    path = Path(layout.context)
    put_saved_view(path, sealed(layout, json.dumps(odd_often(chance, json.loads(saved_view(path)[65:]))).encode()))
    return "view"


def odd_snapshot(chance: random.Random, place: Path, layout: Layout) -> str:
    file = any_file(chance, place / TRACT / "snapshots")
    value = odd_often(chance, msgspec.msgpack.decode(file.read_bytes()[65:]))
    put(file, sealed(layout, msgspec.msgpack.encode(value)))
    return f"snapshot {file.name[:8]}"


def odd_rows(chance: random.Random, layout: Layout, tables: dict[str, tuple[str, ...]], *, most: int) -> str:
    """Makes some values of some rows odd, removes or moves rows, and makes all checks right."""
    shown = ""
    with opened(Path(layout.index)) as connection:
        for _ in range(chance.randint(1, most)):
            table = chance.choice(sorted(tables))
            column = chance.choice(tables[table])
            values = [value for (value,) in connection.execute(f"select {column} from {table} order by 1").fetchall()]
            if not values:
                continue
            value = chance.choice(values)
            how = chance.randrange(4)
            if how == 0:
                connection.execute(f"delete from {table} where {column} = ?", (value,))
            else:
                other = like_or_odd(chance, value, values)
                with suppress(sqlite3.IntegrityError):  # the table refuses it
                    connection.execute(f"update or ignore {table} set {column} = ? where {column} = ?", (other, value))
            shown = f"{table}.{column} {how}"
        make_sums_right(connection, layout.seal)
    return shown


def like_or_odd(chance: random.Random, value: Any, values: list[Any]) -> Any:
    if chance.random() < 0.4:
        return chance.choice(ODD_ROWS)
    if isinstance(value, bytes) and value and chance.random() < 0.7:
        return chance.choice((b"\0" * len(value), chance.randbytes(len(value)), value[:-1], value + value))
    if isinstance(value, int) and chance.random() < 0.7:
        return chance.choice((0, 1, -1, value + 1, value - 1, value ^ (1 << 40), value ^ (1 << 32), 1 << 31))
    return chance.choice(values)


def odd_packs(chance: random.Random, place: Path, layout: Layout) -> str:
    tables = {
        "packs": ("id", "name", "members", "tracts"),
        "members": ("place", "name", "size", "key"),
        "pack_events": ("pack", "tract", "events", "names"),
    }
    return odd_rows(chance, layout, tables, most=20)


def odd_records(chance: random.Random, place: Path, layout: Layout) -> str:
    tables = {
        "records": ("id", "kind", "event", "commit_hash", "event_key", "commit_key"),
        "tracts": ("id", "name", "records", "chain"),
    }
    return odd_rows(chance, layout, tables, most=8)


def odd_arrivals(chance: random.Random, place: Path, layout: Layout) -> str:
    """Records of other kinds, events, commits, branches and times, left out, doubled or swapped, and chained again."""
    file = place / TRACT / "arrivals"
    start = sha256((place / "made-here").read_bytes()).digest()[:16]
    records = [record for record, _ in arrivals.decode_records(file.read_bytes(), start)]
    assert len(records) > 20
    for _ in range(chance.randint(1, 4)):
        at, other = chance.randrange(len(records)), chance.randrange(len(records))
        kind, branch, event, commit, time_us = records[at]
        how = chance.randrange(7)
        if how == 0:
            records[at] = Record(bytes([chance.choice(KINDS_OF_RECORD)]), branch, event, commit, time_us)
        elif how == 1:
            records[at] = Record(kind, branch, chance.choice((b"\0" * 32, b"\xff" * 32, commit)), commit, time_us)
        elif how == 2:
            records[at] = Record(kind, branch, event, chance.choice((b"\0" * 32, b"\xff" * 32, event)), time_us)
        elif how == 3:
            records[at] = Record(kind, branch, event, commit, chance.choice((0, 1, (1 << 63) - 1, (1 << 64) - 1)))
        elif how == 4:
            records[at] = Record(kind, b"\xff" * 7, event, commit, time_us)
        elif how == 5 and len(records) > 8:
            del records[at]
        else:
            records[at], records[other] = records[other], records[at]
    put(file, arrivals.encode_records(records, start)[0])
    return "arrivals"


ODD_CONFIGS = (
    b"",
    b"null",
    b"[]",
    b"1",
    b"{",
    b'{"model":NaN}',
    b"\xff\xfe",
    b'{"model":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"temperature":1e400}',
    b'{"temperature":' + b"9" * 5000 + b"}",
    b'{"model":"\\ud800"}',
    b'{"model":"m-1","model":"m-2"}',
)
ODD_ROWS = (None, -1, 1 << 62, (1 << 63) - 1, -(1 << 63), 1.5, float("inf"), "text", "", b"", b"\0" * 31, b"x" * 100)


def odd_configs(chance: random.Random, place: Path, layout: Layout) -> str:
    """Generation configs whose values are odd, with the counts and sums that their checks ask for."""
    if chance.random() < 0.4:
        with opened(Path(layout.index)) as connection:
            numbers = [number for (number,) in connection.execute("select number from configs")]
            data, number = chance.choice(ODD_CONFIGS), chance.choice(numbers)
            connection.execute("update configs set config = ? where number = ?", (data, number))
            make_sums_right(connection, layout.seal)
        return "config"
    tables = {
        "config_stamps": ("tract", "records", "chain"),
        "configs": ("tract", "number", "commits"),
        "config_commits": ("tract", "config", "created", "name"),
    }
    return odd_rows(chance, layout, tables, most=2)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the paths of all leaves of a value, and of the keys of its objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key, None)  # the key itself
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path


def of_like_form(chance: random.Random, value: Any, known: list[str]) -> Any:
    """Returns another value of the same type, and the same form where it has one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((0, 1, value + 1, value - 1, -1, 1 << 31, (1 << 47), (1 << 63) - 1))
    if isinstance(value, str) and len(value) == 64:
        return chance.choice((*known[-8:], "f" * 64, "0" * 64))
    if isinstance(value, str) and value.endswith("Z") and value[:2].isdigit():
        return chance.choice(("1970-01-01T00:00:00.000000Z", "8999-12-31T23:59:59.999999Z"))
    if isinstance(value, str):
        return chance.choice(
            ("", "x", "main", "side", "{}", "[1]", "null", "{", '{"role":1}', "\x00", "é" * 300, "../x")
        )
    return chance.choice((None, "x", "{}", "[", "f" * 64)) if value is None else value


def altered(chance: random.Random, value: Any, path: tuple[Any, ...], known: list[str]) -> Any:
    if not path:
        return of_like_form(chance, value, known)
    if len(path) == 2 and path[1] is None:
        key = of_like_form(chance, path[0], known)
        return {key if name == path[0] else name: inner for name, inner in value.items()}
    if isinstance(value, dict):
        return {**value, path[0]: altered(chance, value[path[0]], path[1:], known)}
    return [*value[: path[0]], altered(chance, value[path[0]], path[1:], known), *value[path[0] + 1 :]]


def hashes_of(place: Path) -> list[str]:
    found = [record.event.hex() for record in records_of(place)]
    return found + [record.commit.hex() for record in records_of(place)]


def records_of(place: Path) -> list[Record]:
    start = sha256((place / "made-here").read_bytes()).digest()[:16]
    data = (place / TRACT / "arrivals").read_bytes()
    return [record for record, _ in arrivals.decode_records(data, start)]


def like_view(chance: random.Random, place: Path, layout: Layout) -> str:
    """A view in which some hashes, times, names and counts are others."""
    saved = json.loads(saved_view(Path(layout.context))[65:])
    known = hashes_of(place)
    inside = [path for path in leaves(saved["view"]) if path[0] != "tract" and not (len(path) == 2 and path[1] is None)]
    for _ in range(chance.randint(1, 2)):
        path = chance.choice(inside)
        try:
            saved["view"] = altered(chance, saved["view"], path, known)
        except (KeyError, IndexError):  # its key has just become another
            continue
    put_saved_view(Path(layout.context), sealed(layout, json.dumps(saved).encode()))
    return f"view {path}"


def like_snapshot(chance: random.Random, place: Path, layout: Layout) -> str:
    """A snapshot in which some values of the slots are others."""
    file = any_file(chance, place / TRACT / "snapshots")
    state = msgspec.msgpack.decode(file.read_bytes()[65:])
    known = hashes_of(place)
    told = ""
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(list(leaves(state[8])))
        state[8] = altered(chance, state[8], path, known)
        told = f"slot {path}"
    if chance.random() < 0.2:
        state[6] = [chance.randrange(len(state[8]))]
    put(file, sealed(layout, msgspec.msgpack.encode(state)))
    return f"snapshot {told}"


def like_arrivals(chance: random.Random, place: Path, layout: Layout) -> str:
    """Odd records behind which the view and the index have the count and chain of them."""
    odd_arrivals(chance, place, layout)
    data = (place / TRACT / "arrivals").read_bytes()
    saved = json.loads(saved_view(Path(layout.context))[65:])
    saved["count"], saved["chain"] = stamp = len(data) // 96, data[-16:].hex()
    put_saved_view(Path(layout.context), sealed(layout, json.dumps(saved).encode()))
    if chance.random() < 0.5:
        with opened(Path(layout.index)) as connection:
            connection.execute("update tracts set records = ?, chain = ?", stamp)
            connection.execute("update config_stamps set records = ?, chain = ?", stamp)
            make_sums_right(connection, layout.seal)
    return "arrivals and their view"


FORGES: dict[str, Forge] = {
    "a view": odd_view,
    "a snapshot": odd_snapshot,
    "rows of packs": odd_packs,
    "arrivals": odd_arrivals,
    "rows of records": odd_records,
    "rows of generation configs": odd_configs,
    "a view of values in their form": like_view,
    "a snapshot of values in their form": like_snapshot,
    "arrivals with their view": like_arrivals,
}


class Warm:
    """A store that stays where its caches were made, so that each is used; put back after each round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = StoreWithCaches(folder).template
        (folder / "around").write_bytes(b"mine")
        self.around = sorted(file.name for file in folder.iterdir())
        with Tract.open(self.path, durability="fast") as t:
            answers(t)
            contexts_of(t)._store(contexts_of(t).state(reader_of(t).head()))
        self.files = synced(self.path)
        self.local = self._local()
        with Tract.open(self.path, read_only=True) as t:
            self.expected = answers(t)
            self.records = log_of(t).stamp()[0]
        bare = copy_store(self.path, folder.parent / "bare")
        remove_local(bare)
        with Tract.open(bare, read_only=True) as t:
            assert answers(t) == self.expected
        self.require_warm()

    def _local(self) -> dict[str, bytes]:
        place = own_place(self.path)
        return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}

    def restore(self) -> None:
        for name in synced(self.path).keys() - self.files.keys():
            (store_root(self.path) / name).unlink()
        there, place = self._local(), own_place(self.path)
        for name in there.keys() - self.local.keys():
            (place / name).unlink()
        for name, data in self.local.items():
            if there.get(name) != data and name not in ("made-here", "lock", "line"):
                put(place / name, data)

    def require_warm(self) -> None:
        """Checks that a plain open goes by the records of arrivals, and that all caches are there."""
        with Tract.open(self.path, read_only=True) as t:
            assert answers(t) == self.expected
            assert log_of(t).stamp()[0] == self.records > 20
        place = own_place(self.path)
        assert any((place / TRACT / "snapshots").iterdir())
        assert all(count_rows(self.path, table) for table in ("records", "members", "pack_events", "config_commits"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(origins, "_ROWS_AT_ONCE", 16)
        settle_at_once(patched)
        yield Warm(tmp_path_factory.mktemp("warm") / "lab")


def tried(path: Path, **options: Any) -> Any:
    """Returns what a handle answers, or the class of the typed error that it answers with. Any other error is one of the test."""
    try:
        with Tract.open(path, create=False, **options) as t:
            return answers(t)
    except TractError as error:
        return type(error).__name__


def go_on(path: Path, number: int, counts: Counter[str]) -> None:
    steps: tuple[tuple[str, Callable[[Tract], object]], ...] = (
        ("status", lambda t: t.status()),
        ("query", lambda t: t.query_by_config("temperature", ">", 0.1)),
        ("commit", lambda t: t.commit(user(f"goes on {number}"), generation_config={"model": "m-1"})),
        ("undo", lambda t: t.undo(anyone=True)),
        ("branch", lambda t: t.branch(f"b{number}")),
        ("repair", lambda t: t.repair()),
        ("pack", lambda t: t.pack(keep_loose=AT_ONCE)),
    )
    with Tract.open(path, durability="fast") as t:
        for name, step in steps:
            try:
                step(t)
            except TractError as error:
                counts[f"{name}: {type(error).__name__}"] += 1


def fuzz(warm: Warm, name: str, *, seed: int, rounds: int) -> Counter[str]:
    """Counts what plain opens answered: right, by the cache, or with which typed error.

    Arrivals are also the list of what this copy had: where one lists an event that never was, even a verified open has to
    report it as gone.
    """
    expected = [warm.expected, *(["HistoryIncomplete"] if name == "arrivals with their view" else [])]
    chance = random.Random(f"{name} {seed}")
    counts: Counter[str] = Counter()
    faults: dict[str, str] = {}
    for number in range(rounds):
        warm.restore()
        if number % 10 == 0:
            warm.require_warm()
        told = FORGES[name](chance, own_place(warm.path), bound_layout(warm.path))
        where = f"seed {seed}, round {number}: {told}"
        plain: Any = "raised"
        try:
            assert tried(warm.path, read_only=True, verify=True) in expected, where
            plain = tried(warm.path, read_only=True)
            if number % 3 == 0:
                tried(warm.path, verify=True)
                assert tried(warm.path, read_only=True, verify=True) in expected, where
            else:
                go_on(warm.path, number, counts)
                tried(warm.path, durability="fast")
        except Exception as error:
            last = error.__traceback__
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            at = f"{last.tb_frame.f_code.co_filename.rpartition('/')[2]}:{last.tb_lineno}" if last is not None else ""
            faults.setdefault(f"{type(error).__name__} at {at}", f"{where}: {str(error)[:300]}")
        assert sorted(file.name for file in warm.folder.iterdir()) == warm.around, where
        counts["right" if plain == warm.expected else plain if isinstance(plain, str) else "by the cache"] += 1
        for file, data in warm.files.items():
            if not (store_root(warm.path) / file).is_file():  # it was packed
                put(store_root(warm.path) / file, data)
    warm.restore()
    warm.require_warm()
    print(name, dict(counts), faults)
    assert not faults, "\n".join(f"{fault}: {first}" for fault, first in faults.items())
    return counts


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", FORGES)
def test_odd_values_with_right_checks_raise_nothing_and_a_verified_open_answers_right(
    warm: Warm, name: str, seed: int
) -> None:
    fuzz(warm, name, seed=seed, rounds=30)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 117))
@pytest.mark.parametrize("name", FORGES)
def test_ten_thousand_odd_caches_with_right_checks_raise_nothing(warm: Warm, name: str, seed: int) -> None:
    fuzz(warm, name, seed=seed, rounds=100)


def test_the_sums_that_these_tests_make_are_those_that_a_writer_writes(warm: Warm) -> None:
    layout = bound_layout(warm.path)
    tables = ("tracts", "records", "packs", "members", "pack_events", "sums", "configs", "config_stamps")
    wanted = "select * from sums where rows"

    def rows(connection: sqlite3.Connection) -> list[list[Any]]:
        texts = [wanted if table == "sums" else f"select * from {table}" for table in tables]
        return [sorted(connection.execute(text).fetchall()) for text in texts]

    with opened(Path(layout.index)) as connection:
        before = rows(connection)
        for table in ("tracts", "records", "packs", "pack_events", "configs"):
            connection.execute(f"update {table} set crc = 7")
        connection.execute("update sums set rows = 7, total = 7")
        make_sums_right(connection, layout.seal)
        assert rows(connection) == before
        assert {family for family, *_ in connection.execute(wanted)} == {"event", "commit", "member"}
    warm.restore()


def test_the_caches_of_this_fuzz_are_read(warm: Warm) -> None:
    """A snapshot of another text, with the right seal, is what a plain open shows."""
    layout = bound_layout(warm.path)
    for file in sorted((own_place(warm.path) / TRACT / "snapshots").iterdir()):
        put(file, sealed(layout, file.read_bytes()[65:].replace(b"newest", b"FORGED")))
    found = [tried(warm.path, read_only=True, verify=verify)["compile"]["messages"] for verify in (False, True)]
    warm.restore()
    assert ["FORGED" in "".join(messages) for messages in found] == [True, False]


def test_arrivals_that_bring_a_commit_twice_answer_queries(tmp_path: Path) -> None:
    """Under the right chain; without a record of that it was brought again."""
    path = make_context(tmp_path / "context")
    with Tract.open(path, read_only=True) as t:
        expected = answers(t)["queries"]
    layout, file = bound_layout(path), own_place(path) / TRACT / "arrivals"
    records = records_of(own_place(path))
    config_of = [record for record in records if record.kind in arrivals.BRING_KINDS]
    put(file, arrivals.encode_records([*records, *config_of], log_start(layout))[0])
    Path(layout.index).unlink()
    for options in ({"read_only": True}, {"durability": "fast"}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            assert answers(t)["queries"] == expected


def log_start(layout: Layout) -> bytes:
    return layout.seal[:16]


# a state that covers no record


def stamps(stamp: tuple[int, str], start: str) -> dict[str, tuple[int, str]]:
    count, chain = stamp
    return {
        "no record, the chain before the first": (0, start),
        "no record, no chain": (0, "0" * 32),
        "no record, the chain of now": (0, chain),
        "no record, an empty chain": (0, ""),
        "fewer than none": (-1, chain),
        "the count of now, no chain": (count, "0" * 32),
        "more than there are": (count + 1, chain),
        "more than any file holds": (1 << 62, chain),
    }


@pytest.mark.parametrize("name", stamps((0, ""), ""))
def test_a_state_whose_stamp_is_none_of_this_copy_s_is_not_served_though_its_seal_is_right(
    tmp_path: Path, name: str
) -> None:
    path = make_context(tmp_path / "context")
    with Tract.open(tmp_path / "forged", durability="fast") as t:
        t.commit(InstructionContent(text=FORGED))
        slots = contexts_of(t).state(reader_of(t).head()).slots()
        counter = reader_of(t).counter.name
    with Tract.open(path, read_only=True) as t:
        head, again, stamp = reader_of(t).head(), reader_of(t).records_version()[1], log_of(t).stamp()
        start = log_of(t).first_stamp()[1]
        expected = answers(t)
    assert head is not None
    state = StoredState(snapshot_cache._VERSION, head, counter, *stamps(stamp, start)[name], again, (), False, slots)
    body = snapshot_cache._ENCODER.encode(state)
    for options in ({"read_only": True}, {"verify": True, "read_only": True}, {"durability": "fast"}, {"verify": True}):
        put(own_place(path) / TRACT / "snapshots" / head, sealed(bound_layout(path), body))
        with Tract.open(path, **options) as t:
            assert answers(t) == expected, options


# names of tracts that lead elsewhere, where the event itself says the same

TRACTS = (
    "../../../mine",
    "../../../../mine",
    "..",
    ".",
    "",
    "/",
    "a/../../../mine",
    "con",
    "default/..",
    "d\0",
    "x" * 65,
)


def hostile_event(tract: str) -> bytes:
    at = "2026-01-02T03:04:05.000006Z"
    event = {"at": at, "ops": [], "parents": [], "tract": tract, "writer": "0" * 32}
    return json.dumps({"event": event}, separators=(",", ":")).encode()


def check_untouched(world: World, expected: Any, *, is_doubtful: bool = False) -> None:
    """`is_doubtful`: a damaged pack may have had newer events, so that only what stands is compared."""
    before = world.tree()
    for options in ({"read_only": True}, {"verify": True}, {"durability": "fast"}):
        with Tract.open(world.here, **options) as t:  # type: ignore[arg-type]
            check_answers(t, expected, is_doubtful=is_doubtful)
            t.status()
        assert world.tree() == before
    with Tract.open(world.here, durability="fast") as t:
        t.repair()
        t.pack(keep_loose=AT_ONCE)
        check_answers(t, expected, is_doubtful=is_doubtful)
    assert world.tree() == before
    assert {name.split("/")[1] for name in synced(world.here) if name.startswith("events/")} <= {"default", "sub"}


def check_answers(t: Tract, expected: Any, *, is_doubtful: bool) -> None:
    if is_doubtful:
        with pytest.raises(HistoryIncomplete, match=r"\(pack\) is damaged"):
            t.compile()
        assert t.head == expected["head"]
        assert len(t.log(None)) == len(expected["log"])
    else:
        assert answers(t) == expected


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made_here(world: World) -> Any:
    make_context(world.here)
    with Tract.open(world.here, read_only=True) as t:
        return answers(t)


@pytest.mark.parametrize("kind", [b"e", b"o"], ids=["as an event", "as an object"])
@pytest.mark.parametrize("tract", TRACTS, ids=[repr(tract)[:20] for tract in TRACTS])
def test_a_redo_log_whose_events_name_a_tract_that_is_none_writes_nothing(
    world: World, tract: str, kind: bytes
) -> None:
    expected = made_here(world)
    data, name = hostile_event(tract), tract.encode()
    entry = struct.pack(">cBI32s", kind, len(name), len(data), sha256(data).digest()) + name + data
    put(own_place(world.here) / "redo", b"tractredo1\n".ljust(64, b"-") + entry)
    check_untouched(world, expected)


@pytest.mark.parametrize("tract", TRACTS, ids=[repr(tract)[:20] for tract in TRACTS])
def test_a_quarantined_event_of_a_tract_that_is_none_is_not_given_back(world: World, tract: str) -> None:
    expected = made_here(world)
    data = hostile_event(tract)
    name = hash_bytes(data)
    note = {"kind": "event", "name": name, "tract": tract, "cause": "altered", "at": ""}
    put(own_place(world.here) / f"quarantine/event-{name}", data)
    put(own_place(world.here) / f"quarantine/event-{name}.txt", json.dumps(note).encode() + b"\n")
    check_untouched(world, expected)


@pytest.mark.parametrize("is_damaged", [False, True], ids=["whole", "damaged"])
@pytest.mark.parametrize("tract", TRACTS, ids=[repr(tract)[:20] for tract in TRACTS])
def test_a_pack_with_events_of_a_tract_that_is_none_writes_nothing(world: World, tract: str, is_damaged: bool) -> None:
    """A damaged pack gives its members back as loose files."""
    expected = made_here(world)
    data = hostile_event(tract) + b"\n"
    name = hash_bytes(data)
    put(store_root(world.here) / "packs" / name, data + b"torn\n" * is_damaged)
    remove_local(world.here)
    check_untouched(world, expected, is_doubtful=is_damaged)
