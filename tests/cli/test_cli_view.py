"""`tract view`: where it writes the page, and what it says of it."""

from __future__ import annotations

from pathlib import Path

from tests.lab.command import Run, commit, refused


def test_view_writes_the_page_of_the_tract_here(store: Run) -> None:
    commit(store, "-m", "one")
    shown = store("view")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == f"wrote {Path('default.html').resolve()}: 1 commit, 0.1 MB\n"
    assert Path("default.html").read_bytes().startswith(b"<!doctype html><!-- tract view -->\n")


def test_view_answers_programs_with_what_it_wrote(store: Run) -> None:
    commit(store, "-m", "one")
    commit(store, "--tract", "other", "--create", "-m", "two")
    page = store("view", "--all-tracts", "-o", "page.html", "--json").document
    assert page == {
        "path": str(Path("page.html").resolve()),
        "size_bytes": Path("page.html").stat().st_size,
        "tracts": ["default", "other"],
        "commit_count": 2,
    }


def test_view_replaces_no_file_but_a_page(store: Run) -> None:
    commit(store, "-m", "one")
    Path("default.html").write_text("my own", encoding="utf-8")
    assert "choose another name" in refused(store, "view", error="ArgumentError")
    assert "choose another name" in refused(store, "view", "-o", ".", error="ArgumentError")
    assert Path("default.html").read_text(encoding="utf-8") == "my own"


def test_view_needs_a_tract_that_is_there(store: Run) -> None:
    commit(store, "-m", "one")
    refused(store, "view", "--tract", "unknown", error="CommandError")
    assert not Path("unknown.html").exists()
