"""The house: a module imports only from modules above it, each outside package has one owner, and the model is pure."""

from __future__ import annotations

import ast
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
            "content",
            "tokens",
            "messages",
            "refs",
            "objects",
            "events",
            "members",
            "history",
            "view",
            "reach",
            "conflicts",
            "merge",
            "config_query",
            "snapshot",
            "slots",
            "arrangement",
            "condensing",
            "compiler",
            "alignment",
            "diff",
            "info",
            "exchange",
            "status",
        ],
    ),
    (
        "store",
        [
            "__init__",
            "layout",
            "files",
            "bounded_cache",
            "texts",
            "waiting_line",
            "lock",
            "place",
            "redo",
            "suspects",
            "pack_table",
            "packs",
            "objects",
            "arrivals",
            "record_runs",
            "commit_events",
            "events",
            "said",
            "folding",
            "listing",
            "view_cache",
            "quarantine",
            "holdings",
            "strays",
            "inventory",
            "tract_log",
            "transaction",
            "foreign_commits",
            "store",
            "generation_index",
            "snapshot_cache",
        ],
    ),
    (
        "transcripts",
        [
            "openai",
            "__init__",
        ],
    ),
    (
        "work",
        [
            "__init__",
            "overlay",
            "reader",
            "contexts",
            "writer",
            "guard",
            "session",
            "log_filter",
            "reflog",
            "cherry_pick",
            "branches",
            "import_stream",
            "resolutions",
            "merge",
            "summaries",
            "diff",
        ],
    ),
    (
        "upkeep",
        [
            "__init__",
            "status",
            "adopt",
            "repair",
            "pack_plan",
            "pack",
        ],
    ),
    (
        "copies",
        [
            "__init__",
            "bundle_file",
            "sync",
            "bundle",
        ],
    ),
    ("", ["tract"]),
    ("", ["__init__"]),
]


def full_name(folder: str, module: str) -> str:
    """Returns the name of a module of the package; a folder's `__init__` is the folder itself."""
    return ".".join(part for part in (folder, module) if part and (part != "__init__" or not folder))


LAYERS = [full_name(folder, module) for folder, names in FOLDERS for module in names]
OWNERS = {
    "orjson": {"model.canonical"},
    "portalocker": {"store.lock"},
    "difflib": {"model.alignment"},
    "sqlite3": {"store.generation_index"},
    "toktok": {"model.tokens"},
    "logging": {"work.writer"},
    "tempfile": {"work.session"},
    "time": {
        "upkeep.pack",
        "store.tract_log",
        "store.listing",
        "store.lock",
        "store.packs",
        "store.quarantine",
        "store.suspects",
        "store.waiting_line",
        "work.session",
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
EXTRAS = {"click", "rich"}
# What a call of the facade may hold: the checks of its arguments, the guard, and the way to the function that does the work.
MOST_STATEMENTS = 6
# Calls that use no open session, or only what never changes in it; `close` closes the guard, `edit` is a commit.
UNGUARDED = {"open", "tracts", "close", "tract_id", "config", "branch", "edit"}
CORE = {"msgspec", "orjson", "portalocker"}
STDLIB_AND_OPTIONAL = {"toktok"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else name] = path
    return found


def imports(path: Path) -> set[str]:
    """Returns the full names of all modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def test_nothing_below_imports_the_command_line() -> None:
    for name in INSIDE:
        assert not {found for found in own_imports(MODULES[name], set(MODULES)) if found.startswith("cli")}, name


def test_outside_packages_have_one_owner() -> None:
    for name, path in MODULES.items():
        for imported in {full.split(".")[0] for full in imports(path)}:
            if imported in OWNERS and not name.startswith("cli"):
                assert name in OWNERS[imported], f"{name} imports {imported}"
            if imported in EXTRAS:
                assert name.startswith("cli"), f"{name} imports {imported}"


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
    assert (name in UNGUARDED) != bool(entered & {"self._guard.reading", "self._guard.writing", "self.batch()"})


def test_the_imports_that_cost_are_made_on_first_need() -> None:
    import subprocess
    import sys

    code = "import sys, tract_fs; print(*sorted({'portalocker', 'sqlite3', 'logging', 'tempfile', 'pathlib', 'dataclasses', 'ctypes', 'difflib'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main()\n{code}"], capture_output=True, text=True, check=True
    )
    clean = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "difflib" not in clean.stdout
    assert "portalocker" not in clean.stdout and "sqlite3" not in clean.stdout and "logging" not in clean.stdout
    assert "portalocker" not in result.stdout
