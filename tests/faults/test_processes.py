"""Many processes, handles and forks on one store: every acknowledged commit is in the one history, and all see it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.lab.index_rows import index_of
from tests.lab.inside import log_of, store_of
from tests.lab.processes import ROOT
from tests.lab.states import own_place
from tests.lab.talk import texts, user
from tract_fs import DialogueContent, TokenBudgetConfig, Tract, TractConfig
from tract_fs.errors import BudgetExceeded, HeadMoved

COMMITTER = """
import json, sys, time
from tract_fs import DialogueContent, Tract

path, durability, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
print("ready", flush=True)
sys.stdin.readline()
made = []
for _ in range(count):
    made.append(tract.commit(DialogueContent(role="user", text="the same words of all")).commit_hash)
    time.sleep(0.0005)  # an agent has something to do between commits; else one process may hold the line for long
print(json.dumps(made), flush=True)
tract.close()
"""

REOPENER = """
import json, sys
from tract_fs import DialogueContent, Tract

path, durability, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
made = []
while len(made) < count:
    with Tract.open(path, durability=durability, lock_timeout_s=120.0) as tract:
        for _ in range(5):
            made.append(tract.commit(DialogueContent(role="user", text="again")).commit_hash)
            assert made[-1] in {info.commit_hash for info in tract.log(None)}
print(json.dumps(made), flush=True)
"""

COUNTER = """
import json, sys
from tract_fs import DialogueContent, Tract
from tract_fs.errors import HeadMoved

path, durability, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
print("ready", flush=True)
sys.stdin.readline()
done, refused = [], 0
while len(done) < count:
    head = tract.head
    seen = 0 if head is None else int(tract.get_content(head).text)
    try:
        made = tract.commit(DialogueContent(role="user", text=str(seen + 1)), expected_head=head)
        done.append(made.commit_hash)
    except HeadMoved:
        refused += 1
print(json.dumps(done), flush=True)
"""


def start_together(script: str, processes: int, *arguments: object) -> list[list[str]]:
    """Runs a script in many processes, all let go at once; returns the hashes that each acknowledged."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with ExitStack() as stack:
        running = []
        for _ in range(processes):
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=240)[0] for process in running]
        assert [process.returncode for process in running] == [0] * processes
    return [json.loads(out) for out in told]


def raw_line(path: Path) -> list[str]:
    """Returns the one line of commits of a store of loose files, root first, read with json alone."""
    events = [json.loads(name.read_bytes())["event"] for name in (path / ".tract" / "events").glob("*/*/*")]
    moves = {op["head"]: op for event in events for op in event["ops"] if "head" in op}
    parents = {}
    for name in (path / ".tract" / "objects").glob("*/*"):
        data = json.loads(name.read_bytes())
        if "commit" in data:
            parents[name.parent.name + name.name] = data["commit"]["parents"]
    heads = set(parents) - {parent for found in parents.values() for parent in found}
    assert len(heads) == 1, f"{len(heads)} heads"
    assert len(moves) == len(events)
    line = list(heads)
    while parents[line[-1]]:
        (parent,) = parents[line[-1]]
        line.append(parent)
    assert len(line) == len(parents)
    return line[::-1]


def changes_of_writer(line: list[str], told: list[list[str]]) -> int:
    writers = {name: number for number, names in enumerate(told) for name in names}
    return sum(writers[one] != writers[other] for one, other in pairwise(line))


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_eight_processes_make_one_line_of_1600_commits_and_lose_none(tmp_path: Path, durability: str) -> None:
    told = start_together(COMMITTER, 8, tmp_path, durability, 200)
    line = raw_line(tmp_path)
    assert len(line) == 1600
    assert sorted(line) == sorted(name for names in told for name in names)
    for names in told:
        assert [name for name in line if name in set(names)] == names  # each process's in its own order
    changes = changes_of_writer(line, told)
    print(f"{durability}: {changes} changes of writer along 1,600 commits of 8 processes")
    assert changes >= 100
    with Tract.open(tmp_path) as tract:
        assert [info.commit_hash for info in tract.log(None)][::-1] == line
        assert len({info.content_hash for info in tract.log(None)}) == 1
        assert tract.compile().commit_count == 1600
        assert tract.status().other_heads == ()


def test_processes_that_open_the_store_while_others_write_make_one_line_and_lose_none(tmp_path: Path) -> None:
    told = start_together(REOPENER, 4, tmp_path, "fast", 50)
    line = raw_line(tmp_path)
    assert len(line) == 200
    assert sorted(line) == sorted(name for names in told for name in names)
    print(f"{changes_of_writer(line, told)} changes of writer along 200 commits of 4 processes")


def test_a_handle_sees_another_ones_packed_batch_at_once_and_goes_on_from_it(tmp_path: Path) -> None:
    with Tract.open(tmp_path, durability="fast") as one, Tract.open(tmp_path, durability="fast") as other:
        for turn in range(3):
            one.commit(DialogueContent(role="user", text=f"between {turn}"))
            with other.batch():
                for number in range(40):  # with their contents 80 objects: a pack
                    last = other.commit(DialogueContent(role="user", text=f"packed {turn} {number}"))
            assert one.head == last.commit_hash
        assert one.commit(DialogueContent(role="user", text="after")).parents == (last.commit_hash,)
        assert (one.status().commit_count, one.status().other_heads) == (124, ())
    assert len(list((tmp_path / ".tract" / "packs").iterdir())) == 3


def test_compare_and_swap_lets_one_of_several_processes_through(tmp_path: Path) -> None:
    told = start_together(COUNTER, 4, tmp_path, "fast", 25)
    line = raw_line(tmp_path)
    assert sorted(line) == sorted(name for names in told for name in names)
    with Tract.open(tmp_path) as tract:
        assert [message.content for message in tract.compile().messages] == [str(n) for n in range(1, 101)]


@pytest.mark.campaign
@pytest.mark.parametrize("script", [COMMITTER, REOPENER, COUNTER], ids=["committer", "reopener", "counter"])
@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_many_rounds_of_many_processes_make_one_line_and_lose_none(
    tmp_path: Path, durability: str, script: str
) -> None:
    for number in range(20):
        path = tmp_path / str(number)
        told = start_together(script, 8, path, durability, 100)
        assert sorted(raw_line(path)) == sorted(name for names in told for name in names)


# ---------------------------------------------------------------------------------------------------------------------
# Forks


def run_script(script: str, *arguments: object) -> Any:
    """Runs a script that forks, in a process of its own; returns the JSON that it prints."""
    command = [sys.executable, "-c", FORKING + script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FORKING = """
import json, os, signal, sys, threading, time
from contextlib import suppress
from tract_fs import DialogueContent, Tract
from tract_fs.errors import LockTimeout

path, durability = sys.argv[1], sys.argv[2]

def say(text):
    return DialogueContent(role="user", text=text)

def fork(work):
    "Runs work in a child; returns its pid and a pipe that ends with the JSON of what it returned."
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    os.close(reader)
    try:
        answer = {"result": work()}
    except BaseException as error:
        answer = {"error": repr(error)}
    os.write(writer, json.dumps(answer).encode())
    os._exit(0)

def result_of(forked):
    child, reader = forked
    with os.fdopen(reader, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "error" not in answer, answer["error"]
    return answer["result"]

def hashes(tract):
    return [info.commit_hash for info in tract.log(None)][::-1]
"""


@pytest.mark.parametrize("durability", ["fast", "durable"])
def test_a_forked_child_and_its_parent_both_go_on_with_one_handle(tmp_path: Path, durability: str) -> None:
    told = run_script(
        """
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
before = [tract.commit(say("before"), generation_config={"seed": 1}).commit_hash]
tract.compile(), tract.query_by_config("seed", "=", 1)

def go_on():
    return [tract.commit(say("the same")).commit_hash for _ in range(50)]

children = [fork(go_on) for _ in range(2)]
mine = go_on()
theirs = [result_of(child) for child in children]
with_configs = len(tract.query_by_config("seed", "=", 1))
print(json.dumps([before + mine, *theirs, hashes(tract), tract.compile().commit_count, with_configs]))
""",
        tmp_path,
        durability,
    )
    *made, seen, count, with_configs = told
    assert raw_line(tmp_path) == seen
    assert sorted(name for names in made for name in names) == sorted(seen)
    assert (len(seen), count, with_configs) == (151, 151, 1)


def test_a_forked_child_reads_queries_and_compiles_with_its_parents_handle(tmp_path: Path) -> None:
    told = run_script(
        """
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
one = tract.commit(say("one"), generation_config={"seed": 1}).commit_hash
tract.query_by_config("seed", "=", 1)

def read():
    tract.commit(say("two"), generation_config={"seed": 1})
    found = [info.commit_hash for info in tract.query_by_config("seed", "=", 1)]
    texts = [message.content for message in tract.compile().messages]
    tract.close()
    return found, texts

found, texts = result_of(fork(read))
after = [info.commit_hash for info in tract.query_by_config("seed", "=", 1)]
tract.commit(say("three"))
print(json.dumps([one, found, texts, after, [message.content for message in tract.compile().messages]]))
""",
        tmp_path,
        "fast",
    )
    one, found, texts, after, all_texts = told
    assert found[0] == one
    assert len(found) == 2
    assert after == found
    assert (texts, all_texts) == (["one", "two"], ["one", "two", "three"])


def test_a_child_forked_in_a_batch_waits_for_its_end_and_takes_no_part_in_it(tmp_path: Path) -> None:
    told = run_script(
        """
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
tract.commit(say("before"))

def go_on():
    seen = [info.commit_hash for info in tract.log(None)]
    with tract.batch():
        tract.commit(say("child"))
        tract.commit(say("child"))
    return len(seen)

with tract.batch():
    tract.commit(say("parent 1"))
    child = fork(go_on)
    time.sleep(0.2)  # it may wait by then
    tract.commit(say("parent 2"))
seen_by_child = result_of(child)
print(json.dumps([seen_by_child, [message.content for message in tract.compile().messages]]))
""",
        tmp_path,
        "fast",
    )
    assert told == [1, ["before", "parent 1", "parent 2", "child", "child"]]


@pytest.mark.parametrize("inside", ["pass", "tract.head"], ids=["without_a_call", "after_a_call"])
@pytest.mark.parametrize("then", ["pass", 'tract.commit(say("child"))'], ids=["and_ends", "and_commits"])
def test_a_child_that_comes_to_the_end_of_its_parents_batch_does_not_write_it(
    tmp_path: Path, inside: str, then: str
) -> None:
    told = run_script(
        f"""
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
tract.commit(say("before"))
child = None
with tract.batch():
    tract.commit(say("parent 1"))
    child = os.fork()
    if child:
        time.sleep(0.3)
        events = sum(len(names) for _, _, names in os.walk(path + "/.tract/events"))
        tract.commit(say("parent 2"))
    else:
        signal.alarm(120)
        {inside}
if not child:
    {then}
    os._exit(0)
_, status = os.waitpid(child, 0)
texts = [message.content for message in tract.compile().messages]
fresh = Tract.open(path)
seen = [message.content for message in fresh.compile().messages]
print(json.dumps([events, status, texts, seen, fresh.status().other_heads]))
""",
        tmp_path,
        "fast",
    )
    texts = ["before", "parent 1", "parent 2", *(["child"] if "commit" in then else [])]
    assert told == [1, 0, texts, texts, []]


def test_a_child_forked_while_another_thread_is_in_a_batch_goes_on(tmp_path: Path) -> None:
    told = run_script(
        """
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
tract.commit(say("before"))
is_in, may_end = threading.Event(), threading.Event()

def hold():
    with tract.batch():
        tract.commit(say("held"))
        is_in.set()
        may_end.wait(120)

thread = threading.Thread(target=hold)
thread.start()
is_in.wait(120)

def go_on():
    signal.alarm(120)
    seen = [message.content for message in tract.compile().messages]
    tract.commit(say("child"))
    return seen

child = fork(go_on)
time.sleep(0.2)
may_end.set()
thread.join()
seen = result_of(child)
print(json.dumps([seen, [message.content for message in tract.compile().messages]]))
""",
        tmp_path,
        "fast",
    )
    assert told == [["before"], ["before", "held", "child"]]


@pytest.mark.parametrize("is_used", [False, True], ids=["unused", "used"])
def test_a_parent_killed_in_a_batch_leaves_no_lock_with_its_forked_child(tmp_path: Path, is_used: bool) -> None:
    told = run_script(
        f"""
forked_at, may_go_on = os.pipe(), os.pipe()

def parent():
    tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
    tract.commit(say("before"))
    with tract.batch():
        tract.commit(say("never ends"))
        if not os.fork():
            if {is_used}:
                tract.head
            os.write(forked_at[1], b"x")
            os.read(may_go_on[0], 1)
            os._exit(0)
        time.sleep(600)

child, _ = fork(parent)
os.read(forked_at[0], 1)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
tract = Tract.open(path, lock_timeout_s=1.0)
try:
    tract.commit(say("after"))
finally:
    os.write(may_go_on[1], b"x")
print(json.dumps([message.content for message in tract.compile().messages]))
""",
        tmp_path,
        "fast",
    )
    assert told == ["before", "after"]


def test_a_parent_that_closes_its_handle_leaves_its_childs_open_and_the_other_way_round(tmp_path: Path) -> None:
    told = run_script(
        """
tract = Tract.open(path, durability=durability, lock_timeout_s=120.0)
other = Tract.open(path, durability=durability, lock_timeout_s=120.0)
tract.commit(say("before")), other.head

def go_on():
    other.close()
    time.sleep(0.2)
    tract.commit(say("child"))

child = fork(go_on)
tract.close()
result_of(child)
other.commit(say("parent"))
print(json.dumps([message.content for message in other.compile().messages]))
""",
        tmp_path,
        "durable",
    )
    assert told == ["before", "child", "parent"]


# ---------------------------------------------------------------------------------------------------------------------
# Two handles


@pytest.fixture(params=["fast", "durable"])
def two_handles(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Tract, Tract]]:
    with Tract.open(tmp_path, durability=request.param) as one, Tract.open(tmp_path) as other:
        yield one, other


def test_each_of_two_handles_sees_what_the_other_did_at_its_next_call(two_handles: tuple[Tract, Tract]) -> None:
    one, other = two_handles
    first = one.commit(user("first"), generation_config={"seed": 1})
    assert other.head == first.commit_hash
    second = other.commit(user("second"), generation_config={"seed": 1})
    assert texts(one) == texts(other) == ["first", "second"]
    one.edit(first.commit_hash, user("first, edited"))
    assert texts(other) == ["first, edited", "second"]
    other.annotate(second.commit_hash, "skip")
    assert texts(one) == ["first, edited"]
    assert [note.priority.value for note in one.get_annotations(second.commit_hash)] == ["skip"]
    assert other.get_commit(first.commit_hash) == first
    assert [info.operation.value for info in one.log()] == ["annotate", "edit", "append", "append"]
    assert one.log() == other.log()
    other.record_usage({"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13})
    assert one.compile().token_source == "api:11+2"
    for tract in two_handles:
        found = [info.commit_hash for info in tract.query_by_config("seed", "=", 1)]
        assert found == [first.commit_hash, second.commit_hash]
    with one.batch():
        one.commit(user("third"))
        one.commit(user("fourth"))
    assert texts(other) == ["first, edited", "third", "fourth"]
    assert other.resolve(one.log(1)[0].commit_hash[:12]) == one.head


def test_what_one_handle_has_staged_is_not_seen_by_the_other(two_handles: tuple[Tract, Tract]) -> None:
    one, other = two_handles
    first = one.commit(user("first"))
    with one.batch():
        staged = one.commit(user("staged"), generation_config={"seed": 1})
        assert texts(one) == ["first", "staged"]
        assert texts(other) == ["first"]
        assert other.head == first.commit_hash
        assert other.get_commit(staged.commit_hash) is None
        assert other.query_by_config("seed", "=", 1) == []
    assert other.head == staged.commit_hash


def test_compare_and_swap_refuses_what_was_decided_on_an_older_head(two_handles: tuple[Tract, Tract]) -> None:
    one, other = two_handles
    first = one.commit(user("first"), expected_head=None)
    second = other.commit(user("second"), expected_head=first.commit_hash)
    with pytest.raises(HeadMoved) as caught:
        one.commit(user("late"), expected_head=first.commit_hash)
    assert (caught.value.expected, caught.value.actual) == (first.commit_hash, second.commit_hash)
    with pytest.raises(HeadMoved):
        one.edit(first.commit_hash, user("late"), expected_head=None)
    with pytest.raises(HeadMoved):
        one.annotate(first.commit_hash, "skip", expected_head=first.commit_hash)
    assert texts(other) == ["first", "second"]


def test_a_read_only_handle_sees_what_a_writer_does(tmp_path: Path) -> None:
    with Tract.open(tmp_path) as writer:
        writer.commit(user("first"))
        with Tract.open(tmp_path, read_only=True) as reader:
            for number in range(3):
                writer.commit(user(f"later {number}"))
                assert texts(reader)[-1] == f"later {number}"
            with writer.batch():
                writer.commit(user("last"))
            assert reader.log(1)[0].commit_hash == writer.head


def test_handles_of_two_branches_and_two_tracts_go_on_beside_each_other(tmp_path: Path) -> None:
    main = Tract.open(tmp_path)
    side = Tract.open(tmp_path, branch="side")
    foreign = Tract.open(tmp_path, tract_id="foreign")
    for number in range(3):
        main.commit(user(f"main {number}"))
        side.commit(user(f"side {number}"))
        foreign.commit(user(f"foreign {number}"))
    assert texts(main) == ["main 0", "main 1", "main 2"]
    assert texts(side) == ["side 0", "side 1", "side 2"]
    assert texts(foreign) == ["foreign 0", "foreign 1", "foreign 2"]
    for tract in (main, side, foreign):
        assert tract.status().other_heads == ()
        tract.close()


def arrivals_of(path: Path) -> Path:
    return own_place(path) / "tracts" / "default" / "arrivals"


def test_handles_that_are_open_while_local_is_deleted_go_on_in_one_line(tmp_path: Path) -> None:
    handles = [Tract.open(tmp_path, durability="fast") for _ in range(3)]
    made = []
    for number in range(9):
        if number % 4 == 2:
            shutil.rmtree(tmp_path / ".tract" / "local")
        made.append(handles[number % 3].commit(user(str(number))).commit_hash)
        assert [[info.commit_hash for info in handle.log(None)][::-1] for handle in handles] == [made] * 3
    assert raw_line(tmp_path) == made


def test_handles_take_turns_without_rebuilding_the_view_at_each_call(tmp_path: Path) -> None:
    one = Tract.open(tmp_path, durability="fast")
    for number in range(50):
        one.commit(user(str(number)))
    other = Tract.open(tmp_path, durability="fast")  # no view was saved yet: it makes its own, and writes arrivals anew
    for _ in range(2):
        assert [len(handle.log(None)) for handle in (one, other)] == [50, 50]
    with arrivals_of(tmp_path).open("rb") as file:
        for handle in (one, other) * 5:
            assert handle.head is not None
            handle.commit(user("more"))
        assert arrivals_of(tmp_path).stat().st_ino == os.fstat(file.fileno()).st_ino, "arrivals was written anew"
    assert [len(handle.log(None)) for handle in (one, other)] == [60, 60]


def test_a_commit_made_while_another_handle_waits_to_rebuild_its_view_is_built_on(tmp_path: Path) -> None:
    one = Tract.open(tmp_path, durability="fast")
    made = [one.commit(user("first")).commit_hash]
    other = Tract.open(tmp_path, durability="fast")
    assert other.head == made[0]
    Tract.open(tmp_path, verify=True).close()  # writes arrivals anew
    index_of(tmp_path).unlink(missing_ok=True)
    lock = store_of(other)._lock
    acquire = lock.acquire

    def acquire_late(timeout_s: float) -> None:
        lock.acquire = acquire  # type: ignore[method-assign]
        made.append(one.commit(user("while the other waits")).commit_hash)
        acquire(timeout_s)

    lock.acquire = acquire_late  # type: ignore[method-assign]
    made.append(other.commit(user("last")).commit_hash)
    assert len(made) == 3
    assert raw_line(tmp_path) == made


def test_a_listing_that_finds_what_another_local_writer_wrote_needs_no_lock(tmp_path: Path) -> None:
    one, other = Tract.open(tmp_path, durability="fast"), Tract.open(tmp_path, durability="fast")
    made = [one.commit(user("first")).commit_hash]
    assert other.head == made[0]
    made.append(one.commit(user("second")).commit_hash)

    def refuse(timeout_s: float) -> None:
        raise AssertionError(timeout_s)

    store_of(other)._lock.acquire = refuse  # type: ignore[method-assign]
    log_of(other).list_events()
    assert [info.commit_hash for info in other.log(None)][::-1] == made


def test_arrivals_overwritten_in_place_under_an_open_handle_are_noticed(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    one = Tract.open(here, durability="fast")
    made = [one.commit(user("first")).commit_hash]
    one.flush()
    other = Tract.open(here, durability="fast")
    assert other.head == made[0]
    made.append(one.commit(user("second")).commit_hash)
    with Tract.open(there, durability="fast") as foreign:
        for number in range(5):
            foreign.commit(user(f"foreign {number}"))
    data = arrivals_of(there).read_bytes()
    with arrivals_of(here).open("r+b") as file:  # as cp or rsync --inplace does: the inode stays
        file.write(data)
    made.append(other.commit(user("third")).commit_hash)
    assert [info.commit_hash for info in one.log(None)][::-1] == made
    assert raw_line(here) == made


def test_a_handle_with_a_budget_counts_what_another_wrote(tmp_path: Path) -> None:
    budget = TokenBudgetConfig(max_tokens=40, action="reject")
    with Tract.open(tmp_path) as one, Tract.open(tmp_path, config=TractConfig(token_budget=budget)) as other:
        one.commit(user("x" * 100))  # 3 + 1 + 25 tokens, and 3 for the reply
        with pytest.raises(BudgetExceeded) as caught:
            other.commit(user("y" * 40))  # 3 + 1 + 10 more
        assert (caught.value.current, caught.value.maximum) == (46, 40)
        assert len(one.log()) == 1


def test_a_script_of_this_file_forks_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert run_script("print(json.dumps(result_of(fork(lambda: os.getppid())) == os.getpid()))", tmp_path, "fast")
