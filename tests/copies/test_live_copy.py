"""Copies of a store that is being written: four processes commit while rsync copies; every copy is a whole past of the store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.processes import ROOT
from tests.lab.states import copy_store, synced
from tests.lab.talk import user
from tract_fs import Tract

pytestmark = pytest.mark.needs("rsync")

COMMITTER = """
import json, sys, time
from tract_fs import DialogueContent, Tract

path, durability, me = sys.argv[1:4]
made = []
with Tract.open(path, durability=durability, lock_timeout_s=60.0) as tract:
    def say(text):
        info = tract.commit(DialogueContent(role="user", text=text), generation_config={"by": me})
        return info.commit_hash
    made.append(say("first"))
    print("ready", flush=True)
    rounds = 0
    while sys.stdin.readline():  # a line for each copy: however long that takes, the store grows as much
        for _ in range(5):
            rounds += 1
            made.append(say(f"{me} says {len(made)}"))
            if rounds % 5 == 0:
                edited = DialogueContent(role="user", text=f"{me} edits {len(made)}")
                made.append(tract.edit(made[-1], edited).commit_hash)
            if rounds % 24 == 2:
                with tract.batch():  # 64 objects or more: one pack
                    batch = [say(f"{me} says {len(made)}, {number}") for number in range(40)]
                made += batch
            time.sleep(0.02)
print(json.dumps(made), flush=True)
"""

# rsync's options, by copy: as guide/sync.md says; as people do; in place, over partly written files; delayed renames
DOCUMENTED = {"documented": ["-a", "--ignore-existing", "--exclude=/.tract/local/"]}
OTHERS = {
    "plain, with local": ["-a"],
    "in place": ["-a", "--inplace", "--exclude=/.tract/local/"],
    "delayed": ["-a", "--delay-updates", "--exclude=/.tract/local/"],
}
PASSES = 3


def copy(source: Path, target: Path, options: list[str]) -> None:
    done = subprocess.run(["rsync", *options, f"{source}/", f"{target}/"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 24), done.stderr  # 24: files vanished before they were sent


def require_whole(t: Tract) -> list[str]:
    """Checks that every visible commit has its parents and contents; returns the line, newest first."""
    infos = t.log(None)
    names = [info.commit_hash for info in infos]
    known = set(names)
    for info in infos:
        assert known.issuperset(info.parents)
        assert known.issuperset(info.targets)
        if info.content_hash is not None:
            assert t.get_content(info.commit_hash).role == "user"
    shown = t.compile()
    assert not [line for line in shown.warnings if "pending" not in line]
    assert shown.commit_hashes == [info.commit_hash for info in reversed(infos) if info.operation == "append"]
    assert all("by" in config for config in shown.generation_configs)
    status = t.status()
    assert (status.other_heads, status.damaged, status.gone, status.quarantined) == ((), (), (), ())
    return names


def require_writable(path: Path, scratch: Path, expected: list[str]) -> None:
    """Checks that a copy of a copy shows the same, and goes on."""
    copy_store(path, scratch)
    with Tract.open(scratch, durability="fast") as t:
        assert require_whole(t) == expected
        info = t.commit(user("goes on"), generation_config={"by": "copy"})
        assert list(info.parents) == expected[:1]
        assert require_whole(t) == [info.commit_hash, *expected]
    shutil.rmtree(scratch)


def count_events(path: Path) -> int:
    """Returns a number that grows with each transaction."""
    return sum(1 for folder in ("events", "packs") for file in (path / ".tract" / folder).rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("durability", "ways"), [("durable", DOCUMENTED), ("fast", OTHERS)], ids=["documented", "other ways"]
)
def test_every_copy_of_a_store_that_is_written_is_whole_and_the_last_has_all(
    tmp_path: Path, durability: str, ways: dict[str, list[str]]
) -> None:
    source = tmp_path / "source"
    seen: dict[str, list[int]] = {way: [] for way in ways}
    pending = 0
    with ExitStack() as stack:
        running = []
        for number in range(4):
            command = [sys.executable, "-c", COMMITTER, str(source), durability, str(number)]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            running.append(stack.enter_context(process))
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for _ in range(PASSES):
            for way, options in ways.items():
                target = tmp_path / way
                before = count_events(source)
                for process in running:
                    assert process.stdin is not None
                    process.stdin.write("go on\n")
                    process.stdin.flush()
                while count_events(source) == before and running[0].poll() is None:
                    time.sleep(0.001)
                copy(source, target, options)
                with Tract.open(target, read_only=True) as t:
                    names = require_whole(t) if t.incomplete() is None else None
                    listed = len(t.log(None))
                    pending += len(t.status().pending)
                if names is not None:  # else a file that it builds on is still to come, and nothing starts from less
                    require_writable(target, tmp_path / "scratch", names)
                seen[way].append(listed)
        told = [json.loads(process.communicate("", timeout=240)[0]) for process in running]
        assert [process.returncode for process in running] == [0] * 4
    acknowledged = {name for names in told for name in names}
    for way, options in ways.items():
        copy(source, tmp_path / way, options)
        assert synced(tmp_path / way) == synced(source)
        with Tract.open(tmp_path / way) as t:
            assert set(require_whole(t)) == acknowledged
            assert t.status().pending == ()
    packs = len(list((source / ".tract" / "packs").iterdir()))
    print(f"{durability}: {len(acknowledged)} commits, {packs} packs, {pending} pending in {seen}")
    assert packs >= 4
    assert all(len(set(counts)) >= 2 for counts in seen.values())  # the store grew meanwhile
