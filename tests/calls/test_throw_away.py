"""A throw-away store lives as long as any handle of it, or what a query returned, and goes with the last, in its own process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.inside import store_of
from tests.lab.processes import ROOT
from tests.lab.talk import say, texts, user
from tract_fs import Tract


def directory_of(t: Tract) -> Path:
    return Path(store_of(t).layout.context)


def start() -> Tract:
    """Returns a fork whose first handle is out of reach."""
    t = Tract.open()
    say(t, "task")
    return t.fork("sub")


def test_a_fork_keeps_the_store_of_a_handle_that_is_gone() -> None:
    fork = start()
    gc.collect()
    say(fork, "done")
    assert texts(fork) == ["task", "done"]
    path = directory_of(fork)
    with Tract.open(path, tract_id="sub", read_only=True) as fresh:
        assert texts(fresh) == ["task", "done"]
    fork.close()
    assert not path.exists()


def test_the_store_goes_with_the_handle_that_is_closed_last() -> None:
    t = Tract.open()
    (one,) = say(t, "one")
    fork, then = t.fork("sub"), t.at(one)
    path = directory_of(t)
    t.close()
    say(fork, "two")
    fork.close()
    assert (path.exists(), texts(then)) == (True, ["one"])
    then.close()
    assert not path.exists()


def test_the_store_goes_with_the_handles_that_are_collected() -> None:
    t = Tract.open()
    say(t, "one")
    path, fork = directory_of(t), t.fork("sub")
    del t
    gc.collect()
    assert (path.exists(), texts(fork)) == (True, ["one"])
    del fork
    gc.collect()
    assert not path.exists()


def test_the_results_of_a_query_keep_the_store_until_they_are_read() -> None:
    t = Tract.open()
    t.commit(user("one"), generation_config={"n": 1})
    path = directory_of(t)
    (found,) = t.query_by_config("n", "=", 1)
    t.close()
    assert path.exists()
    assert (found.content_type, found.parents) == ("dialogue", ())
    assert not path.exists()


def in_a_child(ends: str) -> str:
    """Returns what a parent prints after a forked child has ended in this way."""
    code = f"""
import os, sys
from tract_fs import DialogueContent, Tract
t = Tract.open()
t.commit(DialogueContent(role="user", text="one"))
path = t._session.store.layout.context
child = os.fork()
if child == 0:
    {ends}
os.waitpid(child, 0)
t.commit(DialogueContent(role="user", text="two"))
with Tract.open(path, read_only=True) as fresh:
    print([message.content for message in fresh.compile().messages], path)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("ends", ["sys.exit()", "t.close(); os._exit(0)", "del t; import gc; gc.collect(); sys.exit()"])
def test_a_forked_child_that_ends_or_closes_leaves_the_store_to_its_parent(ends: str) -> None:
    printed, _, path = in_a_child(ends).strip().rpartition(" ")
    assert printed == "['one', 'two']"
    assert not Path(path).exists(), "the parent removes it at its end"
