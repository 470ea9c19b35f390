"""`tract sync` and `tract bundle`, as people and scripts use them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.command import Run, commit, on_terminal, process, shown_texts
from tests.lab.copies import hashed, object_of
from tests.lab.states import put_in_place


def test_a_sync_with_an_empty_directory_makes_a_copy(store: Run) -> None:
    commit(store, "-m", "hello")
    os.mkdir("stick")
    told = store("sync", "stick")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0] == f"made a store in {os.getcwd()}/stick/.tract"
    assert told.out.splitlines()[1].startswith("received nothing; sent 2 objects, 1 event (")
    assert store("sync", "stick").out == "received nothing; sent nothing\n"
    assert shown_texts(store, "-C", "stick") == ["hello"]
    assert hashed(Path("stick")) == hashed(Path("."))


def test_a_sync_tells_scripts_all_of_it(store: Run) -> None:
    commit(store, "-m", "hello")
    os.mkdir("stick")
    nothing = {kind: {"files": 0, "size_bytes": 0} for kind in ("objects", "events", "packs")}
    document = store("sync", "stick", "--json").document
    assert document.pop("sent")["objects"]["files"] == 2
    assert document == {
        "path": f"{os.getcwd()}/stick",
        "is_new": True,
        "received": nothing,
        "bad": [],
        "pending_here": [],
        "pending_there": [],
        "lost": [],
        "diverged": [],
        "merge": None,
    }


def test_a_bad_file_is_told_and_replaced(store: Run) -> None:
    commit(store, "-m", "hello")
    os.mkdir("stick")
    store("sync", "stick")
    file = object_of(Path("stick"), "hello")
    put_in_place(file, file.read_bytes().replace(b"hello", b"jello"))
    assert store("sync", "stick").err == ""
    told = store("sync", "stick", "--verify")
    assert told.code == 0
    assert told.err.startswith(f"warning: bad file there: objects/{file.parent.name}/{file.name}: altered: its ")
    assert told.err.endswith("quarantined and replaced\n")
    (bad,) = store("sync", "stick", "--verify", "--json").document["bad"] or [None]
    assert bad is None


def test_events_that_wait_are_told(store: Run) -> None:
    commit(store, "-m", "one")
    commit(store, "-m", "two")
    lost = object_of(Path("."), "one")
    lost.unlink()
    os.mkdir("stick")
    result = store("sync", "stick", "--json")
    told = result.document
    assert (result.code, told["lost"]) == (1, [f"objects/{lost.parent.name}/{lost.name}"])
    assert told["pending_there"] == told["pending_here"]
    os.mkdir("fresh")
    assert store("init", "fresh").code == 0
    told = store("-C", "fresh", "sync", "stick")
    assert told.code == 1
    assert told.err.count("warning: pending here: default/") == 2
    assert told.err.count("warning: pending there: default/") == 2


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "altered"])
@pytest.mark.parametrize("kind", ["content", "commit", "event"])
def test_a_sync_of_what_is_not_whole_ends_with_1_and_names_the_file(store: Run, kind: str, how: str) -> None:
    for text in ("one", "two", "three"):
        commit(store, "-m", text)
    files = {name: data for name, data in hashed(Path(".")).items() if data.startswith(f'{{"{kind}":'.encode())}
    name = sorted(files)[1] if kind != "content" else next(name for name, data in files.items() if b"two" in data)
    if how == "gone":
        Path(".tract", name).unlink()
    else:
        data = {"empty": b"", "cut": files[name][:-5], "altered": files[name].replace(b'"', b"'", 1)}[how]
        put_in_place(Path(".tract", name), data)
    os.mkdir("stick")
    told = store("sync", "stick")
    assert (told.code, name in told.err) == (1, True)


def diverged(store: Run, here: list[str], there: list[str]) -> None:
    """Makes a copy in `stick`, and runs a command on each side, so that its branch has two heads after a sync."""
    commit(store, "-m", "shared")
    os.mkdir("stick")
    store("sync", "stick")
    for arguments in (here, ["-C", "stick", *there]):
        assert store(*arguments).code == 0


def test_a_second_head_is_shown_and_is_no_failure(store: Run) -> None:
    diverged(store, ["commit", "-m", "here"], ["commit", "-m", "there"])
    for _ in range(2):
        told = store("sync", "stick")
        assert told.code == 0
        assert told.err == "warning: branch 'main' has 2 heads: 'tract merge' or 'tract sync PATH --merge' joins them\n"
    told = store("sync", "stick", "--tract", "default", "--branch", "main", "--json")
    (one,) = told.document["diverged"]
    assert (told.code, one["tract_id"], one["branch"], len(one["heads"])) == (0, "default", "main", 2)


def test_a_second_head_of_another_tract_is_shown_with_its_name(store: Run) -> None:
    commit(store, "-m", "x", "--tract", "other", "-c")
    commit(store, "-m", "y", "-c", "--tract", "default")
    os.mkdir("stick")
    store("sync", "stick")
    commit(store, "-m", "here", "--tract", "other")
    commit(store, "-C", "stick", "-m", "there", "--tract", "other")
    told = store("sync", "stick", "--merge")
    assert (told.code, told.err) == (
        0,
        "warning: branch 'main' of tract 'other' has 2 heads: 'tract merge --tract other --branch main' joins them\n",
    )


def test_a_sync_joins_the_heads_and_sends_that_too(store: Run) -> None:
    diverged(store, ["commit", "-m", "here"], ["commit", "-m", "there"])
    told = store("sync", "stick", "--merge")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[0].startswith("received 2 objects, 1 event (")
    assert "; sent 3 objects, 2 events (" in told.out.splitlines()[0]
    assert told.out.splitlines()[1].startswith("main joins 2 lines at ")
    assert shown_texts(store) == shown_texts(store, "-C", "stick")
    assert sorted(shown_texts(store)) == ["here", "shared", "there"]
    assert hashed(Path("stick")) == hashed(Path("."))
    assert store("sync", "stick", "--merge").out == "received nothing; sent nothing\n"


def test_a_sync_leaves_a_conflict_as_merge_does(store: Run) -> None:
    diverged(store, ["edit", "main", "-m", "A"], ["edit", "main", "-m", "B"])
    told = store("sync", "stick", "--merge")
    assert told.code == 1
    assert told.out.startswith("received 2 objects, 1 event (")
    assert "branch 'main' has 2 heads" in told.err
    assert told.err.splitlines()[-1] == store("merge").err.splitlines()[-1]
    assert store("merge", "--prefer", "ours").code == 0
    assert store("sync", "stick", "--merge").code == 0
    assert shown_texts(store, "-C", "stick") == ["A"]


def test_two_projects_on_one_stick_are_not_mixed(store: Run) -> None:
    commit(store, "--type", "instruction", "-m", "You are the tax bot.")
    os.mkdir("stick")
    store("sync", "stick")
    assert store("init", "other").code == 0
    commit(store, "-C", "other", "--type", "instruction", "-m", "You are the gardener.")
    before = [hashed(Path(path)) for path in ("stick", "other")]
    told = store("-C", "other", "sync", "stick")
    assert (told.code, told.out) == (1, "")
    assert told.err == (
        f"tract: tract 'default', here and in {os.getcwd()}/stick: two histories with nothing in common: ours begins with "
        "'You are the gardener.', the other with 'You are the tax bot.'; give each project a directory of its own, or mix "
        "them for good with --unrelated; nothing was written\n"
    )
    store("bundle", "create", "file")
    told = store("-C", "other", "bundle", "apply", "file", "--json")
    assert (told.code, '"error": "UnrelatedHistories"' in told.err) == (1, True)
    assert [hashed(Path(path)) for path in ("stick", "other")] == before
    assert store("-C", "other", "bundle", "apply", "file", "--unrelated").code == 0
    told = store("-C", "other", "merge")
    assert (told.code, "two histories with nothing in common" in told.err) == (1, True)
    assert store("-C", "other", "merge", "--unrelated").code == 0
    assert store("-C", "other", "sync", "stick").code == 0


def test_a_sync_mixes_two_projects_where_it_is_asked_for(store: Run) -> None:
    commit(store, "-m", "one")
    assert store("init", "other").code == 0
    commit(store, "-C", "other", "-m", "two")
    assert store("sync", "other", "--merge").code == 1
    assert store("sync", "other", "--merge", "--unrelated").code == 0
    assert sorted(shown_texts(store)) == sorted(shown_texts(store, "-C", "other")) == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "error", "code"),
    [
        (["sync"], "Missing argument 'PATH'", 2),
        (["sync", "."], "this is the store itself; give another directory", 1),
        (["sync", "missing"], "no such directory; make it, or mount what should be there, first", 1),
        (["sync", "a-file"], "no directory; give a context directory", 1),
        (["sync", "./.tract"], "the inside of a store; give the directory that holds it", 1),
        (["bundle"], "Missing command", 2),
        (["bundle", "create"], "Missing argument 'FILE'", 2),
        (["bundle", "create", "a-file"], "the file exists already; choose another name, or replace it with --force", 1),
        (["bundle", "create", "x", "--since", "nothing"], "commit 'nothing' is not in tract 'default'", 1),
        (["bundle", "create", "x", "--tract", "other"], "no tract 'other' in this store", 1),
        (["bundle", "create", "missing/x"], "No such file or directory; check the path", 1),
        (["bundle", "verify", "missing"], "missing: no such file", 1),
        (["bundle", "verify", "a-file"], "a-file, line 1: no bundle of tract_fs", 1),
        (["bundle", "apply", "a-file"], "a-file, line 1: no bundle of tract_fs", 1),
        (["bundle", "apply", "."], "line 1: no regular file", 1),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(
    store: Run,
    arguments: list[str],
    error: str,
    code: int,
) -> None:
    commit(store, "-m", "hello")
    Path("a-file").write_bytes(b"something else\n")
    before = hashed(Path("."))
    told = store(*arguments)
    assert (told.code, told.out) == (code, "")
    assert error in told.err
    assert "Traceback" not in told.err
    assert Path("a-file").read_bytes() == b"something else\n"
    assert hashed(Path(".")) == before
    if code == 1:
        assert store(*arguments, "--json").code == 1


def test_bundles_carry_a_store_to_another_place(store: Run) -> None:
    first = commit(store, "-m", "one")
    told = store("bundle", "create", "all.bundle")
    assert told.out.startswith(f"made: {os.getcwd()}/all.bundle, 1 content, 1 commit, 1 event of default, ")
    commit(store, "-m", "two")
    made = store("bundle", "create", "new.bundle", "--since", first, "--json").document
    assert (made["events"], made["commits"], made["contents"], made["tracts"]) == (1, 1, 1, ["default"])
    assert len(made["builds_on"]) == 1
    checked = store("bundle", "verify", "new.bundle")
    assert checked.out.startswith(f"good: {os.getcwd()}/new.bundle, 1 content, 1 commit, 1 event of default, ")
    assert checked.out.splitlines()[1] == f"builds on {made['builds_on'][0]}"
    store("init", "there")
    told = store("-C", "there", "bundle", "apply", "new.bundle")
    assert (told.code, told.out) == (0, f"new from {os.getcwd()}/new.bundle: 1 content, 1 commit, 1 event\n")
    assert told.err.startswith("warning: pending: default/")
    assert told.err.endswith(f"its parent is not visible: {made['builds_on'][0].split('/')[1]}\n")
    assert store("-C", "there", "bundle", "apply", "all.bundle").err == ""
    assert shown_texts(store, "-C", "there") == ["one", "two"]
    assert store("-C", "there", "bundle", "apply", "all.bundle").out.endswith(": nothing\n")


def test_a_bundle_can_be_checked_where_there_is_no_store(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    store("bundle", "create", "file")
    (tmp_path / "elsewhere").mkdir()
    told = process("bundle", "verify", "../file", "--json", cwd=tmp_path / "elsewhere")
    assert told.returncode == 0
    assert os.listdir(tmp_path / "elsewhere") == []


def test_force_replaces_a_bundle(store: Run) -> None:
    commit(store, "-m", "one")
    store("bundle", "create", "file")
    commit(store, "-m", "two")
    assert store("bundle", "create", "file").code == 1
    assert store("bundle", "create", "file", "--force").code == 0
    assert store("bundle", "verify", "file", "--json").document["events"] == 2


@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="needs /dev/stdin")
def test_a_bundle_goes_through_pipes_named_as_files(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    made = process("bundle", "create", "/dev/stdout", cwd=tmp_path)
    assert made.stderr.startswith(b"made: stdout, 1 content, 1 commit, 1 event of default, ")
    checked = process("bundle", "verify", "/dev/stdin", cwd=tmp_path, input=made.stdout)
    assert checked.stdout.startswith(b"good: stdin, 1 content, 1 commit, 1 event of default, ")


def test_a_damaged_bundle_on_stdin_is_named_so(store: Run) -> None:
    told = store("bundle", "verify", "-", stdin=b"garbage")
    assert told.err.startswith("tract: stdin, line 1: ")


def test_a_terminal_gets_a_progress_bar(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    os.mkdir("stick")
    shown = on_terminal("sync", "stick", cwd=tmp_path)
    assert "syncing" in shown and "3/3" in shown
    assert "sent 2 objects, 1 event" in shown
    piped = process("sync", "stick", "--verify", cwd=tmp_path)
    assert (piped.stdout, piped.stderr) == (b"received nothing; sent nothing\n", b"")
