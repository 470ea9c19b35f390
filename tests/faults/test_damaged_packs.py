"""A damaged pack in a copy without local/: no event is hidden that is whole, and what may be missing is said at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.lab.altered import flip, zero
from tests.lab.states import members_of, put, remove_local, store_root
from tests.lab.stores import AT_ONCE
from tests.lab.talk import Clock, user
from tract_fs import Tract
from tract_fs.errors import HistoryIncomplete
from tract_fs.model.members import decode_event_list, encode_event_list

TEXTS = [f"default text {number}" for number in range(4)]
MAY_LACK = "newer events of this tract may be lost with it"
Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tracts of four commits each in one pack, without local/."""
    path = tmp_path_factory.mktemp("packed")
    for tract in ("default", "other"):
        with Tract.open(path, tract_id=tract, clock=Clock()) as t:
            for number in range(4):
                t.commit(user(f"{tract} text {number}"))
    with Tract.open(path, clock=Clock()) as t:
        t.pack(keep_loose=AT_ONCE)
    remove_local(path)
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


def pack_of(path: Path) -> Path:
    (pack,) = (store_root(path) / "packs").iterdir()
    return pack


def as_an_earlier_version(path: Path) -> None:
    """Takes the list of events from the pack."""
    pack = pack_of(path)
    data = b"".join(line + b"\n" for line in members_of(pack.read_bytes()))
    pack.unlink()
    put(pack.with_name(hashlib.sha256(data).hexdigest()), data)


def shown(path: Path, *, tract: str = "default", **options: Any) -> tuple[list[str], list[str]]:
    """Returns the messages and the warnings of a compile."""
    with Tract.open(path, tract_id=tract, **({"read_only": True} | options)) as t:
        context = t.compile()
        return [str(message.content) for message in context.messages], list(context.warnings)


def require_refused(path: Path, lost: str, *, tract: str = "default") -> None:
    """Checks that a compile and a commit are refused, with the lost file in the error."""
    with Tract.open(path, tract_id=tract) as t:
        for call in (t.compile, lambda: t.commit(user("on less"))):
            with pytest.raises(HistoryIncomplete) as caught:
                call()
            assert caught.value.lost == (lost,)


def events_of(pack: bytes) -> list[str]:
    return [hashlib.sha256(line).hexdigest() for line in members_of(pack) if line.startswith(b'{"event":')]


WHOLE_LINES: dict[str, Change] = {
    "another tract's text": lambda data: data.replace(b"other text 2", b"Xther text 2"),
    "carriage returns": lambda data: data.replace(b"\n", b"\r\n"),
    "last newline lost": lambda data: data[:-1],
    "zeros at the end": lambda data: data + b"\0" * 512,
    "a line too much": lambda data: data + b'{"content":{"content_type":"output","text":"x"}}\n',
}


@pytest.mark.parametrize("change", WHOLE_LINES.values(), ids=WHOLE_LINES)
def test_damage_outside_the_events_hides_none_and_is_said_at_once(path: Path, change: Change) -> None:
    pack = pack_of(path)
    put(pack, change(pack.read_bytes()))
    for options in ({"read_only": True}, {"read_only": True, "verify": True}, {}, {"verify": True}):
        with Tract.open(path, **options) as t:  # type: ignore[arg-type]
            context, status = t.compile(), t.status()
            assert [message.content for message in context.messages] == TEXTS
            assert [line.startswith(f"packs/{pack.name}: damaged (") for line in context.warnings] == [True]
            assert not any(MAY_LACK in line for line in context.warnings)
            assert [line.partition(":")[0] for line in status.damaged] == [f"packs/{pack.name}"]
            assert status.damaged[0].endswith("no event is lost with it")
            assert (status.gone, status.pending) == ((), ())


@pytest.mark.usefixtures("still")
def test_line_ends_are_mended_by_the_first_writer_and_the_history_is_whole_meanwhile(path: Path) -> None:
    pack = pack_of(path)
    good = pack.read_bytes()
    put(pack, good.replace(b"\n", b"\r\n"))
    with Tract.open(path, clock=Clock()) as t:
        assert [message.content for message in t.compile().messages] == TEXTS
        t.commit(user("goes on"))
        assert pack.read_bytes() == good
        assert t.status().other_heads == ()
        t.refresh()
        assert [message.content for message in t.compile().messages] == [*TEXTS, "goes on"]
        assert t.compile().warnings == []


def test_a_lost_event_is_gone_by_its_name(path: Path) -> None:
    pack = pack_of(path)
    data = pack.read_bytes()
    newest = events_of(data)[3]
    (line,) = [line for line in members_of(data) if hashlib.sha256(line).hexdigest() == newest]
    put(pack, data.replace(line, line.replace(b'"replaces"', b'"replacez"')))
    for _ in range(2):
        require_refused(path, f"events/default/{newest[:2]}/{newest[2:]}")
        with Tract.open(path, incomplete="use") as t:
            status, context = t.status(), t.compile()
            assert status.gone == (newest,)
            assert status.damaged == (f"packs/{pack.name}: altered; events lost with it: 1 of tract default",)
            assert [message.content for message in context.messages] == TEXTS[:3]
            assert len(context.warnings) == 2
    assert shown(path, tract="other") == (
        [f"other text {number}" for number in range(4)],
        [f"packs/{pack.name}: damaged (altered); fetch it from another copy of this store"],
    )


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("is_listed", [True, False], ids=["list", "no list"])
def test_what_a_quarantined_pack_lacks_stays_known_until_it_is_back(
    path: Path, template: Path, is_listed: bool
) -> None:
    if not is_listed:
        as_an_earlier_version(path)
        template = Path(shutil.copytree(path, path.parent / "whole"))
    pack = pack_of(path)
    good = pack.read_bytes()
    newest = [line for line in members_of(good) if line.startswith(b'{"event":')][3]
    put(pack, good.replace(newest, b"\0" * len(newest)))
    event = hashlib.sha256(newest).hexdigest()
    lost = f"events/default/{event[:2]}/{event[2:]}" if is_listed else f"packs/{pack.name}"
    for _ in range(3):
        require_refused(path, lost)
        with Tract.open(path, incomplete="use") as t:
            t.refresh()
            context = t.compile()
            assert [message.content for message in context.messages] == TEXTS[: 3 if is_listed else 2]
            assert any(MAY_LACK in line for line in context.warnings) != is_listed
            assert len(t.status().gone) == is_listed
    assert not pack.exists()
    with Tract.open(path) as t:
        assert [found.path for found in t.repair().lost] == [lost]
    require_refused(path, lost)
    with Tract.open(path, incomplete="use") as t:
        assert t.compile().warnings != []
        assert [line.partition(":")[0] for line in t.status().damaged] == ([] if is_listed else [f"packs/{pack.name}"])
        t.sync(template)
        t.refresh()
        assert [message.content for message in t.compile().messages] == TEXTS
        assert t.compile().warnings == []
        assert (t.status().gone, t.status().damaged) == ((), ())


def test_a_sync_replaces_a_damaged_pack_of_equal_size(path: Path, template: Path) -> None:
    pack = pack_of(path)
    good = pack.read_bytes()
    put(pack, good.replace(b"default text 3", b"Xefault text 3"))
    with Tract.open(path) as t:
        assert [bad.is_replaced for bad in t.sync(template).bad] == [True]
        assert pack.read_bytes() == good
        t.refresh()
        assert [message.content for message in t.compile().messages] == TEXTS
        assert t.compile().warnings == []


@pytest.mark.parametrize("is_listed", [True, False], ids=["list", "no list"])
def test_no_damage_makes_less_of_a_history_in_silence(path: Path, is_listed: bool) -> None:
    if not is_listed:
        as_an_earlier_version(path)
    pack, chance = pack_of(path), Random(5)
    good = pack.read_bytes()
    changed = [flip(chance, good) for _ in range(40)]
    changed += [good[: chance.randrange(len(good))] for _ in range(20)]
    changed += [data for _ in range(15) if (data := zero(chance, good)) != good]
    quiet_count = whole_count = 0
    for data in changed:
        put(pack, data)
        for tract in ("default", "other"):
            try:
                messages, warnings = shown(path, tract=tract)
            except Exception as error:  # an object of the history is damaged: an error that names it
                assert type(error).__module__ == "tract_fs.errors"
                continue
            whole_count += len(messages) == 4
            quiet_count += len(messages) < 4 and not warnings
    assert quiet_count == 0
    assert (whole_count > 40) == is_listed


def test_a_cut_pack_may_have_had_more_for_every_tract(path: Path) -> None:
    pack = pack_of(path)
    put(pack, pack.read_bytes()[:-300])
    for tract in ("default", "other", "third"):
        require_refused(path, f"packs/{pack.name}", tract=tract)
        warnings = shown(path, tract=tract, incomplete="use")[1]
        assert any(MAY_LACK in line for line in warnings)
    with Tract.open(path, read_only=True) as t:
        (line,) = t.status().damaged
        assert line == f"packs/{pack.name}: torn copy; it may have had newer events, of any tract"


def test_this_copys_records_show_what_an_earlier_versions_pack_lacks(path: Path) -> None:
    as_an_earlier_version(path)
    assert shown(path, read_only=False) == (TEXTS, [])  # the rows of the pack are in the index by now
    pack = pack_of(path)
    put(pack, pack.read_bytes().replace(b"other text 2", b"Xther text 2"))
    with Tract.open(path) as t:
        assert [message.content for message in t.compile().messages] == TEXTS
        assert t.status().gone == ()


def test_a_directory_or_a_link_with_the_name_of_a_pack_is_no_pack(path: Path) -> None:
    (store_root(path) / "packs" / ("a" * 64)).mkdir()
    (store_root(path) / "packs" / ("b" * 64)).symlink_to("/dev/null")
    assert shown(path) == (TEXTS, [])
    with Tract.open(path) as t:
        assert t.status().damaged == ()
        assert t.status().strays == (f"packs/{'a' * 64}", f"packs/{'b' * 64}")


def test_a_pack_that_grew_too_large_to_be_read_is_no_stray(path: Path) -> None:
    pack = pack_of(path)
    pack.chmod(0o644)
    os.truncate(pack, (1 << 29) + 1)
    with Tract.open(path, read_only=True, incomplete="use") as t:
        assert t.status().damaged == (
            f"packs/{pack.name}: too large for a file of a store; it may have had newer events, of any tract",
        )
        assert [MAY_LACK in line for line in t.compile().warnings] == [True, False]


# the list itself


def test_a_list_is_read_as_it_was_written_and_not_if_any_byte_differs() -> None:
    events = {"b": ["1" * 64], "a": ["2" * 64, "0" * 64], "": ["3" * 64]}
    line = encode_event_list(events, 700)
    assert json.loads(line)["pack"]["bytes"] == 700
    assert list(json.loads(line)["pack"]["events"]) == ["", "a", "b"]
    assert decode_event_list(line) == (700, events)
    for at in range(len(line)):
        assert decode_event_list(line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]) is None
        assert decode_event_list(line[:at]) is None


@pytest.mark.parametrize("tract", ["../x", "A", "con"])
def test_a_list_of_no_tract_is_none(tract: str) -> None:
    assert decode_event_list(encode_event_list({tract: ["1" * 64]}, 0)) is None


def test_a_list_that_stands_elsewhere_proves_nothing(path: Path) -> None:
    """An earlier version carries the list of a small pack along as an object that nothing names."""
    pack = pack_of(path)
    *members, event_list = pack.read_bytes().splitlines()
    data = b"".join(line + b"\n" for line in (event_list, *members))
    pack.unlink()
    moved = pack.with_name(hashlib.sha256(data).hexdigest())
    put(moved, data)
    assert shown(path) == (TEXTS, [])
    newest = [line for line in members if line.startswith(b'{"event":')][3]
    put(moved, data.replace(newest + b"\n", b""))
    messages, warnings = shown(path, incomplete="use")
    assert messages == TEXTS[:3]
    assert any(MAY_LACK in line for line in warnings)


@pytest.mark.usefixtures("still")
def test_who_has_fetched_all_removes_a_doubtful_pack_from_the_quarantine(path: Path) -> None:
    pack = pack_of(path)
    put(pack, pack.read_bytes()[:-300])
    with Tract.open(path) as t:
        t.refresh()
        (line,) = t.status().damaged
        assert line == (
            f"packs/{pack.name}: quarantined (torn copy); it may have had newer events, of any tract: "
            "fetch these from another copy, then remove it from the quarantine"
        )
        (file,) = [store_root(path) / found.file for found in t.status().quarantined]
        file.unlink()
        t.refresh()
        assert t.status().damaged == ()
        assert t.compile().warnings == []
