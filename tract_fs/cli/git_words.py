"""What fingers that know git type: what it means here, or which command does the work.

Read only when a command line is wrong. A spelling with one meaning here is understood; any other gets a sentence that
names the command to use."""

from __future__ import annotations

import re

import click

COMMANDS = {
    "add": "there is nothing to stage; 'tract commit -m TEXT' commits a text",
    "archive": "'tract bundle create FILE' writes a tract into one file",
    "bisect": "'tract log --text TEXT' and 'tract query' find a commit",
    "cat-file": "'tract show REF' shows a commit",
    "checkout": "'tract switch NAME' switches to a branch, 'tract switch -c NAME' makes one; 'tract compile --at-commit REF' shows the context at any commit",
    "clean": "'tract status' lists unknown files; nothing here removes them",
    "clone": "copy the directory, or 'tract init' a new store and 'tract sync PATH' with the other one",
    "config": "nothing is configured; --config KEY=VALUE of 'tract commit' is the generation config of a message",
    "count-objects": "'tract status' counts the files",
    "describe": "'tract log --oneline' shows the tags beside their commits",
    "fetch": "'tract sync PATH' brings this store and the one at PATH to the same files",
    "format-patch": "'tract bundle create FILE --since REF' writes what is new since a commit",
    "fsck": "'tract repair' checks every file; 'tract status' shows what is wrong",
    "gc": "'tract pack' packs the loose files",
    "grep": "'tract search PHRASE' finds a phrase in the texts",
    "ls-files": "'tract compile --format oneline' lists the messages of the context",
    "ls-tree": "'tract compile --format oneline --at-commit REF' lists the messages of a context",
    "maintenance": "'tract pack' packs the loose files",
    "merge-base": "'tract log A..B' lists what B has and A has not",
    "mv": "'tract branch --rename OLD NEW' renames a branch; a message keeps its place",
    "notes": "'tract annotate TARGET pinned --reason TEXT' notes why a message matters",
    "prune": "nothing is removed without a word; 'tract pack' packs the loose files",
    "pull": "'tract sync PATH --merge' fetches from the store at PATH and joins the heads of the branch",
    "push": "'tract sync PATH' brings this store and the one at PATH to the same files",
    "rebase": "commits do not change; 'tract cherry-pick REF' repeats one on this branch, 'tract merge REF' joins another line",
    "remote": "a copy has no name; 'tract sync PATH' takes its path",
    "repack": "'tract pack' packs the loose files",
    "restore": "'tract revert REF' undoes a commit; 'tract annotate TARGET normal' brings a skipped message back",
    "rev-list": "'tract log --all --oneline' lists the history",
    "rev-parse": "'tract show REF' prints the whole hash of a commit",
    "rm": "'tract annotate TARGET skip' leaves a message out of the context; it stays in the history",
    "shortlog": "'tract query --group-by @role' and 'tract usage' count",
    "stash": "there is no working tree; 'tract undo' takes the last move of the branch back, 'tract switch -c NAME' keeps it on a branch",
    "version": "'tract --version' shows the version",
    "whatchanged": "'tract log -p' shows what each commit changed",
    "worktree": "'tract fork ID' starts a tract that goes its own way; '--branch NAME' works on another branch without a switch",
}

_NO_TREE = "there is no working tree or index; leave it out"
_RESET = "there is no working tree: 'tract reset REF' sets the branch, 'tract undo' takes that back"
_STAGED = "there is nothing to stage: 'tract commit -m TEXT' commits a text"
_LAST = "there is nothing to stage: 'tract diff' shows what the last commit changed"
_COLOURS = "colours follow the terminal and $NO_COLOR; leave it out"
_OPTIONS = {
    (
        "commit",
        "--amend",
    ): "commits do not change; 'tract edit @ -m TEXT' replaces the text of the last one from here on",
    ("commit", "-a"): _STAGED,
    ("commit", "--all"): _STAGED,
    ("commit", "-F"): "give the text on stdin: tract commit < FILE",
    ("commit", "--file"): "give the text on stdin: tract commit < FILE",
    ("commit", "--author"): "--role says who speaks; --metadata author=NAME keeps a name",
    ("commit", "--date"): "a commit has the time at which it was made",
    ("diff", "--cached"): _LAST,
    ("diff", "--staged"): _LAST,
    ("diff", "--name-only"): "--stat shows one line per message",
    ("diff", "--name-status"): "--stat shows one line per message",
    ("diff", "--word-diff"): "a terminal shows the words that differ in bold; leave it out",
    ("log", "--author"): "'tract query' finds commits by @role, config and @metadata",
    ("log", "--follow"): "'tract why REF' lists the edits of a message",
    ("log", "--pretty"): "--oneline prints one line per commit, --json a document for programs",
    ("log", "--format"): "--oneline prints one line per commit, --json a document for programs",
    ("log", "-S"): "--text TEXT finds it",
    ("log", "-G"): "--text TEXT finds it",
    ("merge", "--abort"): "a merge that meets a conflict has written nothing; there is nothing to abort",
    (
        "merge",
        "--continue",
    ): "a merge that meets a conflict has written nothing; merge again with --resolve or --prefer",
    ("merge", "--squash"): "'tract summarize --first REF --last REF' makes one message of many",
    ("merge", "--no-ff"): "a branch that is only behind goes forward; leave it out",
    (
        "merge",
        "--ff-only",
    ): "'tract log @..REF' and 'tract log REF..@' show whether the branch is only behind; leave it out",
    ("merge", "-X"): "--prefer ours or --prefer theirs settles conflicts",
    ("merge", "-s"): "--prefer ours or --prefer theirs settles conflicts",
    ("reset", "--hard"): _RESET,
    ("reset", "--soft"): _RESET,
    ("reset", "--mixed"): _RESET,
    ("revert", "--no-edit"): "a revert asks for no message; leave it out",
    ("revert", "-n"): _NO_TREE,
    ("cherry-pick", "-x"): "the copy keeps the content, config, message and metadata; leave it out",
    ("cherry-pick", "-n"): _NO_TREE,
    ("show", "--stat"): "'tract diff REF~1 REF --stat' shows what a commit changed",
    ("status", "--porcelain"): "--json prints a document for programs",
    (
        "switch",
        "--detach",
    ): "'tract compile --at-commit REF' shows the context at a commit, 'tract log REF' its history, 'tract switch -c NAME REF' starts a branch there",
    ("switch", "-C"): "'tract switch NAME', then 'tract reset REF', sets a branch to another commit",
    ("tag", "-a"): "a tag is a name for a commit, without a message: tract tag NAME [REF]",
    ("tag", "-m"): "a tag is a name for a commit, without a message: tract tag NAME [REF]",
    ("branch", "-c"): "'tract branch NAME REF' makes a branch at REF",
    ("branch", "--copy"): "'tract branch NAME REF' makes a branch at REF",
    ("branch", "-u"): "a branch follows no other one; 'tract sync PATH' takes the path of the other copy",
    ("branch", "--merged"): "'tract log @..NAME' lists what another branch has beyond this one",
    ("branch", "--contains"): "'tract why REF' names the branches that a commit is on",
}
_MEANT = {  # a spelling, and how it is spelled here; none can turn a command that reads into one that writes
    ("log", "--grep"): ["--text"],
    ("log", "--after"): ["--since"],
    ("log", "--before"): ["--until"],
    ("log", "--max-count"): ["--limit"],
    ("log", "--branches"): ["--all-branches"],
    ("log", "--decorate"): [],
    ("log", "-u"): ["--patch"],
    ("diff", "-y"): ["--side-by-side"],
    ("status", "--long"): [],
    ("branch", "-l"): [],
    ("branch", "--list"): [],
    ("branch", "-a"): [],
    ("branch", "--all"): [],
    ("branch", "-vv"): ["-v"],
    ("branch", "-D"): ["--delete", "--force"],
    ("branch", "--move"): ["--rename"],
    ("tag", "-l"): [],
    ("tag", "--list"): [],
}
_COUNTED = frozenset(["log", "reflog", "search"])


def option_advice(error: click.NoSuchOption) -> str | None:
    """Returns the sentence for an option of git's that is none here; None if there is none."""
    name = (error.ctx.command.name if error.ctx is not None else None) or ""
    if error.option_name in ("--color", "--no-color"):
        return f"{error.option_name}: {_COLOURS}"
    found = _OPTIONS.get((name, error.option_name))
    return None if found is None else f"'tract {name}' has no {error.option_name}: {found}"


def meant(arguments: list[str], error: click.NoSuchOption) -> list[str] | None:
    """Returns the command line that a spelling of git's stands for; None if there is none."""
    name = (error.ctx.command.name if error.ctx is not None else None) or ""
    option = error.option_name
    if name not in arguments:
        return None
    for place in range(arguments.index(name) + 1, len(arguments)):
        word = arguments[place]
        if name in _COUNTED and option[1:].isdigit() and re.fullmatch(r"-[0-9]+", word):
            return [*arguments[:place], "-n", word[1:], *arguments[place + 1 :]]
        given, mark, value = word.partition("=")
        if given == option and (name, option) in _MEANT:
            return [
                *arguments[:place],
                *(f"{ours}{mark}{value}" for ours in _MEANT[name, option]),
                *arguments[place + 1 :],
            ]
    return None
