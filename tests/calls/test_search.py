"""Full-text search: a phrase is found as it stands, whatever its script, length and case, and nothing else is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.states import own_place
from tests.lab.stores import redact
from tests.lab.talk import START_US, Clock
from tract_fs import AsyncTract, DialogueContent, FreeformContent, SearchHit, Store, ToolIOContent, Tract
from tract_fs.errors import ArgumentError, BranchNotFound, QueryError
from tract_fs.store.index import texts as texts_module

BLOCKS = {
    "role": "assistant",
    "content": [{"type": "text", "text": "in a block"}, {"type": "text", "text": "and another"}],
}


@pytest.fixture
def t(tmp_path: Path) -> Tract:
    return Tract.open(tmp_path, durability="fast", clock=Clock())


def found(t: Tract, phrase: str, **filters: object) -> list[str]:
    return [hit.commit_hash for hit in t.search(phrase, limit=None, **filters)]  # type: ignore[arg-type]


def marked(hit: SearchHit) -> list[str]:
    return [hit.snippet[start:end] for start, end in hit.spans]


@pytest.mark.parametrize(
    ("text", "phrase", "spans"),
    [
        ("What is the capital of France?", "CAPITAL of", ["capital of"]),
        ("Grüße aus der Hauptstraße", "STRASSE", ["straße"]),
        ("ß", "s", ["ß"]),
        ("法国的首都是哪里?", "首都", ["首都"]),
        ("フランスの首都はどこですか", "首", ["首"]),
        ("프랑스의 수도는 어디입니까", "수도", ["수도"]),
        ("مرحبا بالعالم", "بالع", ["بالع"]),
        ("it works 🎉🎉 well", "🎉", ["🎉", "🎉"]),
        ("👩‍👩‍👧 a family", "👩‍👧", ["👩‍👧"]),
        (
            'say "quoted" AND (x OR y) NEAR/2 col:z*',
            '"quoted" and (x or y) near/2 col:z*',
            ['"quoted" AND (x OR y) NEAR/2 col:z*'],
        ),
        ("100% of it_", "0% of it_", ["0% of it_"]),
        ("a\0b", "\0", ["\0"]),
        ("a\0b", "a\0B", ["a\0b"]),
        ("İstanbul and istanbul", "istanbul", ["istanbul"]),
        ("x", "x", ["x"]),
        ("aaaa", "aa", ["aa", "aa"]),
        ("two\nlines", "o\nl", ["o\nl"]),
    ],
)
def test_a_phrase_is_found_as_it_stands(t: Tract, text: str, phrase: str, spans: list[str]) -> None:
    t.add("unrelated")
    made = t.commit(DialogueContent("user", text))
    (hit,) = t.search(phrase)
    assert (hit.commit_hash, hit.role, hit.content_type, hit.tract_id) == (
        made.commit_hash,
        "user",
        "dialogue",
        "default",
    )
    assert (hit.created_at, marked(hit)) == (made.created_at, spans)
    assert t.search(phrase + "!?") == []


@pytest.mark.parametrize("phrase", ["", None, 7, "\ud800", b"x"])
def test_a_phrase_that_is_no_text_is_refused(t: Tract, phrase: object) -> None:
    with pytest.raises(ArgumentError):
        t.search(phrase)  # type: ignore[arg-type]


def test_a_long_text_is_found_with_a_short_snippet(t: Tract) -> None:
    made = t.commit(DialogueContent("user", "x" * 600_000 + " needle " + "y" * 600_000))
    (hit,) = t.search("NEEDLE")
    assert (hit.commit_hash, marked(hit), len(hit.snippet)) == (made.commit_hash, ["needle"], 126)
    assert found(t, "x" * 600_000 + " needle") == [made.commit_hash]


def test_all_that_a_message_shows_is_searched(t: Tract) -> None:
    made = [
        t.commit(content).commit_hash
        for content in (
            BLOCKS,
            ToolIOContent("grep", "call", {"pattern": "in a payload"}),
            FreeformContent({"k": "in a form"}),
        )
    ]
    phrases = ("and another", "in a payload", "in a form")
    assert [found(t, phrase) for phrase in phrases] == [[name] for name in made]
    assert found(t, "in a block") == made[:1]


def test_the_best_comes_first_and_the_newest_among_equals(t: Tract) -> None:
    once = t.add("cat and dog and so on and on").commit_hash
    old, often = t.add("cat").commit_hash, t.add("cat cat cat cat").commit_hash
    new = t.commit(DialogueContent("assistant", "cat")).commit_hash
    assert found(t, "cat") == [often, new, old, once]
    assert [hit.commit_hash for hit in t.search("cat", limit=2)] == [often, new]
    ranks = [hit.rank for hit in t.search("cat")]
    assert ranks == sorted(ranks, reverse=True) and ranks[1] == ranks[2]


def test_filters(t: Tract) -> None:
    first = t.add("cat one")
    t.branch("side")
    second = t.add({"role": "assistant", "content": "cat two"}, generation_config={"model": "m-1"})
    assert found(t, "cat", branch="side") == [first.commit_hash]
    assert found(t, "cat", role="assistant") == [second.commit_hash]
    assert found(t, "cat", content_type="message") == [second.commit_hash]
    assert found(t, "cat", since=second.created_at) == [second.commit_hash]
    assert found(t, "cat", until=first.created_at) == [first.commit_hash]
    assert found(t, "cat", until=datetime(1969, 1, 1, tzinfo=UTC)) == []
    assert found(t, "cat", where='model = "m-1"') == [second.commit_hash]
    with pytest.raises(BranchNotFound):
        t.search("cat", branch="none")
    with pytest.raises(QueryError):
        t.search("cat", where="model =")


def test_history_is_searched(t: Tract) -> None:
    wrong = t.add("the capitol")
    edit = t.edit(wrong.commit_hash, "the capital")
    t.add("gone with a reset")
    last = t.head
    t.reset(edit.commit_hash)
    assert found(t, "capitol") == [wrong.commit_hash]
    assert found(t, "capital") == [edit.commit_hash]
    assert found(t, "reset") == [last]


def test_what_a_batch_has_staged_is_not_found_before_its_end(t: Tract) -> None:
    with t.batch():
        made = t.add("staged")
        assert found(t, "staged") == []
    assert found(t, "staged") == [made.commit_hash]


def test_a_text_is_kept_once_however_many_commits_have_it(t: Tract, tmp_path: Path) -> None:
    made = [t.add("again " * 1000).commit_hash for _ in range(40)]
    assert sorted(found(t, "AGAIN")) == sorted(made)
    t.add("another")
    with Tract.open(tmp_path) as other:
        more = other.add("again " * 1000).commit_hash
        assert sorted(found(other, "again")) == sorted([*made, more])
    assert sum(file.read_bytes().count(b"again again") for file in own_place(tmp_path).glob("index.db*")) < 1000


def test_forks_and_merges_are_searched(t: Tract, tmp_path: Path) -> None:
    shared = t.add("cat, shared")
    fork = t.fork("fork")
    own = fork.add("cat of the fork")
    assert sorted(found(fork, "cat")) == sorted([shared.commit_hash, own.commit_hash])
    assert found(t, "cat") == [shared.commit_hash]
    fork.close()
    with Store.open(tmp_path) as store:
        hits = store.search("cat")
        assert sorted((hit.tract_id, hit.commit_hash) for hit in hits) == [
            ("default", shared.commit_hash),
            ("fork", own.commit_hash),
        ]
        store.delete("fork")
        assert [hit.tract_id for hit in store.search("cat")] == ["default"]


def test_a_search_of_asyncio_is_the_same(tmp_path: Path) -> None:
    async def ask() -> list[str]:
        async with await AsyncTract.open(tmp_path) as t:
            await t.add("a cat")
            return [hit.snippet for hit in await t.search("CAT")]

    assert asyncio.run(ask()) == ["a cat"]


ALPHABET = (
    'aAbB\u00df\u0130\u0131\u01c5\u017f\ufb01 首都é\0\n"*🎉'  # letters that fold to others, to several, or to none
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(ALPHABET, min_size=1, max_size=12), min_size=1, max_size=12),
    st.data(),
)
def test_the_hits_are_those_of_a_plain_scan(
    tmp_path_factory: pytest.TempPathFactory, given_texts: list[str], data: st.DataObject
) -> None:
    with Tract.open(durability="fast") as t, pytest.MonkeyPatch.context() as patched:
        patched.setattr(texts_module, "_BLOCK_BYTES", 300)
        made = {}
        for text in given_texts:
            made[t.commit(DialogueContent("user", text)).commit_hash] = text
            if data.draw(st.booleans()):
                t.search("a")
        for _ in range(4):
            source = data.draw(st.sampled_from(given_texts))
            start = data.draw(st.integers(0, len(source) - 1))
            phrase = source[start : data.draw(st.integers(start + 1, len(source)))]
            wanted = {name for name, text in made.items() if phrase.casefold() in text.casefold()}
            hits = t.search(phrase, limit=None)
            assert {hit.commit_hash for hit in hits} == wanted
            assert all(phrase.casefold() in text.casefold() for hit in hits for text in marked(hit))


def bytes_of_index(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in own_place(path).glob("index.db*"))


def search_in_tract(path: Path, phrase: str) -> list[str]:
    with Tract.open(path) as t:
        t.refresh()
        return found(t, phrase)


def search_in_store(path: Path, phrase: str) -> list[str]:
    with Store.open(path) as store:
        return [hit.commit_hash for hit in store.search(phrase, limit=None)]


@pytest.mark.parametrize("search", [search_in_tract, search_in_store])
@pytest.mark.parametrize("count", [1, 40])
def test_a_redacted_text_is_not_found_and_not_in_the_index(
    tmp_path: Path, count: int, search: Callable[[Path, str], list[str]]
) -> None:
    with Tract.open(tmp_path, clock=lambda: START_US) as t:
        secret = t.add("the SECRET is 42")
        kept = [t.add(f"kept {number} " * 2000).commit_hash for number in range(count)]
        assert found(t, "secret is") == [secret.commit_hash]
    assert b"the secret is 42" in bytes_of_index(tmp_path)
    event = secret.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    redact(tmp_path, secret.content_hash, after=f'"at":"{event}"', at="2040-01-01T00:00:00.000000Z")
    assert search(tmp_path, "secret") == []
    assert sorted(search(tmp_path, "kept")) == sorted(kept)
    assert b"secret is 42" not in bytes_of_index(tmp_path)


def test_no_commit_with_a_redacted_text_is_found(tmp_path: Path) -> None:
    with Tract.open(tmp_path, clock=lambda: START_US) as t:
        secret = t.add("the SECRET is 42")
        t.add("unrelated")
        t.add("the SECRET is 42")
        assert len(found(t, "secret is")) == 2
    event = secret.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    redact(tmp_path, secret.content_hash, after=f'"at":"{event}"', at="2040-01-01T00:00:00.000000Z")
    with Tract.open(tmp_path) as t:
        t.refresh()
        assert found(t, "secret") == []
        again = t.add("the SECRET is 42").commit_hash
        assert again in found(t, "secret")
    assert b"secret is 42" not in bytes_of_index(tmp_path)


def test_a_content_that_was_missing_is_found_once_it_is_there(t: Tract, tmp_path: Path) -> None:
    made = t.add("a rare word")
    t.add("another")
    t.close()
    content = made.content_hash or ""
    file = tmp_path / ".tract/objects" / content[:2] / content[2:]
    away = shutil.move(file, tmp_path / "away")
    with Tract.open(tmp_path, incomplete="use") as other:
        assert found(other, "rare") == []
    shutil.move(away, file)
    with Tract.open(tmp_path) as other:
        assert found(other, "RARE") == [made.commit_hash]
