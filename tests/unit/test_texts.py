"""The three text files of a store: their bytes, which of them are damaged or of an earlier form, and what counts as a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tract_fs.errors import NotAStore, StoreNotFound, UnsupportedFormat
from tract_fs.store import texts
from tract_fs.store.layout import Layout

WHOLE = {
    ".gitattributes": b"* -text -diff -merge\n",
    ".gitignore": b"!*\n/local\n.new.*\n",
    "FORMAT": b'{"format":"tract-fs","version":1}\n',
}


@pytest.fixture
def layout(path: Path) -> Layout:
    """The layout of a store that has just been made."""
    path.mkdir()
    made = Layout(str(path))
    texts.require_format(made, create=True)
    return made


def root_of(layout: Layout) -> Path:
    return Path(layout.root)


def test_a_new_store_has_these_bytes(layout: Layout) -> None:
    assert {file.name: file.read_bytes() for file in root_of(layout).iterdir() if file.is_file()} == WHOLE
    assert {(root_of(layout) / name).stat().st_mode & 0o777 for name in WHOLE} == {0o644}
    assert (texts.damaged(layout), texts.outdated(layout)) == ([], [])


@pytest.mark.parametrize("name", WHOLE)
def test_a_missing_text_is_damaged_and_is_written_again(layout: Layout, name: str) -> None:
    (root_of(layout) / name).unlink()
    assert (texts.damaged(layout), texts.outdated(layout)) == ([name], [])
    texts.write(layout, [name])
    assert (root_of(layout) / name).read_bytes() == WHOLE[name]
    assert texts.damaged(layout) == []


@pytest.mark.parametrize(
    ("name", "data", "is_outdated"),
    [
        (".gitignore", b"!*\n/local/\n", True),  # as an earlier version wrote it
        (".gitignore", b"!*\n/local\n", True),
        (".gitignore", b"!*\r\n/local\r\n", True),
        (".gitignore", b"!*\n/local", True),
        (".gitignore", b"!*\r\n/local\r\n.new.*\r\n", True),
        (".gitattributes", b"* -text -diff -merge\r\n", True),
        ("FORMAT", b'{"format":"tract-fs","version":1}\n\n', True),
        (".gitignore", b"/local\n", False),  # what a user wrote stays
        (".gitattributes", b"", False),
        ("FORMAT", b'{"format":"tract-fs","version":2}\n', False),
    ],
)
def test_only_a_text_that_differs_by_line_ends_or_is_an_earlier_one_is_outdated(
    layout: Layout, name: str, data: bytes, is_outdated: bool
) -> None:
    (root_of(layout) / name).write_bytes(data)
    assert texts.damaged(layout) == [name]
    assert texts.outdated(layout) == ([name] if is_outdated else [])


@pytest.mark.parametrize(
    "data", [b'{"format":"tract-fs","version":1}', b'{"version":1,"format":"tract-fs"}\r\n', WHOLE["FORMAT"]]
)
def test_a_store_is_known_by_what_its_format_holds_not_by_its_bytes(layout: Layout, data: bytes) -> None:
    (root_of(layout) / "FORMAT").write_bytes(data)
    texts.require_format(layout, create=False)


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"not json", b'{"format":"other","version":1}', b'{"format":"tract-fs","version":0}']
)
@pytest.mark.parametrize("create", [False, True])
def test_another_format_is_no_store_and_stays_as_it_is(layout: Layout, data: bytes, create: bool) -> None:
    (root_of(layout) / "FORMAT").write_bytes(data)
    with pytest.raises(NotAStore):
        texts.require_format(layout, create=create)
    assert (root_of(layout) / "FORMAT").read_bytes() == data


def test_a_later_version_is_refused_with_both_numbers(layout: Layout) -> None:
    (root_of(layout) / "FORMAT").write_bytes(b'{"format":"tract-fs","version":2}\n')
    with pytest.raises(UnsupportedFormat) as caught:
        texts.require_format(layout, create=True)
    assert (caught.value.found, caught.value.supported) == (2, 1)


@pytest.mark.parametrize("data", [b"", b"\0" * 34], ids=["empty", "zeros"])
def test_a_blank_format_is_written_again_by_an_open_that_may_make_a_store(layout: Layout, data: bytes) -> None:
    (root_of(layout) / "FORMAT").write_bytes(data)
    with pytest.raises(NotAStore):
        texts.require_format(layout, create=False)
    texts.require_format(layout, create=True)
    assert (root_of(layout) / "FORMAT").read_bytes() == WHOLE["FORMAT"]


def test_nothing_is_made_where_there_is_no_store_unless_asked_for(path: Path) -> None:
    with pytest.raises(StoreNotFound):
        texts.require_format(Layout(str(path)), create=False)
    assert not path.exists()


@pytest.mark.parametrize("create", [False, True])
def test_a_file_in_the_place_of_the_context_or_above_it_is_no_store(tmp_path: Path, create: bool) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    for place in ("file", "file/below"):
        with pytest.raises(NotAStore):
            texts.require_format(Layout(str(tmp_path / place)), create=create)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"mine"
