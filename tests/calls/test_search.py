"""Full-text search: a phrase is found as it stands, whatever its script, length and case, and nothing else is."""

from __future__ import annotations

import asyncio
import math
import shutil
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.states import own_place
from tests.lab.stores import redact
from tests.lab.talk import START_US, Clock
from tract_fs import (
    ArtifactContent,
    AsyncTract,
    DialogueContent,
    FreeformContent,
    SearchHit,
    Store,
    ToolIOContent,
    Tract,
)
from tract_fs.errors import ArgumentError, BranchNotFound, QueryError
from tract_fs.store.index import texts as texts_module
from tract_fs.work import search as search_module

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
        ("cafe\u0301 au lait", "CAF\u00c9 au", ["caf\u00e9 au"]),
        ("caf\u00e9 au lait", "cafe\u0301", ["caf\u00e9"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uae00", ["\ud55c\uae00"]),
        ("starts here", "starts", ["starts"]),
        ("here it ends", "ends", ["ends"]),
        ("only", "only", ["only"]),
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


def test_an_accent_is_a_part_of_its_letter(t: Tract) -> None:
    t.add("cafe\u0301")
    assert (found(t, "cafe"), found(t, "\u0301")) == ([], [])


def test_names_and_arguments_of_tool_calls_are_searched(t: Tract) -> None:
    function = {"name": "edit_file", "arguments": '{"old": "print(\\"x\\")\\nend", "new": "pass"}'}
    call = {"id": "c1", "type": "function", "function": function}
    beside = t.commit({"role": "assistant", "content": "a text beside", "tool_calls": [call]}).commit_hash
    alone = t.commit({"role": "assistant", "content": None, "tool_calls": [{**call, "id": "c2"}]}).commit_hash
    for phrase in ("edit_file", 'print("x")\nend', '"print(\\"x\\")'):
        assert found(t, phrase) == [alone, beside]
    assert found(t, "text beside") == [beside]
    deep = {"name": "f", "arguments": '{"deep": "\\"' * 500}
    t.commit({"role": "assistant", "content": None, "tool_calls": [{**call, "id": "c3", "function": deep}]})
    nested = {"name": "f", "arguments": '{"deep": ' * 900 + "1" + "}" * 900}
    last = t.commit({"role": "assistant", "content": None, "tool_calls": [{**call, "id": "c4", "function": nested}]})
    assert last.commit_hash in found(t, '"deep"')


def test_a_payload_is_found_as_json_and_without_its_escapes(t: Tract) -> None:
    made = [
        t.commit(content).commit_hash
        for content in (
            ToolIOContent("shell", "call", {"command": 'grep "two words"\n*.py'}),
            ToolIOContent("shell", "result", 'one\n"two words"\n*.py'),
            FreeformContent({"quote": 'he said: "two words"\n*.py'}),
        )
    ]
    assert sorted(found(t, '"two words"\n*.py')) == sorted(made)
    assert sorted(found(t, '\\"two words\\"')) == sorted([made[0], made[2]])


def test_artifacts_edits_and_summaries_are_searched(t: Tract) -> None:
    artifact = t.commit(ArtifactContent("code", "def merge_sort(): ...")).commit_hash
    first = t.add("sort it").commit_hash
    edit = t.edit(first, "sort it with quicksort").commit_hash
    summary = t.summarize([artifact, first], "They sorted with a heapsort.").commit_hash
    assert [found(t, p) for p in ("merge_sort", "quicksort", "heapsort")] == [[artifact], [edit], [summary]]
    assert sorted(found(t, "sort")) == sorted([artifact, first, edit, summary])


def test_a_phrase_of_ten_thousand_characters_is_found(t: Tract) -> None:
    phrase = "Ab首 " * 2500
    made = t.add(f"before {phrase}after")
    t.add(phrase[1:])
    (hit,) = t.search(phrase)
    assert (hit.commit_hash, hit.snippet[:11], len(hit.snippet)) == (made.commit_hash, "before Ab首 ", 297)
    assert hit.spans == ((7, 297),)


def test_text_from_a_stranger_makes_no_snippet_fail(t: Tract) -> None:
    hostile = "\u202e\0\x1b[31m<img onerror=x>\u2028%s{0}\ufeff\U000e0001"
    t.add(hostile * 400 + "needle" + hostile)
    t.add("\u0345\u0301" * 200_000 + " needle " + "\u0301" * 200_000)
    assert [marked(hit) for hit in t.search("needle")] == [["needle"], ["needle"]]


def test_many_equal_short_messages_are_hits_newest_first(t: Tract) -> None:
    with t.batch():
        made = [t.add("ok").commit_hash for _ in range(300)]
        t.add("not ok, but long")
    assert [hit.commit_hash for hit in t.search("OK", limit=150)] == made[:-151:-1]
    assert len(found(t, "ok")) == 301


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


ALPHABET = (  # letters that fold to others, to several, or to none; and that compose
    'aAbB\u00df\u0130\u0131\u01c5\u017f\ufb01 首都é\u0301\u0307\u1100\u1161\0\n"*🎉'
)


def plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def bm25(texts: list[str], folded: str, phrase: str, found: int) -> float:
    """The textbook's, with k1 = 1.2 and b = 0.75; sizes in bytes. `texts` are all, folded; `found` commits have the phrase."""
    sizes = [len(text.encode()) for text in texts]
    n, count = max(len(sizes), found), folded.count(phrase)
    norm = 1 - 0.75 + 0.75 * len(folded.encode()) / (sum(sizes) / len(sizes))
    return math.log(1 + (n - found + 0.5) / (found + 0.5)) * count * 2.2 / (count + 1.2 * norm)


@pytest.mark.parametrize("is_fast", [True, False])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(ALPHABET, min_size=1, max_size=12), min_size=1, max_size=12), st.data())
def test_the_hits_are_those_of_a_plain_scan(is_fast: bool, given_texts: list[str], data: st.DataObject) -> None:
    with Tract.open(durability="fast") as t, pytest.MonkeyPatch.context() as patched:
        patched.setattr(texts_module, "_BLOCK_BYTES", 300)
        patched.setattr(texts_module, "_CACHED_BYTES", data.draw(st.sampled_from([0, 2000, 1 << 20])))
        patched.setattr(texts_module, "_IS_FAST", is_fast)
        patched.setattr(search_module, "_LEAST_SORTED", 1)
        made: dict[str, tuple[str, str]] = {}
        contents = set()
        for text in given_texts:
            for _ in range(data.draw(st.sampled_from([1, 1, 1, 3]))):
                role = data.draw(st.sampled_from(["user", "assistant"]))
                contents.add((role, text))
                made[t.commit(DialogueContent(role, text)).commit_hash] = role, plain(text)  # type: ignore[arg-type]
            if data.draw(st.booleans()):
                t.search("a")
        for _ in range(4):
            source = data.draw(st.sampled_from(given_texts))
            start = data.draw(st.integers(0, len(source) - 1))
            given_phrase = source[start : data.draw(st.integers(start + 1, len(source)))]
            phrase = plain(given_phrase)
            wanted = {name for name, (_, text) in made.items() if phrase in text}
            hits = t.search(given_phrase, limit=None)
            assert {hit.commit_hash for hit in hits} == wanted
            texts = [plain(text) for _, text in contents]
            ranks = [bm25(texts, made[hit.commit_hash][1], phrase, len(wanted)) for hit in hits]
            assert [hit.rank for hit in hits] == pytest.approx(ranks)
            assert ranks == pytest.approx(sorted(ranks, reverse=True))
            assert all(phrase in plain(text) for hit in hits for text in marked(hit))
            assert t.search(given_phrase, limit=2) == hits[:2]
            assert t.search(given_phrase, role="user", limit=1) == [hit for hit in hits if hit.role == "user"][:1]


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
