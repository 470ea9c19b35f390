"""The command `tract`, as people and scripts use it: in this process where that is enough, as a process of its own where it is not."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import CALL, COMMANDS, RESULT, TRACT, Run, commit, on_terminal, process, shown_texts, write
from tract_fs import Tract
from tract_fs.cli.demo import TRANSCRIPT
from tract_fs.model.events import encode_event
from tract_fs.model.names import hash_bytes

CONVERSATION = [{"role": "user", "content": "Search."}, CALL, RESULT, {"role": "assistant", "content": "Done."}]


# init, and which store


def test_init_makes_a_store_and_leaves_one_that_is_there(run: Run, tmp_path: Path) -> None:
    assert run("init", "--json").document == {"path": str(tmp_path), "is_new": True}
    assert (tmp_path / ".tract" / "FORMAT").read_text() == '{"format":"tract-fs","version":1}\n'
    commit(run, "-m", "kept")
    assert run("init", "--json").document == {"path": str(tmp_path), "is_new": False}
    assert shown_texts(run) == ["kept"]


def test_init_makes_the_directory_it_is_given(run: Run, tmp_path: Path) -> None:
    assert run("init", "new/agent").code == 0
    assert run("-C", "other", "init").code == 0
    assert (tmp_path / "new" / "agent" / ".tract").is_dir()
    assert (tmp_path / "other" / ".tract").is_dir()


def test_the_nearest_store_above_is_the_one_meant(store: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, "-m", "above")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert shown_texts(store) == ["above"]


def test_the_context_directory_stands_before_or_after_the_command(run: Run) -> None:
    run("init", "here")
    assert run("-C", "here", "commit", "-m", "one").code == 0
    assert run("commit", "-C", "here", "-m", "two").code == 0
    assert shown_texts(run, "-C", "here") == ["one", "two"]


def test_tracts_and_branches_are_apart(store: Run) -> None:
    commit(store, "-m", "main of default")
    commit(store, "-m", "main of other", "--tract", "other", "--create")
    commit(store, "-m", "side of default", "--branch", "side", "-c")
    assert shown_texts(store) == ["main of default"]
    assert shown_texts(store, "--tract", "other") == ["main of other"]
    assert shown_texts(store, "--branch", "side") == ["side of default"]
    assert store("status", "--json").document["tracts"] == ["default", "other"]


# commit


def test_a_text_is_a_turn_of_the_user_unless_said_otherwise(store: Run) -> None:
    commit(store, "-m", "hello")
    assert store("show", "--json").document["content"] == {
        "content_type": "dialogue",
        "name": None,
        "role": "user",
        "text": "hello",
    }


def test_a_text_on_stdin_is_taken_as_it_is(store: Run) -> None:
    assert store("commit", stdin="zwei\nZeilen → ü\n\n".encode()).code == 0
    assert shown_texts(store) == ["zwei\nZeilen → ü\n\n"]


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (
            ["--role", "assistant", "-m", "x"],
            {"content_type": "dialogue", "role": "assistant", "text": "x", "name": None},
        ),
        (
            ["--role", "user", "--field", "name=Ann", "-m", "x"],
            {"content_type": "dialogue", "role": "user", "text": "x", "name": "Ann"},
        ),
        (["--type", "instruction", "-m", "x"], {"content_type": "instruction", "text": "x"}),
        (["--type", "reasoning", "-m", "x"], {"content_type": "reasoning", "text": "x"}),
        (
            ["--type", "output", "--field", "format=json", "-m", "{}"],
            {"content_type": "output", "text": "{}", "format": "json"},
        ),
        (
            ["--type", "artifact", "--field", "artifact_type=code", "--field", "language=c", "-m", "int x;"],
            {"content_type": "artifact", "artifact_type": "code", "content": "int x;", "language": "c"},
        ),
        (["--type", "freeform", "-m", '{"a":[1]}'], {"content_type": "freeform", "payload": {"a": [1]}}),
        (
            ["--type", "tool_io", "--field", "tool_name=t", "--field", "direction=call", "-m", '{"q":1}'],
            {
                "content_type": "tool_io",
                "tool_name": "t",
                "direction": "call",
                "payload": {"q": 1},
                "status": None,
                "call_id": None,
            },
        ),
        (["--type", "message", "-m", json.dumps(CALL)], {"content_type": "message", "message": CALL}),
        (["--json-content", '{"content_type":"reasoning","text":"x"}'], {"content_type": "reasoning", "text": "x"}),
    ],
)
def test_every_content_type_can_be_committed(store: Run, arguments: list[str], content: dict[str, object]) -> None:
    commit(store, *arguments)
    assert store("show", "--json").document["content"] == content


def test_a_whole_content_can_come_on_stdin(store: Run) -> None:
    told = store("commit", "--json-content", "-", stdin=b'{"content_type":"instruction","text":"x"}')
    assert told.code == 0
    assert shown_texts(store) == ["x"]


def test_a_value_is_json_where_it_parses_and_text_where_it_does_not(store: Run) -> None:
    pairs = [
        "model=gpt-4o",
        "temperature=0.5",
        "seed=1",
        'seed_text="1"',
        "logprobs=true",
        "url=a=b",
        "top_p=1.0",
        "rate=1e-3",
        "user=null",
        "tool_choice=none",
    ]
    commit(store, "-m", "x", *(part for pair in pairs for part in ("--config", pair)))
    assert store("show", "--json").document["generation_config"] == {
        "model": "gpt-4o",
        "temperature": 0.5,
        "seed": 1,
        "seed_text": "1",
        "logprobs": True,
        "url": "a=b",
        "top_p": 1.0,
        "rate": 0.001,
        "user": None,
        "tool_choice": "none",
    }


def test_single_config_keys_go_over_the_whole_config(store: Run) -> None:
    commit(store, "-m", "x", "--config-json", '{"a":{"b":1},"c":2}', "--config", "c=3")
    assert store("show", "--json").document["generation_config"] == {"a": {"b": 1}, "c": 3}


def test_no_config_and_an_empty_config_differ(store: Run) -> None:
    commit(store, "-m", "x")
    assert store("show", "--json").document["generation_config"] is None
    commit(store, "-m", "x", "--config-json", "{}")
    assert store("show", "--json").document["generation_config"] == {}


def test_message_and_metadata_are_kept(store: Run) -> None:
    commit(store, "-m", "x", "--message", "why", "--metadata", "run=7", "--metadata", "who=me")
    shown = store("show", "--json").document
    assert (shown["message"], shown["metadata"]) == ("why", {"run": 7, "who": "me"})


def test_an_expected_head_that_moved_stops_the_write(store: Run) -> None:
    first = commit(store, "-m", "one", "--expected-head", "none")
    commit(store, "-m", "two", "--expected-head", first)
    told = store("commit", "-m", "three", "--expected-head", first)
    assert (told.code, "nothing was written" in told.err) == (1, True)
    assert store("annotate", first, "skip", "--expected-head", first).code == 1
    assert shown_texts(store) == ["one", "two"]


# edit, annotate


def test_an_edit_by_text_keeps_all_else_of_a_dialogue(store: Run) -> None:
    target = commit(store, "--role", "assistant", "--field", "name=Bo", "-m", "wrnog")
    assert store("edit", target[:8], "-m", "right").code == 0
    assert store("compile", "--json").document["messages"] == [{"role": "assistant", "name": "Bo", "content": "right"}]


def test_an_edit_by_text_keeps_the_tool_calls_of_a_message(store: Run) -> None:
    target = commit(store, "--type", "message", "-m", json.dumps(CALL))
    assert store("edit", target, "-m", "I look.").code == 0
    assert store("compile", "--format", "openai").document == [{**CALL, "content": "I look."}]


def test_an_edit_by_text_keeps_the_image_of_a_message_and_what_the_edit_before_it_set(store: Run) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    message = {"role": "user", "content": [{"type": "text", "text": "wrnog"}, image]}
    target = commit(store, "--json-content", json.dumps({"content_type": "message", "message": message}))
    assert store("edit", target, "-m", "wrong", "--config", "temperature=0.9").code == 0
    assert store("edit", "main", "-m", "right").code == 0
    compiled = store("compile", "--json").document
    assert compiled["messages"] == [{"role": "user", "content": [{"type": "text", "text": "right"}, image]}]
    assert compiled["generation_configs"] == [{"temperature": 0.9}]


def test_an_edit_by_text_of_a_tool_result_block_is_refused_and_names_the_way(store: Run) -> None:
    block = {"type": "tool_result", "tool_use_id": "a", "content": "r"}
    message = {"role": "user", "content": [block]}
    target = commit(store, "--json-content", json.dumps({"content_type": "message", "message": message}))
    refused = store("edit", target, "-m", "new")
    assert refused.code == 1
    assert "--json-content" in refused.err
    assert store("log", "--json").document[0]["commit_hash"] == target


def test_an_expected_head_of_none_is_refused_in_words(store: Run) -> None:
    head = commit(store, "-m", "one")
    told = store("commit", "-m", "two", "--expected-head", "none")
    assert told.err == (
        f"tract: branch 'main' is at {head}, though no commit was expected; read the new commits, then try again; nothing was written\n"
    )


def test_an_edit_by_role_and_text_drops_no_image_and_no_tool_call(store: Run) -> None:
    image = {
        "role": "user",
        "content": [{"type": "text", "text": "wrnog"}, {"type": "image_url", "image_url": {"url": "data:x"}}],
    }
    for message in (image, CALL, {"role": "user", "name": "Bo", "content": "named"}):
        target = commit(store, "--json-content", json.dumps({"content_type": "message", "message": message}))
        refused = store("edit", target, "--role", "assistant", "-m", "right")
        assert refused.code == 1
        assert "--role would make a dialogue turn of this message" in refused.err
        assert "--json-content" in refused.err
    plain = commit(store, "--json-content", '{"content_type":"message","message":{"role":"user","content":"wrnog"}}')
    assert store("edit", plain, "--role", "assistant", "-m", "right").code == 0
    assert store("compile", "--json").document["messages"][-1] == {"role": "assistant", "content": "right"}


def test_a_late_tool_result_goes_out_behind_its_call_unless_as_committed(store: Run) -> None:
    user = {"role": "user", "content": "hurry"}
    store("import", write("c.json", [CALL, user, RESULT]))
    told = store("compile", "--format", "openai")
    assert told.document == [CALL, RESULT, user]
    assert "the export for openai moves what lies between" in told.err
    assert store("compile", "--format", "openai", "--as-committed").document == [CALL, user, RESULT]
    commits = store("compile", "--json").document["commit_hashes"]
    found = store("compile", "--format", "openai", "--json").document
    assert found["message_commits"] == [[commits[0]], [commits[2]], [commits[1]]]
    assert store("compile", "--as-committed").code == 2


def test_an_edit_of_a_payload_takes_json(store: Run) -> None:
    target = commit(store, "--type", "freeform", "-m", '{"a":1}')
    assert store("edit", target, "-m", "no json").code == 2
    assert store("edit", target, "-m", '{"a":2}').code == 0
    assert shown_texts(store) == ['{\n  "a": 2\n}']


def test_an_edit_may_be_of_another_type_and_have_its_own_config(store: Run) -> None:
    target = commit(store, "-m", "x", "--config", "t=1")
    assert store("edit", target, "--type", "instruction", "-m", "y", "--config", "t=2").code == 0
    compiled = store("compile", "--json").document
    assert compiled["messages"] == [{"role": "system", "content": "y"}]
    assert compiled["generation_configs"] == [{"t": 2}]
    assert compiled["commit_hashes"] == [target]


def test_commit_with_edit_is_the_command_edit(store: Run) -> None:
    target = commit(store, "-m", "x")
    told = store("commit", "--edit", target[:12], "-m", "y", "--json")
    assert (told.document["operation"], told.document["targets"]) == ("edit", [target])
    assert shown_texts(store) == ["y"]


def test_a_skipped_commit_is_left_out_until_it_is_normal_again(store: Run) -> None:
    target = commit(store, "-m", "x")
    commit(store, "-m", "y")
    told = store("annotate", target[:6], "skip", "--reason", "old", "--json").document
    assert (told["target_hash"], told["priority"], told["reason"]) == (target, "skip", "old")
    assert shown_texts(store) == ["y"]
    store("annotate", target, "normal")
    assert shown_texts(store) == ["x", "y"]


def test_a_skipped_tool_result_takes_its_call_along_and_says_so(store: Run) -> None:
    store("import", write("c.json", CONVERSATION))
    commits = store("compile", "--json").document["commit_hashes"]
    warning = f"commit {commits[1]} is left out with the other half of its tool call"
    assert store("annotate", commits[2], "skip", "--json").document["warnings"] == [warning]
    assert shown_texts(store) == ["Search.", "Done."]
    assert warning in store("compile", "--format", "openai").err
    assert store("compile", "--orphans", "raise").code == 1
    assert len(shown_texts(store, "--orphans", "keep")) == 3


def test_what_has_no_content_can_be_neither_edited_nor_annotated(store: Run) -> None:
    target = commit(store, "-m", "x")
    annotation = store("annotate", target, "pinned", "--json").document["commit_hash"]
    assert store("edit", annotation, "-m", "y").code == 1
    assert store("annotate", annotation, "skip").code == 1


# import


def test_the_bundled_transcript_comes_out_equal_one_message_per_commit(store: Run) -> None:
    messages = json.loads(Path(TRANSCRIPT).read_text(encoding="utf-8"))["messages"]
    told = store("import", TRANSCRIPT, "--json").document["imported"]
    assert [(one["tract_id"], one["message_count"], one["is_new"]) for one in told] == [("default", 22, True)]
    assert told[0]["generation_config"] == {"model": "gpt-4o"}
    assert store("compile", "--format", "openai").document == messages
    assert store("compile", "--json").document["commit_hashes"] == told[0]["commit_hashes"]


def test_the_licence_stands_beside_the_bundled_transcript() -> None:
    text = Path(TRANSCRIPT).with_name("airline.SOURCE.txt").read_text(encoding="utf-8")
    for part in (
        "sierra-research/tau-bench",
        "59a200c6d575d595120f1cb70fea53cef0632f6b",
        "MIT License",
        "(c) 2024 Sierra",
    ):
        assert part in text


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(CONVERSATION),
        json.dumps({"model": "m", "messages": CONVERSATION}),
        json.dumps([{"traj": CONVERSATION}]),
        "\n".join(json.dumps(message) for message in CONVERSATION),
        "\ufeff" + json.dumps(CONVERSATION),
        json.dumps({"messages": CONVERSATION}) + "\n",
    ],
    ids=["list", "request", "records", "json lines", "byte order mark", "one json line"],
)
def test_every_shape_of_file_gives_the_same_messages(store: Run, data: str) -> None:
    Path("c.json").write_text(data, encoding="utf-8")
    assert store("import", "c.json").code == 0
    assert store("compile", "--format", "openai").document == CONVERSATION


def test_a_line_separator_inside_a_string_ends_no_json_line(store: Run) -> None:
    lines = [json.dumps({"role": "user", "content": f"a\u2028{n}"}, ensure_ascii=False) for n in range(2)]
    assert store("import", "-", stdin="\n".join(lines).encode()).code == 0
    assert shown_texts(store) == ["a\u20280", "a\u20281"]


def test_options_fill_in_what_the_file_does_not_say_of_its_config(store: Run) -> None:
    write("c.json", {"model": "from the file", "messages": CONVERSATION})
    store("import", "c.json", "--config", "model=other", "--config", "temperature=0.3")
    found = store("query", "temperature", "=", "0.3", "--json").document
    assert [one["generation_config"] for one in found] == [{"model": "from the file", "temperature": 0.3}] * 4


def test_of_several_conversations_one_must_be_chosen(store: Run) -> None:
    write("c.json", [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")])
    told = store("import", "c.json")
    assert (told.code, "--conversation N, from 1 to 2, or --all" in told.err) == (2, True)
    assert store("import", "c.json", "--conversation", "3").code == 2
    assert store("import", "c.json", "--conversation", "1", "--all").code == 2
    assert store("log").out == ""
    assert store("import", "c.json", "--conversation", "2").code == 0
    assert shown_texts(store) == ["two"]


def test_all_conversations_go_to_tracts_named_by_the_file(store: Run) -> None:
    write("My Run+2.json", [{"messages": [{"role": "user", "content": str(n)}]} for n in range(11)])
    told = store("import", "My Run+2.json", "--all", "--json").document["imported"]
    assert [one["tract_id"][:11] for one in told] == [f"my-run-2-{n:02}" for n in range(1, 12)]
    assert [one["tract_id"][11:] for one in told[:3]] == ["-829062e3", "-62b724b9", "-9d0b6920"]
    assert shown_texts(store, "--tract", "my-run-2-03-9d0b6920") == ["2"]
    told = store("import", "My Run+2.json", "--all", "--tract", "again", "--json").document["imported"]
    assert told[0]["tract_id"] == "again-01-829062e3"


def test_other_conversations_in_a_file_of_the_same_name_go_to_other_tracts(store: Run) -> None:
    for text in ("desk", "laptop"):
        write("c.json", [{"messages": [{"role": "user", "content": text}]}] * 1)
        assert store("import", "c.json", "--all").code == 0
    tracts = store("status", "--json").document["tracts"]
    assert [tract[:4] for tract in tracts] == ["c-1-", "c-1-"]
    assert sorted(shown_texts(store, "--tract", tract)[0] for tract in tracts) == ["desk", "laptop"]


def test_an_import_keeps_every_float_and_warns_of_digits_that_none_holds(store: Run, tmp_path: Path) -> None:
    text = (
        '[{"role":"user","content":"a","n":[-0,-0.0,0.1,1e5,0.30000000000000004,5e-324]},'
        '{"role":"user","content":"b","n":[0.12345678901234567890,3.14159265358979323846,1.00000000000000000000]}]'
    )
    (tmp_path / "c.json").write_text(text)
    told = store("import", str(tmp_path / "c.json"))
    assert told.code == 0
    assert told.err == (
        "warning: 0.12345678901234567890 has more digits than a float of 64 bits: it is stored as 0.12345678901234568, "
        "and 1 more like it\n"
    )
    kept = [message["n"] for message in json.loads(store("compile", "--format", "openai").out)]
    assert repr(kept) == (
        "[[-0.0, -0.0, 0.1, 100000.0, 0.30000000000000004, 5e-324], [0.12345678901234568, 3.141592653589793, 1.0]]"
    )


def test_an_import_of_all_that_was_broken_off_goes_on_when_run_again(store: Run) -> None:
    conversations = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(3)]
    store("import", write("c.json", conversations[:2]), "--all")
    told = store("import", write("c.json", conversations), "--all", "--json").document["imported"]
    assert [(one["tract_id"], one["is_new"]) for one in told] == [
        ("c-1-829062e3", False),
        ("c-2-62b724b9", False),
        ("c-3-9d0b6920", True),
    ]
    assert len(store("log", "--tract", "c-1-829062e3", "--json").document) == 1


def test_an_import_of_all_never_adds_to_other_commits(store: Run) -> None:
    commit(store, "-m", "mine", "--tract", "c-2-62b724b9", "-c")
    conversations = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(3)]
    told = store("import", write("c.json", conversations), "--all")
    assert (told.code, "nothing was written" in told.err) == (1, True)
    assert store("status", "--json").document["tracts"] == ["c-2-62b724b9"]


@pytest.mark.parametrize("stem", ["con", "...", "ÄÖ", "x" * 300, "a.b-", "nul.x"])
def test_any_file_name_gives_a_tract_id(store: Run, stem: str) -> None:
    name = f"{stem}.json"
    try:
        write(name, [{"messages": CONVERSATION}] * 2)
    except OSError:
        pytest.skip("the file system refuses the name")
    assert store("import", name, "--all").code == 0


def test_a_message_that_cannot_be_stored_leaves_nothing_behind(store: Run, tmp_path: Path) -> None:
    told = store("import", write("c.json", [*CONVERSATION, {"role": "user", "content": 2**70}]))
    assert told.code == 1
    assert "message 5 of the conversation" in told.err
    assert store("log").out == ""
    assert not (tmp_path / ".tract" / "objects").exists()


# log, show, compile, query, status


def test_the_log_is_newest_first_and_as_long_as_asked(store: Run) -> None:
    commits = [commit(store, "-m", str(n)) for n in range(12)]
    assert [info["commit_hash"] for info in store("log", "--json").document] == commits[:1:-1]
    assert len(store("log", "-n", "3", "--json").document) == 3
    assert len(store("log", "--all", "--json").document) == 12


def test_the_log_tells_edits_and_annotations_in_words(store: Run) -> None:
    target = commit(store, "-m", "one")
    store("edit", target, "-m", "two")
    store("annotate", target, "skip", "--reason", "old")
    lines = [" ".join(line.split()) for line in store("log").out.splitlines()]
    assert lines[0] == "commit made (UTC) what tokens text"
    assert lines[1].endswith(f" annotate 0 skip {target[:12]}: old")
    assert lines[2].endswith(f" edit dialogue 5 {target[:12]} is now user: two")
    assert lines[3].endswith(" dialogue 5 user: one")


def test_show_takes_a_hash_a_prefix_a_branch_or_nothing(store: Run) -> None:
    first = commit(store, "-m", "one")
    last = commit(store, "-m", "two")
    assert store("show", first, "--json").document["commit_hash"] == first
    assert store("show", first[:4], "--json").document["commit_hash"] == first
    assert store("show", "main", "--json").document["commit_hash"] == last
    assert store("show", "--json").document["commit_hash"] == last


def test_show_tells_content_config_annotations_and_edits(store: Run) -> None:
    target = commit(store, "--type", "instruction", "-m", "Be\nbrief.", "--config", "model=m", "--message", "why")
    edit = store("edit", target, "-m", "Be kind.", "--json").document["commit_hash"]
    annotation = store("annotate", target, "skip", "--reason", "old", "--json").document["commit_hash"]
    shown = store("show", target, "--json").document
    assert [(a["commit_hash"], a["priority"], a["reason"]) for a in shown["annotations"]] == [
        (None, "pinned", None),
        (annotation, "skip", "old"),
    ]
    assert shown["edits"] == [edit]
    assert store("show", annotation, "--json").document["annotation"]["priority"] == "skip"
    text = store("show", target).out
    for part in (
        "Be\nbrief.\n",
        '"model": "m"',
        "why",
        "pinned (its type's own)",
        f"skip: old ({annotation[:12]})",
        edit,
    ):
        assert part in text


def test_compile_goes_back_to_a_commit_or_a_time(store: Run) -> None:
    first = commit(store, "-m", "one")
    store("edit", first, "-m", "ONE")
    made = store("show", "--json").document["created_at"]
    commit(store, "-m", "two")
    assert shown_texts(store, "--at-commit", first[:10]) == ["one"]
    assert shown_texts(store, "--at-time", made) == ["ONE"]
    assert shown_texts(store, "--at-time", "1999-01-01") == []
    assert shown_texts(store, "--at-time", "2999-01-01T00:00:00+02:00") == ["ONE", "two"]


def test_compile_joins_roles_and_marks_edits_on_demand(store: Run) -> None:
    first = commit(store, "-m", "one")
    second = commit(store, "-m", "two")
    store("edit", second, "-m", "2")
    assert shown_texts(store, "--aggregate-same-role", "--include-edit-annotations") == ["one\n\n2 [edited]"]
    document = store("compile", "--json", "--aggregate-same-role").document
    assert document["message_commits"] == [[first, second]]
    assert document["commit_hashes"] == [first, second]


def test_compile_prints_messages_with_their_commits_and_configs(store: Run) -> None:
    first = commit(store, "-m", "one\ntwo", "--config", "model=m", "--config", "n=1")
    assert store("compile").out == (
        f"[1] user  {first[:12]} model=m n=1\none\ntwo\n\n1 message of 1 commit, 9 tokens by estimate:utf8/4\n"
    )


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["temperature", "=", "1"], ["1", "1.0"]),
        (["temperature", "!=", "1"], ["0.5"]),
        (["temperature", "<", "1"], ["0.5"]),
        (["temperature", "lt", "1"], ["0.5"]),
        (["temperature", "ge", "1"], ["1", "1.0"]),
        (["temperature", "=", '"1"'], ["text 1"]),
        (["temperature", "=", "true"], ["true"]),
        (["temperature", ">", "-1"], ["1", "1.0", "0.5"]),
        (["model", "=", "gpt-4o"], ["1"]),
        (["a.b", "=", "dotted"], ["dotted"]),
        (["--nested", "a.b", "=", "x"], ["nested"]),
        (["--nested", "stop.1", "=", "END"], ["list"]),
        (['["stop", 1]', "=", "END"], ["list"]),
        (['["a.b"]', "=", "dotted"], ["dotted"]),
        (["absent", "!=", "1"], []),
    ],
)
def test_a_query_finds_by_json_types_and_paths(store: Run, arguments: list[str], found: list[str]) -> None:
    with Tract.open(".", durability="fast") as t:
        for text, config in {
            "1": {"temperature": 1, "model": "gpt-4o"},
            "1.0": {"temperature": 1.0},
            "0.5": {"temperature": 0.5},
            "text 1": {"temperature": "1"},
            "true": {"temperature": True},
            "dotted": {"a.b": "dotted"},
            "nested": {"a": {"b": "x"}},
            "list": {"stop": ["x", "END"]},
        }.items():
            t.commit({"content_type": "output", "text": text}, generation_config=config)
    told = store("query", *arguments, "--json")
    assert told.code == 0
    shown = [store("show", info["commit_hash"], "--json").document["content"]["text"] for info in told.document]
    assert shown == found


def test_a_query_that_finds_nothing_says_so_to_people(store: Run) -> None:
    commit(store, "-m", "x")
    told = store("query", "model", "=", "y")
    assert (told.code, told.out, told.err) == (0, "", "no commit matches\n")
    assert store("query", "model", "=", "y", "--json").document == []


def test_usage_is_summed_by_model_commit_and_branch(store: Run) -> None:
    assert store("usage").out == ""
    with Tract.open(".", durability="fast") as t:
        for text, config, prompt in (("a", {"model": "m-1"}, 1000), ("b", {}, 20)):
            t.commit({"content_type": "output", "text": text}, generation_config=config)
            t.record_usage(
                {"prompt_tokens": prompt, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 7}}
            )
        head = str(t.head)
    assert store("usage").out.splitlines() == [
        "model   prompt  from cache  to cache  completion  reasoning",
        "(none)      20           7         0           5          0",
        "m-1      1,000           7         0           5          0",
    ]
    assert store("usage", "--by", "branch", "--json").document == {
        "main": {
            "prompt_tokens": 1020,
            "completion_tokens": 10,
            "total_tokens": 1030,
            "cache_read_tokens": 14,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
        }
    }
    rows = store("usage", "--by", "commit").out.splitlines()[1:]
    assert sorted(row.split()[1] for row in rows) == ["1,000", "20"]
    assert head in store("usage", "--by", "commit", "--json").document
    assert store("usage", "--since", "2999-01-01", "--json").document == {}
    assert store("usage", "--by", "tract").code == 2


def test_status_tells_the_state_of_the_tract(store: Run, tmp_path: Path) -> None:
    first = commit(store, "-m", "one")
    head = store("annotate", first, "skip", "--json").document["commit_hash"]
    (tmp_path / ".tract" / "objects" / "stray").touch()
    told = store("status", "--json").document
    assert told["path"] == str(tmp_path)
    assert told["head"] == head
    assert (told["commit_count"], told["effective_count"], told["token_count"]) == (2, 0, 0)
    assert told["strays"] == ["objects/stray"]
    assert "objects/stray" in store("status").out


def test_an_empty_store_has_no_commits_and_that_is_no_error(store: Run) -> None:
    for arguments in (["log"], ["compile"], ["status"], ["query", "a", "=", "1"]):
        assert store(*arguments).code == 0
    assert store("log", "--json").document == []
    assert store("show").code == 1


# demo


def test_the_demo_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    told = run("demo")
    assert told.code == 0
    assert list(tmp_path.iterdir()) == []
    for line in ("$ tract init", "$ tract import airline.json", "$ tract compile --format oneline", "$ tract status"):
        assert line in told.out.splitlines()
    assert "is left out with the other half of its tool call" in told.err


def test_the_demo_keeps_the_store_it_is_given_and_touches_no_other(run: Run, tmp_path: Path) -> None:
    assert run("demo", "here").code == 0
    assert len(shown_texts(run, "-C", "here")) == 20
    before = sorted(path for path in (tmp_path / "here").rglob("*"))
    told = run("demo", "here")
    assert (told.code, "there is a store already" in told.err) == (1, True)
    assert sorted(path for path in (tmp_path / "here").rglob("*")) == before


def test_the_shop_of_the_demo_has_the_same_hashes_everywhere(run: Run) -> None:
    told = run("demo", "--shop", "lamps")
    assert (told.code, told.out) == (0, "made a store in lamps: a made-up chat with a lamp shop, 8 commits\n")
    with Tract.open("lamps") as t:
        assert t.head == "42d0eb472ebe12372c423cc86f21e981c470d47c23ad41bc91919d7fac3fade5"
    assert "there is a store already" in run("demo", "--shop", "lamps").err
    assert (run("demo", "--shop").code, run("demo", "--shop", "x", "--json").document["new_commits"]) == (2, 8)


def test_the_demo_shows_that_files_are_named_by_their_sha256(run: Run) -> None:
    told = run("demo", "here", "--json").document
    assert (told["named_by_sha256"], told["misnamed"]) == (50, [])
    shown = run("demo").out
    line = next(line for line in shown.splitlines() if re.fullmatch(r"[0-9a-f]{64}  \.tract/events/.*", line))
    digest, path = line.split("  ")
    assert path == f".tract/events/default/{digest[:2]}/{digest[2:]}"


# errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["import", "absent.json"], 1, "absent.json: No such file or directory; check the path"),
        (["import", "."], 2, "a folder goes with --all"),
        (["import", "broken.json"], 1, "broken.json: neither JSON nor JSON lines"),
        (["import", "broken.jsonl"], 1, "broken.jsonl: line 2 is not JSON"),
        (["import", "empty.json"], 1, "empty.json: neither JSON nor JSON lines"),
        (["import", "latin.json"], 1, "latin.json: not UTF-8 at byte 2"),
        (["import", "deep.json"], 1, "deep.json: neither JSON nor JSON lines: nested too deep"),
        (["import", "nan.json"], 1, "NaN is not JSON"),
        (["import", "object.json"], 1, "object.json: no OpenAI chat messages here"),
        (["import", "roleless.json"], 1, "roleless.json: no OpenAI chat messages here"),
        (["import", "none.json"], 1, "none.json: no messages in this file"),
        (["import", "good.json", "--format", "other"], 2, "--format"),
        (["import", "good.json", "--config", "x"], 2, "write KEY=VALUE"),
        (["import", "good.json", "--config-json", "[1]"], 2, "give a JSON object"),
        (["import"], 2, "Missing argument 'FILE...'"),
        (["commit", "-m", "x", "--role", "tool"], 2, "--role"),
        (["commit", "-m", "x", "--role", "user", "--type", "output"], 2, "--role goes with type dialogue"),
        (["commit", "-m", "x", "--type", "poem"], 1, "no such content type"),
        (["commit", "-m", "x", "--type", "freeform"], 2, "not JSON"),
        (["commit", "-m", "[]", "--type", "freeform"], 1, "field 'payload'"),
        (["commit", "-m", "x", "--json-content", "{}"], 2, "leave out -m"),
        (["commit", "--json-content", "{}"], 1, "field 'content_type'"),
        (["commit", "--json-content", '{"content_type":"output","text":1}'], 1, "field 'text'"),
        (["commit", "--json-content", '{"content_type":"output","text":"x","y":1}'], 1, "field 'y'"),
        (["commit", "-m", "x", "--config", "a=1e999"], 1, "generation_config.a: inf is not a JSON number"),
        (["commit", "-m", "x", "--config", f"a={2**70}"], 1, "generation_config.a: an integer beyond 64 bits"),
        (["commit", "-m", "x", "--metadata", "="], 2, "write KEY=VALUE"),
        (["commit", "-m", "\udcff"], 1, "-m: not UTF-8"),
        (["edit", "beef", "-m", "x"], 1, "'beef'"),
        (["edit"], 2, "Missing argument 'TARGET'"),
        (["annotate", "beef", "skip"], 1, "'beef'"),
        (["annotate", "main", "gone"], 2, "PRIORITY"),
        (["show", "bee"], 1, "'bee'"),
        (["show", "0" * 64], 1, "0000"),
        (["log", "-n", "-1"], 2, "--limit"),
        (["log", "-n", str(2**70)], 2, "--limit"),
        (["log", "--tract", "other"], 1, "no tract 'other' in this store; there are: default"),
        (["log", "--tract", "Not An Id"], 1, "tract id 'Not An Id'"),
        (["log", "--branch", "other"], 1, "no branch 'other'"),
        (["log", "--branch", "a..b"], 1, "branch name 'a..b'"),
        (["compile", "--at-time", "soon"], 2, "--at-time"),
        (["compile", "--at-time", "2026-01-01", "--at-commit", "main"], 2, "not both"),
        (["compile", "--at-commit", "beef"], 1, "'beef'"),
        (["compile", "--orphans", "eat"], 2, "--orphans"),
        (["query", "a", "==", "1"], 2, "OP"),
        (["query", "a", "=", "[1]"], 1, "use a string, a number, a bool or None"),
        (["query", "[true]", "=", "1"], 1, "use a key, or a tuple of keys and indexes"),
        (["query", "a"], 1, "but it ends, at character 2"),
        (["query", "a", "="], 2, "one EXPRESSION in quotes, or FIELD OP VALUE, not: a ="),
        (["query"], 2, "give an EXPRESSION"),
        (["query", "a", "=", "1", "--jsom"], 2, "--jsom"),
        (["demo", "--tract", "x"], 2, "a store of its own"),
        (["unheard"], 2, "No such command 'unheard'"),
        (["-C", "good.json", "log"], 1, "a file, where a context directory was expected"),
        (["-C", "absent", "log"], 1, "no store here; create one with 'tract init'"),
        (["init", "good.json"], 1, "a file, where a context directory was expected"),
        (["init", "good.json/x"], 1, "a part of the path is a file"),
    ],
)
def test_bad_input_is_a_sentence_and_an_exit_code(store: Run, arguments: list[str], code: int, said: str) -> None:
    commit(store, "-m", "x")
    Path("broken.json").write_text('{"a":', encoding="utf-8")
    Path("broken.jsonl").write_text('{"role":"user","content":"a"}\n{"role"\n', encoding="utf-8")
    Path("empty.json").touch()
    Path("latin.json").write_bytes(b'["\xe4"]')
    Path("deep.json").write_text("[" * 100_000, encoding="utf-8")
    Path("nan.json").write_text('[{"role":"user","content":NaN}]', encoding="utf-8")
    write("object.json", {"a": 1})
    write("roleless.json", [{"role": "user", "content": "a"}, {"content": "b"}])
    write("none.json", [])
    write("good.json", CONVERSATION)
    told = store(*arguments)
    assert (told.code, told.out) == (code, "")
    assert said in told.err
    assert "Traceback" not in told.err
    as_json = store(*arguments, "--json")
    assert (as_json.code, as_json.out) == (code, "")
    error = json.loads(as_json.err)
    assert error.keys() == {"error", "message", "fields"}
    assert len(store("log", "--all", "--json").document) == 1


def test_an_ambiguous_prefix_is_refused(store: Run) -> None:
    with Tract.open(".", durability="fast") as t, t.batch():
        names = [t.commit({"content_type": "output", "text": str(n)}).commit_hash for n in range(1500)]
    seen: dict[str, str] = {}
    twin = next(name for name in names if seen.setdefault(name[:4], name) != name)  # 1500 of 65536: near certain
    told = store("show", twin[:4], "--json")
    assert told.code == 1
    error = json.loads(told.err)
    assert (error["error"], error["fields"]["count"]) == ("AmbiguousRefError", 2)
    one, other = sorted(name for name in names if name.startswith(twin[:4]))
    assert error["message"] == (
        f"'{twin[:4]}' is a prefix of 2 commits, such as {one[:12]} and {other[:12]}; give more digits"
    )


def test_a_newer_format_and_a_foreign_one_are_refused(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    path = tmp_path / ".tract" / "FORMAT"
    for text, kind in (
        ('{"format":"tract-fs","version":2}\n', "UnsupportedFormat"),
        ('{"format":"other","version":1}\n', "NotAStore"),
        ("{}", "NotAStore"),
    ):
        path.unlink()
        path.write_text(text, encoding="utf-8")
        for arguments in (["log"], ["commit", "-m", "y"], ["init"], ["status"]):
            told = store(*arguments, "--json")
            assert told.code == 1
            assert json.loads(told.err)["error"] == kind


def test_a_damaged_content_is_an_error_to_compile_and_a_note_in_the_log(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    content = store("show", "--json").document["content_hash"]
    commit(store, "-m", "two")
    path = tmp_path / ".tract" / "objects" / content[:2] / content[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"one", b"ONE"))
    told = store("compile", "--json")
    assert told.code == 1
    assert json.loads(told.err)["fields"]["hash"] == content
    assert "(the content is missing or damaged)" in store("log").out


def test_a_redacted_content_leaves_its_commit_to_be_seen(store: Run, tmp_path: Path) -> None:
    secret = commit(store, "-m", "secret")
    content = store("show", "--json").document["content_hash"]
    events = list((tmp_path / ".tract" / "events" / "default").glob("*/*"))
    op = {"kind": "redact", "object": content, "reason": "a password"}
    data = encode_event(
        tract="default",
        at="8000-01-01T00:00:00.000000Z",
        writer="0" * 32,
        parents=[events[0].parent.name + events[0].name],
        ops=[op],
    )
    name = hash_bytes(data)
    target = tmp_path / ".tract" / "events" / "default" / name[:2] / name[2:]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    (tmp_path / ".tract" / "objects" / content[:2] / content[2:]).unlink()
    subprocess.run(["rm", "-r", str(tmp_path / ".tract" / "local")], check=True)
    assert "(the content was redacted)" in store("log").out
    assert "(the content was redacted)" in store("show", secret).out
    shown = store("show", secret, "--json").document
    assert (shown["content"], shown["is_redacted"]) == (None, True)
    assert store("edit", secret, "-m", "x").code == 1
    assert shown_texts(store) == []


def test_a_branch_whose_events_wait_is_no_empty_branch(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "one")
    event = next((tmp_path / ".tract" / "events").rglob("*/*/*"))
    commit(store, "-m", "two")
    event.unlink()
    subprocess.run(["rm", "-r", str(tmp_path / ".tract" / "local")], check=True)
    told = store("compile")
    assert (told.code, "(event) is missing; 1 commit depends on it" in told.err) == (1, True)
    assert store("status").code == 1


def test_a_store_that_cannot_be_opened_for_writing_is_read_without(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, "-m", "x")
    opened = Tract.open

    def refuse(*args: Any, read_only: bool = False, **options: Any) -> Tract:
        if not read_only:
            raise PermissionError(13, "Permission denied", ".tract/local/lock")
        return opened(*args, read_only=True, **options)

    monkeypatch.setattr(Tract, "open", refuse)
    assert shown_texts(store) == ["x"]
    told = store("commit", "-m", "y")
    assert (told.code, told.err) == (
        1,
        "tract: .tract/local/lock: Permission denied; check the owner and the mode of this path\n",
    )


def test_an_interrupt_ends_in_silence(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, "-m", "x")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tract, "log", interrupt)
    told = store("log")
    assert (told.code, told.out, told.err.strip()) == (130, "", "")


# for programs and people


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    told = run(command, "--help")
    assert (told.code, told.out.startswith(f"Usage: tract {command} "), told.err) == (0, True, "")


def test_help_lists_every_command_the_first_one_first(run: Run) -> None:
    listed = run("--help").out.split("Start:\n")[1]
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
    assert sorted(names) == sorted(COMMANDS)
    assert names[0] == "init"


@pytest.mark.parametrize(
    ("arguments", "module"), [(["log"], "read_commands"), (["commit", "-m", "x"], "commit_commands")]
)
def test_a_run_imports_what_its_command_needs(store: Run, arguments: list[str], module: str) -> None:
    code = f"import sys, tract_fs.cli; tract_fs.cli.main({arguments}); print(*sys.modules, sep='\\n', file=sys.stderr)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert [name for name in modules if name.endswith("_commands")] == [f"tract_fs.cli.{module}"]
    assert not {"rich", "tempfile", "email", "importlib.metadata", "portalocker"} & set(modules)
    assert not {"subprocess", "tract_fs.model.providers.export", "tract_fs.transcripts"} & set(modules)


def test_no_command_is_a_usage_error(run: Run) -> None:
    told = run()
    assert (told.code, told.out, "Usage: tract" in told.err) == (2, "", True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["init"],
        ["import", TRANSCRIPT],
        ["commit", "-m", "y"],
        ["edit", "TARGET", "-m", "y"],
        ["annotate", "TARGET", "skip"],
        ["log"],
        ["show"],
        ["compile"],
        ["compile", "--format", "openai"],
        ["query", "model", "=", "m"],
        ["status"],
        ["demo"],
        ["repair"],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_with_json_stdout_is_one_document_and_stderr_is_empty(store: Run, arguments: list[str]) -> None:
    target = commit(store, "-m", "x", "--config", "model=m")
    arguments = [target if argument == "TARGET" else argument for argument in arguments]
    for told in (store(*arguments, "--json"), store("--json", *arguments)):
        assert (told.code, told.err) == (0, "")
        assert told.document is not None


def test_control_characters_never_reach_the_terminal(store: Run, tmp_path: Path) -> None:
    evil = "a\x1b]0;title\x07\x9b31m\rb"
    commit(store, "-m", evil, "--message", evil, "--config", f"model={evil}")
    for arguments in (
        ["log"],
        ["show"],
        ["compile"],
        ["compile", "--format", "oneline"],
        ["query", "model", "=", evil],
    ):
        out = store(*arguments).out
        assert not set(out) & {"\x1b", "\x07", "\x9b", "\r"}
        assert "a\\x1b]0;title\\x07\\x9b31m" in out
    assert shown_texts(store) == [evil]


def test_colour_is_for_terminals_only(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "hello")
    assert "\x1b[" not in store("log").out
    assert "\x1b[33m" in on_terminal("log", cwd=tmp_path)
    for arguments in (["log"], ["show"], ["compile"], ["status"]):
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", on_terminal(*arguments, cwd=tmp_path, NO_COLOR="1"))


def test_a_table_fits_its_terminal(store: Run, tmp_path: Path) -> None:
    store("import", TRANSCRIPT)
    for arguments in (["log"], ["compile", "--format", "oneline"], ["query", "model", "=", "gpt-4o"]):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(*arguments, cwd=tmp_path, COLUMNS="80"))
        lines = shown.splitlines()
        assert max(map(len, lines)) <= 80
        assert "commit" in lines[0]
        assert any(line.rstrip().endswith("…") for line in lines)


def test_a_long_import_shows_its_progress_on_a_terminal_only(store: Run, tmp_path: Path) -> None:
    write("long.json", [{"role": "user", "content": str(n)} for n in range(300)])
    assert "300/300" in on_terminal("import", "long.json", cwd=tmp_path)
    assert store("import", "long.json").err == ""
    assert "300/300" not in on_terminal("import", "long.json", "--json", cwd=tmp_path)


def test_a_reader_that_goes_away_is_no_news(store: Run, tmp_path: Path) -> None:
    with Tract.open(".", durability="fast") as t, t.batch():
        for n in range(3000):
            t.commit({"content_type": "output", "text": f"{n} " * 20})
    for arguments in (["log", "--all"], ["compile"], ["log", "--all", "--json"]):
        with subprocess.Popen(
            [*TRACT, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None and child.stderr is not None
            child.stdout.readline()
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait(timeout=240) in (0, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_a_failure(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    with open("/dev/full", "wb") as full:
        told = subprocess.run([*TRACT, "compile"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (told.returncode, told.stderr) == (
        1,
        b"tract: standard output can't be written: No space left on device\n",
    )


def test_a_closed_stdout_does_not_stop_a_commit(store: Run, tmp_path: Path) -> None:
    command = " ".join([*TRACT, "commit", "-m", "x", ">&-", "2>&-"])
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == 4
    assert shown_texts(store) == ["x"]


def test_json_is_utf8_whatever_the_locale(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "ü→😀")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    told = process("compile", "--json", cwd=tmp_path, env=environment)
    assert json.loads(told.stdout.decode("utf-8"))["messages"][0]["content"] == "ü→😀"
    told = process("compile", cwd=tmp_path, env=environment)
    assert (told.returncode, b"\xfc\\u2192\\U0001f600" in told.stdout) == (0, True)


@pytest.mark.parametrize("name", ["click", "rich"])
def test_a_missing_extra_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; from tract_fs.cli import main; sys.exit(main(['log']))"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert told.returncode == 1
    assert told.stderr.decode() == f"tract: the command needs {name}; install the extra: pip install 'tract-fs[cli]'\n"


def test_the_installed_command_is_the_module(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("tract")
    if not script.exists():
        pytest.skip("not installed with its script")
    assert subprocess.check_output([script, "--version"]) == subprocess.check_output([*TRACT, "--version"])


def test_rich_is_not_loaded_where_the_output_is_no_terminal(store: Run, tmp_path: Path) -> None:
    commit(store, "-m", "x")
    code = "import sys; from tract_fs.cli import main; main(['log']); print('rich' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    assert told.stdout.decode().splitlines()[-1] == "False"


def test_two_terminals_at_once_lose_nothing(store: Run, tmp_path: Path) -> None:
    script = 'for n in 1 2 3 4 5 6 7 8; do "$0" -m tract_fs.cli commit -m "$1$n" >/dev/null || exit 1; done'
    children = [subprocess.Popen(["sh", "-c", script, sys.executable, name], cwd=tmp_path) for name in ("a", "b")]
    assert [child.wait(timeout=240) for child in children] == [0, 0]
    said = shown_texts(store)
    assert sorted(said) == sorted(f"{name}{n}" for name in ("a", "b") for n in range(1, 9))
    for name in ("a", "b"):
        assert [text for text in said if text.startswith(name)] == [f"{name}{n}" for n in range(1, 9)]
    assert store("status", "--json").document["other_heads"] == []


def test_an_import_and_commits_at_once_interleave_whole(store: Run, tmp_path: Path) -> None:
    write("long.json", [{"role": "user", "content": f"i{n}"} for n in range(400)])
    importing = subprocess.Popen([*TRACT, "import", "long.json"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    for n in range(3):
        assert process("commit", "-m", f"c{n}", cwd=tmp_path).returncode == 0
    assert importing.wait(timeout=240) == 0
    said = shown_texts(store)
    start = said.index("i0")
    assert said[start : start + 400] == [f"i{n}" for n in range(400)]
    assert [text for text in said if text.startswith("c")] == ["c0", "c1", "c2"]


def test_every_file_that_the_commands_wrote_is_named_by_its_hash(store: Run, tmp_path: Path) -> None:
    store("import", TRANSCRIPT)
    commit(store, "-m", "x", "--config", "a=1")
    for path in immutable_files(tmp_path / ".tract"):
        name = path.parent.name + path.name if path.parent.name != "packs" else path.name
        shown = subprocess.check_output(["sha256sum", path]).decode()
        assert shown.split()[0] == name
        assert stat.S_IMODE(path.stat().st_mode) == 0o444


def immutable_files(root: Path) -> Iterator[Path]:
    for folder in ("objects", "events", "packs"):
        yield from (path for path in (root / folder).rglob("*") if path.is_file())
