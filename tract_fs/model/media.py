"""Media: images, documents and recordings inside a message, as base64, and how many tokens they cost.

A provider counts them by their size in pixels or pages, not by the length of their base64 text. Sources of the rules:
OpenAI, "Images and vision"; Anthropic, "Vision" and "PDF support"; Google, "Understand and count tokens".
Nothing here trusts a file: a size that can't be read from the header gives the constant for its kind.
"""

from __future__ import annotations

import re
from base64 import b64decode
from math import ceil
from typing import Any, Literal, Protocol

from msgspec import Struct

from tract_fs.model.canonical import dumped

IMAGE_TOKENS = 1_600  # of an image whose size can't be read: the most that Anthropic counts
PAGE_TOKENS = 3_000  # of a page of a document: the most that Anthropic names; one whose pages can't be seen has one
RECORDING_TOKENS = 1_600  # of a recording: 50 s at Google's 32 a second
_HEADER_CHARS = 1 << 18  # of base64; the size of a JPEG lies behind its metadata
_DATA_URL = r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,"
_PAGE = rb"/Type\s*/Page(?![A-Za-z])"
_TYPE_KEYS = ("media_type", "mime_type", "mimeType")
_KINDS = ("image/", "audio/", "video/", "application/pdf")
_AUDIO_FORMATS = ("wav", "mp3", "flac", "opus", "aac", "ogg", "pcm16")
MEDIA_KEYS = frozenset(["data", "url", "image_url", "file_data"])

Provider = Literal["openai", "anthropic", "google"]


class Media(Struct, frozen=True):
    """One image, document or recording inside a message; `provider` is the one whose shape of a block it has."""

    provider: Provider
    media_type: str  # as image/png
    data: str  # base64
    detail: str | None = None  # of OpenAI: low, high or auto

    def decode(self, limit: int | None = None) -> bytes:
        """Returns the bytes, or those of the first `limit` characters; empty if they are not base64."""
        try:
            return b64decode(self.data[: limit and limit // 4 * 4])
        except ValueError:
            return b""


class MediaCounter(Protocol):
    """Anything that counts the tokens of images, documents and recordings; equal names must mean equal counts."""

    @property
    def name(self) -> str: ...

    def count_media(self, media: Media, /) -> int: ...


class MediaEstimate:
    """The published rule of the provider whose block it is, where the size can be read, and a constant elsewhere.

    An image: OpenAI 85, and 170 per tile of 512 pixels unless `detail` is low; Anthropic width * height / 750, at most
    1,600; Google 258 per tile. Without a size 1,600. A page of a PDF 3,000, a recording 1,600.
    """

    name = "media"

    def count_media(self, media: Media, /) -> int:
        """Returns the estimated number of tokens."""
        header = media.decode(_HEADER_CHARS)
        if header.startswith(b"%PDF"):
            return PAGE_TOKENS * max(1, len(re.findall(_PAGE, media.decode())))
        if media.provider == "openai" and media.detail == "low":
            return 85
        size = image_size(header)
        if size is not None:
            return _RULES[media.provider](*size)
        if media.media_type.startswith(("audio/", "video/")):
            return RECORDING_TOKENS
        return IMAGE_TOKENS if media.media_type.startswith("image/") else PAGE_TOKENS


def gather(value: object, strings: list[str], media: list[Media]) -> None:
    """Adds every string value of a JSON value, at any depth, to `strings`, but for base64 of media, which go to `media`."""
    if isinstance(value, str):
        strings.append(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(item, str):
                gather(item, strings, media)
            elif key in MEDIA_KEYS and (found := media_at(value, key)) is not None:
                media.append(found)
            else:
                strings.append(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            gather(item, strings, media)
    elif (fields := dumped(value)) is not value:  # an object of an SDK
        gather(fields, strings, media)


def media_at(fields: dict[str, Any], key: str) -> Media | None:
    """Returns the media that the string at one of MEDIA_KEYS holds, or None if it is a text."""
    text = fields[key]
    if key == "data":
        named = next((name for name in _TYPE_KEYS if isinstance(fields.get(name), str)), None)
        if named is not None:
            provider: Provider = "anthropic" if named == "media_type" else "google"
            return Media(provider, fields[named], text) if fields[named].startswith(_KINDS) else None
        kind = fields.get("format")
        return Media("openai", f"audio/{kind}", text) if kind in _AUDIO_FORMATS else None
    found = re.match(_DATA_URL, text, re.ASCII)
    if found is None and key != "file_data":
        return None
    detail = fields.get("detail")
    media_type, start = ("application/octet-stream", 0) if found is None else (found[1], found.end())
    return Media("openai", media_type, text[start:], detail if isinstance(detail, str) else None)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Returns width and height in pixels from the header of a PNG, JPEG, GIF or WebP file; None if there are none."""
    width = height = 0
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = _big(data[16:20]), _big(data[20:24])
    elif data.startswith((b"GIF87a", b"GIF89a")):
        width, height = _little(data[6:8]), _little(data[8:10])
    elif data.startswith(b"\xff\xd8"):
        width, height = _jpeg_size(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
    return (width, height) if width and height else None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame: SOF0 to SOF15
            return _big(data[place + 7 : place + 9]), _big(data[place + 5 : place + 7])
        is_fill = marker == 0xFF
        place += 1 if is_fill else 2 + _big(data[place + 2 : place + 4])
    return 0, 0


def _webp_size(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if form == b"VP8L":
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    return 0, 0


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _openai(width: int, height: int) -> int:
    """Returns the tokens of an image that is scaled to fit in 2048 by 2048, then to 768 at its shorter side."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    across, down = (max(1, ceil(round(side * scale, 6) / 512)) for side in (width, height))
    return 85 + 170 * across * down


def _anthropic(width: int, height: int) -> int:
    """Returns the tokens of an image that is scaled to 1,568 at its longer side."""
    scale = min(1.0, 1568 / max(width, height))
    return max(1, min(1600, ceil(width * height * scale * scale / 750)))


def _google(width: int, height: int) -> int:
    """Returns the tokens of an image that is cut into tiles of 2/3 of its shorter side, of 256 to 768 pixels."""
    if max(width, height) <= 384:
        return 258
    tile = min(768, max(256, int(min(width, height) / 1.5)))
    return 258 * ceil(width / tile) * ceil(height / tile)


_RULES = {"openai": _openai, "anthropic": _anthropic, "google": _google}
