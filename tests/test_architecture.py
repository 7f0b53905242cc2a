"""Who may import whom: downwards only. Read it as the map of the package."""

import ast
from pathlib import Path

import pytest

import nbhttp

PACKAGE = Path(nbhttp.__file__).parent

# From the top to the bottom; a module may import its own layer and those below.
LAYERS = [
    ["__main__", "_pytest", "widgets", "magics", "sync", "sync_tasks", "testing", "_demo"],
    ["client"],
    ["bulk", "download_batch", "events", "pagination", "formats"],
    ["_core", "_engines"],
    ["result", "downloads", "tasks", "_tasks", "streaming", "integrations"],
    [
        "secrets",
        "config",
        "errors",
        "types",
        "_json",
        "_charset",
        "_explain",
        "_credentials",
        "_display",
        "_habits",
        "_checks",
    ],
    ["redaction", "_redaction", "_marks"],
]
# They hang on the side: they listen to the core and show results.
SIDE = {"logs", "progress", "_render"}
SIDE_MAY_IMPORT = {
    "result", "downloads", "redaction", "errors", "types", "config", "integrations", "formats", "streaming",
    "_json", "_charset", "_explain", "_checks", "_marks", "_core.events", "_engines.base", "tasks",
} | SIDE  # fmt: skip
# What reaches up or sideways, late (inside a function), each with its reason.
LATE = {
    ("result", "_render"),  # the notebook's representation
    ("downloads", "_render"),
    ("client", "_render"),
    ("client", "progress"),  # when a bar is wanted
    ("sync", "_render"),
    ("sync", "progress"),
    ("_display", "_render"),
    ("bulk", "_render"),
    ("tasks", "_render"),
    ("_tasks", "_render"),
    ("redaction", "errors"),  # ConfigError for a pattern that does not compile
}

LAYER_OF = {name: index for index, names in enumerate(LAYERS) for name in names}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__")
        if name:
            found.append((name, path))
    return found


def imports(path: Path) -> list[tuple[str, bool]]:
    """The nbhttp modules that a file imports, and whether it does so when it is loaded.

    What only a type checker imports does not count: it never runs.
    """
    tree = ast.parse(path.read_text("utf-8"))
    late_nodes, unseen = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late_nodes |= {id(child) for child in ast.walk(node)}
        elif _is_type_checking(node):
            unseen |= {id(child) for child in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module.count(".") <= 1 and node.module.startswith("nbhttp"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [
            (name.removeprefix("nbhttp."), id(node) not in late_nodes)
            for name in names
            if name.startswith("nbhttp.")
        ]
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_downwards(name: str, path: Path):
    """A module imports its own layer and the ones below, and the side only from the side."""
    mine = top(name)
    for imported, is_early in imports(path):
        theirs = top(imported)
        if theirs == mine or theirs not in {*LAYER_OF, *SIDE}:
            continue
        if (mine, theirs) in LATE:
            assert not is_early, f"{name} must import {imported} late"
            continue
        if mine in SIDE:
            allowed = any(imported == a or imported.startswith(a + ".") for a in SIDE_MAY_IMPORT)
            assert allowed, f"{name} may not import {imported}"
            continue
        assert theirs not in SIDE, f"{name} may not import {imported}"
        assert LAYER_OF[mine] <= LAYER_OF[theirs], f"{name} may not import {imported}"


def test_every_module_has_a_place():
    """A new module is put into a layer here."""
    for name, _ in modules():
        assert top(name) in {*LAYER_OF, *SIDE}, name


@pytest.mark.parametrize("package", ["loguru", "tqdm", "IPython", "ipywidgets"])
def test_the_core_does_not_know_who_listens(package: str):
    """The core imports neither logs, bars nor widgets, early or late."""
    for name, path in modules():
        if top(name) in {"_core", "_engines", "client", "result", "bulk", "pagination"}:
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert package not in {n.partition(".")[0] for n in names}, name


def test_no_catch_all_modules():
    """A module is named after what it holds or does."""
    banned = {"utils", "helpers", "common", "misc", "util"}
    assert not [name for name, _ in modules() if set(name.split(".")) & banned]
