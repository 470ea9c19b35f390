"""Lost files on the command line: each command names them, exits 1 where it would go on from less, and has a way on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import Run, Told
from tests.lab.states import store_root
from tests.lab.stores import make_store
from tests.lab.talk import say
from tract_fs import RecordContent, Tract
from tract_fs.cli import main


@pytest.fixture
def lost(tmp_path: Path) -> tuple[Path, str, list[str]]:
    """A store of six commits that noticed that the content of the fourth is gone: its path, that hash, and the commits."""
    names: list[str] = []
    path = make_store(tmp_path / "context", lambda t: names.extend(say(t, *(f"m{n}" for n in range(6)))), Tract.flush)
    with Tract.open(path) as t:
        found = t.get_commit(names[3])
    assert found is not None and found.content_hash is not None
    (store_root(path) / f"objects/{found.content_hash[:2]}/{found.content_hash[2:]}").unlink()
    Tract.open(path, verify=True).close()
    return path, found.content_hash, names


@pytest.fixture
def tract(capsys: pytest.CaptureFixture[str], lost: tuple[Path, str, list[str]]) -> Any:
    def run(*arguments: str) -> Told:
        code = main([*arguments, "-C", str(lost[0])])
        return Told(code, *capsys.readouterr())

    return run


def test_what_would_go_on_from_less_is_refused_with_the_name_of_the_file(
    tract: Any, lost: tuple[Path, str, Any]
) -> None:
    name = f"objects/{lost[1][:2]}/{lost[1][2:]}"
    for arguments in (["compile"], ["commit", "-m", "on less"], ["reset", "main~1"], ["undo"], ["branch", "new"]):
        told = tract(*arguments)
        assert (told.code, told.out) == (1, "")
        assert f"{name} (content) is missing; 3 commits depend on it" in told.err
    assert tract("compile", "--json").code == 1


def test_log_and_query_warn_and_show_reaches_what_is_whole(tract: Any, lost: tuple[Path, str, list[str]]) -> None:
    told = tract("log")
    assert told.code == 0
    assert [line.split()[-1] for line in told.out.splitlines()[1:]] == ["m2", "m1", "m0"]
    assert told.err.startswith("warning: branch 'main' of tract 'default' is incomplete: ")
    assert tract("query", "n", "=", "1").err.count("is incomplete") == 1
    assert tract("show", lost[2][5][:12]).out.endswith("\nm5\n")


def test_repair_lists_what_depends_on_a_lost_file_until_it_is_given_up(
    tract: Any, lost: tuple[Path, str, list[str]]
) -> None:
    _, content, names = lost
    told = tract("repair")
    assert told.code == 1
    assert told.out.splitlines()[1:] == [
        f"lost     objects/{content[:2]}/{content[2:]}: content {content[:12]} is missing, 3 commits depend on it",
        f"           {names[3][:12]} (its content is lost)",
        f"           {names[4][:12]} m4",
        f"           {names[5][:12]} m5",
    ]
    document = tract("repair", "--json").document
    assert [found["hash"] for found in document["lost"]] == [content]
    assert tract("status").out.count(f"content {content[:12]} is missing, 3 commits depend on it") == 1
    told = tract("repair", "--give-up", "0123")
    assert (told.code, "not the hash of one lost file" in told.err) == (1, True)
    told = tract("repair", "--give-up", content[:8])
    assert (told.code, told.out.splitlines()[1:]) == (0, [f"given up  {content}"])
    assert tract("compile", "--format", "oneline").out.count("\n") == 7  # a head line, five messages, a sum
    assert tract("commit", "-m", "goes on").code == 0


def test_a_handle_without_the_lost_file_is_asked_for_by_an_option(
    tract: Any, lost: tuple[Path, str, list[str]]
) -> None:
    told = tract("--incomplete", "compile", "--format", "oneline")
    assert told.code == 0
    assert told.err == f"warning: commit {lost[2][3]} is left out: its content {lost[1]} is lost\n"
    assert tract("commit", "--incomplete", "-m", "m6").code == 0
    assert tract("commit", "-m", "m7").code == 1
    assert tract("repair", "--incomplete").code == 1


def test_status_and_repair_list_a_lost_blob_with_the_commits_that_name_it(store: Run, tmp_path: Path) -> None:
    with Tract.open(".") as t:
        blob = t.put_blob(b"a picture")
        commits = [t.commit(RecordContent("state", {"n": n}, {"it": blob})).commit_hash for n in range(2)]
    (tmp_path / ".tract/objects" / blob[:2] / blob[2:]).unlink()
    for local in (tmp_path / ".tract/local").glob("*/redo*"):
        local.unlink()
    line = f"objects/{blob[:2]}/{blob[2:]}: blob {blob[:12]} is missing, 2 commits name it"
    assert line in store("status").out
    told = store("repair")
    assert (told.code, line in told.out, f"  {commits[0][:12]}" in told.out) == (1, True, True)
    assert store("repair", "--give-up", blob[:12]).code == 0
    assert "blob" not in store("status").out


def test_sync_and_bundle_list_what_is_lost(tract: Any, lost: tuple[Path, str, Any], tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    told = tract("sync", str(tmp_path / "stick"))
    assert told.code == 1
    assert f"warning: lost: objects/{lost[1][:2]}/{lost[1][2:]} is on neither side" in told.err
    assert tract("sync", str(tmp_path / "stick")).code == 1
    told = tract("bundle", "create", str(tmp_path / "file"))
    assert (told.code, lost[1] in told.err) == (1, True)
