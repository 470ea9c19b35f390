"""The guide on syncing: its command lines run with the real rsync and git, and each mistake has the effect that the guide names.

Claims of the guide and the README, and the tests that hold them (in this module, where no other is named):

| claim | test |
|---|---|
| any tool merges two copies, in any order | `test_any_tools_merge_two_copies_in_any_order` |
| a copy that was cut off opens; what is incomplete is pending | `test_an_rsync_that_is_cut_off_leaves_a_copy_that_opens_and_goes_on` |
| where both copies moved a branch, it has two heads | `test_the_rsync_lines_bring_both_sides_together` |
| files are named by what `sha256sum` prints | `test_durability.test_every_file_outside_local_but_three_texts_is_named_by_its_sha256sum` |
| `sync` works both ways, and a stick without a store gets one | `test_the_lines_with_sync_bring_both_sides_together` |
| `sync` checks a file before it copies it, and never replaces a good one | `test_sync.test_a_bad_file_that_only_one_side_has_is_not_copied` |
| `sync` reports a bad file, and quarantines it if the other side has a good one | `test_sync.test_a_file_of_another_size_is_replaced_by_the_good_one_and_set_aside` |
| `sync` may be interrupted, and the next run continues | `test_sync.test_a_sync_that_is_killed_at_any_call_leaves_both_sides_whole_and_goes_on` |
| `sync --verify` hashes every file | `test_sync.test_verify_finds_a_file_that_was_altered_in_its_size` |
| without it, files of two sizes are checked | `test_sync.test_a_file_of_another_size_is_replaced_by_the_good_one_and_set_aside` |
| without it, files that this copy found damaged are checked | `test_sync.test_an_event_that_this_copy_found_damaged_is_replaced_without_verify` |
| a bundle carries a tract in one file; `--since` | `test_the_lines_with_bundles_carry_a_tract_over` |
| a bundle applies whole, or not at all if one byte of it is wrong | `test_bundle.test_any_cut_is_noticed_and_nothing_is_applied` |
| a bundle that arrives before what it builds on stays pending | `test_a_bundle_that_comes_early_waits_for_what_it_builds_on` |
| a bundle goes through a pipe | `test_a_bundle_goes_through_a_pipe` |
| the rsync lines | `test_the_rsync_lines_bring_both_sides_together` |
| with `--ignore-existing` a damaged copy never replaces a good one | `test_with_ignore_existing_no_damaged_file_goes_over_a_good_one` |
| with `-a`, `-u`, `--inplace` the copies still come together | `test_with_other_options_the_copies_still_come_together` |
| with these a damaged file may go over a good one, and is named until it is healed | `test_with_plain_a_a_damaged_file_goes_over_the_good_one_and_is_told_until_it_is_healed` |
| `--delete` | `test_with_delete_what_only_one_side_had_is_gone_and_told_and_comes_back` |
| `local/` copied along changes no answer, and is listed | `test_local_copied_along_leaves_the_other_copy_its_own_line` |
| one way only | `test_one_way_only_that_side_has_all` |
| the git lines; there are no conflicts | `test_the_git_lines_bring_both_sides_together_without_a_conflict` |
| git shows no diffs of `.tract` | `test_git_shows_no_lines_of_the_files_of_a_store` |
| line ends are not rewritten, global ignore rules don't apply | `test_global_rules_of_git_drop_and_rewrite_nothing` |
| where git stops, both sides are whole, and `git add .` and `git commit` continue | `test_a_pull_that_stops_after_packs_goes_on_by_add_and_commit` |
| `tract repair` puts back a file that git put in another's place | `test_repair_puts_back_a_file_that_git_left_under_another_name` |
| rebase, squash, cherry-pick: the same files | `test_a_rebase_keeps_all_files`, `test_a_squash_or_a_cherry_pick_brings_the_same_files` |
| dropped git commits | `test_dropped_git_commits_are_gone_or_waited_for_until_the_files_are_back` |
| checkout of an old revision | `test_an_old_revision_shows_the_context_of_then_and_the_newer_one_all` |
| `git switch` to a branch without the store | `test_ground.test_an_agent_on_a_branch_of_git_without_the_store_is_stopped_and_goes_on_after_the_switch_back` |
| forced line ends are damage, and never shown | `test_line_ends_that_are_rewritten_by_force_are_damage_and_never_shown` |
| `git clean` | `test_git_clean_takes_what_git_was_not_told_of` |
| `git checkout -f`, `git reset --hard` | `test_a_forced_checkout_or_reset_takes_what_was_added_and_not_committed` |
| `git checkout REVISION -- .tract` brings files back, and removes none | `test_git.test_what_a_rebase_dropped_comes_back_by_a_checkout_of_its_files_alone` |
| a damaged file is quarantined and kept | `test_quarantine.test_a_bad_file_is_moved_with_a_note_and_kept` |
| a store from somebody else: `local/` is not read, no link is followed | `test_hostile_store.test_what_a_stranger_put_into_local_is_never_read`, `test_hostile_store.test_no_link_in_a_store_is_followed` |
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.copies import hashed, is_good, object_of, open_tract, require_nothing_waits, texts_at
from tests.lab.states import answers, put_in_place, remove_local, store_root, told_context
from tests.lab.stores import fill, fill_pack
from tests.lab.talk import Clock, user
from tract_fs.errors import HistoryIncomplete

pytestmark = pytest.mark.needs("git", "rsync")

GUIDE = (Path(__file__).parents[2] / "tract_fs" / "guide" / "sync.md").read_text(encoding="utf-8")
WITH_TRACT, WITH_BUNDLES, WITH_RSYNC, GIT_FIRST, GIT_OFTEN = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.M | re.S)
SCALE = (Path(__file__).parents[2] / "tract_fs" / "guide" / "scale.md").read_text(encoding="utf-8")
GIT_PACK = re.findall(r"^```sh\n(tract -C there pack .*?)^```$", SCALE, re.M | re.S)[0]
RSYNC = "rsync -a --ignore-existing --exclude=/.tract/local/ "


class Place:
    """A directory in which command lines run, with git set up for itself alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.here, self.there = path / "here", path / "there"
        command = path / "bin" / "tract"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tract_fs.cli "$@"\n')
        command.chmod(0o755)
        (path / "gitconfig").write_text("[user]\n\tname = Ann\n\temail = ann@example.org\n[pull]\n\trebase = false\n")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": str(path / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_MERGE_AUTOEDIT": "no",
        }

    def run(self, lines: str, **variables: str) -> str:
        """Runs command lines, each of which must succeed; returns what they print."""
        done = subprocess.run(
            ["sh", "-ec", lines],
            cwd=self.path,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def commit(path: Path, *said: str, clock_us: int = 1_800_000_000_000_000) -> list[str]:
    """Commits texts; returns the commits' hashes."""
    with open_tract(path, clock=Clock(clock_us)) as t:
        return [t.commit(user(text)).commit_hash for text in said]


def diverge(place: Place) -> dict[str, bytes]:
    """Lets both sides share a history and go on apart; returns all files."""
    with open_tract(place.here, clock=Clock()) as t:
        fill(t)
    place.there.mkdir()
    place.run(f"{RSYNC} here/ there/")
    commit(place.here, "here", "here too")
    commit(place.there, "there", clock_us=1_810_000_000_000_000)
    return hashed(place.here) | hashed(place.there)


def heads(path: Path) -> set[str | None]:
    with open_tract(path, read_only=True) as t:
        return {t.head, *t.status().other_heads}


def require_together(place: Place, expected: dict[str, bytes]) -> None:
    """Checks that both sides have all files and show the same heads."""
    assert hashed(place.here) == hashed(place.there) == expected
    assert heads(place.here) == heads(place.there)
    for path in (place.here, place.there):
        require_nothing_waits(path)


# tract


def test_the_lines_with_sync_bring_both_sides_together(place: Place) -> None:
    union = diverge(place)
    place.run(WITH_TRACT)
    place.run("tract -C here sync stick/NAME")
    require_together(place, union)
    assert hashed(place.path / "stick" / "NAME") == union


def test_the_lines_with_bundles_carry_a_tract_over(place: Place) -> None:
    (last,) = commit(place.here, "one")
    place.run("tract init there")
    place.run(WITH_BUNDLES.split("tract -C here bundle create new.bundle")[0])
    assert texts_at(place.there) == ["one"]
    commit(place.here, "two", clock_us=1_810_000_000_000_000)
    place.run("rm all.bundle")
    place.run(WITH_BUNDLES, LAST=last)
    place.run("tract -C there bundle apply new.bundle")
    require_together(place, hashed(place.here))


def test_a_bundle_that_comes_early_waits_for_what_it_builds_on(place: Place) -> None:
    (last,) = commit(place.here, "one")
    place.run("tract -C here bundle create all.bundle; tract init there")
    commit(place.here, "two", clock_us=1_810_000_000_000_000)
    place.run(f"tract -C here bundle create new.bundle --since {last}; tract -C there bundle apply new.bundle")
    with open_tract(place.there, read_only=True) as t:
        assert (t.head, len(t.status().pending)) == (None, 1)
    place.run("tract -C there bundle apply all.bundle")
    require_together(place, hashed(place.here))
    assert texts_at(place.there) == ["one", "two"]


def test_a_bundle_goes_through_a_pipe(place: Place) -> None:
    commit(place.here, "one", "two")
    place.run("tract init there; tract -C here bundle create - | tract -C there bundle apply -")
    assert heads(place.here) == heads(place.there) != set()
    require_nothing_waits(place.there)


# any tool

TOOLS = {
    "cp": "cp -rn {0}/. {1}/",
    "tar": "tar -C {0} -c --exclude=./.tract/local . | tar -C {1} -x --skip-old-files",
    "rsync": RSYNC + "{0}/ {1}/",
    "rsync in place": "rsync -a --inplace --exclude=/.tract/local/ {0}/ {1}/",
    "rclone": "rclone --config none copy --exclude '/.tract/local/**' {0} {1}",
    "unison": "UNISON=$PWD/archives unison {0} {1} -batch -silent -ignore 'Path .tract/local'",
}


@pytest.mark.needs("tar", "rclone", "unison")
@pytest.mark.parametrize("seed", range(4))
def test_any_tools_merge_two_copies_in_any_order(place: Place, seed: int) -> None:
    rng = random.Random(seed)
    union = diverge(place)
    place.run("mkdir third")
    routes = [("here", "third"), ("there", "third"), ("third", "here"), ("third", "there")]
    lines = [TOOLS[rng.choice(list(TOOLS))].format(*route) for route in rng.sample(routes, 4) + routes]
    for line in lines:
        place.run(line)
    require_together(place, union)
    assert hashed(place.path / "third") == union
    require_nothing_waits(place.path / "third")


# rsync


def test_the_rsync_lines_bring_both_sides_together(place: Place) -> None:
    union = diverge(place)
    local = store_root(place.there) / "local"
    kept = sorted(local.rglob("*"))
    place.run(WITH_RSYNC)
    assert sorted(local.rglob("*")) == kept
    require_together(place, union)
    with open_tract(place.here) as t:
        own = t.head
    commit(place.here, "goes on", clock_us=1_820_000_000_000_000)
    with open_tract(place.here) as t:
        assert t.log()[0].parents == (own,)


def test_with_ignore_existing_no_damaged_file_goes_over_a_good_one(place: Place) -> None:
    union = diverge(place)
    file = object_of(place.here, "hello")
    put_in_place(file, b"torn")
    place.run(WITH_RSYNC)
    assert hashed(place.there) == union
    require_nothing_waits(place.there)


@pytest.mark.parametrize("options", ["-a", "-au", "-a --inplace", "-rc", "-a --ignore-existing"])
def test_with_other_options_the_copies_still_come_together(place: Place, options: str) -> None:
    union = diverge(place)
    place.run(f"rsync {options} here/ there/; rsync {options} there/ here/")
    require_together(place, union)


def test_with_plain_a_a_damaged_file_goes_over_the_good_one_and_is_told_until_it_is_healed(place: Place) -> None:
    union = diverge(place)
    place.run("cp -r here third")
    file = object_of(place.here, "here too")
    commit_name = heads(place.here)
    put_in_place(file, b"torn")
    place.run("rsync -a --exclude=/.tract/local/ here/ there/")
    assert (store_root(place.there) / file.relative_to(store_root(place.here))).read_bytes() == b"torn"
    remove_local(place.there)
    with open_tract(place.there) as t:
        assert any("content" in line for line in t.status().pending)
        assert not commit_name & heads(place.there)
    place.run(f"rm -f {store_root(place.there) / file.relative_to(store_root(place.here))}; {RSYNC} third/ there/")
    assert hashed(place.there) == union
    require_nothing_waits(place.there)


def test_with_delete_what_only_one_side_had_is_gone_and_told_and_comes_back(place: Place) -> None:
    union = diverge(place)
    place.run("cp -r there third")
    with open_tract(place.there) as t:
        before = t.head
    place.run("rsync -a --delete --exclude=/.tract/local/ here/ there/")
    with open_tract(place.there) as t:
        status = t.status()
        assert len(status.gone) == 1
        assert any("gone" in line for line in status.advice)
        assert t.head != before
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert [name.replace("/", "")[-64:] for name in caught.value.lost] == list(status.gone)
    place.run(f"{RSYNC} third/ there/; {WITH_RSYNC}")
    require_together(place, union)
    with open_tract(place.there) as t:
        assert (t.status().gone, before in heads(place.there)) == ((), True)


def test_local_copied_along_leaves_the_other_copy_its_own_line(place: Place) -> None:
    union = diverge(place)
    with open_tract(place.here) as t:
        here = t.head
    with open_tract(place.there) as t:
        there = told_context(t.compile())
        head = t.head
    place.run("rsync -a here/ there/")
    assert hashed(place.there) == union
    with open_tract(place.there) as t:
        assert (t.head, told_context(t.compile())) == (head, there)
        state = t.status()
        assert (state.other_heads, state.pending, state.damaged, state.gone) == ((here,), (), (), ())
        assert len(state.unread_local) == 1
        assert not any("are not listed as gone" in line for line in state.advice)
        assert t.compile().warnings == [
            "branch 'main' has 2 heads; this context leaves out 2 commits of the other; 'tract merge' joins them"
        ]


def test_local_copied_along_with_delete_makes_the_other_copy_the_same(place: Place) -> None:
    diverge(place)
    with open_tract(place.here) as t:
        expected = answers(t)
    place.run("rsync -a --delete here/ there/")
    with open_tract(place.there) as t:
        assert answers(t) == expected
        assert (t.status().pending, t.status().damaged, t.status().gone) == ((), (), ())
        assert any("events that went with them are not listed as gone" in line for line in t.status().advice)


def test_one_way_only_that_side_has_all(place: Place) -> None:
    union = diverge(place)
    place.run(WITH_RSYNC.splitlines()[0])
    assert hashed(place.there) == union
    assert len(heads(place.there)) == 2
    require_nothing_waits(place.here)
    assert len(heads(place.here)) == 1


def test_an_rsync_that_is_cut_off_leaves_a_copy_that_opens_and_goes_on(place: Place) -> None:
    union = diverge(place)
    place.run(
        "rsync -a --include='*/' --include='/.tract/events/**' --include=/.tract/FORMAT --exclude='*' here/ third/"
    )
    third = place.path / "third"
    with open_tract(third) as t:
        assert (t.head, len(t.status().pending)) == (None, 11)
    place.run(f"{RSYNC} here/ third/; {RSYNC} there/ third/")
    assert hashed(third) == union
    require_nothing_waits(third)


def cut_off(place: Place, options: str) -> Path:
    """Copies a file of 30 MB with rsync, which would take 30 s, ends that amid the file, and returns where the file belongs."""
    commit(place.here, "x" * 30_000_000)
    file = next(name for name, data in hashed(place.here).items() if len(data) > 30_000_000)
    words = f"rsync -a --ignore-existing --exclude=/.tract/local/ --bwlimit=1000 {options} here/ there/".split()
    target = store_root(place.there) / file
    with subprocess.Popen(words, cwd=place.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while process.poll() is None and not any(
            found.stat().st_size > 200_000 for found in (target.parent.iterdir() if target.parent.is_dir() else ())
        ):
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=240)  # ends once the receiver, a process of its own, has put its half in place
    assert process.returncode != 0
    return target


@pytest.mark.parametrize("options", ["", "--partial-dir=.rsync-partial"])
def test_the_rsync_line_cut_off_leaves_whole_files_alone_and_goes_on(place: Place, options: str) -> None:
    target = cut_off(place, options)
    assert not target.exists()
    assert all(is_good(name, data) for name, data in hashed(place.there).items() if "/." not in name)
    place.run(f"{RSYNC} {options} here/ there/")
    assert hashed(place.there) == hashed(place.here)
    require_nothing_waits(place.there)


@pytest.mark.parametrize("options", ["-P", "--partial", "--inplace"])
def test_rsync_with_options_that_keep_half_a_file_never_completes_it(place: Place, options: str) -> None:
    target = cut_off(place, options)
    assert 0 < target.stat().st_size < 30_000_000
    place.run(f"{RSYNC} {options} here/ there/")
    assert target.stat().st_size < 30_000_000
    place.run("tract -C here sync there")
    assert target.stat().st_size > 30_000_000


# git


def start_with_git(place: Place) -> None:
    """Makes two clones that share a history."""
    with open_tract(place.here, clock=Clock()) as t:
        fill(t)
        fill_pack(t)
    place.run(GIT_FIRST)


def test_the_git_lines_bring_both_sides_together_without_a_conflict(place: Place) -> None:
    start_with_git(place)
    assert hashed(place.there) == hashed(place.here)
    assert not (store_root(place.there) / "local").exists()
    for number in range(3):
        commit(place.here, f"here {number}", clock_us=1_800_000_000_000_000 + number * 10**9)
        commit(place.there, f"there {number}", clock_us=1_900_000_000_000_000 + number * 10**9)
        union = hashed(place.here) | hashed(place.there)
        place.run("git -C here add .; git -C here commit -qm more")
        place.run(GIT_OFTEN)
        place.run("git -C here pull -q --no-rebase ../there main")
        require_together(place, union)
        assert "local" not in place.run("git -C there ls-files")
    assert len(heads(place.here)) == 2


def test_the_lines_for_packing_in_git_keep_all_and_the_other_side_meets_no_conflict(place: Place) -> None:
    start_with_git(place)
    texts = [f"there {number}" for number in range(300)]
    commit(place.there, *texts)
    loose = sum(not name.startswith("packs/") for name in hashed(place.there))
    place.run(GIT_PACK)
    assert sum(not name.startswith("packs/") for name in hashed(place.there)) < loose - 300
    place.run("git -C here pull -q --no-rebase ../there main")
    require_together(place, hashed(place.there))
    assert texts_at(place.here)[-300:] == texts


def test_global_rules_of_git_drop_and_rewrite_nothing(place: Place) -> None:
    rules = place.path / "ignored"
    rules.write_text("*.lock\n*.log\n*.pack\nobjects/\npacks/\nevents/\ntmp/\n[0-9a-f]*\n")
    place.run(f"git config --global core.excludesFile {rules}; git config --global core.autocrlf true")
    start_with_git(place)
    with open_tract(place.here) as t:
        expected = answers(t)
    with open_tract(place.there) as t:
        assert answers(t) == expected
    assert hashed(place.there) == hashed(place.here)


def test_line_ends_that_are_rewritten_by_force_are_damage_and_never_shown(place: Place) -> None:
    with open_tract(place.here, clock=Clock()) as t:
        fill_pack(t)
        t.commit(user("after"))
    place.run(GIT_FIRST)
    place.run("echo '* text eol=crlf' > there/.git/info/attributes; rm -r there/.tract; git -C there checkout -q -- .")
    assert not all(is_good(name, data) for name, data in hashed(place.there).items())
    with open_tract(place.there) as t:
        status = t.status()
        assert texts_at(place.there) in ([], texts_at(place.here))
        assert (t.head is None) == bool(status.pending)
    place.run("rm there/.git/info/attributes; rm -r there/.tract; git -C there checkout -q -- .")
    assert texts_at(place.there) == texts_at(place.here)


def test_a_rebase_keeps_all_files(place: Place) -> None:
    start_with_git(place)
    commit(place.here, "here")
    commit(place.there, "there", clock_us=1_810_000_000_000_000)
    union = hashed(place.here) | hashed(place.there)
    place.run("git -C here add .; git -C here commit -qm here; git -C there add .; git -C there commit -qm there")
    place.run("git -C there pull -q --rebase; git -C here pull -q ../there main")
    require_together(place, union)


def test_dropped_git_commits_are_gone_or_waited_for_until_the_files_are_back(place: Place) -> None:
    start_with_git(place)
    for number, text in enumerate(("one", "two")):
        commit(place.there, text, clock_us=1_800_000_000_000_000 + number * 10**9)
        place.run(f"git -C there add .; git -C there commit -qm {text}")
    union = hashed(place.there)
    with open_tract(place.there) as t:
        before = answers(t)
    place.run("git -C there branch kept; git -C there rebase -q --onto HEAD~2 HEAD~1")
    with open_tract(place.there) as t:
        status = t.status()
        assert len(status.gone) >= 1
        assert len(status.pending) == 1
        assert "one" not in [t.get_content(info.commit_hash) for info in t.log(None) if info.content_hash]
        with pytest.raises(HistoryIncomplete) as caught:
            t.compile()
        assert [name.replace("/", "")[-64:] for name in caught.value.lost] == list(status.gone)
    place.run("git -C there merge -q kept")
    assert hashed(place.there) == union
    with open_tract(place.there) as t:
        t.refresh()
        assert answers(t) == before
        assert (t.status().gone, t.status().pending) == ((), ())


def test_an_old_revision_shows_the_context_of_then_and_the_newer_one_all(place: Place) -> None:
    start_with_git(place)
    with open_tract(place.there) as t:
        then = answers(t)
    (newer,) = commit(place.there, "newer")
    place.run("git -C there add .; git -C there commit -qm newer")
    with open_tract(place.there) as t:
        now = answers(t)
    place.run("git -C there checkout -q HEAD~1")
    with open_tract(place.there) as t:
        assert answers(t) == then
        assert len(t.status().gone) == 1
        assert any("gone" in line for line in t.status().advice)
    place.run("git -C there checkout -q main")
    with open_tract(place.there) as t:
        assert answers(t) == now
        assert t.status().gone == ()
    place.run("git -C there checkout -q HEAD~1")
    (beside,) = commit(place.there, "beside", clock_us=1_820_000_000_000_000)
    place.run("git -C there checkout -q main")
    assert heads(place.there) == {newer, beside}


def test_git_clean_takes_what_git_was_not_told_of(place: Place) -> None:
    start_with_git(place)
    before = hashed(place.there)
    commit(place.there, "told")
    place.run("git -C there add .")
    told = hashed(place.there)
    commit(place.there, "untold", clock_us=1_820_000_000_000_000)
    place.run("git -C there clean -qfd")
    assert before.items() < hashed(place.there).items()
    assert hashed(place.there) == told
    with open_tract(place.there) as t:
        with pytest.raises(HistoryIncomplete):
            t.compile()
        t.repair(accept=True)
        assert t.compile().warnings == []
    assert texts_at(place.there)[-1] == "told"


@pytest.mark.parametrize("line", ["git -C there checkout -q -f", "git -C there reset -q --hard"])
def test_a_forced_checkout_or_reset_takes_what_was_added_and_not_committed(place: Place, line: str) -> None:
    start_with_git(place)
    before = hashed(place.there)
    commit(place.there, "added")
    place.run("git -C there add .")
    commit(place.there, "not added", clock_us=1_820_000_000_000_000)
    not_added = place.run("git -C there ls-files --others --exclude-standard").split()
    place.run(line)
    assert hashed(place.there).keys() == before.keys() | {name.removeprefix(".tract/") for name in not_added}
    with open_tract(place.there) as t:
        assert (len(t.status().gone), len(t.status().pending)) == (1, 1)


def test_a_squash_or_a_cherry_pick_brings_the_same_files(place: Place) -> None:
    start_with_git(place)
    place.run("git -C there switch -q -c topic")
    for number, text in enumerate(("one", "two", "three")):
        commit(place.there, text, clock_us=1_800_000_000_000_000 + number * 10**9)
        place.run(f"git -C there add .; git -C there commit -qm {text}")
    union = hashed(place.there)
    place.run("git -C there switch -q main; git -C there cherry-pick topic~2")
    assert texts_at(place.there)[-1] == "one"
    place.run("git -C there merge -q --squash topic; git -C there commit -qm squashed")
    assert hashed(place.there) == union
    assert texts_at(place.there)[-3:] == ["one", "two", "three"]
    require_nothing_waits(place.there)


def test_git_shows_no_lines_of_the_files_of_a_store(place: Place) -> None:
    start_with_git(place)
    shown = place.run("git -C here log -p")
    assert "Binary files /dev/null and b/.tract/objects/" in shown
    assert "hello" not in shown


def test_a_pull_that_stops_after_packs_goes_on_by_add_and_commit(place: Place) -> None:
    commit(place.here, *[f"message {number}" for number in range(6)])
    place.run(GIT_FIRST)
    for number, path in enumerate((place.here, place.there)):
        commit(path, f"from {path.name}", clock_us=1_810_000_000_000_000 + number)
        with open_tract(path) as t:
            t.pack()
        commit(path, *[f"message {path.name} {turn}" for turn in range(3)], clock_us=1_820_000_000_000_000 + number)
        place.run(f"git -C {path.name} add .; git -C {path.name} commit -qm {path.name}")
    brought = {name for path in (place.here, place.there) for name in place.run(f"git -C {path.name} ls-files").split()}
    place.run("git -C there pull -q --no-rebase || (git -C there add . && git -C there commit -qm joined)")
    place.run("git -C here pull -q ../there main")
    assert hashed(place.here) == hashed(place.there)
    assert all(is_good(name, data) for name, data in hashed(place.there).items())
    assert {name for name in brought if "/packs/" in name} <= set(place.run("git -C there ls-files").split())
    for path in (place.here, place.there):
        with open_tract(path) as t:
            t.merge()
            assert len(t.compile().messages) == 14
        require_nothing_waits(path)


def test_repair_puts_back_a_file_that_git_left_under_another_name(place: Place) -> None:
    start_with_git(place)
    (newer,) = commit(place.there, "newer")
    before = hashed(place.there)
    file = object_of(place.there, "newer")
    other = file.with_name("0" * 62)
    file.rename(other)
    place.run("tract -C there repair")
    assert before.items() <= hashed(place.there).items()
    assert heads(place.there) == {newer}
    require_nothing_waits(place.there)


def test_each_claim_names_tests_that_there_are() -> None:
    here = Path(__file__)
    named = re.findall(r"`(?:(test_\w+)\.)?(test_\w+)`", __doc__ or "")
    assert len(named) >= 35
    for module, test in named:
        (file,) = here.parents[1].glob(f"*/{module or here.stem}.py")
        assert f"def {test}(" in file.read_text(encoding="utf-8"), (module, test)


def test_the_guide_is_short() -> None:
    assert GUIDE.count("\n") <= 100


def test_the_real_tools_are_here() -> None:
    assert shutil.which("rsync") and shutil.which("git")
