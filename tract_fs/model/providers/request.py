"""Requests: all that one request to a provider needs, from a compiled context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.errors import ArgumentError
from tract_fs.model.fields import Fields
from tract_fs.model.messages import Message
from tract_fs.model.providers.cache import mark_anthropic, mark_openai, require_cache
from tract_fs.model.providers.export import Warn, export
from tract_fs.model.providers.parts import PROVIDERS
from tract_fs.model.providers.settings import settings_for
from tract_fs.model.providers.tools import tools_for
from tract_fs.model.shapes import Shape


def request_of(
    messages: Sequence[Message],
    form: Shape,
    *,
    tools: list[Any],
    config: Fields,
    cache: bool | str,
    warn: Warn,
    is_partial: bool = False,
) -> Fields:
    """Returns the arguments of a provider's call (fresh); see CompiledContext.request. `is_partial`: as in `export`.

    Errors: ArgumentError, ExportError.
    """
    if form not in PROVIDERS:
        raise ArgumentError(f"provider {form!r}: use one of {', '.join(PROVIDERS)}")
    require_cache(cache, form)
    document = export(messages, form, warn, is_partial=is_partial)
    sent = [message for message, _ in document.messages]
    given = tools_for(tools, form, warn)
    settings = settings_for(config, form, has_tools=bool(given), warn=warn)
    offered: Fields = {"tools": given} if given else {}
    system: Fields = {}
    key = next((name for message in messages for name in message.commit_hashes), "")
    if form == "gemini":
        if document.system:
            system = {"system_instruction": {"parts": document.system}}
        if cache:
            warn("cache: Gemini caches by itself; request('gemini') sets no breakpoints")
        model = {"model": settings.pop("model")} if "model" in settings else {}
        return {**model, "contents": sent, "config": {**settings, **system, **offered}}
    if form == "anthropic":
        if document.system:
            system = {"system": document.system}
        request = {**settings, **system, "messages": sent, **offered}
        if "max_tokens" not in request:
            warn("generation config: it has no limit of tokens, and Anthropic needs one; add max_tokens to the request")
        if cache:
            mark_anthropic(request, cache)
        return request
    if cache:
        mark_openai(sent, cache)
        settings["prompt_cache_key"] = key[:32]
        if isinstance(cache, str):
            settings["prompt_cache_options"] = {"mode": "implicit", "ttl": cache}
    return {**settings, "messages" if form == "openai" else "input": sent, **offered}
