"""Files whose lines are a graph: one scan of all lines, after which each is an entry with its place, usage and flaws."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tract_fs.errors import JsonValueError
from tract_fs.model import canonical
from tract_fs.model.fields import text_in
from tract_fs.transcripts.graph import Graph, Node, branches, kept_uuids, loaded
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.resume import Loss, SessionCheck
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Transcript
from tract_fs.transcripts.units import Flaw, Units

_AGENT_FILE = re.compile(r"agent-.+\.jsonl", re.DOTALL)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Form(NamedTuple):
    """What is of one format in a file of lines: how a record becomes what the graph and the entries need."""

    name: str
    is_of_graph: Callable[[Any], bool]
    node_of: Callable[..., Node]  # (record, unit, position, is_shown=)
    contents_of: Callable[[Any], list[dict[str, Any]]]
    metadata_of: Callable[..., dict[str, Any]]  # (record, is_shown=)
    config_of: Callable[[Any], dict[str, Any] | None]
    usage_of: Callable[[Any], tuple[str, object] | None]  # the id of the response, empty if it has none, and its usage
    titles_of: Callable[[Any], Sequence[tuple[int, str]]]  # with ranks: the lowest that a file has, of these the last
    said_twice: Callable[[Any], str] = lambda _: ""  # a type whose lines repeat this one's message
    saved_outputs: Callable[[Any], list[str]] = lambda _: []


class GraphFile:
    """One file, scanned once.

    States: `nodes`, `title_of`, `metadata` and the rest are set by the scan; `graph` is made of them on first use.
    """

    def __init__(self, units: Units, stem: str, form: Form, *, name: str = "", offset: int = 0) -> None:
        """`stem` is the file's name without its ending, if known; `name` is that of a file beside the session's own, whose
        entries begin at `offset`.
        """
        self.units = units
        self.name = name
        self.offset = offset
        self.nodes: list[Node] = []
        self.repeats: list[tuple[Node, int]] = []  # lines that are there already, with the position of the first
        self.metadata: dict[str, Any] = {}
        self.origin: dict[str, Any] = {}  # of a sub-agent: the call that it works for
        self.saved: dict[int, list[str]] = {}  # names of the outputs that are files, by position
        self._form = form
        self._keys: list[str] = []
        self._used: dict[str, int] = {}  # by key, its position
        self._again: Counter[str] = Counter()
        self._flaws: list[Flaw] = []
        self._silent: set[int] = set()  # positions of what another line has, too
        self._shown = bytearray()  # by position, whether a model sees something of it
        self._said: Counter[str] = Counter()
        self._titles: dict[int, str] = {}
        self._usage: dict[str, tuple[int, int]] = {}  # by response, its first line and its last with a usage
        for position in range(len(units)):
            self._scan(position)
        self._name_session(stem)

    @cached_property
    def graph(self) -> Graph:
        """The graph of the lines, mended."""
        return Graph(self.nodes, own=self._own)

    @cached_property
    def is_agent(self) -> bool:
        """Whether the file is that of a sub-agent alone."""
        return bool(self.nodes) and self.nodes[0].is_aside

    @property
    def title(self) -> str:
        """The session's title; empty if it has none."""
        return self._titles[min(self._titles)] if self._titles else ""

    @cached_property
    def _first_of(self) -> dict[int, int]:
        """The first line of each response, by the last, which has its usage."""
        return {last: first for first, last in self._usage.values()}

    def entry(self, place: int) -> Entry:
        """Returns the entry of a line."""
        unit, form = self.units[place], self._form
        contents = [] if place in self._silent else form.contents_of(unit.value)
        usage = form.usage_of(unit.value) if contents and place in self._first_of else None
        return Entry.of(
            unit,
            self._keys[place],
            contents=contents,
            at_us=time_us(unit.value.get("timestamp")) if isinstance(unit.value, dict) else None,
            config=form.config_of(unit.value) if contents else None,
            metadata=form.metadata_of(unit.value, is_shown=bool(contents)) | (self.origin if place == 0 else {}),
            usage=None if usage is None else usage[1],
            usage_of=None if usage is None else self.offset + self._first_of[place],
            file=self.name,
            place=place,
        )

    def flaws(self) -> list[Flaw]:
        """Returns what is not right in the lines, by line."""
        found = [*self.units.flaws(), *self._flaws, *self.graph.flaws, *self._unpaired()]
        return sorted(found, key=lambda flaw: flaw.line)

    def covers(self, found: Sequence[Branch]) -> dict[int, list[int]]:
        """Returns for each summary after a compaction the positions that it stands for: all shown before it on its branch,
        but for the messages that the compaction kept.
        """
        by_position = {node.position: node for node in self.nodes}
        places = {node.uuid: index for index, node in enumerate(self.nodes)}
        summaries = {node.position for node in self.nodes if node.is_summary and node.is_shown}
        covered: dict[int, list[int]] = {}
        for branch in found if summaries else ():
            if summaries.isdisjoint(branch.positions):
                continue
            shown: list[int] = []
            kept: set[str] = set()
            for position in branch.positions:
                node = by_position.get(position)
                if node is not None and node.is_boundary:
                    kept = set(kept_uuids(node, places, self.graph.parents, self.nodes))
                if position in summaries:
                    stays = [one for one in shown if one in by_position and by_position[one].uuid in kept]
                    covered.setdefault(position, sorted(set(shown).difference(stays)))
                    shown, kept = [position, *stays], set()
                elif self._shown[position]:
                    shown.append(position)
        return covered

    def _scan(self, position: int) -> None:
        unit, form = self.units[position], self._form
        record = unit.value if isinstance(unit.value, dict) else {}
        is_line = form.is_of_graph(record)
        key, first = self._key(text_in(record, "uuid"), position)
        self._keys.append(key)
        contents = form.contents_of(record)
        is_repeat = first is not None and is_line and self._is_repeat(record, first, unit.line)
        if is_repeat or (contents and self._is_said(record, contents[0])):
            self._silent.add(position)
            contents = []
        self._shown.append(bool(contents))
        if is_line:
            node = form.node_of(record, unit, position, is_shown=bool(contents))
            if is_repeat and first is not None:
                self.repeats.append((node, first))
            else:
                self.nodes.append(node)
            if node.is_message and not (contents or position in self._silent or record.get("isApiErrorMessage")):
                self._flaws.append(Flaw(unit.line, "noted", "its message has no known form; it is kept as a record"))
            for one in [node, *self.nodes[-2:]] if unit.is_joined else ():
                one.is_parsed = one.is_parsed and one.line != unit.line
        names = form.saved_outputs(record)
        if names:
            self.saved[position] = names
        usage = form.usage_of(record) if contents else None
        if usage is not None:
            response = usage[0] or f"line {position}"
            self._usage[response] = self._usage.get(response, (position, position))[0], position
        for key in ("sessionId", "cwd", "version", "gitBranch", "agentId"):
            if key not in self.metadata and text_in(record, key):
                self.metadata[key] = record[key]
        self._titles.update((rank, title) for rank, title in form.titles_of(record) if title.strip())

    def _key(self, uuid: str, position: int) -> tuple[str, int | None]:
        """Returns the key of a line, and the position of the first with the same id, if it is not the first."""
        wanted = f"{self.name}/{uuid or position + 1}" if self.name else uuid or str(position + 1)
        first = self._used.setdefault(wanted, position)
        if first == position:
            return wanted, None
        self._again[wanted] += 1
        while self._used.setdefault(f"{wanted}#{self._again[wanted] + 1}", position) != position:
            self._again[wanted] += 1
        return f"{wanted}#{self._again[wanted] + 1}", first if uuid else None

    def _is_repeat(self, record: dict[str, Any], first: int, line: int) -> bool:
        """Returns whether a line is the one before with its id once more; notes it, and a message with the id of another."""
        unit = self.units[first]
        before = unit.value if isinstance(unit.value, dict) else {}
        is_message = self._form.is_of_graph(before)
        is_same = is_message and before.get("message") == record.get("message")
        what = (
            "it repeats line"
            if is_same
            else f"it is another {'message' if is_message else 'record'} with the id of line"
        )
        self._flaws.append(Flaw(line, "noted", f"{what} {unit.line}, {text_in(record, 'uuid')}"))
        return is_same

    def _is_said(self, record: dict[str, Any], message: dict[str, Any]) -> bool:
        """Returns whether a line before, of the type that repeats this one, has the message."""
        other = self._form.said_twice(record)
        if not other:
            return False
        text = repr(message.get("content"))
        if self._said[f"{other} {text}"]:
            self._said[f"{other} {text}"] -= 1
            return True
        self._said[f"{record.get('type')} {text}"] += 1
        return False

    def _name_session(self, stem: str) -> None:
        """Decides which session the file is of: by its name, else by its first line."""
        first = str(self.metadata.pop("sessionId", ""))
        own_id = f"{first}-{stem}" if self.is_agent and stem else first
        self.id = stem if _UUID.fullmatch(stem) else own_id
        counts = Counter(node.writer[-1] for node in self.nodes if node.writer[-1])
        self._own = stem if counts[stem] else next((n.writer[-1] for n in reversed(self.nodes) if n.writer[-1]), "")
        for node in self.nodes:
            node.writer = (*node.writer[:-1], node.writer[-1] or self._own)
        if not self.is_agent:
            self.metadata.pop("agentId", None)
        for session, count in counts.items():
            if session != self._own and count:
                line = next(node.line for node in self.nodes if node.writer[-1] == session)
                self._flaws.append(Flaw(line, "noted", f"from here on, {count} lines are of session {session}"))

    def _unpaired(self) -> list[Flaw]:
        """Returns the results that answer no call, or one that has a result already."""
        calls = {call for node in self.nodes for call in node.calls}
        answered: dict[str, int] = {}
        found = []
        for node in self.nodes:
            for call in node.answers:
                if call not in calls:
                    found.append(Flaw(node.line, "noted", f"it answers the tool call {call}, which is in no line"))
                elif call in answered:
                    reason = f"it answers the tool call {call}, as line {answered[call]} does"
                    found.append(Flaw(node.line, "noted", reason))
                answered.setdefault(call, node.line)
        return found


def writer_of(record: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the writer of a line: the main agent of a session, or a sub-agent of it beside the line."""
    is_aside = bool(record.get("isSidechain"))
    agent = text_in(record, "agentId") if is_aside else ""
    return "aside" if is_aside else "", agent, text_in(record, "sessionId")


def read_graph(source: Source, form: Form) -> Transcript:
    """Returns the session of a file, with its sub-agents as branches, those of files beside it too."""
    stem = source.name.removesuffix(".jsonl")
    session = GraphFile(source.units, stem, form)
    agents = _agents(source, stem, form, len(session.units))
    files = [session, *agents]
    outputs = _SavedOutputs(source, stem)
    found = branches(session.graph, len(session.units))
    covers = session.covers(found)
    for agent in agents:
        found.append(Branch(agent.name.rpartition("/")[2], range(agent.offset, agent.offset + len(agent.units))))
    flaws = [*session.flaws(), *outputs.flaws(session)]
    for agent in agents:
        own = (*agent.flaws(), *outputs.flaws(agent))
        flaws += [Flaw(0, flaw.outcome, f"{agent.name}.jsonl, line {flaw.line}: {flaw.reason}") for flaw in own]

    def entry(position: int) -> Entry:
        file = next(file for file in reversed(files) if position >= file.offset)
        place = position - file.offset
        made = file.entry(place)
        made.blobs = outputs.read(file.saved.get(place, ()))
        made.covers = covers.get(position, ())
        return made

    return Transcript(
        format=form.name,
        id=session.id,
        branches=found,
        entry=entry,
        count=sum(len(file.units) for file in files),
        title=session.title,
        metadata=session.metadata,
        flaws=sorted(flaws, key=lambda flaw: flaw.line),
        encoding=source.encoding,
    )


def check_graph(source: Source, form: Form) -> SessionCheck:
    """Returns what the tool would load of a session: what its walk from the last message reaches."""
    file = GraphFile(source.units, source.name.removesuffix(".jsonl"), form)
    messages = [node for node in file.nodes if node.is_message and (file.is_agent or not node.is_aside)]
    every = sorted((*file.nodes, *(node for node, _ in file.repeats)), key=lambda node: node.position)
    reached = set() if source.encoding else loaded(every)
    reached |= {first for node, first in file.repeats if node.position in reached}
    found = branches(file.graph, len(file.units))
    main = set(found[0].positions)
    summarized = {position for covered in file.covers(found[:1]).values() for position in covered}
    breaks = {flaw.line: flaw.reason for flaw in reversed(file.graph.flaws)}
    broken = sorted(breaks)
    counts: Counter[str] = Counter()
    lost = []
    for node in messages:
        if node.position in reached:
            counts["loaded"] += 1
        elif source.encoding or not node.is_parsed:
            lost.append(Loss(node.line, node.uuid, "the tool can't read its line"))
        elif node.position not in main:
            counts["left"] += 1
        elif node.position in summarized:
            counts["summarized"] += 1
        else:
            lost.append(Loss(node.line, node.uuid, _reason(node.line, broken, breaks)))
    return SessionCheck(
        format=form.name,
        session_id=file.id,
        messages=len(messages),
        loaded=counts["loaded"],
        summarized=counts["summarized"],
        left=counts["left"],
        lost=tuple(lost),
        flaws=tuple(file.flaws()),
    )


def _reason(line: int, broken: Sequence[int], breaks: dict[int, str]) -> str:
    """Returns why the tool's walk does not reach a line that the conversation has."""
    place = bisect_right(broken, line)
    if place == len(broken):
        return "no line that the tool loads leads to it"
    return f"the chain breaks at line {broken[place]}: {breaks[broken[place]]}"


class _SavedOutputs:
    """The large outputs of tools, which are files beside the session."""

    def __init__(self, source: Source, stem: str) -> None:
        self._source = source
        self._folder = f"{stem}/tool-results"
        self._names = frozenset(source.list_beside(self._folder)) if stem else frozenset()

    def flaws(self, file: GraphFile) -> list[Flaw]:
        """Returns which outputs of a file's lines are not there."""
        missing = [(place, name) for place, names in file.saved.items() for name in names if name not in self._names]
        return [
            Flaw(file.units[place].line, "noted", f"its output {name} is not beside the session")
            for place, name in missing
        ]

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Returns the bytes of those that are there, by name."""
        found = {name: self._source.beside(f"{self._folder}/{name}") for name in names if name in self._names}
        return {name: data for name, data in found.items() if data is not None}


def _agents(source: Source, stem: str, form: Form, offset: int) -> list[GraphFile]:
    """Returns the files of the sub-agents beside a session, by name."""
    found = []
    folder = f"{stem}/subagents"
    for path in source.list_beside(folder) if stem else ():
        name = path.rpartition("/")[2]
        units = source.units_beside(f"{folder}/{path}") if _AGENT_FILE.fullmatch(name) else None
        if units is not None:
            agent = GraphFile(units, "", form, name=f"subagents/{path.removesuffix('.jsonl')}", offset=offset)
            agent.origin = _origin(source.beside(f"{stem}/{agent.name}.meta.json"))
            found.append(agent)
            offset += len(units)
    return found


def _origin(sidecar: bytes | None) -> dict[str, Any]:
    """Returns what the file beside that of a sub-agent has on the call that it works for."""
    try:
        fields = canonical.decode(sidecar or b"{}")
    except JsonValueError:
        return {}
    names = ("toolUseId", "parentAgentId", "agentType")
    return {name: text_in(fields, name) for name in names if text_in(fields, name)}
