"""Messages of the library in the words of the command: where one advises a call, the command that makes it.

What stands in quotes is a name or a text from anywhere, and stays as it is.
"""

from __future__ import annotations

import re

_PHRASES = {
    "join them with merge(), or delete the branch with force=True": "join them with 'tract merge', or delete the branch with --force",
    "the one that this handle works on; switch() to another, or use force=True": "the current one; 'tract switch' to another, or use --force",
    "or use force=True": "or use --force",
    "see Tract.tracts(), or create it by opening it with create=True": "'tract tracts' lists them, 'tract init --tract ID' makes one",
    "see Tract.tracts()": "'tract tracts' lists them",
    "see tags()": "'tract tag' lists them",
    "see log()": "'tract log' lists the commits",
    "log() lists the commits": "'tract log' lists the commits",
    "see status()": "see 'tract status'",
    "pass keep_pinned=False": "use --include-pinned",
    "reset() goes back to before it, and revert() reverts": "'tract reset' goes back to before it, and 'tract revert' reverts",
    "to_openai()": "the export for openai",
    "to_gemini()": "the export for gemini",
    "incomplete='use', --incomplete": "--incomplete",
    "with --unrelated (allow_unrelated=True)": "with --unrelated",
    "without --strict (strict=False)": "without --strict",
    "with --force (force=True)": "with --force",
    "with --format (format=)": "with --format",
    "compile with orphans='drop' or 'keep'": "compile with --orphans drop or keep",
    "or take `messages` as committed": "or use --as-committed",
    "merge again with prefer 'reset' to drop the latter, or prefer 'commits' to keep it": "merge again with --prefer reset to drop the latter, or --prefer commits to keep it",
    "; try again, or raise lock_timeout_s": "; try again",
}
_CALLS = "|".join(map(re.escape, sorted(_PHRASES, key=len, reverse=True)))
_find = re.compile(rf"""merge\('(?P<ref>[^'\n]*)'\)|{_CALLS}|(?<!\w)'[^'\n]*'|"[^"\n]*\"""").sub


def as_command(message: str) -> str:
    """Returns a message of the library with the commands to type in the place of the calls that it names."""
    return _find(_in_words, message)


def _in_words(found: re.Match[str]) -> str:
    return _PHRASES.get(found[0], found[0]) if found["ref"] is None else f"'tract merge {found['ref']}'"
