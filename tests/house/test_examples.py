"""The examples in the docstrings: each runs as it stands, and the calls that programs use most have one."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tract_fs
from tests.lab.talk import Clock
from tract_fs import Store, Tract

PARSER = doctest.DocTestParser()
EXAMPLES = {
    f"{kind.__name__}.{name}": PARSER.get_examples(member.__doc__)
    for kind in (Tract, Store)
    for name in vars(kind)
    if not name.startswith("_") and ">>>" in ((member := getattr(kind, name)).__doc__ or "")
}
MOST_USED = [
    "Tract.open",
    "Tract.commit",
    "Tract.add",
    "Tract.edit",
    "Tract.annotate",
    "Tract.summarize",
    "Tract.compile",
    "Tract.log",
    "Tract.switch",
    "Tract.branch",
    "Tract.merge",
    "Tract.reset",
    "Tract.tag",
    "Tract.diff",
    "Tract.batch",
    "Tract.find",
    "Tract.query",
    "Tract.query_by_config",
    "Tract.aggregate",
    "Tract.search",
    "Tract.import_messages",
    "Tract.sync",
    "Tract.record_usage",
    "Tract.on",
    "Tract.watch",
    "Tract.pop",
    "Tract.clear",
    "Tract.undo",
    "Tract.get_content",
    "Tract.resolve",
    "Tract.fork",
    "Tract.put_blob",
    "Store.open",
    "Store.tract",
    "Store.find",
    "Store.query",
    "Store.aggregate",
    "Store.delete",
    "Store.search",
]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What an example may use: the package's names, a tract `t` at `path`, and a `store`."""
    monkeypatch.chdir(tmp_path)
    Path("backup").mkdir()
    given = {name: getattr(tract_fs, name) for name in tract_fs.__all__}
    with Tract.open("a", clock=Clock(), durability="fast") as t, Store.open("b", durability="fast") as store:
        yield {**given, "t": t, "path": "a", "store": store}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_stands_below_it(name: str, names: dict[str, Any]) -> None:
    test = doctest.DocTest(EXAMPLES[name], names, name, None, None, None)
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed = runner.run(test, out=printed.append).failed
    assert not failed, "".join(printed)


def test_the_calls_that_programs_use_most_have_an_example() -> None:
    assert set(MOST_USED) <= set(EXAMPLES)


def test_an_example_is_short() -> None:
    sizes = {name: sum(one.source.count("\n") for one in examples) for name, examples in EXAMPLES.items()}
    assert {name: size for name, size in sizes.items() if not 2 <= size <= 4} == {}
