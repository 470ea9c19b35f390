"""A tract as the page has it: one list per field of all commits, oldest first, so that they deflate well.

A commit is named by its place in these lists. What few commits have is an object from that place to the value. The page
compiles the context of any commit from them, by the rules of model/compiler.
"""

from __future__ import annotations

from typing import Any

from tract_fs.model import canonical
from tract_fs.model.compiler import Loaded
from tract_fs.model.content import SILENT_TYPES, Priority
from tract_fs.model.info import CommitFacts
from tract_fs.model.messages import Rendering
from tract_fs.model.names import CommitHash
from tract_fs.model.objects import Commit
from tract_fs.model.slots import LOST
from tract_fs.page.texts import as_json, before_calls, readable
from tract_fs.work.reader import LOSSES, TractReader

_DIGITS = 16  # of a hash: enough to name a commit of a tract, and a quarter of the room
_OPERATIONS = {"append": "a", "edit": "e", "annotate": "n", "merge": "m", "summarize": "s"}


def tract_data(reader: TractReader) -> dict[str, Any]:
    """Returns a tract's commits, on whatever branch, its branches and tags, as JSON values. Cost: reads all of it."""
    order, lost_count = _ordered(reader)
    places = {name: place for place, (name, _) in enumerate(order)}
    columns = _Columns(reader, places)
    for name, commit in order:
        columns.add(name, commit)
    overlay = reader.overlay
    branches = {
        branch: [places[head] for head in overlay.heads(branch) if head in places]
        for branch in sorted(overlay.branches())
    }
    error = reader.incomplete()
    warnings = [] if error is None else [str(error)]
    if lost_count:
        warnings.append(f"{lost_count} commits are left out: they are missing, or build on a missing one")
    return {
        "id": reader.log.tract,
        "title": reader.title(),
        "metadata": reader.metadata(),
        "branch": reader.branch,
        "branches": {branch: heads for branch, heads in branches.items() if heads},
        "tags": {tag: places[target] for tag, target in overlay.tags().items() if target in places},
        "warnings": warnings,
        **columns.finished(),
    }


def _ordered(reader: TractReader) -> tuple[list[tuple[CommitHash, Commit]], int]:
    """Returns all commits of the tract whose history is whole, parents before children, and how many others there are.

    A commit is younger than its parents (FORMAT.md, section 6). Errors: ObjectMissing and other damage of a
    commit, unless this handle accepts gaps.
    """
    waiting = [CommitHash(name) for name in reader.overlay.names_with_prefix("")]
    waiting += [head for branch in reader.overlay.branches() for head in reader.overlay.heads(branch)]
    found: dict[CommitHash, Commit] = {}
    lost: set[CommitHash] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name in lost:
            continue
        try:
            found[name] = reader.commit(name)
        except LOSSES:
            if not reader.store.accepts_gaps:
                raise
            lost.add(name)
        else:
            waiting += found[name].parents
    whole: dict[CommitHash, Commit] = {}
    for name, commit in sorted(found.items(), key=lambda item: (item[1].created_us, item[0])):
        if whole.keys() >= set(commit.parents):
            whole[name] = commit
    return list(whole.items()), len(found) + len(lost) - len(whole)


class _Values:
    """A list in which each value is once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Any, int] = {}

    def place(self, value: str) -> int:
        place = self._places.setdefault(value, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


class _Columns:
    def __init__(self, reader: TractReader, places: dict[CommitHash, int]) -> None:
        self._reader = reader
        self._places = places
        self._types, self._roles, self._configs, self._ids = _Values(), _Values(), _Values(), _Values()
        self._operations: list[str] = []
        self._newest_us = 0  # when the commit before was made
        names = ("hash", "later", "back", "type", "role", "config", "tokens", "text")
        self._full: dict[str, list[Any]] = {name: [] for name in names}
        few = (
            "targets",
            "message",
            "metadata",
            "set",
            "reason",
            "default",
            "calls",
            "answers",
            "state",
            "usage",
            "name",
            "prose",  # of a message with tool calls: the UTF-16 units of its text before the first
        )
        self._few: dict[str, dict[int, Any]] = {name: {} for name in few}

    def add(self, name: CommitHash, commit: Commit) -> None:
        """Adds the next commit."""
        place = len(self._operations)
        facts = self._reader.facts(name)
        self._operations.append(_OPERATIONS[commit.operation.value])
        self._full["hash"].append(name[:_DIGITS])
        self._full["later"].append(commit.created_us - self._newest_us)
        self._newest_us = commit.created_us
        self._full["back"].append([place - self._places[parent] for parent in commit.parents])
        self._full["type"].append(self._types.place(commit.content_type or ""))
        self._full["config"].append(self._configs.place(facts.config.decode()) if facts.config else -1)
        self._full["tokens"].append(facts.token_count)
        self._add_content(place, name, self._reader.loaded(name, commit), facts)
        usage = self._reader.overlay.usage(name)
        self._add_few(
            place,
            targets=[self._places.get(CommitHash(target), -1) for target in commit.targets],
            message=commit.message,
            metadata=canonical.decode(bytes(commit.metadata)) if commit.metadata else None,
            set=None if commit.priority is None else commit.priority.value,
            reason=commit.reason,
            usage=None if usage is None else [usage.prompt_tokens, usage.completion_tokens, usage.cache_read_tokens],
        )

    def _add_content(self, place: int, name: CommitHash, loaded: Loaded, facts: CommitFacts) -> None:
        rendering, commit = loaded.rendering, facts.commit
        text, role = None, ""
        if rendering is None or rendering is LOST:
            state = None if commit.content is None else "lost" if rendering is LOST else "redacted"
            self._add_few(place, state=state, default=self._default(rendering, commit))
        else:
            is_silent = not rendering.is_message
            text, role = rendering.text, rendering.role
            prose_units = 0
            if is_silent:
                text = _silent_text(self._reader.content(name))
            elif rendering.body is not None and rendering.content_type == "message":
                body = canonical.decode(rendering.body.encode())
                text = readable(body)
                prose_units = len(before_calls(body).encode("utf-16-le")) // 2 if rendering.calls else 0
            kind = rendering.content_type if rendering.content_type in SILENT_TYPES else "record"
            self._add_few(
                place,
                default=self._default(rendering, commit),
                calls=[self._ids.place(id_) for id_ in rendering.calls],
                answers=[self._ids.place(id_) for id_ in rendering.answers],
                state=kind if is_silent else None,
                name=rendering.name,
                prose=prose_units,
            )
        self._full["text"].append(text)
        self._full["role"].append(self._roles.place(role))

    def _default(self, rendering: Rendering | None, commit: Commit) -> str | None:
        """Returns the priority of a content until it is annotated; None: normal."""
        own = None if rendering is None else rendering.priority
        priority = self._reader.types.default_priority(commit.content_type or "") if own is None else own
        return None if priority is Priority.NORMAL else priority.value

    def _add_few(self, place: int, **values: Any) -> None:
        for name, value in values.items():
            if value or (value == {} and name == "metadata"):
                self._few[name][place] = value

    def finished(self) -> dict[str, Any]:
        """Returns all columns, and the lists that they point into."""
        few = {name: {str(place): value for place, value in values.items()} for name, values in self._few.items()}
        lists = {"types": self._types.values, "roles": self._roles.values}
        configs = [canonical.decode(config.encode()) for config in self._configs.values]
        return {"op": "".join(self._operations), **self._full, **few, **lists, "configs": configs}


def _silent_text(content: Any) -> str:
    """Returns the tools as JSON, or a record as its kind and, from the next line, its data."""
    return as_json(content.tools) if hasattr(content, "tools") else f"{content.kind}\n{as_json(content.data)}"
