"""Parts: what a message of any provider consists of, in one neutral form.

A part keeps the block that it was read from, as `raw`, with the shape of that; so a block goes back to its own provider
as it came.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from tract_fs.model.fields import Fields
from tract_fs.model.shapes import Shape, part_of

MediaKind = Literal["image", "document", "audio", "video"]
PROVIDERS = {
    "openai": "OpenAI's chat completions",
    "openai-responses": "OpenAI's responses",
    "anthropic": "Anthropic's messages",
    "gemini": "Gemini's contents",
}


class NoFormError(Exception):
    """Raised for what a provider has no form for, with what that is."""


class Part(Struct, frozen=True, kw_only=True):
    """One part of a turn; `raw` is a block of `shape`, None where there is none to go back."""

    shape: Shape | None = None
    raw: Fields | None = None

    @property
    def is_signed(self) -> bool:
        """Whether the block has a signature of Gemini's thinking beside its content."""
        return self.shape == "gemini" and part_of(self.raw, "thought_signature") is not None

    def native(self, shape: Shape) -> Fields | None:
        """Returns the block that it was read from, if that has this shape."""
        return self.raw if self.shape == shape else None


class Text(Part, frozen=True, kw_only=True):
    """A text, or a refusal of the model."""

    text: str
    is_refusal: bool = False


class Thinking(Part, frozen=True, kw_only=True):
    """The model's thinking, in a block that its provider alone takes back; not even that if it is not whole."""

    is_whole: bool = True


class Call(Part, frozen=True, kw_only=True):
    """A tool call. `arguments` is the JSON text of an object, or any text where it `is_free`."""

    key: str  # by which its result is found: its id, or what stands for it in the message
    id: str | None
    name: str
    arguments: str
    is_free: bool = False


class Media(Part, frozen=True, kw_only=True):
    """An image, a document or a recording: base64 data, a URL, a text, or none of these (a file that its provider has)."""

    kind: MediaKind
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    text: str | None = None
    title: str | None = None
    detail: str | None = None
    file_id: str | None = None

    @property
    def data_url(self) -> str | None:
        """The data as a URL, or the URL."""
        return (
            self.url
            if self.data is None
            else f"data:{self.media_type or 'application/octet-stream'};base64,{self.data}"
        )

    def decoded(self) -> str | None:
        """Returns the text of a document that is one, else None."""
        if self.text is not None or self.data is None or not (self.media_type or "").startswith("text/"):
            return self.text
        try:
            return b64decode(self.data).decode()
        except ValueError:
            return None


class Sealed(Part, frozen=True, kw_only=True):
    """A block that only its provider can read; `text` is what of it can be read elsewhere."""

    kind: str
    text: str | None = None


class Unreadable(Part, frozen=True, kw_only=True):
    """A block of no known form, or a damaged one; `reason` is what it is."""

    reason: str


class Result(Part, frozen=True, kw_only=True):
    """The result of a tool call: a text, or texts and media."""

    key: str
    id: str | None
    name: str | None = None
    content: str | tuple[Part, ...] = ""
    is_error: bool = False
    is_free: bool = False  # of a call that is

    def texts(self) -> str:
        """Returns the texts, joined by a line break."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, Text))


class Turn(Struct):
    """One message in neutral form. Role: system, developer, user, assistant or tool, which has results alone."""

    role: str
    parts: list[Part]
    commits: tuple[str, ...]
    name: str | None = None
    raw: Fields | None = None  # the message, where it is one of OpenAI's chat or an item of its responses
    is_plain: bool = False  # the content is one string
    joins: bool = False  # its calls share a message with those of its neighbour
    is_item: bool = False  # of OpenAI's responses


class Notes:
    """What an export leaves out: sentences for the context's warnings, each with its commit."""

    def __init__(self, form: Shape | Literal["text"], warn: Callable[[str], object]) -> None:
        self.call = f"to_{form.replace('-', '_')}()"
        self._warn = warn

    def thinking(self, turn: Turn) -> None:
        """Notes that the thinking of a turn was left out."""
        self.left_out(turn, "has thinking of the model, which another provider does not take")

    def sealed(self, turn: Turn, part: Sealed) -> None:
        """Notes that a block was left out."""
        owner = PROVIDERS.get(part.shape or "", "its own provider")
        self.left_out(turn, f"has a block of type {part.kind!r}, which is for {owner} alone")

    def name(self, turn: Turn, form: Shape) -> None:
        """Notes that the speaker's name of a turn was left out, if it has one."""
        if turn.name is not None and turn.role != "tool":
            self.left_out(turn, f"has the speaker's name {turn.name!r}, which has no field in {PROVIDERS[form]}")

    def left_out(self, turn: Turn, what: str) -> None:
        """Notes that something was left out; `what` begins with a verb."""
        for name in turn.commits:
            self._warn(f"commit {name} {what}; {self.call} left it out")

    def changed(self, turn: Turn, what: str) -> None:
        """Notes a change; `what` begins with a verb."""
        for name in turn.commits:
            self._warn(f"commit {name} {what}")

    def general(self, sentence: str) -> None:
        """Notes what is about no commit."""
        self._warn(sentence)


def described(block: object, role: str) -> str:
    """Returns what a block is, for an error."""
    if not isinstance(block, dict):
        return f"a {type(block).__name__} among the blocks of a message"
    source = block.get("source")
    of = f" with a source of type {source.get('type')!r}" if isinstance(source, dict) else ""
    return f"a block of type {block.get('type')!r}{of} in a message of role {role!r}"


def refused(part: Part, role: str) -> NoFormError:
    """Returns the error for a part that has no form in a message of this role."""
    if isinstance(part, Unreadable):
        return NoFormError(part.reason)
    if part.raw is not None and part.shape != "gemini":
        return NoFormError(described(part.raw, role))
    what = part.kind if isinstance(part, Media | Sealed) else type(part).__name__.lower()
    return NoFormError(f"{'an' if what[0] in 'aeiou' else 'a'} {what} in a message of role {role!r}")


def split_data_url(url: str) -> tuple[str, str] | None:
    """Returns media type and base64 of a data URL, or None."""
    head, mark, data = url.partition(";base64,")
    return (head.removeprefix("data:").split(";")[0], data) if mark and head.startswith("data:") else None


def media_of_url(url: str, kind: MediaKind, block: Fields, shape: Shape, **more: str | None) -> Media:
    """Returns the media at a URL, or in it."""
    found = split_data_url(url)
    if found is None:
        return Media(kind=kind, url=url, raw=block, shape=shape, **more)
    return Media(kind=kind, media_type=found[0], data=found[1], raw=block, shape=shape, **more)


def kind_of(media_type: str | None) -> MediaKind:
    """Returns the kind of media of a type; a document where it is none of the others."""
    start = (media_type or "").split("/")[0]
    return start if start in ("image", "audio", "video") else "document"  # type: ignore[return-value]
