"""The house: a module imports only from modules above it, each outside package has one owner, and the model is pure."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "tract_fs"
# From the bottom up: a folder may import the folders before it, and a module those before it in its folder.
FOLDERS: list[tuple[str, list[str]]] = [
    ("", ["errors"]),
    (
        "model",
        [
            "__init__",
            "names",
            "damage",
            "canonical",
            "fields",
            "shapes",
            "content",
            "blobs",
            "media",
            "tokens",
            "messages",
            "text_edits",
            "tool_order",
            "exports",
            "providers.__init__",
            "providers.parts",
            "providers.openai_chat",
            "providers.openai_responses",
            "providers.anthropic",
            "providers.gemini",
            "providers.reading",
            "providers.turns",
            "providers.export",
            "providers.tools",
            "providers.settings",
            "providers.cache",
            "providers.request",
            "refs",
            "objects",
            "usage",
            "events",
            "lineage",
            "members",
            "history",
            "lines",
            "view",
            "incomplete",
            "reach",
            "conflicts",
            "merge",
            "config_query",
            "query",
            "query_text",
            "query_groups",
            "payloads",
            "fitting",
            "snapshot",
            "slots",
            "arrangement",
            "condensing",
            "compiler",
            "alignment",
            "diff",
            "comparison",
            "blame",
            "explanation",
            "info",
            "search",
            "exchange",
            "status",
        ],
    ),
    (
        "store",
        [
            "__init__",
            "layout",
            "address",
            "files",
            "outer_git",
            "git_ignore",
            "bounded_cache",
            "texts",
            "waiting_line",
            "lock",
            "place",
            "ground",
            "redo",
            "suspects",
            "under_way",
            "arrivals",
            "index.__init__",
            "index.file",
            "index.records",
            "index.members",
            "pack_reader",
            "packs",
            "tree",
            "bytes",
            "objects",
            "events",
            "origins",
            "folding",
            "listing",
            "saved_view",
            "quarantine",
            "left_over",
            "holdings",
            "tract_log",
            "hidden",
            "operations",
            "index.configs",
            "index.texts",
            "transaction",
            "transaction_files",
            "foreign_commits",
            "store",
            "summaries",
            "snapshot_cache",
        ],
    ),
    (
        "transcripts",
        [
            "units",
            "rest",
            "source",
            "transcript",
            "measures",
            "blocks",
            "document",
            "resume",
            "response_items",
            "codex_lines",
            "codex_facts",
            "codex_resume",
            "codex",
            "graph",
            "graph_file",
            "turns",
            "claude_lines",
            "claude_resume",
            "claude_code",
            "qwen",
            "linear",
            "conversations",
            "message_lists",
            "openai_chat",
            "openai_responses",
            "anthropic",
            "inspect",
            "added",
            "jsonl",
            "opencode_resume",
            "opencode",
            "pi",
            "gemini_cli",
            "gemini_cli_json",
            "copilot",
            "goose",
            "crush",
            "cline",
            "atif",
            "amp",
            "kiro",
            "kimi",
            "vibe",
            "grok",
            "openhands",
            "otel",
            "__init__",
        ],
    ),
    (
        "work",
        [
            "__init__",
            "overlay",
            "reader",
            "other_heads",
            "contexts",
            "batch",
            "text_edits",
            "writer",
            "guard",
            "session",
            "log_filter",
            "watch",
            "reflog",
            "cherry_pick",
            "branches",
            "import_stream",
            "resolutions",
            "merge",
            "summaries",
            "fitting",
            "diff",
            "explaining",
            "usage",
            "queries",
            "search",
        ],
    ),
    ("page", ["__init__", "texts", "document", "columns", "file"]),
    (
        "upkeep",
        [
            "__init__",
            "salvage",
            "settled",
            "lost_blobs",
            "status",
            "adopt",
            "repair",
            "own_files",
            "pack_plan",
            "pack",
        ],
    ),
    (
        "copies",
        [
            "__init__",
            "bundle_file",
            "unrelated",
            "sync",
            "bundle",
        ],
    ),
    (
        "capture",
        [
            "__init__",
            "files",
            "databases",
            "stamps",
            "importer",
            "exporter",
            "sessions",
            "resuming",
            "discover",
            "follow",
            "hooks",
        ],
    ),
    ("", ["tract", "async_tract", "tracts"]),
    ("", ["__init__"]),
]


def full_name(folder: str, module: str) -> str:
    """Returns the name of a module of the package; a folder's `__init__` is the folder itself."""
    return ".".join(part for part in (folder, module) if part).removesuffix(".__init__")


LAYERS = [full_name(folder, module) for folder, names in FOLDERS for module in names]
OWNERS = {
    "orjson": {"model.canonical"},
    "portalocker": {"store.lock"},
    "difflib": {"model.alignment"},
    "sqlite3": {"store.index.file", "capture.databases"},
    "toktok": {"model.tokens"},
    "stringzilla": {"store.index.texts"},
    "logging": {"work.writer"},
    "tempfile": {"store.files", "capture.files"},
    "time": {
        "work.guard",
        "upkeep.pack",
        "upkeep.settled",
        "store.tract_log",
        "store.listing",
        "store.outer_git",
        "store.lock",
        "store.packs",
        "store.tree",
        "store.bytes",
        "store.quarantine",
        "store.left_over",
        "store.suspects",
        "store.summaries",
        "store.waiting_line",
        "work.session",
        "work.watch",
        "capture.follow",
    },
}
IMPURE = {
    "os",
    "io",
    "pathlib",
    "time",
    "random",
    "secrets",
    "threading",
    "multiprocessing",
    "socket",
    "subprocess",
    "shutil",
    "tempfile",
}
REACHES_DISK = {"store.files", "store.lock", "capture.files"}  # the store's files; the files of agents
DISK_MODULES = {"fcntl", "glob", "io", "mmap", "pathlib", "shutil", "stat"}
NO_DISK = {  # what is used of `os` that does not reach the disk
    "os.PathLike",
    "os.fspath",
    "os.getpid",
    "os.path.basename",
    "os.path.dirname",
    "os.path.join",
    "os.path.relpath",
    "os.path.split",
    "os.path.splitext",
    "os.stat_result",
    "os.urandom",
}
EXTRAS = {"click", "rich"}
# What a call of the facade may hold: the checks of its arguments, the guard, and the way to the function that does the work.
MOST_STATEMENTS = 6
# A class that sets more attributes than this in `__init__` lists its states in its docstring or its module's.
MOST_ATTRIBUTES = 12
# Calls that use no open session, or only what never changes in it; `close` closes the guard, `edit` is a commit, and a
# batch and a watch enter it by themselves; `add` is a commit, too.
UNGUARDED = {"open", "tracts", "close", "tract_id", "config", "branch", "add", "edit", "batch", "watch"}
GUARDS = {"self._guard.reading", "self._guard.writing", "self._guard.changing", "self._guard.repairing"}
CORE = {"msgspec", "orjson", "portalocker"}
STDLIB_AND_OPTIONAL = {"toktok", "stringzilla"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else name] = path
    return found


def imports(path: Path, *, for_types: bool = True) -> set[str]:
    """Returns the full names of all modules that a file imports, anywhere in it; without `for_types`, those that it needs when it runs."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = set() if for_types else {node for block in blocks for node in ast.walk(block)}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def own_imports(path: Path, known: set[str]) -> set[str]:
    """Returns the modules of the package that a file imports; `from tract_fs import x` counts as the package itself."""
    found = set()
    for name in imports(path):
        if name == "tract_fs":
            found.add("__init__")
        elif name.startswith("tract_fs.") and name.removeprefix("tract_fs.") in known:
            found.add(name.removeprefix("tract_fs."))
    return found


MODULES = modules()
INSIDE = sorted(name for name in MODULES if not name.startswith("cli"))


def test_the_list_names_every_module_once() -> None:
    assert sorted(LAYERS) == INSIDE


@pytest.mark.parametrize("name", INSIDE)
def test_a_module_imports_only_from_above(name: str) -> None:
    above = set(LAYERS[: LAYERS.index(name)])
    allowed = above | {name}
    assert own_imports(MODULES[name], set(MODULES)) <= allowed


def test_the_list_of_where_things_are_names_modules_that_exist() -> None:
    import tract_fs

    named = set(re.findall(r"\b[a-z_]+/[a-z_]*\b|\b[a-z_]+/", tract_fs.__doc__ or ""))
    assert {"cli/commands", "work/branches", "model/", "transcripts/__init__"} <= named
    full = {name.removesuffix("__init__").rstrip("/").replace("/", ".") for name in named}
    assert full <= set(MODULES) | {"cli"}


@pytest.mark.parametrize("room", ["capture", "copies", "model", "upkeep", "work"])
def test_the_list_of_a_room_names_each_of_its_modules(room: str) -> None:
    text = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    names = {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_nothing_below_imports_the_command_line() -> None:
    for name in INSIDE:
        assert not {found for found in own_imports(MODULES[name], set(MODULES)) if found.startswith("cli")}, name


def test_outside_packages_have_one_owner() -> None:
    for name, path in MODULES.items():
        for imported in {full.split(".")[0] for full in imports(path, for_types=False)}:
            if imported in OWNERS and not name.startswith("cli"):
                assert name in OWNERS[imported], f"{name} imports {imported}"
            if imported in EXTRAS:
                assert name.startswith("cli"), f"{name} imports {imported}"


def test_only_the_index_file_and_the_reader_of_databases_name_an_error_of_sqlite() -> None:
    """The other modules of the index know the type of a connection, and raise and handle errors of the index alone."""
    named: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named[name] = {use for use in found if use.startswith("sqlite3.")}
    assert "sqlite3.Error" in named.pop("store.index.file")
    assert "sqlite3.Error" in named.pop("capture.databases")
    assert set().union(*named.values()) == {"sqlite3.Connection"}


def test_the_model_is_pure() -> None:
    for name, path in MODULES.items():
        if name.startswith(("model", "transcripts")):
            assert not {full.split(".")[0] for full in imports(path)} & IMPURE, name


def test_only_the_named_packages_are_needed() -> None:
    import sys

    for name in INSIDE:
        outside = {full.split(".")[0] for full in imports(MODULES[name])} - {"tract_fs", "__future__"}
        assert outside - set(sys.stdlib_module_names) <= CORE | STDLIB_AND_OPTIONAL, name


def facade_calls() -> dict[str, ast.FunctionDef]:
    """Returns the methods of `Tract`, by name; a property and its kin by the name alone."""
    tree = ast.parse(MODULES["tract"].read_text(encoding="utf-8"))
    (facade,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Tract"]
    return {node.name: node for node in facade.body if isinstance(node, ast.FunctionDef)}


def statements(call: ast.FunctionDef) -> list[ast.stmt]:
    """Returns all statements of a call, nested ones too, but for its docstring and imports."""
    body = [node for statement in call.body for node in ast.walk(statement) if isinstance(node, ast.stmt)]
    is_text = [isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body]
    return [node for node, text in zip(body, is_text, strict=True) if not text and not isinstance(node, ast.ImportFrom)]


def test_the_facade_is_one_class() -> None:
    tree = ast.parse(MODULES["tract"].read_text(encoding="utf-8"))
    (facade,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Tract"]
    assert not facade.bases


@pytest.mark.parametrize("name", sorted(facade_calls()))
def test_a_call_of_the_facade_passes_on_and_decides_nothing(name: str) -> None:
    found = statements(facade_calls()[name])
    assert len(found) <= MOST_STATEMENTS
    plain = (ast.With, ast.Return, ast.Assign, ast.Expr)
    assert all(isinstance(node, plain) for node in found), f"{name} branches or loops"
    inside = [node for statement in found for node in ast.walk(statement)]
    assert not any(isinstance(node, (ast.IfExp, ast.BoolOp, ast.Compare, ast.comprehension)) for node in inside), name


@pytest.mark.parametrize("name", sorted(name for name in facade_calls() if not name.startswith("_")))
def test_a_call_of_the_facade_enters_the_guard(name: str) -> None:
    blocks = [node for node in facade_calls()[name].body if isinstance(node, ast.With)]
    entered = {ast.unparse(item.context_expr) for block in blocks for item in block.items}
    assert (name in UNGUARDED) != bool(entered & GUARDS)


def stateful_classes(source: str) -> dict[str, bool]:
    """Returns the classes that set many attributes in `__init__`, by name, and whether a docstring lists their states."""
    module = ast.parse(source)
    found = {}
    for node in ast.walk(module):
        if not isinstance(node, ast.ClassDef):
            continue
        starts = [body for body in node.body if isinstance(body, ast.FunctionDef) and body.name == "__init__"]
        inside = [part for start in starts for part in ast.walk(start)]
        stored = [part for part in inside if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)]
        if len({part.attr for part in stored if ast.unparse(part.value) == "self"}) > MOST_ATTRIBUTES:
            text = f"{ast.get_docstring(node)} {ast.get_docstring(module)}"
            found[node.name] = re.search(r"\bstates\b", text, re.IGNORECASE) is not None
    return found


@pytest.mark.parametrize("name", INSIDE)
def test_a_class_of_many_attributes_lists_its_states(name: str) -> None:
    found = stateful_classes(MODULES[name].read_text(encoding="utf-8"))
    assert [owner for owner, is_listed in found.items() if not is_listed] == []


@pytest.mark.parametrize(
    ("count", "docstring", "found"),
    [
        (12, "A thing.", {}),
        (13, "A thing.", {"Thing": False}),
        (13, "A thing. States: open, closed.", {"Thing": True}),
        (13, "A thing of the United Estates.", {"Thing": False}),
    ],
)
def test_the_look_for_states_sees_them(count: int, docstring: str, found: dict[str, bool]) -> None:
    lines = [f"        self.field{number}: int = {number}" for number in range(count)]
    source = "\n".join(["class Thing:", f'    """{docstring}"""', "    def __init__(self) -> None:", *lines])
    assert stateful_classes(source) == found


def disk_uses(source: str) -> set[str]:
    """Returns what a module uses of the operating system that reaches the disk: functions of `os`, modules, and `open`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] in DISK_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            is_disk = node.module.split(".")[0] in DISK_MODULES or node.module in ("os", "os.path")
            found.update(f"{node.module}.{alias.name}" for alias in node.names if is_disk)
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if re.fullmatch(r"os\.\w+(\.\w+)?", name) and name != "os.path" and name not in NO_DISK:
                found.add(name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "io.open"):
            found.add("open")
    return found


@pytest.mark.parametrize("name", [name for name in INSIDE if name not in REACHES_DISK])
def test_only_files_and_lock_reach_the_disk(name: str) -> None:
    assert disk_uses(MODULES[name].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import os\nos.path.join(a, os.path.basename(b), os.urandom(4).hex())", set()),
        ("import os\nos.stat(a)", {"os.stat"}),
        ("import os\nos.path.exists(a)", {"os.path.exists"}),
        ("import os\nact = os.unlink", {"os.unlink"}),
        ("from os import path", {"os.path"}),
        ("from os.path import isdir", {"os.path.isdir"}),
        ("def f():\n    import shutil", {"shutil"}),
        ("from mmap import mmap", {"mmap.mmap"}),
        ("import stat, fcntl", {"stat", "fcntl"}),
        ("from pathlib import Path", {"pathlib.Path"}),
        ("open(a).read()", {"open"}),
        ("file.open(a)", set()),
    ],
)
def test_the_look_for_disk_access_sees_it(source: str, uses: set[str]) -> None:
    assert disk_uses(source) == uses


def test_the_package_can_be_imported_where_the_system_has_less() -> None:
    import subprocess
    import sys

    names = (
        "O_CLOEXEC O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_PATH getuid geteuid getegid getgroups register_at_fork "
        "syncfs sync fdatasync posix_fadvise pread pwrite"
    )
    lines = [
        "import os, sys",
        f"for name in {names!r}.split():",
        "    if hasattr(os, name): delattr(os, name)",
        "import tract_fs, tract_fs.store.lock",
        "print(hasattr(os, 'O_CLOEXEC'), tract_fs.__name__)",
    ]
    result = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("False tract_fs\n", "")


def test_the_imports_that_cost_are_made_on_first_need() -> None:
    import subprocess
    import sys

    code = "import sys; from tract_fs import Tract; print(*sorted({'urllib', 'ipaddress', 'portalocker', 'sqlite3', 'logging', 'tempfile', 'pathlib', 'dataclasses', 'ctypes', 'difflib'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main()\n{code}"], capture_output=True, text=True, check=True
    )
    clean = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "difflib" not in clean.stdout and "urllib" not in clean.stdout and "ipaddress" not in clean.stdout
    assert "portalocker" not in clean.stdout and "sqlite3" not in clean.stdout and "logging" not in clean.stdout
    assert "portalocker" not in result.stdout
