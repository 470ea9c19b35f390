"""The page in a browser: its contexts are those of `compile`, hostile texts are texts, nothing leaves it, and it is quick."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.lab.browser import dom, evaluate
from tests.lab.talk import Clock, user
from tract_fs import RecordContent, ToolsContent, Tract
from tract_fs.errors import MergeError, SummarizeError

pytestmark = [pytest.mark.campaign, pytest.mark.needs("chromium")]  # a large package, which a plain run does without
HOSTILE = [
    "</script><script>document.title='broken'</script>",
    "<img src=http://127.0.0.1:9/x onerror=\"document.title='broken'\">",
    "</style></title><b id=injected>bold</b>",
    "evil \u202etxt.exe\u2066 and \u200f mark",
    "line\u2028separator\u2029paragraph",
    "escape \x1b[31m bell \x07",
    "عربي שלום",
]


def play(t: Tract, chance: random.Random) -> None:
    """Makes a history of all operations at random: calls and results, edits, skips, summaries, branches, merges."""
    t.add("hello")
    for number in range(24):
        commits = t.compile().commit_hashes
        step = chance.choice(
            ["talk", "talk", "call", "call", "skip", "edit", "summarize", "branch", "merge", "silent", "show"]
        )
        some = chance.sample(commits, min(len(commits), 1 + chance.randrange(4)))
        if step == "call":
            t.import_messages(_exchange(f"c{chance.randrange(6)}", chance.randrange(3)))
        elif step == "silent":
            t.commit(
                ToolsContent([{"name": f"f{number}"}]) if chance.random() < 0.5 else RecordContent("k", {"n": number})
            )
        elif step == "skip" and some:
            t.annotate(some[0], "skip", reason=f"because {number}")
        elif step == "show":
            skipped = [commit for commit in t.log(None) if commit.priority is not None]
            if skipped:
                t.annotate(chance.choice(skipped).targets[0], chance.choice(["normal", "pinned"]))
        elif step == "edit" and some:
            edit = t.edit(some[0], user(f"edited {number}"), generation_config={"n": number} if number % 2 else None)
            if chance.random() < 0.3:
                t.annotate(edit.commit_hash, "skip")
        elif step == "summarize" and some:
            _try(lambda some=some, number=number: t.summarize(some, f"summary {number}", keep_pinned=False))
        elif step == "branch":
            t.switch(f"b{number}", create=True)
        elif step == "merge":
            _merge(t, chance)
        else:
            t.add(f"said {number}", generation_config={"temperature": number / 10})


def _exchange(id_: str, answers: int) -> list[dict[str, Any]]:
    call = {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": id_, "content": "found"}
    return [{"role": "assistant", "content": None, "tool_calls": [call]}, *([result] * answers)]


def _merge(t: Tract, chance: random.Random) -> None:
    branches = sorted(t.branches())
    others = [branch for branch in branches if branch != t.branch]
    if others:
        t.switch(chance.choice(branches))
        _try(lambda: t.merge(chance.choice(others), prefer="newer"))


def _try(work: Any) -> None:
    with suppress(MergeError, SummarizeError):
        work()


CONTEXTS = """
  const found = {};
  for (let place = 0; place < all.length; place++) {
    open(place, "");
    found[T.id] = T.hash.map((hash, commit) => {
      const context = compile(commit);
      return [hash, context.tokens, context.messages.map(slot => T.hash[slot.commit]),
        context.messages.map(slot => configOf(slot) < 0 ? {} : T.configs[configOf(slot)]), context.tools === null];
    });
  }
  return found;
"""


def test_the_page_compiles_every_commit_of_random_histories_as_compile_does(tmp_path: Path) -> None:
    store = tmp_path / "context"
    for seed in range(8):
        with Tract.open(store, tract_id=f"t{seed}", durability="fast", clock=Clock()) as t:
            play(t, random.Random(seed))
            t.view(tmp_path / "page.html", all_tracts=True)
    found = evaluate(tmp_path / "page.html", CONTEXTS)
    assert len(found) == 8
    count = 0
    for tract_id, contexts in found.items():
        with Tract.open(store, tract_id=tract_id, create=False) as t:
            for commit, tokens, commits, configs, has_no_tools in contexts:
                with t.at(commit) as past:
                    context = past.compile()
                expected = [name[:16] for name in context.commit_hashes]
                assert (commits, tokens) == (expected, context.token_count), (tract_id, commit)
                assert configs == context.generation_configs
                assert has_no_tools == (not context.tools)
                count += len(commits)
    assert count > 900


def test_hostile_texts_are_shown_as_texts(t: Tract, tmp_path: Path) -> None:
    t.describe(title=HOSTILE[0])
    for text in HOSTILE:
        t.add(text, metadata={text: text}, generation_config={"model": text})
    t.add("a" * 1_000_000)
    t.view(tmp_path / "page.html")
    shown = dom(tmp_path / "page.html")
    assert "<title>&lt;/script&gt;&lt;script&gt;document.title='broken'&lt;/script&gt; · tract</title>" in shown
    assert "<img" not in shown
    assert '<b id="injected"' not in shown
    assert shown.count("<script") == 1  # that of the page; its data block is gone once read
    for text in (
        "evil <span",
        "txt.exe",
        "Show more of 1,000,000 characters",
        "عربي שלום",
        "line<span",
        "&lt;img src=http",
    ):
        assert text in shown, text
    for name in ("RLO", "LRI", "RLM", "LS", "PS", "ESC", "U+0007"):
        assert f">{name}</span>" in shown, name
    visible = shown.split("</style>")[1].split("<script>")[0]
    assert not set(visible) & set("\u202e\u2066\u200f\u2028\u2029\x1b\x07")


@pytest.fixture
def requests() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def test_no_request_leaves_the_page_whatever_a_script_tries(
    t: Tract, tmp_path: Path, requests: tuple[str, list[str]]
) -> None:
    address, asked = requests
    t.add("one")
    t.view(tmp_path / "page.html")
    code = f"""
      const blocked = [];
      document.addEventListener("securitypolicyviolation", event => blocked.push(event.effectiveDirective));
      await fetch("{address}/fetch").catch(() => 0);
      const add = (tag, fields) => document.body.append(Object.assign(document.createElement(tag), fields));
      add("img", {{ src: "{address}/image" }});
      add("script", {{ src: "{address}/script" }});
      add("script", {{ textContent: "document.title = 'broken'" }});
      add("iframe", {{ src: "{address}/frame" }});
      add("link", {{ rel: "stylesheet", href: "{address}/style" }});
      await new Promise(done => setTimeout(done, 300));
      return [document.title, [...new Set(blocked)].sort()];
    """
    title, blocked = evaluate(tmp_path / "page.html", code)
    assert title == "default · tract"
    assert blocked == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    assert asked == []


def test_a_link_into_the_page_opens_a_commit_with_all_that_is_known_of_it(t: Tract, tmp_path: Path) -> None:
    question = t.commit(user("one?"), message="the first", metadata={"run": 7}, generation_config={"model": "m-1"})
    t.annotate(question.commit_hash, "skip", reason="said twice")
    t.tag("v1", question.commit_hash)
    t.view(tmp_path / "page.html")
    shown = dom(tmp_path / "page.html", "at=v1&tab=commit")
    for text in ("the first", "said twice", '"run": 7', "m-1", "one?", question.commit_hash[:16], "append"):
        assert text.lower() in shown.lower(), text


def test_what_a_context_leaves_out_is_shown_with_the_reason(t: Tract, tmp_path: Path) -> None:
    first, second, third = (t.add(text).commit_hash for text in ("one", "two", "three"))
    t.annotate(first, "skip", reason="said twice")
    t.summarize([second, third], "They counted.")
    t.view(tmp_path / "page.html")
    shown = dom(tmp_path / "page.html")
    assert "1 message, 12 tokens · left out: 1 skipped, 2 summarized" in shown
    assert "left out: user skipped: said twice · one" in re.sub("<[^>]*>", "", shown)
    assert "2 commits left out: 2 summarized" in shown


def test_a_diff_shows_messages_and_lines(t: Tract, tmp_path: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(40))
    first = t.commit(user(text))
    t.add("two")
    t.edit(first.commit_hash, user(text.replace("line 20\n", "another line\n")))
    t.view(tmp_path / "page.html")
    shown = dom(tmp_path / "page.html", f"tab=diff&a={first.commit_hash[:16]}&b=main")
    assert "1 added, 0 removed, 1 changed, 0 unchanged" in shown
    assert '<div class="remove">\u2212 line 20</div><div class="add">+ another line</div>' in shown
    assert "… 17 equal lines" in shown
    assert "line 5<" not in shown.split('id="view"')[1]


def test_an_empty_tract_is_shown_as_empty_and_keys_move_search_and_switch_in_another(t: Tract, tmp_path: Path) -> None:
    with Tract.open(tmp_path / "a", tract_id="other", durability="fast") as other:
        for number in range(50):
            other.add(f"message {number}")
    t.refresh()
    t.view(tmp_path / "page.html", all_tracts=True)
    code = """
      const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const seen = [$("view").textContent], note = () => seen.push([now.tab, T.text[now.at], now.hits && now.hits.length]);
      open(1, "");
      press("j"); press("j"); press("k"); note();
      press("G"); note();
      seen.push($("rows").querySelector(".selected") !== null);
      press("/"); $("search").value = "message 7"; $("search").oninput(); press("j"); note();
      press("Escape"); press("4"); note();
      press("?"); seen.push($("keys").open); press("?"); seen.push($("keys").open);
      press("t"); seen.push(document.documentElement.dataset.theme);
      return seen;
    """
    assert evaluate(tmp_path / "page.html", code) == [
        "This tract has no commits yet.",
        ["context", "message 48", None],
        ["context", "message 0", None],
        True,
        ["context", "message 7", 1],
        ["usage", "message 7", None],
        True,
        False,
        "dark",
    ]


def test_a_call_is_shown_beside_the_text_of_its_message(t: Tract, tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find_order", "arguments": '{"id":7}'}}
    t.import_messages(
        [
            {"role": "assistant", "content": "Let me look 🔎.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "found"},
            {"role": "assistant", "content": "So:\n```python\nx = 1\n```\nDone."},
        ]
    )
    t.view(tmp_path / "page.html")
    code = """
      const bodies = [...$("view").querySelectorAll(".body")].map(body => [body.className, body.textContent]);
      return [bodies, [...$("view").querySelectorAll(".fence")].map(one => one.textContent), search("find_order").length];
    """
    assert evaluate(tmp_path / "page.html", code) == [
        [
            ["body ", "Let me look 🔎."],
            ["body code call", 'calls find_order({"id":7})'],
            ["body code", "found"],
            ["body ", "So:\n```python\nx = 1\n```\nDone."],
        ],
        ["```python\nx = 1\n```\n"],
        1,
    ]


def test_records_are_listed_on_request_and_the_graph_goes_around_them(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    t.commit(RecordContent("step", {"n": 1}))
    t.add("two")
    t.switch("side", create=True)
    t.commit(RecordContent("step", {"n": 2}))
    t.view(tmp_path / "page.html")
    code = """
      const rows = () => list().order.map(place => T.text[place].split("\\n")[0]), seen = [];
      const left = () => [...$("view").querySelectorAll("details.left summary")].map(one => one.textContent.split(" · ")[0]);
      seen.push(rows(), list().graph.lines.get(2), left());
      showRecords(true);
      seen.push(rows(), left());
      showRecords(false);
      select(1);
      seen.push(rows(), $("records").textContent);
      return seen;
    """
    assert evaluate(tmp_path / "page.html", code) == [
        ["step", "two", "one"],  # the record that the branch ends with is listed, as a head is
        [[0, 0, 1], [0, 0, 2]],
        ["left out: record a record is no message"],
        ["step", "two", "step", "one"],
        ["left out: record a record is no message"] * 2,
        ["step", "two", "step", "one"],
        "Records (2)",
    ]


def test_a_commit_shows_what_becomes_of_it_in_the_current_branch(t: Tract, tmp_path: Path) -> None:
    skipped, edited = t.commit(user("one")), t.commit(user("two"))
    edits = [t.edit(edited.commit_hash, user(text)).commit_hash for text in ("three", "four")]
    t.annotate(skipped.commit_hash, "skip", reason="said twice")
    with t.on("side", create=True) as side:
        other = side.add("five").commit_hash
    t.view(tmp_path / "page.html")
    code = """
      const fate = hash => { select(resolve(hash), "commit"); return [...$("view").querySelectorAll(".facts tr")]
        .filter(row => row.firstChild.textContent === "in main").map(row => row.lastChild.textContent); };
      return [%s].map(fate);
    """
    names = [skipped.commit_hash, edited.commit_hash, *edits, str(t.head), other]
    found = evaluate(tmp_path / "page.html", code % ", ".join(f"'{name}'" for name in names))
    annotation, last = str(t.head)[:8], edits[1][:8]
    assert found == [
        [f"left out: skipped: said twice {annotation}"],
        [f"message 1, with the text of the edit {last}"],
        [f"this edit does not apply: {last} shows"],
        ["message 1"],
        [],
        ["it is not in this history"],
    ]


def test_the_current_branch_is_named_first_and_a_long_name_by_its_ends(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    for name in ("a", "also", "feature/of-a-long-name-in-two-parts-1"):
        t.branch(name)
    t.tag("v1")
    t.view(tmp_path / "page.html")
    code = """
      const texts = place => [...place.querySelectorAll(".chip")].map(chip => [chip.textContent, chip.title]);
      return [texts($("rows")), texts($("view").querySelector("h2")).slice(3)];
    """
    assert evaluate(tmp_path / "page.html", code) == [
        [["main", "main"], ["a", "a"], ["+3", "also, feature/of-a-long-name-in-two-parts-1, v1"]],
        [["feature/of…e-in-two-parts-1", "feature/of-a-long-name-in-two-parts-1"], ["v1", "v1"]],
    ]


def test_usage_is_shown_by_model_with_what_was_recorded_before_the_answer(t: Tract, tmp_path: Path) -> None:
    t.add("one?")
    t.record_usage({"prompt_tokens": 1400, "completion_tokens": 3})
    t.add({"role": "assistant", "content": "One."}, generation_config={"model": "m-1"})
    t.view(tmp_path / "page.html")
    shown = re.sub("<[^>]*>", "|", dom(tmp_path / "page.html", "tab=usage"))
    assert "||m-1||1||1,400||3||0|" in shown


def test_the_list_and_the_tabs_have_their_roles_and_keep_the_focus(t: Tract, tmp_path: Path) -> None:
    for number in range(3):
        t.add(f"message {number}")
    t.view(tmp_path / "page.html")
    code = """
      const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const seen = [], row = () => document.getElementById($("list").getAttribute("aria-activedescendant"));
      $("list").focus();
      press("End");
      seen.push([row().textContent.includes("message 0"), row().getAttribute("aria-selected"), row().getAttribute("aria-posinset")]);
      press("Home"); press("ArrowDown");
      seen.push([row().textContent.includes("message 1"), row().getAttribute("role"), row().getAttribute("aria-setsize")]);
      $("tab-context").focus();
      press("ArrowRight"); press("ArrowRight");
      seen.push([document.activeElement.id, document.activeElement.getAttribute("aria-selected"), $("view").getAttribute("aria-labelledby")]);
      press("ArrowRight"); press("ArrowRight");
      seen.push([...$("tabs").children].map(tab => tab.tabIndex));
      openTab("commit");
      $("view").querySelector("a").click();
      seen.push(document.activeElement.id);
      return seen;
    """
    assert evaluate(tmp_path / "page.html", code) == [
        [True, "true", "3"],
        [True, "option", "3"],
        ["tab-diff", "true", "tab-diff"],
        [0, -1, -1, -1],
        "view",
    ]


def test_ten_thousand_commits_have_few_elements(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "context", durability="fast") as t:
        t.import_stream({"role": "user", "content": f"message {n} {'word ' * 90}"} for n in range(10_000))
        t.view(tmp_path / "page.html")
    found = evaluate(
        tmp_path / "page.html",
        """
          const rows = $("rows").childElementCount, filled = document.querySelectorAll("#view .body").length;
          return [rows < 60, filled < 60, document.querySelectorAll("#view > *").length < 600, search("message 77 ").length, compile(T.n - 1).messages.length];
        """,
    )
    assert found == [True, True, True, 1, 10_000]
