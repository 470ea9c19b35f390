"""Media: images, documents and recordings in a message count by their size, not by the length of their base64 text."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.lab.states import remove_local
from tests.lab.talk import say
from tract_fs import (
    ArgumentError,
    BudgetExceeded,
    FreeformContent,
    Media,
    MediaEstimate,
    MessageContent,
    TokenBudgetConfig,
    TokenizerError,
    Tract,
    TractConfig,
    VocabularyCounter,
)
from tract_fs.model.media import image_size

PADDING = bytes(225_000)  # makes 300 kB of base64


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + PADDING


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 60_002) + bytes(60_000)
    frame = b"\xff\xff\xc2\0\x11\x08" + struct.pack(">HH", height, width) + b"\x03"
    return b"\xff\xd8" + exif + frame + PADDING


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + PADDING


def webp(form: bytes, rest: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + form + b"\0\0\0\0" + rest + PADDING


SIZES: dict[str, tuple[bytes, tuple[int, int] | None]] = {
    "png": (png(1000, 700), (1000, 700)),
    "jpeg": (jpeg(1000, 700), (1000, 700)),
    "gif": (gif(1000, 700), (1000, 700)),
    "webp, lossy": (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 1000, 700)), (1000, 700)),
    "webp, lossless": (webp(b"VP8L", b"\x2f" + struct.pack("<I", 999 | 699 << 14)), (1000, 700)),
    "webp, extended": (webp(b"VP8X", bytes(4) + b"\xe7\x03\0\xbb\x02\0"), (1000, 700)),
    "png of no size": (png(0, 700), None),
    "png that is cut": (png(1000, 700)[:18], None),
    "jpeg without a frame": (b"\xff\xd8\xff\xe0\0\x02\xff\xda\0\x02", None),
    "jpeg whose segment has no length": (b"\xff\xd8\xff\xe0\0\0" * 9, None),
    "jpeg that is cut": (b"\xff\xd8", None),
    "webp of an unknown form": (webp(b"ABCD", b""), None),
    "nothing": (b"", None),
    "a text": (b"hello", None),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_size_of_an_image_is_in_its_header(name: str) -> None:
    data, size = SIZES[name]
    assert image_size(data) == size


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def openai(data: bytes, media_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{base64(data)}", **more}}


def anthropic(data: bytes, media_type: str = "image/png", kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": base64(data)}}


PDF = b"%PDF-1.4 /Type /Pages /Type /Page /Type/Page\n/Type /Page>" + PADDING
# blocks, the tokens of the media, and those of the strings beside it
BLOCKS: dict[str, tuple[dict[str, Any], int, int]] = {
    # OpenAI: 85, and 170 per tile of 512 once it fits in 2048 x 2048 and its shorter side is 768
    "OpenAI, 1024 x 1024": (openai(png(1024, 1024)), 765, 3),
    "OpenAI, 2048 x 4096": (openai(png(2048, 4096)), 1105, 3),
    "OpenAI, 512 x 512": (openai(jpeg(512, 512), "image/jpeg"), 255, 3),
    "OpenAI, a line": (openai(png(4_000_000_000, 1)), 765, 3),
    "OpenAI, low": (openai(png(2048, 4096), detail="low"), 85, 4),
    "OpenAI, high": (openai(png(2048, 4096), detail="high"), 1105, 4),
    "OpenAI, unknown": (openai(PADDING), 1600, 3),
    "OpenAI, responses": (
        {"type": "input_image", "detail": "low", "image_url": "data:image/gif;base64," + base64(gif(9, 9))},
        85,
        4,
    ),
    "OpenAI, a file": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + base64(PDF)}},
        9000,
        3,
    ),
    "OpenAI, a file without a prefix": ({"type": "input_file", "file_data": base64(PDF)}, 9000, 3),
    "OpenAI, sound": (
        {"type": "input_audio", "input_audio": {"data": base64(PADDING), "format": "wav"}},
        1600,
        4,
    ),
    # Anthropic: width * height / 750 once its longer side is 1,568, at most 1,600
    "Anthropic, 200 x 200": (anthropic(png(200, 200)), 54, 7),
    "Anthropic, 1000 x 1000": (anthropic(png(1000, 1000)), 1334, 7),
    "Anthropic, 3136 x 500": (anthropic(webp(b"VP8X", bytes(4) + b"\x3f\x0c\0\xf3\x01\0"), "image/webp"), 523, 7),
    "Anthropic, 8000 x 8000": (anthropic(png(8000, 8000)), 1600, 7),
    "Anthropic, unknown": (anthropic(b"\0" + PADDING), 1600, 7),
    "Anthropic, no base64": ({"type": "image", "source": {"media_type": "image/png", "data": "=" * 300_000}}, 1600, 5),
    "Anthropic, a document": (anthropic(PDF, "application/pdf", "document"), 9000, 8),
    "Anthropic, a document whose pages can't be seen": (
        anthropic(b"%PDF-1.7" + PADDING, "application/pdf", "document"),
        3000,
        8,
    ),
    "Anthropic, in a tool result": (
        {"type": "tool_result", "tool_use_id": "t1", "content": [anthropic(png(200, 200))]},
        54,
        11,
    ),
    # Google: 258 per tile
    "Google, 384 x 384": ({"inline_data": {"mime_type": "image/png", "data": base64(png(384, 384))}}, 258, 3),
    "Google, 960 x 540": ({"inlineData": {"mimeType": "image/png", "data": base64(png(960, 540))}}, 1548, 3),
    "Google, sound": ({"inline_data": {"mime_type": "audio/mp3", "data": base64(PADDING)}}, 1600, 3),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_media_counts_by_its_size(t: Tract, tmp_path: Path, name: str) -> None:
    block, media, strings = BLOCKS[name]
    info = t.commit(MessageContent({"role": "user", "content": [{"type": "text", "text": "see"}, block]}))
    context = t.compile()
    assert info.token_count == 3 + 1 + 1 + 1 + strings + media  # the message, "user", "text", "see"
    assert context.token_counts == (info.token_count,)
    assert context.token_source == "estimate:utf8/4+media"
    remove_local(tmp_path / "a")
    with Tract.open(tmp_path / "a", read_only=True) as again:
        (logged,) = again.log(None)
        assert logged.token_count == info.token_count
        assert again.compile() == context


TEXTS: dict[str, dict[str, Any]] = {
    "a data URL that is the text": {"type": "text", "text": "data:image/png;base64," + "A" * 4000},
    "the text of a document": {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "A" * 4000},
    },
    "data of no type": {"type": "x", "data": "A" * 4000},
    "data of a format of no sound": {"type": "x", "data": "A" * 4000, "format": "csv"},
    "data of a type of no media": {"mime_type": "application/json", "data": "A" * 4000},
    "an URL that is none of data": {"type": "image_url", "image_url": {"url": "https://" + "A" * 3992}},
    "a data URL without base64": {"type": "image_url", "image_url": {"url": "data:image/svg+xml," + "A" * 3981}},
    "a type that is no string": {"media_type": 5, "data": "A" * 4000},
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_media_counts_as_text(t: Tract, name: str) -> None:
    info = t.commit(MessageContent({"role": "user", "content": [TEXTS[name]]}))
    assert info.token_count is not None
    assert 1000 < info.token_count < 1030
    assert t.compile().token_source == "estimate:utf8/4"


def test_a_payload_that_goes_out_as_text_counts_as_text(t: Tract) -> None:
    info = t.commit(FreeformContent(anthropic(png(200, 200))))
    assert info.token_count is not None
    assert info.token_count > 75_000
    assert t.compile().token_source == "estimate:utf8/4"


IMAGE = {"role": "user", "content": [openai(png(1024, 1024))]}  # 3 + 1 + 3 + 765
COUNT = 772


def test_a_budget_admits_an_image_of_300_kb(path: Path) -> None:
    config = TractConfig(TokenBudgetConfig(max_tokens=COUNT + 3, action="reject"))
    with Tract.open(path, config=config) as t:
        t.commit(MessageContent(IMAGE))
        assert t.compile().token_count == COUNT + 3
        with pytest.raises(BudgetExceeded):
            say(t, "one more")


def recorded(path: Path) -> list[dict[str, int]]:
    events = [json.loads(file.read_bytes())["event"] for file in path.rglob("events/*/*/*")]
    return [entry["tokens"] for event in events for op in event["ops"] for entry in op["commits"]]


@pytest.mark.parametrize("way", ["commit", "import_messages", "import_stream", "import_stream in a budget"])
def test_an_event_records_such_a_count_by_a_name_of_its_own(path: Path, way: str) -> None:
    budget = TractConfig(TokenBudgetConfig(max_tokens=9999)) if way.endswith("budget") else None
    with Tract.open(path, config=budget) as t:
        if way == "commit":
            t.commit(MessageContent(IMAGE))
        else:
            getattr(t, way.split()[0])([IMAGE])
        say(t, "hi")
    assert sorted(recorded(path), key=str) == [{"estimate:utf8/4": 5}, {"estimate:utf8/4+media": COUNT}]


def test_a_count_that_an_earlier_version_recorded_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("tract_fs.model.media.media_at", lambda fields, key: None)
        with Tract.open(path) as t:
            before = t.commit(MessageContent(IMAGE)).token_count
    assert before is not None
    assert before > 75_000
    assert recorded(path) == [{"estimate:utf8/4": before}]
    for _ in range(2):
        with Tract.open(path) as t:
            assert t.log(1)[0].token_count == before
            context = t.compile()
            assert (context.token_counts, context.token_source) == ((before,), "estimate:utf8/4")
        remove_local(path)
    with Tract.open(path, tokenizer=VocabularyCounter(), read_only=True) as t:  # which recorded nothing
        assert t.compile().token_counts[0] < 800
        assert t.compile().token_source == "o200k_base+media"


def test_the_source_names_media_only_where_a_message_that_shows_has_some(t: Tract) -> None:
    say(t, "one")
    assert t.compile().token_source == "estimate:utf8/4"
    image = t.commit(MessageContent(IMAGE)).commit_hash
    assert t.compile().token_source == "estimate:utf8/4+media"
    say(t, "two")
    assert t.compile().token_source == "estimate:utf8/4+media"
    assert t.diff(image, "@").token_source == "estimate:utf8/4+media"
    assert t.diff(image, "@").b.token_count == t.compile().token_count
    t.annotate(image, "skip")
    assert t.compile().token_source == "estimate:utf8/4"
    t.annotate(image, "normal")
    t.edit(image, MessageContent({"role": "user", "content": "no image any more"}))
    assert t.compile().token_source == "estimate:utf8/4"


class Pixels:
    """A rule of a user's own."""

    name = "own"

    def __init__(self, answer: Any = 7) -> None:
        self.answer = answer
        self.seen: list[Media] = []

    def count_media(self, media: Media) -> Any:
        self.seen.append(media)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_rule_of_ones_own_counts_media(path: Path) -> None:
    rule = Pixels()
    with Tract.open(path, media=rule) as t:
        assert t.commit(MessageContent(IMAGE)).token_count == 3 + 1 + 3 + 7
        say(t, "hi")
        assert t.compile().token_source == "estimate:utf8/4+own"
        with t.fork("sub") as fork:
            assert fork.compile().token_counts == (14, 5)
    assert (rule.seen[0].provider, rule.seen[0].media_type) == ("openai", "image/png")
    assert rule.seen[0].decode() == png(1024, 1024)
    assert sorted(recorded(path), key=str)[-1] == {"estimate:utf8/4+own": 14}
    with Tract.open(path, read_only=True) as t:  # another rule counts again
        assert t.compile().token_counts == (COUNT, 5)
        assert t.log(2)[1].token_count == COUNT


def test_contexts_that_are_kept_on_disk_belong_to_one_rule(path: Path) -> None:
    with Tract.open(path, media=Pixels()) as t:
        t.commit(MessageContent(IMAGE))
        for number in range(100):
            say(t, str(number))
        t.compile()
    with Tract.open(path) as t:
        assert t.compile().token_counts[0] == COUNT
    with Tract.open(path, media=Pixels()) as t:
        assert t.compile().token_counts[0] == 14


@pytest.mark.parametrize("answer", [-1, 1.5, True, None, KeyError("size")], ids=repr)
def test_a_rule_that_gives_no_count_is_named(path: Path, answer: Any) -> None:
    with Tract.open(path, media=Pixels(answer)) as t:
        with pytest.raises(TokenizerError) as caught:
            t.commit(MessageContent(IMAGE))
        assert caught.value.tokenizer == "own"
        assert t.head is None


@pytest.mark.parametrize("rule", [5, object(), MediaEstimate.count_media], ids=["number", "object", "function"])
def test_what_is_no_rule_is_refused(path: Path, rule: Any) -> None:
    with pytest.raises(ArgumentError, match="needs a string `name` and a `count_media"):
        Tract.open(path, media=rule)
