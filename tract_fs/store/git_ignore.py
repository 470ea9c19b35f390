"""Ignore rules of git above a store: whether one of them keeps `git add` from all of it, and the lines that mend that.

The rules below the store's own directory do not matter: its `.gitignore` overrides them. Those of the user's own settings
(`core.excludesFile`) are not read. The files are a stranger's: each is read to a limit, and no link is followed. Source: gitignore(5).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import NamedTuple

from tract_fs.store import files
from tract_fs.store.layout import STORE_DIRECTORY
from tract_fs.store.outer_git import common_directory, outer_repository

_LIMIT_BYTES = 128 * 1024
_LONGEST = 255  # parts of a pattern, as names are; a longer one takes seconds to read
_EXCLUDE = ".git/info/exclude"
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


class IgnoredStore(NamedTuple):
    """A store that git ignores; paths are from the top of the work tree on."""

    path: str  # what the rule leaves out: the store's directory, or one above it
    rule: str
    file: str  # that has the rule
    mend_file: str
    mend: tuple[str, ...]  # the lines that let git have the store, and nothing else that it ignored; they go at the end

    def describe(self) -> str:
        """Returns one sentence: which rule ignores the store, what follows, and the lines that mend it."""
        lines = ", ".join(map(repr, self.mend))
        return (
            f"git ignores {self.path} by the rule {self.rule!r} in {self.file}, so 'git add' takes nothing of this store; if git is to have it, "
            f"add at the end of {self.mend_file}: {lines}"
        )


class _Rules(NamedTuple):
    """The rules of one file, the last one first; they are about paths below the first `depth` directories."""

    file: str
    depth: int
    rules: list[str]


def find_ignored(context: str) -> IgnoredStore | None:
    """Returns the rule by which git ignores the store of a context directory; None if none does, or there is no git around."""
    found = outer_repository(context)
    if found is None:
        return None
    names = os.path.relpath(os.path.join(files.real_path(context), STORE_DIRECTORY), found.top).split("/")
    sources = [_read(os.path.join(common_directory(found.git_directory), "info/exclude"), _EXCLUDE, 0)]
    for end in range(1, len(names) + 1):
        above = "/".join([*names[: end - 1], ".gitignore"])
        sources.insert(0, _read(os.path.join(found.top, above), above, end - 1))
        for source in sources:  # the deepest file that has a rule for the path decides
            rule = next((rule for rule in source.rules if _matches(rule, names[source.depth : end])), "!")
            if rule != "!":
                break
        if not rule.startswith("!"):
            mend_file = source.file if source.file != _EXCLUDE else ".gitignore"  # which git has, and which comes first
            return IgnoredStore("/".join(names[:end]), rule, source.file, mend_file, _mend(names, end, source.depth))
    return None


def _read(path: str, shown: str, depth: int) -> _Rules:
    data: bytes | None = None
    with suppress(OSError):
        data = files.read(path, limit_bytes=_LIMIT_BYTES)
    lines = (data or b"").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    rules = [_trimmed(line) for line in lines if not line.startswith("#")]
    return _Rules(shown, depth, [rule for rule in reversed(rules) if rule.strip("!/")])


def _trimmed(line: str) -> str:
    line = line.removesuffix("\r")
    bare = line.rstrip(" ")
    return f"{bare} " if bare.endswith("\\") and bare != line else bare


def _matches(rule: str, names: list[str]) -> bool:
    """Returns whether a rule, negated or not, is about the directory at this path from its file's directory on."""
    pattern = rule.removeprefix("!").removesuffix("/")
    if "/" not in pattern:
        return _is_like(names[-1], pattern)
    ends = {0}  # how many names the pattern's parts so far may stand for
    parts = pattern.removeprefix("/").split("/")
    for number, part in enumerate(parts, 1):
        if part == "**":  # any directories; at the end what is in them
            ends = set(range(min(ends) + (number == len(parts)), len(names) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(names) and _is_like(names[end], part)}
        if not ends:
            return False
    return len(names) in ends


def _is_like(name: str, pattern: str) -> bool:
    """Returns whether a name is like a part of a pattern of git."""
    if len(pattern) > _LONGEST or not any(character in pattern for character in "*?[\\"):
        return name == pattern
    for word, characters in _CLASSES.items():
        pattern = pattern.replace(f"[:{word}:]", characters)
    return fnmatchcase(name, re.sub(r"\\(.)", _literal, pattern.replace("[^", "[!")))


def _literal(escape: re.Match[str]) -> str:
    return f"[{escape[1]}]" if escape[1] in "*?[" else escape[1]


def _mend(names: list[str], end: int, depth: int) -> tuple[str, ...]:
    """Returns the lines that let git have the store, for a file in the directory at `depth`; the path of `end` names is ignored now."""
    lines = []
    for stop in range(end, len(names) + 1):
        path = "/" + "/".join(map(_escaped, names[depth:stop]))
        lines.append(f"!{path}/")
        if stop < len(names):  # the rest of an ignored directory stays ignored
            lines.append(f"{path}/*")
    return tuple(lines)


def _escaped(name: str) -> str:
    return "".join(f"\\{character}" if character in "\\*?[" else character for character in name)
