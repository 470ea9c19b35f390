"""A tokenizer that fails: the error names the commit and the cause, and a log does without the count."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.lab.states import synced
from tests.lab.talk import say, user
from tract_fs import Tract
from tract_fs.errors import TokenizerError


class Picky:
    """A counter that refuses some texts, as tokenizers do with their special tokens."""

    name = "picky"

    def __init__(self) -> None:
        self.refused = "<|endoftext|>"

    def count_text(self, text: str, /) -> int:
        if self.refused in text:
            raise KeyError("disallowed special token")
        return len(text)


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, list[str]]:
    """Makes a store whose second message the tokenizer refuses; returns its path and commits."""
    with Tract.open(tmp_path, durability="fast") as t:
        return tmp_path, say(t, "one", "a <|endoftext|> b", "three")


def test_a_compile_names_the_commit_at_which_the_tokenizer_fails(store: tuple[Path, list[str]]) -> None:
    path, (_, second, _) = store
    with Tract.open(path, tokenizer=Picky()) as t:
        with pytest.raises(TokenizerError) as caught:
            t.compile()
        assert (caught.value.hash, caught.value.tokenizer) == (second, "picky")
        assert isinstance(caught.value.__cause__, KeyError)
        assert str(caught.value) == (
            f"tokenizer 'picky' can't count the message of commit {second}: KeyError: 'disallowed special token'; "
            "mend it, or open with another one"
        )
        assert pickle.loads(pickle.dumps(caught.value)).hash == second
        assert t.annotate(second, "skip").commit_hash == t.head


def test_a_log_goes_on_without_the_count_that_a_tokenizer_can_not_give(store: tuple[Path, list[str]]) -> None:
    path, commits = store
    with Tract.open(path, tokenizer=Picky(), read_only=True) as t:
        assert [info.commit_hash for info in t.log()] == commits[::-1]
        assert [info.token_count for info in t.log()] == [12, None, 10]  # 3, the role and the text
        assert t.log()[1].to_dict()["token_count"] is None
        found = t.get_commit(commits[1])
        assert found is not None
        assert (found.token_count, found.content_type) == (None, "dialogue")


def test_a_status_shows_what_the_tokenizer_fails_at(store: tuple[Path, list[str]]) -> None:
    path, (_, second, third) = store
    with Tract.open(path, tokenizer=Picky()) as t:
        status = t.status()
        assert (status.head, status.commit_count) == (third, 3)
        assert second in "".join(status.warnings)


def test_a_commit_at_which_the_tokenizer_fails_writes_nothing(store: tuple[Path, list[str]]) -> None:
    path, _ = store
    with Tract.open(path, tokenizer=Picky(), durability="fast") as t:
        before = synced(path)
        with pytest.raises(TokenizerError) as caught:
            t.commit(user("<|endoftext|>"))
        assert caught.value.hash is None
        assert synced(path) == before
        t.commit(user("four"))


def test_a_compile_that_marks_or_joins_names_the_commit_too(tmp_path: Path) -> None:
    counter = Picky()
    counter.refused = "nothing yet"
    with Tract.open(tmp_path, tokenizer=counter, durability="fast") as t:
        first, _ = say(t, "one", "two")
        t.edit(first, user("ONE"))
        for refused, options in (
            ("[edited]", {"include_edit_annotations": True}),
            ("\n", {"aggregate_same_role": True}),
        ):
            counter.refused = refused
            with pytest.raises(TokenizerError) as caught:
                t.compile(**options)  # type: ignore[arg-type]
            assert caught.value.hash == first


def test_an_interrupt_in_a_tokenizer_passes_through(store: tuple[Path, list[str]]) -> None:
    class Interrupted(Picky):
        def count_text(self, text: str, /) -> int:
            raise KeyboardInterrupt

    with Tract.open(store[0], tokenizer=Interrupted()) as t, pytest.raises(KeyboardInterrupt):
        t.compile()
