"""Objects of the providers' SDKs are taken wherever a dict is, a payload may be a string, and a wrong role fails at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.states import remove_local
from tract_fs import (
    ArgumentError,
    ContentValidationError,
    DialogueContent,
    FreeformContent,
    JsonValueError,
    MessageContent,
    Store,
    TokenBudgetConfig,
    ToolIOContent,
    Tract,
    TractConfig,
)
from tract_fs.model.tokens import EstimateCounter, count_json_message


class Model:
    """An object as pydantic makes it: what was not set is not sent."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self, *, mode: str = "python", exclude_unset: bool = False) -> dict[str, Any]:
        assert (mode, exclude_unset) == ("json", True)
        return {key: dump(value) for key, value in self.fields.items()}


class Plain:
    """An object whose dump has no options."""

    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def model_dump(self) -> Any:
        return self.fields


def dump(value: Any) -> Any:
    if isinstance(value, Model):
        return value.model_dump(mode="json", exclude_unset=True)
    return [dump(item) for item in value] if isinstance(value, list) else value


CALL = Model(id="t1", type="function", function=Model(name="find", arguments="{}"))
WHOLE = Model(role="assistant", content="ok", tool_calls=[CALL])
NESTED = {"role": "assistant", "content": "ok", "tool_calls": (CALL,)}
AS_DICT = {
    "role": "assistant",
    "content": "ok",
    "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
}
BUDGET = TractConfig(TokenBudgetConfig(max_tokens=9999))


@pytest.mark.parametrize("config", [None, BUDGET], ids=["no budget", "a budget"])
@pytest.mark.parametrize("message", [WHOLE, NESTED, Plain(AS_DICT)], ids=["whole", "nested", "plain"])
@pytest.mark.parametrize("way", ["commit", "dict", "import_messages", "import_stream"])
def test_a_message_of_an_sdk_is_kept_as_the_dict_that_it_sends(
    path: Path, way: str, message: Any, config: TractConfig | None
) -> None:
    ways = {
        "commit": lambda t: t.commit(MessageContent(message)),
        "dict": lambda t: t.commit({"content_type": "message", "message": message}),
        "import_messages": lambda t: t.import_messages([message]),
        "import_stream": lambda t: t.import_stream(iter([message])),
    }
    with Tract.open(path, config=config) as t:
        ways[way](t)
        first = t.compile()
    remove_local(path)
    with Tract.open(path, read_only=True) as t:
        again = t.compile()
    for context in (first, again):
        assert context.to_openai() == [AS_DICT]
        assert (
            context.token_counts == (count_json_message(EstimateCounter(), AS_DICT)[0],) == (3 + 3 + 1 + 1 + 2 + 1 + 1,)
        )


def test_configs_metadata_and_payloads_may_be_objects_of_an_sdk(t: Tract) -> None:
    config, metadata = Model(model="m", response_format=Model(type="json")), Plain({"run": Plain(7)})
    info = t.commit(FreeformContent(Model(a=Model(b=1))), generation_config=config, metadata=metadata)  # type: ignore[arg-type]
    assert info.generation_config == {"model": "m", "response_format": {"type": "json"}}
    assert info.metadata == {"run": 7}
    assert t.get_content(info.commit_hash).payload == {"a": {"b": 1}}
    whole = t.commit(Model(content_type="reasoning", text="hm"))
    assert whole.content_type == "reasoning"


@pytest.mark.parametrize("message", [WHOLE, NESTED, Plain(AS_DICT)], ids=["whole", "nested", "plain"])
def test_a_message_of_a_provider_is_a_content_wherever_one_is_given(t: Tract, message: Any) -> None:
    first = t.commit(message).commit_hash
    assert t.get_content(first) == MessageContent(AS_DICT)
    second = t.commit(DialogueContent("user", "hm")).commit_hash
    with t.on("side", create=True) as side:
        side.edit(second, "theirs")
    t.edit(second, message)
    t.merge("side", resolutions={second: message})
    assert t.compile(orphans="keep").to_openai(as_committed=True) == [AS_DICT, AS_DICT]
    t.summarize([first, second], message)
    assert t.compile(orphans="keep").to_openai(as_committed=True) == [AS_DICT]


@pytest.mark.parametrize("fields", [{"role": "user", "text": "hi"}, {"content": "hi"}, {"role": 7, "content": "hi"}])
def test_a_dict_that_is_neither_a_content_nor_a_message_is_refused(t: Tract, fields: dict[str, Any]) -> None:
    with pytest.raises(ContentValidationError) as caught:
        t.commit(fields)
    assert caught.value.field == "content_type"
    assert "a dict needs a 'content_type' that is a string, or is a provider's message" in str(caught.value)


def test_what_is_found_by_metadata_may_be_given_as_an_object_of_an_sdk(path: Path) -> None:
    with Store.open(path) as store:
        t = store.tract("ann")
        t.describe(metadata=Plain({"user": Plain({"id": 7}), "open": True}))  # type: ignore[arg-type]
        info = t.add("one", metadata=Plain({"run": Plain({"id": 7}), "step": 1}))  # type: ignore[arg-type]
        t.add("two", metadata={"run": {"id": 8}})
        assert t.find(Plain({"run": Plain({"id": 7})})) == t.find({"run": Plain({"id": 7})}) == [info]  # type: ignore[arg-type]
        assert [found.tract_id for found in store.find({"user": Plain({"id": 7})})] == ["ann"]
        assert [found.tract_id for found in store.find(Plain({"open": True}))] == ["ann"]  # type: ignore[arg-type]
        assert store.find(Plain({"open": False})) == []  # type: ignore[arg-type]


def test_an_object_whose_dump_is_no_json_is_refused_by_its_place(t: Tract) -> None:
    with pytest.raises(JsonValueError) as caught:
        t.commit(FreeformContent({}), metadata={"a": [Plain({"b": {1}})]})
    assert caught.value.path == "metadata.a[0].b"
    with pytest.raises(ContentValidationError) as invalid:
        t.import_messages([Plain(["no dict"])])  # type: ignore[list-item]
    assert invalid.value.field == "messages[0]"
    with pytest.raises(ContentValidationError) as role:
        t.commit(MessageContent(Plain({"role": ""})))  # type: ignore[arg-type]
    assert role.value.field == "message.role"
    with pytest.raises(ArgumentError):
        t.commit(FreeformContent({}), metadata=Plain("x"))  # type: ignore[arg-type]
    endless = Plain(None)
    endless.fields = {"again": endless}
    with pytest.raises(JsonValueError):
        t.commit(FreeformContent({}), metadata=endless)  # type: ignore[arg-type]
    assert t.head is None


@pytest.mark.parametrize("role", ["robot", "tool", "", None, 5, ["user"]], ids=repr)
def test_a_wrong_role_fails_where_the_content_is_made(role: Any) -> None:
    with pytest.raises(ContentValidationError) as caught:
        DialogueContent(role=role, text="hi")
    assert (caught.value.content_type, caught.value.field) == ("dialogue", "role")
    assert str(caught.value) == (
        f"content of type 'dialogue': field 'role': {role!r} is none of user, assistant, system"
    )


def test_a_payload_may_be_a_string(path: Path) -> None:
    with Tract.open(path) as t:
        t.commit(ToolIOContent("find", "call", '{"q": 1}', call_id="t1"))
        answer = t.commit(ToolIOContent("find", "result", "42 hits", status="success", call_id="t1")).commit_hash
        t.commit(ToolIOContent("find", "result", ""))
    remove_local(path)
    with Tract.open(path) as t:
        context = t.compile()
        assert [message.content for message in context.messages] == [
            'Tool call: find\n{"q": 1}',
            "Tool result: find (success)\n42 hits",
            "Tool result: find\n",
        ]
        call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}
        assert context.to_openai() == [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": "42 hits"},
            {"role": "user", "content": "Tool result: find\n"},
        ]
        assert t.get_content(answer).payload == "42 hits"
        t.edit(answer, "no hits")
        assert t.compile().to_openai()[1]["content"] == "no hits"
        assert t.status().pending == ()
        (stored,) = [p for p in path.rglob("objects/*/*") if b'"42 hits"' in p.read_bytes()]
        assert json.loads(stored.read_bytes())["content"]["payload"] == "42 hits"


@pytest.mark.parametrize("payload", [5, None, ["x"], b"x"], ids=repr)
def test_a_payload_is_an_object_or_a_string(t: Tract, payload: Any) -> None:
    with pytest.raises(ContentValidationError) as caught:
        t.commit(ToolIOContent("find", "result", payload))
    assert caught.value.field == "payload"
