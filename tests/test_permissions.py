"""What the services and the client keep is their user's alone, whatever the umask."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_running import Terminal, run  # noqa: F401  # what pytest finds by name here
from tracehub.spool import Spool


@pytest.fixture(autouse=True)
def permissive() -> Iterator[None]:
    """The umask of most systems, which every process started here inherits."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Each file below a directory, with who may do what."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


def test_what_services_keep(run: Callable[..., Terminal]) -> None:  # noqa: F811  # the fixture
    """Database, WAL, lock, bells, supervisor's socket and pid: nobody else reads or writes any."""
    terminal = run()
    terminal.pid("ingest_svc")
    terminal.pid("query_svc")
    folder = terminal.db.parent
    beside = {name.removeprefix(terminal.db.name): mode for name, mode in modes(folder).items()}
    beside.pop(str(Path(terminal.db.with_suffix(".log").name)))  # this test's own
    expected = ("", "-wal", "-shm", ".lock", ".reserve", ".pid", ".supervisor.sock", ".supervisor.pid")
    assert set(expected) <= set(beside)
    assert any(name.startswith(".bell-") for name in beside)
    assert {name: oct(mode) for name, mode in beside.items() if mode != 0o600} == {}


def test_what_a_spool_keeps(tmp_path: Path) -> None:
    """Files for the user alone, and none but the user's directories on the way, where the spool had to make them."""
    spool = Spool(str(tmp_path / "made" / "spool"), "own", 2**20)
    spool.write(['{"n":1}'])
    found = modes(tmp_path / "made")
    assert {mode for path, mode in found.items() if (tmp_path / "made" / path).is_file()} == {0o600}
    assert {mode for path, mode in found.items() if (tmp_path / "made" / path).is_dir()} == {0o700}
    spool.close()
