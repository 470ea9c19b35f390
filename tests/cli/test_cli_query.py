"""`tract query`: expressions, filters, groups, and its answers as table, JSON and CSV."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.command import Run, commit
from tests.lab.talk import Clock, say_one
from tract_fs import Store


@pytest.fixture
def asked(store: Run) -> Run:
    """A store of two tracts, with configs, usage, a branch and a tag."""
    with Store.open(".", durability="fast", clock=Clock()) as opened:
        t = opened.tract("default")
        say_one(t, "What?")
        for text, config, prompt in (
            ("one", {"model": "m-1", "temperature": 0.9}, 1000),
            ("two", {"model": "m-2", "temperature": 0.2, "stop": ["\n"]}, 20),
        ):
            say_one(t, text, "assistant", generation_config=config)
            t.record_usage({"prompt_tokens": prompt, "completion_tokens": 5})
        t.tag("v1")
        t.branch("side")
        say_one(t, "three", "assistant", generation_config={"model": "m-1", "temperature": 1})
        say_one(opened.tract("other"), "elsewhere", "assistant", generation_config={"model": "m-1"})
    return store


def texts(run: Run, *arguments: str) -> list[str]:
    told = run("query", *arguments)
    assert told.code == 0, told.err
    return [line.split("assistant: ")[-1].split("user: ")[-1] for line in told.out.splitlines()[1:]]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (['temperature > 0.5 and model = "m-1"'], ["one", "three"]),
        (["temperature > 0.5 and not @tag = 'v1'"], ["three"]),
        (["stop[0] = '\\n'"], ["two"]),
        (["model is unset"], ["What?"]),
        (["--role", "assistant", "--tag", "v1"], ["one", "two"]),
        (["model is set", "--branch", "side"], ["one", "two"]),
        (["model", "=", "m-1"], ["one", "three"]),
        (["model", "=", "m-1", "--until", "2026-01-02T03:04:08"], ["one"]),
        (["temperature", "ge", "0.9", "--tag", "v1"], ["one"]),
        (["model is set", "--since", "2026-01-02T03:04:11"], ["three"]),
        (["--type", "dialogue", "@text contains 't'"], ["What?", "two", "three"]),
        (["@usage.prompt_tokens > 100"], ["one"]),
        (["--all-tracts", "model = 'm-1'"], ["one", "three", "elsewhere"]),
        (["--all-tracts", "@tract = 'other'"], ["elsewhere"]),
    ],
)
def test_an_expression_and_the_filters_find_commits(asked: Run, arguments: list[str], found: list[str]) -> None:
    assert texts(asked, *arguments) == found


def test_the_answer_over_all_tracts_has_the_tract_of_each_commit(asked: Run) -> None:
    lines = asked("query", "--all-tracts", "model = 'm-1'").out.splitlines()
    assert lines[0].split() == ["commit", "tract", "made", "(UTC)", "what", "tokens", "config", "text"]
    assert [line.split()[1] for line in lines[1:]] == ["default", "default", "other"]
    document = asked("query", "--all-tracts", "model = 'm-1'", "--json").document
    assert [one["tract_id"] for one in document] == ["default", "default", "other"]


def test_groups_are_a_table_or_json_or_csv(asked: Run) -> None:
    Path("prices.json").write_text(json.dumps({"m-1": {"prompt": 2, "completion": 8}}), encoding="utf-8")
    arguments = ["query", "--group-by", "model", "--sum", "tokens,usage.prompt_tokens", "--prices", "prices.json"]
    told = asked(*arguments)
    assert told.out.splitlines() == [
        "model   commits  tokens  prompt    cost",
        "(none)        1       6       0  0.0000",
        "m-1           2      15   1,000  0.0020",
        "m-2           1       7      20  0.0000",
    ]
    assert told.err == "warning: the cost leaves out 1 commit with usage: no price is given for the model\n"
    assert asked(*arguments, "--json").document[1] == {
        "key": {"model": "m-1"},
        "count": 2,
        "sums": {"tokens": 15, "usage.prompt_tokens": 1000},
        "cost": 0.00204,
        "unpriced_count": 0,
    }
    assert asked(*arguments, "--csv").out == (
        "model,count,tokens,usage.prompt_tokens,cost,unpriced_count\r\n"
        ",1,6,0,0.0,0\r\nm-1,2,15,1000,0.00204,0\r\nm-2,1,7,20,0.0,1\r\n"
    )


def test_groups_are_over_what_matches_and_over_all_tracts(asked: Run) -> None:
    assert asked("query", "model is set", "--group-by", "@tract,@branch", "--all-tracts").out.splitlines() == [
        "@tract   @branch  commits",
        "default  main           3",
        "default  side           2",
        "other    main           1",
    ]
    assert asked("query", "--sum", "usage", "--json").document[0]["sums"]["usage.total_tokens"] == 1030
    told = asked("query", "model = 'none'", "--group-by", "model")
    assert (told.code, told.out, told.err) == (0, "", "no commit matches\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["role = 'assistant'"],
        ["model = 'none' or not (role is unset)", "--group-by", "model"],
        ["--group-by", "model,role"],
        ["role", "=", "assistant"],
    ],
)
def test_a_facet_without_its_mark_is_hinted_at(asked: Run, arguments: list[str]) -> None:
    hint = "warning: role without @ is a field of the generation config; for the role of a commit write @role\n"
    assert asked("query", *arguments).err.endswith(hint)
    assert "@" not in asked("query", "model = 'none'").err


def test_commits_as_csv_have_their_configs_as_json(asked: Run) -> None:
    lines = asked("query", "stop is set", "--csv").out.split("\r\n")
    assert lines[0] == "commit_hash,tract_id,created_at,operation,content_type,token_count,generation_config"
    assert lines[1].split(",", 1)[1] == (
        'default,2026-01-02T03:04:09.000006Z,append,dialogue,7,"{""model"":""m-2"",""stop"":[""\\n""],""temperature"":0.2}"'
    )
    assert lines[2:] == [""]


def test_a_query_that_can_not_be_understood_has_a_caret(asked: Run) -> None:
    told = asked("query", "temperature > and model = 'm-1'")
    assert (told.code, told.out) == (1, "")
    assert told.err.splitlines()[1:] == ["    temperature > and model = 'm-1'", "                  ^"]
    error = json.loads(asked("query", "temperature >", "--json").err)
    assert error["error"] == "QueryError"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["model is set", "--csv", "--json"], 2, "not both"),
        (["model", "=", "x", "y"], 2, "FIELD OP VALUE, not: model = x y"),
        (["--nested", "a.b = 1"], 2, "FIELD OP VALUE, not: a.b = 1"),
        (["model", "is", "set"], 2, "or give one EXPRESSION in quotes"),
        (["--tag", "none"], 1, "none"),
        (["--type", "dialoge"], 1, "--type 'dialoge': not built in, and no commit here has it"),
        (["--all-tracts", "--type", "dialoge"], 1, "--type 'dialoge': not built in, and no commit here has it"),
        (["--branch", "mian", "model is set"], 1, "mian"),
        (["--sum", "temperature"], 1, "use tokens, usage"),
        (["--group-by", "model,"], 1, "expected a field"),
        (["--since", "soon", "a = 1"], 2, "--since"),
        (["--prices", "absent.json"], 1, "absent.json"),
    ],
)
def test_what_can_not_be_meant_is_an_error(asked: Run, arguments: list[str], code: int, said: str) -> None:
    told = asked("query", *arguments)
    assert (told.code, told.out) == (code, "")
    assert said in told.err


def test_nothing_of_a_store_is_obeyed_in_groups_and_csv(store: Run) -> None:
    evil = "a\x1b]0;title\x07\nb"
    commit(store, "-m", "x", "--config", f"model={evil}")
    for arguments in (["--group-by", "model"], ["--group-by", "model", "--csv"], ["model is set", "--csv"]):
        out = store("query", *arguments).out
        assert not set(out) & {"\x1b", "\x07"}
        assert "a\\" in out
