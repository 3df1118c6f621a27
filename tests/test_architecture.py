"""The directions of imports, and what may be known in which room."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent
SERVER = ("deploy", "ingest_svc", "query_svc", "shared")


def parsed(*rooms: str) -> dict[str, ast.Module]:
    """The modules of some folders, by their paths."""
    files = [path for room in rooms for path in (PROJECT / room).rglob("*.py")]
    return {path.relative_to(PROJECT).as_posix(): ast.parse(path.read_text()) for path in files}


MODULES = parsed(*SERVER)
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|BEGIN|COMMIT|VACUUM|WITH)\s+[\w*(\"]")


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a module imports, by their full names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def importers(package: str) -> set[str]:
    """The modules that import a package."""
    return {
        module
        for module, tree in MODULES.items()
        if any(name == package or name.startswith(f"{package}.") for name in imports(tree))
    }


def outside(modules: set[str], *rooms: str) -> set[str]:
    """Those of the modules that are in none of the rooms."""
    return {module for module in modules if not module.startswith(rooms)}


def test_imports_point_one_way() -> None:
    """The services import shared, never each other, and nobody imports them."""
    assert len(MODULES) > 30
    assert not outside(importers("ingest_svc"), "ingest_svc/")
    assert not outside(importers("query_svc"), "query_svc/")
    assert not importers("deploy") | importers("tracehub_server") | importers("tracehub")


def test_the_client_knows_nothing_of_the_server() -> None:
    """What services install imports nothing of the server."""
    client = parsed("client/src")
    assert len(client) > 5
    roots = {name.split(".")[0] for tree in client.values() for name in imports(tree)}
    assert not roots & {*SERVER, "tracehub_server"}


def test_shared_is_named_in_full() -> None:
    """No import is relative, so that the rules here see them all."""
    nodes = [node for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in nodes if node.level]


def test_http_stays_in_the_services_and_shared_web() -> None:
    """aiohttp is known to the services and to shared.web."""
    found = importers("aiohttp") | importers("aiohttp_sse")
    assert not outside(found, "ingest_svc/", "query_svc/", "shared/web/")


def test_sql_stays_in_storage() -> None:
    """SQLite and SQL are known to shared.storage, and aiosqlite to one module of it."""
    assert not outside(importers("sqlite3"), "shared/storage/")
    assert importers("aiosqlite") == {"shared/storage/pool.py"}
    texts = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    }
    assert texts
    assert not outside(texts, "shared/storage/")


def test_the_environment_is_read_where_a_process_starts() -> None:
    """os.environ is read by shared.env, and by the programs of deploy/."""
    readers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    }
    programs = {f"deploy/{name}.py" for name in ("__main__", "doctor", "healthy", "snapshot", "stop")}
    assert readers == {"shared/env.py", *programs}
