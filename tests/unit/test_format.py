"""FORMAT.md is the byte-exact truth: its examples hash to their names, and the library writes exactly them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from importlib.resources import files as package_files
from pathlib import Path

import pytest

from tract_fs import DialogueContent, Tract, verify_bundle
from tract_fs.model import canonical
from tract_fs.model.events import decode_event
from tract_fs.model.objects import decode_commit
from tract_fs.store.layout import Layout
from tract_fs.store.packs import Packs, PackWriter, assemble

PAGE = package_files("tract_fs").joinpath("FORMAT.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```\n((?:objects|events|packs)/\S+)\n(.*?)\n```$", PAGE, re.M | re.S)
NOW_US = 1_767_323_045_000_006  # 2026-01-02T03:04:05.000006Z


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the example store of FORMAT.md, section 9."""
    monkeypatch.setattr("os.urandom", lambda size: bytes(range(size)))
    with Tract.open(tmp_path, clock=lambda: NOW_US) as t:
        first = t.commit(DialogueContent("user", "hi"), message="greet", generation_config={"temperature": 0.5})
        t.annotate(first.commit_hash, "skip", reason="off topic")
        t.record_usage({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
    return tmp_path / ".tract"


def synced_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] in ("objects", "events", "packs")
    }


def test_every_example_hashes_to_its_name() -> None:
    assert len(EXAMPLES) == 7
    for path, text in EXAMPLES:
        data = text.encode() + (b"\n" if path.startswith("packs/") else b"")
        name = path.split("/", 1)[1].removeprefix("default/").replace("/", "")
        assert hashlib.sha256(data).hexdigest() == name, path


def test_the_library_writes_exactly_the_example_store(example: Path) -> None:
    expected = {path: text.encode() for path, text in EXAMPLES if not path.startswith("packs/")}
    assert synced_files(example) == expected


def test_the_listing_is_what_sha256sum_prints(example: Path) -> None:
    listing = re.search(r"^## 9\..*?^```\n(.*?)\n```$", PAGE, re.M | re.S)
    assert listing is not None
    paths = sorted(synced_files(example))
    printed = subprocess.run(["sha256sum", *paths], cwd=example, capture_output=True, text=True, check=True).stdout
    assert printed == listing[1] + "\n"


def test_the_pack_example_is_read_member_by_member(tmp_path: Path) -> None:
    path, text = next(item for item in EXAMPLES if item[0].startswith("packs/"))
    layout = Layout(str(tmp_path))
    target = Path(layout.root) / path
    target.parent.mkdir(parents=True)
    target.write_bytes(text.encode() + b"\n")
    packs = Packs(layout, read_only=True)
    packs.refresh()
    *members, event_list = text.encode().split(b"\n")
    for line in members:
        assert packs.read(hashlib.sha256(line).hexdigest()) == line
    assert packs.event_names(path.removeprefix("packs/"), "default") == [hashlib.sha256(members[2]).hexdigest()]
    assert packs.read(hashlib.sha256(event_list).hexdigest()) is None
    assert packs.read("0" * 64) is None


def test_the_packs_writer_writes_the_example(tmp_path: Path) -> None:
    path, text = next(item for item in EXAMPLES if item[0].startswith("packs/"))
    members = text.encode().split(b"\n")[:-1]
    (tmp_path / ".tract").mkdir()
    with PackWriter(Layout(str(tmp_path))) as writer:
        for line in members:
            writer.add(hashlib.sha256(line).hexdigest(), line)
        assert writer.finish() == (path.removeprefix("packs/"), len(text) + 1)
    assert (tmp_path / ".tract" / path).read_bytes() == text.encode() + b"\n"


def test_a_pack_of_objects_ends_in_an_empty_list() -> None:
    members = {hashlib.sha256(line).hexdigest(): line for line in (b'{"content":{"number":1}}', b'{"content":{}}')}
    rows, data = assemble(members)
    start = b'{"pack":{"bytes":40,"events":{}'
    end = b',"sha256":"' + hashlib.sha256(start).hexdigest().encode() + b'"}}'
    assert data == b'{"content":{"number":1}}\n{"content":{}}\n' + start + end + b"\n"
    assert rows.pack == hashlib.sha256(data).hexdigest()
    assert [(offset, size) for _, offset, size in rows.members] == [(0, 24), (25, 14)]


def test_the_three_text_files_are_as_section_2_says(example: Path) -> None:
    assert (example / "FORMAT").read_bytes() == b'{"format":"tract-fs","version":1}\n'
    assert (example / ".gitattributes").read_bytes() == b"* -text -diff -merge\n"
    assert (example / ".gitignore").read_bytes() == b"!*\n/local\n.new.*\n"


def test_the_bundle_example_is_what_the_library_writes_of_the_example_store(example: Path, tmp_path: Path) -> None:
    (text,) = re.findall(r"^## \d+\. Bundle.*?^```\n(.*?)^```$", PAGE, re.M | re.S)
    with Tract.open(example.parent) as t:
        t.bundle(tmp_path / "file", since=t.log()[-1].commit_hash)
    assert (tmp_path / "file").read_bytes() == text.encode()
    assert verify_bundle(tmp_path / "file").builds_on == (
        "default/3ac169db3d28012f99bd70dde14986d4c21297954a931d76a0d2d986d10b6251",
    )
    above, last = text.encode()[:-65], text[-65:-1]
    assert hashlib.sha256(above).hexdigest() == last
    members = {hashlib.sha256(line).hexdigest() for line in above.splitlines()[1:]}
    assert members == {
        name.replace("/", "")[-64:] for name, _ in EXAMPLES if name[-62:].startswith(("da94", "2a3d", "809b"))
    }


def test_synced_files_are_read_only_for_everybody(example: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in example.rglob("*") if path.is_file() and "local" not in path.parts}
    assert modes == {0o444, 0o644}  # 0644: the three text files
    assert all((example / path).stat().st_mode & 0o777 == 0o444 for path in synced_files(example))


def test_the_examples_are_canonical_and_decode() -> None:
    for path, text in EXAMPLES:
        if path.startswith("packs/"):
            continue
        assert canonical.encode(canonical.decode(text.encode())) == text.encode()
        if path.startswith("events/"):
            assert decode_event(text.encode()).tract == "default"
        elif text.startswith('{"commit"'):
            assert decode_commit(text.encode()).created_at.startswith("2026-01-02T03:04:05.00000")
