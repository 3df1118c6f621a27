"""What the services and the client keep is their user's alone, whatever the umask."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S
from test_running import Terminal, run  # noqa: F401  # what pytest finds by name here
from tracehub.spool import Spool

from shared.errors import BadFile, Unavailable
from shared.pidfile import supervising
from shared.storage.claim import Claim
from shared.storage.reserve import Reserve


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
    bells = {name for name in beside if name.startswith(".bell-")}
    expected = {"", "-wal", "-shm", ".lock", ".reserve", ".pid", ".supervisor.sock"}
    assert bells and set(beside) - bells == expected
    assert {name: oct(mode) for name, mode in beside.items() if mode != 0o600} == {}


def test_a_link_beside_the_database_is_not_followed(tmp_path: Path) -> None:
    """In /tmp anybody may put one there: what it leads to stays as it is."""
    path, other = tmp_path / "tracehub.db", tmp_path / "of-another"
    other.write_text("precious")
    for ending in (".lock", ".reserve", ".pid"):
        path.with_name(path.name + ending).symlink_to(other)
    with pytest.raises(Unavailable, match=rf"cannot write {path}\.lock: .*link"):
        Claim(path, os.getpid()).take()
    with pytest.raises(BadFile, match=rf"cannot write {path}\.pid: .*link"), supervising(path):
        pass
    Reserve(path).take_some()
    assert other.read_text() == "precious"


def test_what_a_spool_keeps(tmp_path: Path) -> None:
    """Files for the user alone, and none but the user's directories on the way, where the spool had to make them."""
    spool = Spool(str(tmp_path / "made" / "spool"), "own", 2**20)
    spool.write(['{"n":1}'])
    found = modes(tmp_path)
    assert {mode for path, mode in found.items() if (tmp_path / path).is_file()} == {0o600}
    assert {mode for path, mode in found.items() if (tmp_path / path).is_dir()} == {0o700}
    spool.close()


def test_what_the_command_line_keeps(tmp_path: Path) -> None:
    """The id in force, and every directory that had to be made for it; those that were there stay as they are."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    environ = {"HOME": str(home), "XDG_STATE_HOME": str(home / "of" / "state"), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-m", "tracehub.cli", "new", "run-1"], env=environ, check=True, capture_output=True)
    assert {path: oct(mode) for path, mode in modes(tmp_path).items()} == {
        "home": "0o755",
        "home/of": "0o700",
        "home/of/state": "0o700",
        "home/of/state/tracehub": "0o700",
        "home/of/state/tracehub/correlation-id": "0o600",
    }


def powerless() -> list[str]:
    """What to put before a command that is to be refused what this user is refused, root as well."""
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if words and subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not give up its powers")
    return words


def test_a_file_that_only_another_user_may_use(tmp_path: Path) -> None:
    """As a snapshot that an administrator took: the file is what to look at, its directory is right."""
    path = tmp_path / "tracehub.db"
    path.touch(0)
    command = [*powerless(), sys.executable, "-m", "ingest_svc", "--db", path, "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    advice = "check that it exists and that this user may write it and its directory"
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, f"ingest_svc: cannot open {path}: {advice}")


def test_a_directory_that_a_reader_may_not_enter(tmp_path: Path) -> None:
    """The reason is told, and not that the ingest service has yet to make the file."""
    path = tmp_path / "closed/tracehub.db"
    path.parent.mkdir(0)
    code = (
        "import sys, pathlib; from shared.storage.tail_reader import TailReader; TailReader(pathlib.Path(sys.argv[1]))"
    )
    command = [*powerless(), sys.executable, "-c", code, path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.stderr.splitlines()[-1].endswith(f"Unavailable: cannot look for {path}: Permission denied")
