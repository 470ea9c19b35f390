"""The graph of a session file whose lines name their parents: Claude Code's, and Qwen Code's.

`Graph` is the file mended: a parent that is in no line becomes the line before, so that no message is lost; `loaded`
is the walk of the tool itself, which mends nothing but parallel tool calls. Source: claude-agent-sdk, `_internal/sessions.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tract_fs.transcripts.transcript import Branch
from tract_fs.transcripts.units import Flaw

_ROOT = -1
_LEAST_ROOM = 2_000_000  # positions in all forks of a file


class Node(Struct):
    """A line of the graph, as far as its place in it goes. Texts are empty where the line has none.

    `writer` names the agent that wrote it: two lines of one writer may follow each other. `response` is the id that the
    lines of one response share.
    """

    position: int
    line: int
    uuid: str
    parent: str
    writer: tuple[str, ...]
    is_message: bool  # of the user or the assistant, in the tool's own sense
    is_shown: bool  # a model sees something of it
    is_aside: bool = False  # of a sub-agent
    is_preferred: bool = True  # the tool goes on with such a line rather than with another
    is_parsed: bool = True  # the tool can read the line
    response: str = ""
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    source: str = ""  # the line of the call that it answers
    is_assistant: bool = False
    is_boundary: bool = False  # of a compaction
    is_summary: bool = False
    logical_parent: str = ""
    anchor: str = ""  # of a boundary: the line that the kept messages follow
    kept: tuple[str, ...] = ()
    kept_ends: tuple[str, str] = ("", "")  # first and last of the kept messages, where the boundary does not list them


class Fork(Struct):
    """Lines that the main branch does not go through: where they leave it, by index (-1: nowhere), and which they are."""

    leaf: int
    junction: int
    own: list[int]


class Responses:
    """Which lines belong to a response: those of the response itself, and the results of its calls.

    A tool that runs calls in parallel writes a line for each, and each result is the child of its own call: so the graph
    forks where the conversation does not.
    """

    def __init__(self, nodes: Sequence[Node], parents: Sequence[int]) -> None:
        self._nodes, self._parents = nodes, parents
        self._members: dict[str, list[int]] = {}
        self._owners: dict[str, int | None] = {}  # by call; None for one that two responses claim
        self._results: dict[int, list[int]] = {}  # by line of the assistant
        places = {node.uuid: index for index, node in enumerate(nodes)}
        for index, node in enumerate(nodes):
            if node.is_assistant and node.response:
                self._members.setdefault(node.response, []).append(index)
                for call in node.calls:
                    owner = self._owners.setdefault(call, index)
                    is_same = owner is not None and nodes[owner].response == node.response
                    self._owners[call] = index if is_same else None
        for index, node in enumerate(nodes):
            if not node.answers or node.is_assistant or not node.parent:
                continue
            owners = [places.get(node.source), *(self._owners.get(call) for call in node.answers)]
            same = [owner for owner in owners if owner is not None and nodes[owner].writer == node.writer]
            for owner in dict.fromkeys([parents[index], *same]):
                self._results.setdefault(owner, []).append(index)

    def left_off(self, chain: Sequence[int], *seen: Collection[int]) -> set[int]:
        """Returns the lines that a walk along `chain` leaves off, though they belong to its responses; what is `seen` is
        not among them.
        """
        found: set[int] = set()
        answered: set[str] | None = None
        for response in dict.fromkeys(self._nodes[i].response for i in chain if self._nodes[i].is_assistant):
            members = self._members.get(response, []) if response else []
            inside = set(members)
            found.update(member for member in members if not any(member in known for known in seen))
            results = dict.fromkeys(result for member in members for result in self._results.get(member, ()))
            new = [one for one in results if not any(one in known for known in (*seen, found))]
            direct = [result for result in new if self._parents[result] in inside]
            found.update(direct)
            strays = sorted(set(new) - set(direct))
            if strays and answered is None:
                answered = {call for i in chain for call in self._nodes[i].answers}
            is_answered = (
                {*(answered or ()), *(call for i in direct for call in self._nodes[i].answers)} if strays else set()
            )
            for stray in strays:
                answers = self._nodes[stray].answers
                if any(call not in is_answered and self._owners.get(call) in inside for call in answers):
                    is_answered.update(answers)
                    found.add(stray)
        return found


class Graph:
    """The lines of a file with the parent of each, mended; what was mended is in `flaws`.

    States: `parents` has an index per line, -1 where it begins something; `chain` are the lines that the session goes on
    from, from its first to its last; `main` are those and what parallel calls put beside them.
    """

    def __init__(self, nodes: Sequence[Node], *, own: str = "") -> None:
        """`own` is what the last part of a writer is in the lines of this session."""
        self.nodes = nodes
        self.flaws: list[Flaw] = []
        self._before: list[int] = []
        self.parents = self._resolve()
        self._cut_cycles()
        self._responses = Responses(self._with_responses(), self.parents)
        self.chain = self.walk(self._leaf(own))
        self.main = set(self.chain)
        self.main |= self._responses.left_off(self.chain, self.main)

    def walk(self, leaf: int, until: Collection[int] = ()) -> list[int]:
        """Returns the line with all lines before it, the first first; those before a line of `until` are left out."""
        found = []
        index = leaf
        while index != _ROOT and index not in until:
            found.append(index)
            index = self.parents[index]
        return found[::-1]

    def forks(self) -> list[Fork]:
        """Returns the other ways that the conversation went, by the order in the file of where they begin.

        There is room for some; in a file that is nothing but forks, the lines of the others stay on the main branch.
        """
        found: list[Fork] = []
        held: set[int] = set(self.main)
        room = max(_LEAST_ROOM, 3 * len(self.nodes))
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if index in held or not node.is_message or node.is_aside:
                continue
            line = self.walk(index, self.main)
            junction = self.parents[line[0]]
            room -= len(line) + max(junction, 0)
            if room < 0:
                self._note(index, "the file has too many forks: this one, and those before it, stay on the main branch")
                break
            around = [] if junction == _ROOT else [junction]
            beside = self._responses.left_off([*around, *line], self.main, set(line))
            own = sorted({*line, *beside})
            held.update(own)
            found.append(Fork(index, junction, own))
        return sorted(found, key=lambda fork: fork.own[0])

    def asides(self) -> dict[str, list[int]]:
        """Returns the lines of sub-agents that are not on the main branch, by the name of each."""
        found: dict[str, list[int]] = {}
        names: dict[int, str] = {}
        for index, node in enumerate(self.nodes):
            if node.is_aside and index not in self.main:
                agent = node.writer[1]
                parent = self.parents[index]
                name = f"agent-{agent}" if agent else names.get(parent) or f"sidechain-{node.uuid[:8]}"
                names[index] = name
                found.setdefault(name, []).append(index)
        return found

    def _note(self, index: int, reason: str) -> None:
        self.flaws.append(Flaw(self.nodes[index].line, "noted", reason))

    def _resolve(self) -> list[int]:
        first: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            first.setdefault(node.uuid, index)
        seen: dict[str, int] = {}
        last: dict[tuple[str, ...], int] = {}  # by writer
        kept: dict[str, int] = {}  # by the last of the kept messages, the boundary that kept it
        parents = []
        for index, node in enumerate(self.nodes):
            before = last.get(node.writer, _ROOT)
            self._before.append(before)
            wanted = node.parent or (node.logical_parent if node.is_boundary else "")
            found = seen.get(wanted, first.get(wanted, _ROOT)) if wanted else _ROOT
            if wanted in kept and not node.is_boundary:
                boundary = kept[wanted]
                found = seen.get(self.nodes[boundary].anchor, boundary)
            if found == _ROOT and not (node.is_aside and not node.writer[1] and not wanted):
                found = before
                self._note_missing(index, wanted, before)
            parents.append(found)
            if node.is_boundary and (end := node.kept[-1] if node.kept else node.kept_ends[1]):
                kept[end] = index
            seen[node.uuid] = last[node.writer] = index
        return parents

    def _note_missing(self, index: int, wanted: str, before: int) -> None:
        node = self.nodes[index]
        if wanted and before != _ROOT:
            self._note(index, f"its parent {wanted} is in no line; it goes on from line {self.nodes[before].line}")
        elif wanted:
            self._note(index, f"its parent {wanted} is in no line; the session begins here")
        elif before != _ROOT and node.is_message and not node.is_summary:
            self._note(index, f"it has no parent; it goes on from line {self.nodes[before].line}")

    def _cut_cycles(self) -> None:
        """Ends each cycle of parents at its first line in the file, which goes on from the line before it."""
        state = bytearray(len(self.nodes))  # 1: on the way, 2: leads to a beginning
        for start in range(len(self.nodes)):
            path = []
            index = start
            while index != _ROOT and not state[index]:
                state[index] = 1
                path.append(index)
                index = self.parents[index]
            if index != _ROOT and state[index] == 1:
                cut = min(path[path.index(index) :])
                before = self._before[cut]
                while before != _ROOT and state[before] != 2:
                    before = self._before[before]
                self.parents[cut] = before
                self._note(cut, "its parents form a cycle; it goes on from the line before")
            for one in path:
                state[one] = 2

    def _with_responses(self) -> list[Node]:
        """Returns the lines, each response without an id as one of its own, so that the results of its calls are found."""
        return [
            replace(node, response=f"#{index}") if node.is_assistant and not node.response else node
            for index, node in enumerate(self.nodes)
        ]

    def _leaf(self, own: str) -> int:
        """Returns the last message, of the session itself if it has any, and of no sub-agent."""
        messages = [index for index, node in enumerate(self.nodes) if node.is_message]
        mains = [index for index in messages if not self.nodes[index].is_aside]
        owns = [index for index in mains if self.nodes[index].writer[-1] == own]
        return next((found[-1] for found in (owns, mains, messages) if found), _ROOT)


def branches(graph: Graph, count: int) -> list[Branch]:
    """Returns the branches of a file of `count` entries: the main one, the other ways, and the sub-agents.

    Main has all entries but those of other branches, in the order of the file. Another way begins with what main had
    before it, and what came meanwhile and is no line of the graph is on both: so the branch is what main was before the
    session went back.
    """
    nodes = graph.nodes
    forks = [fork for fork in graph.forks() if any(nodes[index].is_shown for index in fork.own)]
    asides = graph.asides()
    owns = [*(fork.own for fork in forks), *asides.values()]
    homes = _homes(graph, owns)
    elsewhere = {nodes[index].position for index in homes}
    known = {index for own in owns for index in own}
    for index, place in homes.items():
        if index not in known:
            owns[place].append(index)
    main = [position for position in range(count) if position not in elsewhere]
    on_chain = {nodes[index].position for index in graph.main}
    found = [Branch("main", main)]
    for fork in forks:
        own = {nodes[index].position for index in fork.own}
        before, between = _way_to(main, on_chain, -1 if fork.junction == _ROOT else nodes[fork.junction].position)
        found.append(Branch(f"fork-{nodes[fork.leaf].uuid[:8]}", sorted({*before, *between, *own})))
    for name, own_lines in asides.items():
        found.append(Branch(name, sorted(nodes[index].position for index in own_lines)))
    return found


def _homes(graph: Graph, owns: Sequence[Sequence[int]]) -> dict[int, int]:
    """Returns the place among `owns` of each line that is not on the main branch.

    What hangs on a line, and leads to no message, is where that line is.
    """
    homes: dict[int, int] = {}
    for place, own in enumerate(owns):
        for index in own:
            homes.setdefault(index, place)
    for index, node in enumerate(graph.nodes):
        place = homes.get(graph.parents[index], _ROOT)
        if place != _ROOT and index not in homes and index not in graph.main and not node.is_message:
            homes[index] = place
    return homes


def _way_to(main: Sequence[int], on_chain: Collection[int], junction: int) -> tuple[Sequence[int], list[int]]:
    """Returns what the main branch has up to a position, and what it has after it before its conversation goes on."""
    if junction < 0:
        return (), []
    end = bisect_right(main, junction)
    between = []
    for place in range(end, len(main)):
        if main[place] in on_chain:
            break
        between.append(main[place])
    return main[:end], between


def loaded(nodes: Iterable[Node]) -> set[int]:
    """Returns the positions of the lines that the tool itself would load: its walk from the leaf that it chooses.

    Of lines with one id, the last is the parent of others.
    """
    lines = [node for node in nodes if node.is_parsed]
    last = {node.uuid: node for node in lines}
    unique = list(last.values())
    places = {node.uuid: index for index, node in enumerate(unique)}
    parents = [places.get(node.parent, _ROOT) for node in unique]
    moved = _moved(unique, places, parents)
    parents = [places.get(moved.get(node.uuid, node.parent), _ROOT) for node in unique]

    def parent(node: Node) -> Node | None:
        return last.get(moved.get(node.uuid, node.parent))

    node = _tool_leaf(lines, parent)
    chain: dict[str, Node] = {}
    while node is not None and node.uuid not in chain:
        chain[node.uuid] = node
        node = parent(node)
    walked = [places[uuid] for uuid in reversed(chain)]
    beside = Responses(unique, parents).left_off(walked, set(walked))
    return {node.position for node in chain.values()} | {unique[index].position for index in beside}


def kept_uuids(node: Node, places: dict[str, int], parents: Sequence[int], nodes: Sequence[Node]) -> list[str]:
    """Returns the ids of the messages that the compaction of a boundary kept, in order."""
    if node.kept:
        return list(node.kept)
    head, tail = node.kept_ends
    found: list[str] = []
    index = places.get(tail, _ROOT)
    while index != _ROOT and len(found) <= len(nodes):
        found.append(nodes[index].uuid)
        if nodes[index].uuid == head:
            return found[::-1]
        index = parents[index]
    return []


def _moved(nodes: Sequence[Node], places: dict[str, int], parents: Sequence[int]) -> dict[str, str]:
    """Returns the parents that the tool gives the messages that the last compaction kept."""
    boundary = next((node for node in reversed(nodes) if node.is_boundary), None)
    if boundary is None:
        return {}
    kept = [uuid for uuid in kept_uuids(boundary, places, parents, nodes) if uuid in places]
    anchor = boundary.anchor if boundary.anchor in places else boundary.uuid
    return dict(zip(kept, [anchor, *kept], strict=False))


def _tool_leaf(lines: Sequence[Node], parent: Callable[[Node], Node | None]) -> Node | None:
    """Returns the line that the tool goes on from: of the ends, stepped back to a message, the last in the file."""
    order = {node.uuid: place for place, node in enumerate(lines)}
    with_children = {found.uuid for node in lines if (found := parent(node)) is not None}
    leaves: list[Node] = []
    passed: set[str] = set()
    for end in lines:
        node: Node | None = end if end.uuid not in with_children else None
        while node is not None and (node is end or node.uuid not in passed):
            passed.add(node.uuid)
            if node.is_message:
                leaves.append(node)
                break
            node = parent(node)
    preferred = [node for node in leaves if node.is_preferred and not node.is_aside]
    return max(preferred or leaves, key=lambda node: order[node.uuid], default=None)
