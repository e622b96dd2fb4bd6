"""The arrows of the design, read from the imports themselves: DESIGN.md, "Layout".

Imports inside functions and under TYPE_CHECKING count like all others. A new module must be put into `LAYERS`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "flagsnap"

MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 50

PURE = frozenset(
    {
        *("errors", "progress", "durations", "moments", "sealed"),
        *("migrations", "catalog", "loss", "target", "plan", "consent", "by_hand", "history"),
        *("snapshot", "attached", "verification", "retention", "rehearsal"),
        *("diagnosis", "whereabouts", "results"),
    }
)
# The rooms of the use cases, and which of the others each may enter.
USE_CASES: dict[str, frozenset[str]] = {
    "recording": frozenset(),
    "restoring": frozenset(),
    "refilling": frozenset({"restoring"}),
    "rollback": frozenset({"recording", "restoring", "refilling"}),
    "rehearsing": frozenset({"restoring", "refilling", "rollback"}),
    "verifying": frozenset({"restoring"}),
    "pruning": frozenset({"restoring"}),
    "diagnosing": frozenset({"restoring"}),
    "overview": frozenset({"restoring"}),
}
OUTSIDE = frozenset({"postgres", "stores", "process"})

# Each module or package, below flagsnap, and what it may import of flagsnap beside itself and the pure modules.
LAYERS: dict[str, frozenset[str]] = {
    **dict.fromkeys(PURE, frozenset()),
    "config": frozenset(),
    "process": frozenset(),
    "postgres": frozenset({"process"}),
    "stores": frozenset({"process"}),
    "bridge": frozenset({"process"}),
    **{name: OUTSIDE | others for name, others in USE_CASES.items()},
    "rollback": OUTSIDE | USE_CASES["rollback"] | {"bridge"},
    "rehearsing": OUTSIDE | USE_CASES["rehearsing"] | {"bridge"},
    "diagnosing": OUTSIDE | USE_CASES["diagnosing"] | {"bridge"},
    "overview": OUTSIDE | USE_CASES["overview"] | {"bridge"},
    "monitoring": frozenset(),
    "report": frozenset(),
    "demo": frozenset({"process", "postgres"}),
    "cli": frozenset(USE_CASES) | {"report", "config", "postgres", "stores", "bridge", "demo", "monitoring"},
    "__main__": frozenset({"cli"}),
}

# What each may import of other people's packages; whatever is not named may import none.
FOREIGN: dict[str, frozenset[str]] = {
    "snapshot": frozenset({"pydantic"}),
    "attached": frozenset({"pydantic"}),
    "rehearsal.values": frozenset({"pydantic"}),
    "loss.words": frozenset({"sqlparse"}),
    "bridge.messages": frozenset({"pydantic"}),
    "bridge.probe": frozenset({"django"}),
    "bridge.probe.drivers": frozenset({"django", "psycopg", "psycopg2"}),  # whichever the project has
    "postgres": frozenset({"psycopg"}),
    "stores.s3.client": frozenset({"boto3", "botocore", "mypy_boto3_s3"}),
    "stores.s3.patience": frozenset({"botocore", "mypy_boto3_s3"}),
    "stores.s3.errors": frozenset({"botocore", "urllib3"}),
    "stores.s3.bucket": frozenset({"botocore", "mypy_boto3_s3", "urllib3"}),
    "stores.s3.uploads": frozenset({"boto3", "mypy_boto3_s3", "s3transfer"}),
    "stores.s3.options": frozenset({"pydantic"}),
    "report": frozenset({"rich"}),
    "cli": frozenset({"typer"}),
}

# Packages whose modules nobody else may see: what they have for others stands in their __init__.
CLOSED = ("flagsnap.stores.s3",)

# Parts of the standard library that belong to one module.
ONLY = {
    "subprocess": "process",
    "sqlite3": "none",
    "pickle": "none",
    # Who calls other hosts: boto3 and libpq for their doors, and the pings.
    **dict.fromkeys(("urllib.request", "http.client"), "monitoring"),
    "zoneinfo": "moments",
}

ROOT_FILES = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "docker-compose.test.yml",
    "flagsnap",
    "tests",
    "scripts",
}


def modules() -> Iterator[tuple[str, str]]:
    """Each module's name and source; the demo's projects are data."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[:3] != ("flagsnap", "demo", "project"):
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, path.read_text()


def imported(source: str) -> set[str]:
    """The full names of all that a source imports, wherever it does; `from x import y` is both x and x.y."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            names.add(f"computed:{ast.unparse(node)}")
    return names


def allowed(table: dict[str, frozenset[str]], name: str) -> frozenset[str] | None:
    """The entry of the longest prefix of a module's name, None if there is none."""
    parts = name.split(".")[1:]
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((table[prefix] for prefix in prefixes if prefix in table), None)


def violations(name: str, source: str, known: frozenset[str]) -> list[str]:
    """What a module imports against the arrows; `known` are all modules of flagsnap."""
    if name == "flagsnap":
        return [f"{name} imports {each}" for each in imported(source)]
    below = allowed(LAYERS, name)
    if below is None:
        return [f"{name} is in no layer: put it into LAYERS"]
    own = name.split(".")[1]
    found = []
    for each in sorted(imported(source)):
        top, *rest = each.split(".")
        if top != "flagsnap":
            if own != _only(each, own) or top not in sys.stdlib_module_names | (allowed(FOREIGN, name) or set()):
                found.append(f"{name} imports {each}")
        elif _is_probe(name) != _is_probe(each):
            found.append(f"{name} imports {each}: the probe runs in the project's process")
        elif each in known and _is_behind_a_door(name, each):
            found.append(f"{name} imports {each}: only {each.rpartition('.')[0]} itself is for others")
        elif rest and each in known and rest[0] not in below | PURE | {own}:
            found.append(f"{name} imports {each}")
    if own in PURE:
        found += [
            f"{name} does I/O with {each}" for each in sorted(imported(source) & {"os", "pathlib.Path", "socket"})
        ]
    return found


def _only(name: str, otherwise: str) -> str:
    """The one part of flagsnap that may import a module of the standard library."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((ONLY[prefix] for prefix in prefixes if prefix in ONLY), otherwise)


def _is_probe(name: str) -> bool:
    return f"{name}.".startswith("flagsnap.bridge.probe.")


def _is_behind_a_door(name: str, imported_name: str) -> bool:
    return any(imported_name.startswith(f"{closed}.") and not name.startswith(closed) for closed in CLOSED)


KNOWN = frozenset(name for name, _ in modules())


@pytest.mark.parametrize(("name", "source"), [pytest.param(*each, id=each[0]) for each in modules()])
def test_imports_run_downwards(name: str, source: str) -> None:
    assert violations(name, source, KNOWN) == []


def test_nothing_imports_itself_in_a_circle() -> None:
    benches = {f"scripts.benches.{path.stem}": path.read_text() for path in (ROOT / "scripts/benches").glob("*.py")}
    sources = dict(modules()) | benches
    packages = {name for name in sources if any(other.startswith(f"{name}.") for other in sources)}
    graph = {name: imported(source) & sources.keys() - {name} - packages for name, source in sources.items()}
    assert {"scripts.benches.__main__", "flagsnap.rollback.run"} <= {name for name, below in graph.items() if below}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("flagsnap.newcomer", ""),
        ("flagsnap.catalog", "import psycopg"),
        ("flagsnap.catalog", "from flagsnap.config import Settings"),
        ("flagsnap.plan", "def f():\n    from flagsnap.postgres import facts"),
        ("flagsnap.plan", "from pathlib import Path"),
        ("flagsnap.recording.capture", "import psycopg"),
        ("flagsnap.recording.capture", "from flagsnap.rollback.run import opened"),
        ("flagsnap.rollback.replay", "from flagsnap.rehearsing.rehearse import rehearse"),
        ("flagsnap.rehearsal.script", "from flagsnap.postgres import replaying"),
        ("flagsnap.rehearsal.script", "import pydantic"),
        ("flagsnap.rehearsing.acts", "import psycopg"),
        ("flagsnap.bridge.probe.recorder", "import psycopg2"),
        ("flagsnap.restoring.restore", "from flagsnap.bridge.project import Project"),
        ("flagsnap.recording.capture", "from flagsnap.report.text import size"),
        ("flagsnap.recording.capture", "from flagsnap import cli"),
        ("flagsnap.recording.capture", "import subprocess"),
        ("flagsnap.retention", "from flagsnap.stores.snapshots import Snapshots"),
        ("flagsnap.by_hand", "from flagsnap.bridge.project import Description"),
        ("flagsnap.verifying.verify", "from flagsnap.rollback.run import opened"),
        ("flagsnap.pruning.prune", "from flagsnap.bridge.project import Project"),
        ("flagsnap.diagnosing.doctor", "import psycopg"),
        ("flagsnap.overview.status", "from flagsnap.verifying.live import watch_live"),
        ("flagsnap.monitoring.pings", "from flagsnap.config import Settings"),
        ("flagsnap.stores.local", "from urllib.request import urlopen"),
        ("flagsnap.postgres.embedded", "import http.client"),
        ("flagsnap.history", "from zoneinfo import ZoneInfo"),
        ("flagsnap.postgres.dump", "from subprocess import run"),
        ("flagsnap.postgres.dump", "from flagsnap.stores import open_store"),
        ("flagsnap.postgres.dump", "if TYPE_CHECKING:\n    from flagsnap.recording.capture import CaptureRequest"),
        ("flagsnap.stores.local", "import boto3"),
        ("flagsnap.stores.s3.store", "import botocore"),
        ("flagsnap.stores.content", "from flagsnap.stores.s3.bucket import Bucket"),
        ("flagsnap.postgres.facts", "import sqlparse"),
        ("flagsnap.bridge.project", "from flagsnap.bridge import probe"),
        ("flagsnap.bridge.bundle", "from flagsnap.bridge.probe.main import main"),
        ("flagsnap.bridge.probe.main", "from flagsnap.errors import FlagsnapError"),
        ("flagsnap.bridge.probe.main", "import psycopg"),
        ("flagsnap.report.text", "import typer"),
        ("flagsnap.report.text", "from flagsnap.cli.run import Run"),
        ("flagsnap.cli.capture", "import rich.console"),
        ("flagsnap.cli.capture", "from flagsnap.process import run"),
        ("flagsnap.recording.capture", "__import__('psycopg')"),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str) -> None:
    assert violations(name, source, KNOWN) != []


@pytest.mark.parametrize(("name", "source"), [pytest.param(*each, id=each[0]) for each in modules()])
def test_files_functions_and_docstrings(name: str, source: str) -> None:
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE
    assert list(_too_long(tree)) == []
    assert list(_undocumented(tree)) == []


def test_long_and_undocumented_functions_are_found() -> None:
    long = ast.parse("def work():\n" + "    pass\n" * MOST_LINES_OF_A_FUNCTION)
    assert list(_too_long(long)) == list(_undocumented(long)) == ["work"]
    inner = 'class Public:\n    """A class."""\n    def method(self): ...\n    def _own(self): ...'
    assert list(_undocumented(ast.parse(inner))) == ["method"]


def _too_long(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MOST_LINES_OF_A_FUNCTION:
            yield node.name


def _undocumented(tree: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Public functions, classes and methods, those inside functions left out."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None and not _is_overload(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node)


def _is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_the_root_holds_what_was_agreed() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in found if not name.startswith(".")} == ROOT_FILES


@pytest.mark.parametrize("arguments", [["--version"], ["capture", "--help"]])
def test_version_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom flagsnap.cli.app import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
    )
    program += "sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"boto3", "botocore", "psycopg", "django", "sqlparse"})
    assert not {name for name in done.stderr.split() if name.startswith(("flagsnap.postgres", "flagsnap.stores"))}
