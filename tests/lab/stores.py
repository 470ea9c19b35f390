"""Stores to test on: filled with one of everything, or with what another writer or another tool could have written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tests.lab.inside import guard_of, store_of, writer_of
from tests.lab.talk import Clock, user
from tract_fs import DialogueContent, FreeformContent, InstructionContent, MessageContent, ToolIOContent, Tract
from tract_fs.model.events import encode_event
from tract_fs.model.names import hash_bytes
from tract_fs.model.objects import CommitOperation
from tract_fs.work.writer import Draft

AT_ONCE = timedelta(0)  # packing removes what is in packs in the same run


def nth_commit(t: Tract, number: int) -> str:
    return t.log(None)[-1 - number].commit_hash


# one of everything: instruction, dialogue, tool call and result, edit, provider message, annotation, usage
FILLING: tuple[Callable[[Tract], object], ...] = (
    lambda t: t.commit(InstructionContent(text="be brief"), message="rules", metadata={"by": {"who": "ann"}}),
    lambda t: t.commit(user("hello"), generation_config={"model": "m-1", "temperature": 0.5}),
    lambda t: t.commit(
        DialogueContent(role="assistant", text="hi there", name="bot"),
        generation_config={"model": "m-2", "temperature": 1, "response_format": {"type": "json"}, "stop": ["a", "b"]},
    ),
    lambda t: t.commit(ToolIOContent("search", "call", {"q": [1, {"deep": None}]}, call_id="c1")),
    lambda t: t.commit(ToolIOContent("search", "result", {"hits": []}, status="success", call_id="c1")),
    lambda t: t.edit(nth_commit(t, 1), user("hello, edited"), generation_config={"model": "m-1", "temperature": 0.75}),
    lambda t: t.commit(MessageContent({"role": "user", "content": [{"type": "text", "text": "blocks"}], "x": [1.0]})),
    lambda t: t.annotate(nth_commit(t, 2), "skip", reason="noise"),
    lambda t: t.record_usage({"prompt_tokens": 41, "completion_tokens": 7, "total_tokens": 48}),
)


def fill(t: Tract) -> None:
    """Writes one of everything, each in a transaction of its own."""
    for step in FILLING:
        step(t)


def fill_pack(t: Tract, count: int = 40) -> None:
    """Writes one batch that is large enough to become a pack."""
    with t.batch():
        for number in range(count):
            t.commit(
                FreeformContent(payload={"number": number}),
                generation_config={"model": "m-1" if number % 2 else "m-3", "temperature": number / 10},
            )


def make_store(path: Path, *steps: Callable[[Tract], object]) -> Path:
    """Makes a store in which one handle takes these steps, and is closed."""
    with Tract.open(path, clock=Clock()) as t:
        for step in steps:
            step(t)
    return path


def merge_commit(t: Tract, *parents: str) -> str:
    """Makes a merge of the head with further parents, as another writer could have."""
    before = t.head
    with guard_of(t).changing, writer_of(t).transaction(before) as transaction:
        head = transaction.head
        assert head is not None
        made = writer_of(t).stage(
            transaction,
            Draft(operation=CommitOperation.MERGE),
            parents=[head, *parents],  # type: ignore[list-item]
        )
        transaction.move_to(made.commit_hash, "merge")  # type: ignore[arg-type]
    return made.commit_hash


def merge_back(t: Tract, fork: Tract) -> str:
    """Makes a merge of the head with a fork's head, as merge() does."""
    before, foreign = t.head, fork.head
    log = store_of(t).log(fork.tract_id)
    log.catch_up()
    with guard_of(t).changing, writer_of(t).transaction(before) as transaction:
        transaction.add_foreign(log.view)
        assert transaction.head is not None and foreign is not None
        draft = Draft(operation=CommitOperation.MERGE)
        made = writer_of(t).stage(transaction, draft, parents=[transaction.head, foreign])  # type: ignore[list-item]
        transaction.move_to(made.commit_hash, "merge")  # type: ignore[arg-type]
    return made.commit_hash


def redact(path: Path, content: str | None, *, after: str, at: str) -> None:
    """Writes the event that redacts a content, on the one event that holds the text `after`, and removes the content."""
    assert content is not None
    events = (path / ".tract/events/default").glob("*/*")
    last = next(event for event in events if after in event.read_text())
    op: dict[str, object] = {"kind": "redact", "object": content, "reason": "a password"}
    parents = [last.parent.name + last.name]
    data = encode_event(tract="default", at=at, writer="0" * 32, parents=parents, ops=[op])
    name = hash_bytes(data)
    target = path / ".tract/events/default" / name[:2] / name[2:]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    (path / ".tract/objects" / content[:2] / content[2:]).unlink()
