"""`tract search`: hits one a line, best first; JSON; text from a store is shown, not obeyed."""

from __future__ import annotations

from tests.lab.command import Run, commit


def test_hits_are_listed_one_a_line(store: Run) -> None:
    name = commit(store, "-m", "What is the capital\nof France?")
    commit(store, "-m", "Paris.", "--role", "assistant")
    told = store("search", "CAPITAL")
    assert told.code == 0
    assert told.out.startswith(name[:12])
    assert told.out.endswith("  default  user  What is the capital\\nof France?\n")
    assert store("search", "paris", "--role", "user").err == "no text matches\n"


def test_terminal_escapes_are_shown(store: Run) -> None:
    commit(store, "-m", "red \x1b[31m alert \u202e tada")
    told = store("search", "alert")
    assert told.out.endswith("red \\x1b[31m alert \\u202e tada\n")


def test_json_has_every_field(store: Run) -> None:
    name = commit(store, "-m", "one two one")
    (hit,) = store("search", "ONE", "--json").document
    assert hit.pop("created_at").endswith("Z") and hit.pop("rank") > 0
    assert hit == {
        "commit_hash": name,
        "tract_id": "default",
        "content_type": "dialogue",
        "role": "user",
        "snippet": "one two one",
        "spans": [[0, 3], [8, 11]],
        "is_shown": True,
    }


def test_all_tracts_are_searched_with_a_flag(store: Run) -> None:
    commit(store, "-m", "a cat")
    assert store("fork", "other").code == 0
    commit(store, "--tract", "other", "-m", "two cats")
    assert [hit["tract_id"] for hit in store("search", "cat", "--json").document] == ["default"]
    found = store("search", "cat", "--all-tracts", "--json").document
    assert sorted(hit["tract_id"] for hit in found) == ["default", "other"]
    assert store("search", "cat", "--all-tracts", "--on", "main").code == 2
    told = store("search", "cat", "--all-tracts", "--where", '@tract = "other" and @role = "user"', "--json")
    assert [hit["tract_id"] for hit in told.document] == ["other"]
    assert store("search", "cat", "--all-tracts", "--where", "model =").code == 1


def test_what_the_context_does_not_show_is_marked(store: Run) -> None:
    name = commit(store, "-m", "a cat")
    commit(store, "-m", "cats and more cats")
    assert store("annotate", name, "skip").code == 0
    assert [line.split("  ", 2)[2] for line in store("search", "a cat").out.splitlines()] == [
        "default  user  (not in the context)  a cat",
    ]
    assert [hit["snippet"] for hit in store("search", "cat", "--not-shown", "--json").document] == ["a cat"]
    assert [hit["snippet"] for hit in store("search", "cat", "--shown", "--json").document] == ["cats and more cats"]
    assert store("search", "a cat", "--all-tracts").out == store("search", "a cat").out


def test_it_is_the_context_of_the_branch_that_is_searched(store: Run) -> None:
    commit(store, "-m", "a cat")
    assert store("switch", "-c", "side").code == 0
    commit(store, "-m", "a cat of the side")
    assert [hit["is_shown"] for hit in store("search", "of the side", "--json").document] == [True]
    assert store("switch", "main").code == 0
    assert [hit["is_shown"] for hit in store("search", "of the side", "--json").document] == [False]
    assert [hit["is_shown"] for hit in store("search", "of the side", "--on", "side", "--json").document] == [True]


def test_filters_and_limit(store: Run) -> None:
    commit(store, "-m", "a cat")
    assert store("branch", "side").code == 0
    commit(store, "-m", "a cat", "--role", "assistant")
    assert len(store("search", "cat", "--json").document) == 2
    assert [hit["role"] for hit in store("search", "cat", "--json", "--on", "side").document] == ["user"]
    assert len(store("search", "cat", "-n", "1", "--json").document) == 1
    assert store("search", "cat", "--until", "1990-01-01", "--json").document == []
    assert store("search", "").code == 1
