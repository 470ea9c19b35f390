"""The page as a file: its data are out of reach of markup, its policy allows one style and one script, its texts are what people read."""

from __future__ import annotations

import json
import random
import re
from base64 import b64encode, b85decode
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import decompress

import pytest

from tests.lab.talk import user
from tract_fs import ArgumentError, RecordContent, ToolsContent, Tract
from tract_fs.errors import ObjectMissing
from tract_fs.page.document import make_document
from tract_fs.page.texts import as_json, readable

TEMPLATE = b'<meta content="{{policy}}"><style>a{}</style><script id="data" type="text/plain">{{data}}</script><script>b()</script>'
HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & \u2028\u2029\u202e\x00"


def data_of(document: bytes) -> Any:
    block = re.search(rb'<script id="data" type="text/plain">([^<>&]*)</script>', document)
    assert block is not None
    return json.loads(decompress(b85decode(block[1].translate(bytes.maketrans(b",.:", b"<>&")))))


def test_no_character_of_a_text_stands_in_the_document() -> None:
    document = make_document(TEMPLATE, {"text": HOSTILE})
    assert data_of(document) == {"text": HOSTILE}
    assert document.count(b"<script") == 2
    assert b"onerror" not in document


def test_the_policy_allows_the_style_and_the_script_of_the_template_and_nothing_else() -> None:
    document = make_document(TEMPLATE, {})
    style, script = (b64encode(sha256(part).digest()).decode() for part in (b"a{}", b"b()"))
    assert document.startswith(
        f"<meta content=\"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'\">".encode()
    )


def test_the_template_never_makes_markup_of_a_text_and_names_no_address() -> None:
    page = (Path(__file__).parents[2] / "tract_fs/page/page.html").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser"):
        assert way not in page, way
    for way in (
        "http:",
        "https:",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "import(",
        "url(",
        "@import",
        "src=",
        " on",
    ):
        assert way not in page.replace(" once", "").replace(" one", "").replace(" on ", "").replace(" only", ""), way


def test_colours_have_the_contrast_that_readers_need() -> None:
    style = (Path(__file__).parents[2] / "tract_fs/page/page.html").read_text(encoding="utf-8").split("</style>")[0]
    for start in (":root {", ":root[data-theme=dark] {"):
        colours = dict(re.findall(r"--([a-z]+): #([0-9a-f]+)", style.split(start)[1].split("}")[0]))
        texts = ("text", "muted", "accent", "system", "user", "assistant", "tool", "warn")
        pairs = [(text, below) for text in texts for below in ("page", "card", "soft", "selected")]
        pairs += [("text", "add"), ("text", "remove"), ("text", "mark"), ("card", "accent")]
        for text, below in pairs:  # WCAG 2.2, success criterion 1.4.3
            assert contrast(colours[text], colours[below]) >= 4.5, (start, text, below)
        for edge in ("edge", "lane", "accent"):  # 1.4.11
            assert contrast(colours[edge], colours["card"]) >= 3, (start, edge)


def contrast(one: str, other: str) -> float:
    """Returns the contrast ratio of two colours (WCAG 2.2, "relative luminance")."""

    def luminance(colour: str) -> float:
        whole = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
        parts = [int(whole[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param({"role": "user", "content": "hi"}, "hi", id="text"),
        pytest.param({"role": "assistant", "content": None}, "", id="nothing"),
        pytest.param(
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
            },
            'I look.\ncalls f({"x":1})',
            id="chat call",
        ),
        pytest.param(
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {}},
                ],
            },
            "[thinking] Hm.\nI look.\ncalls f({})",
            id="anthropic call",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "found"}]}
                ],
            },
            "found",
            id="anthropic result",
        ),
        pytest.param({"type": "function_call_output", "call_id": "c", "output": "found"}, "found", id="responses"),
        pytest.param(
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}, {"text": "x"}]},
            "calls f({})\nx",
            id="gemini",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 99}"}}],
            },
            "[image_url]",
            id="image",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "input_image", "image_url": f"blob:{'a' * 64}"}]},
            f"[input_image blob:{'a' * 64}]",
            id="blob",
        ),
        pytest.param(
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm.", "refusal": None},
            "[thinking] Hm.\nYes.",
            id="reasoning beside the text",
        ),
        pytest.param({"role": "assistant", "content": None, "refusal": "No."}, "[refusal] No.", id="refusal"),
        pytest.param(
            {"role": "user", "content": [{"type": "new", "x": 1}]}, '{\n  "type": "new",\n  "x": 1\n}', id="unknown"
        ),
    ],
)
def test_a_message_is_shown_as_people_read_it(body: object, text: str) -> None:
    assert readable(body) == text


def test_a_message_with_calls_has_its_text_and_where_the_calls_begin(t: Tract, tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    t.import_messages(
        [
            {"role": "assistant", "content": "I look 🔎", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "found"},
        ]
    )
    t.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert tract["text"] == ["I look 🔎\ncalls f({})", "found"]
    assert tract["prose"] == {"0": 10}  # UTF-16 units: a script slices by them


def test_a_long_value_is_cut_and_says_so() -> None:
    assert as_json({"x": "a" * 1301}) == '{\n  "x": "' + "a" * 300 + '… [1,001 characters left out]"\n}'
    assert as_json(["b"] * 2000).endswith("\n… [10,002 characters left out]")


def test_the_data_name_commits_by_their_place(t: Tract, tmp_path: Path) -> None:
    question = t.commit(user("one?"), message="the first", metadata={"run": 7})
    t.add({"role": "assistant", "content": "One."}, generation_config={"model": "m-1"})
    t.record_usage({"prompt_tokens": 14, "completion_tokens": 3})
    t.annotate(question.commit_hash, "skip", reason="said twice")
    t.tag("v1", question.commit_hash)
    t.switch("draft", create=True)
    t.edit(question.commit_hash, user("two?"))
    t.commit(RecordContent("state", {"step": 1}))
    t.commit(ToolsContent([]))
    page = t.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (page.tracts, page.commit_count, page.size_bytes) == (
        ("default",),
        6,
        (tmp_path / "page.html").stat().st_size,
    )
    assert tract["hash"][0] == question.commit_hash[:16]
    assert (tract["op"], tract["back"]) == ("aaneaa", [[], [1], [1], [1], [1], [1]])
    assert tract["text"][:4] == ["one?", "One.", None, "two?"]
    assert (tract["targets"], tract["set"], tract["reason"]) == (
        {"2": [0], "3": [0]},
        {"2": "skip"},
        {"2": "said twice"},
    )
    assert (tract["message"], tract["metadata"], tract["usage"]) == (
        {"0": "the first"},
        {"0": {"run": 7}},
        {"1": [14, 3, 0]},
    )
    assert (tract["configs"], tract["config"][:2]) == ([{"model": "m-1"}], [-1, 0])
    assert tract["state"] == {"4": "record", "5": "tools"}
    assert tract["text"][4:] == ['state\n{\n  "step": 1\n}', "[]"]
    assert (tract["branch"], tract["branches"], tract["tags"]) == ("draft", {"draft": [5], "main": [2]}, {"v1": 0})


def test_commits_that_no_branch_shows_are_in_the_page_too(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    t.add("two")
    t.reset("main~1")
    t.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (tract["text"], tract["branches"]) == (["one", "two"], {"main": [0]})


def test_a_fork_shows_what_it_was_made_from(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    with t.fork("helper") as helper:
        helper.add("two")
        helper.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (tract["id"], tract["text"], tract["back"]) == ("helper", ["one", "two"], [[], [1]])


def test_all_tracts_are_in_one_page_the_own_first(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    with Tract.open(tmp_path / "a", tract_id="another", branch="side") as other:
        other.add("two")
        page = other.view(tmp_path / "page.html", all_tracts=True)
    tracts = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (page.tracts, page.commit_count) == (("another", "default"), 2)
    assert [tract["text"] for tract in tracts] == [["two"], ["one"]]


def test_a_page_is_replaced_and_any_other_file_is_not(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    page = tmp_path / "page.html"
    t.view(page)
    t.add("two")
    t.view(page)
    assert data_of(page.read_bytes())["tracts"][0]["text"] == ["one", "two"]
    page.write_text("<!doctype html> my own", encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"page\.html exists, and is no page of this command"):
        t.view(page)
    assert page.read_text(encoding="utf-8") == "<!doctype html> my own"


def test_five_megabytes_of_text_in_ten_thousand_commits_make_less_than_half_of_that(t: Tract, tmp_path: Path) -> None:
    chance = random.Random(1)
    words = [sha256(str(n).encode()).hexdigest()[: 2 + n % 7] for n in range(4000)]  # deflates to 0.36, as English does
    texts = [" ".join(words[int(4000 ** chance.random())] for _ in range(86)) for _ in range(10_000)]
    assert 5_000_000 < sum(map(len, texts)) < 5_100_000
    t.import_stream({"role": "user" if n % 2 else "assistant", "content": text} for n, text in enumerate(texts))
    assert t.view(tmp_path / "page.html").size_bytes < 2_500_000


def test_an_empty_tract_makes_a_page(t: Tract, tmp_path: Path) -> None:
    assert t.view(tmp_path / "page.html").commit_count == 0


def test_a_lost_content_is_named_as_lost(t: Tract, tmp_path: Path) -> None:
    t.add("one")
    lost = t.commit(user("two"))
    t.flush()
    assert lost.content_hash is not None
    (path,) = (tmp_path / "a/.tract/objects").rglob(lost.content_hash[2:])
    path.unlink()
    with Tract.open(tmp_path / "a", incomplete="use") as again:
        again.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (tract["text"], tract["state"]) == (["one", None], {"1": "lost"})


def test_what_builds_on_a_lost_commit_is_left_out_with_a_warning_where_gaps_are_accepted(
    t: Tract, tmp_path: Path
) -> None:
    first, lost, _ = t.add("one"), t.add("two"), t.add("three")
    t.flush()
    (tmp_path / "a/.tract/objects" / lost.commit_hash[:2] / lost.commit_hash[2:]).unlink()
    with Tract.open(tmp_path / "a") as again, pytest.raises(ObjectMissing):
        again.view(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with Tract.open(tmp_path / "a", incomplete="use") as again:
        again.view(tmp_path / "page.html")
    (tract,) = data_of((tmp_path / "page.html").read_bytes())["tracts"]
    assert (tract["hash"], tract["text"]) == ([first.commit_hash[:16]], ["one"])
    assert tract["warnings"][-1] == "2 commits are left out: they are missing, or build on a missing one"
