"""`tracehub doctor`: each thing that can be wrong is found once, where it really is so."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import aiohttp
import pytest
from conftest import Services, until
from earlier import earlier_file, old
from shell import BIN, Shell
from test_permissions import powerless
from test_writer import checkpoint
from wayward import Reply, wayward

from shared.storage.claim import Claim
from shared.storage.sqlite import WAL_LIMIT
from shared.storage.writer import Writer

Found = list[tuple[str, str, str]]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def path() -> Iterator[Path]:
    """A database that nobody uses, below /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = Path(folder) / "tracehub.db"
        Writer(file, 3_600_000, synced=False).close()
        yield file


def findings(path: Path, *before: str) -> Found:
    """What the doctor finds wrong: level, name, detail."""
    ended = subprocess.run(
        [*before, BIN / "tracehub", "doctor", "--json", "--db", str(path), "--url", NOBODY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1 and ended.stdout, ended.stderr
    told = json.loads(ended.stdout)["findings"]
    wrong = [(one["level"], one["name"], one["detail"]) for one in told if one["level"] != "ok"]
    assert [name for _, name, detail in wrong if NOBODY in detail or "no answer" in detail] == ["ingest", "query"]
    return [one for one in wrong if one[1] not in ("ingest", "query")]


def test_a_link_to_itself_is_no_file_to_be_made(path: Path) -> None:
    """What starts there would end again."""
    path.unlink()
    path.symlink_to(path)
    assert ("problem", "database", f"{path} is a link to itself") in findings(path)


def test_a_file_that_nobody_serves_below_tmp(path: Path) -> None:
    """Two warnings, and nothing else is wrong with it; looking leaves no claim behind."""
    assert findings(path) == [
        ("warning", "directory", "traces below /tmp may not survive a reboot"),
        ("warning", "writer", "no ingest service writes this file"),
    ]
    assert not path.with_name(f"{path.name}.lock").exists()


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def gone(path: Path) -> None:
    path.unlink()


def gone_with_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def damaged(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (x)")


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)


def earlier(path: Path) -> None:
    path.unlink()
    earlier_file(path, [old(1)])


def long_wal(path: Path) -> None:
    with path.with_name(f"{path.name}-wal").open("wb") as wal:
        wal.truncate(4 * WAL_LIMIT + 1)


@pytest.mark.parametrize(
    ("spoil", "level", "name", "detail"),
    [
        (open_to_all, "warning", "database", "mode 0644: other users may use it"),
        (gone, "warning", "database", "does not exist yet"),
        (gone_with_its_folder, "problem", "database", "the directory"),
        (damaged, "problem", "content", ""),
        (of_another_program, "problem", "content", ""),
        (no_database, "problem", "content", ""),
        (earlier, "warning", "content", "a file of TraceHub 0.1"),
        (long_wal, "warning", "WAL", "268.4 MB"),
    ],
)
def test_what_is_wrong_with_the_file(
    path: Path, spoil: Callable[[Path], None], level: str, name: str, detail: str
) -> None:
    """Each is found once, under its name."""
    spoil(path)
    (found,) = [one for one in findings(path) if one[1] == name]
    assert found[0] == level and detail in found[2]


@pytest.mark.parametrize(
    ("megabytes", "full", "level"), [(20, 16, "problem"), (190, 40, "warning"), (400, 240, "warning")]
)
def test_a_disk_that_is_almost_full(path: Path, megabytes: int, full: int, level: str) -> None:
    """On a small file system of the test's own, which is not called full for being small."""
    mounted = f'mount -t tmpfs -o size={megabytes}m small "$0" && head -c {full}M /dev/zero >"$0/full" && exec "$@"'
    small = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounted, str(path.parent)]
    if subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    (found,) = [one for one in findings(path, *small) if one[1] == "disk"]
    assert found[0] == level


def test_a_file_of_another_user(path: Path) -> None:
    """Neither the file nor its directory are this user's to write; its content and its writer cannot be told."""
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    runs = [*other, BIN / "tracehub", "doctor", "--json", "--db", "/dev/null/none", "--url", NOBODY]
    if shutil.which("setpriv") is None or not subprocess.run(runs, capture_output=True, check=False).stdout:
        pytest.skip("this user may not become another, or that other cannot run the program")
    path.parent.chmod(0o755)
    path.with_name(f"{path.name}.lock").touch(0o600)
    told = findings(path, *other)
    assert ("warning", "writer", f"cannot read {path}.lock: Permission denied") in told
    assert ("problem", "directory", f"this user may not write {path.parent}") in told
    assert ("problem", "database", f"it belongs to user {os.getuid()}, this is 65534") in told


MOUNTS = """\
overlay / overlay rw 0 0
/dev/sdb1 /\xff\xa0\u2028 ext4 rw 0 0
server:/a {0}/my\\040disk nfs4 rw 0 0
server:/b {0}/hidden nfs4 rw 0 0
/dev/sda1 {0}/hidden ext4 rw 0 0
"""


@pytest.mark.parametrize(("name", "is_told"), [("my disk", True), ("hidden", False), ("local", False)])
def test_a_file_on_a_network(tmp_path: Path, name: str, is_told: bool) -> None:
    """A network's disk is known by its mount, whatever its name, unless another one is mounted over it."""
    directory, mounts = tmp_path / name, tmp_path / "mounts"
    directory.mkdir()
    mounts.write_bytes(MOUNTS.format(tmp_path).encode().replace(b"\xc3\xbf", b"\xff"))
    doctor = 'mount --bind "$1" /proc/$$/mounts && exec "$2" -m tracehub_server.doctor'
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything")
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", doctor, "sh", mounts, sys.executable],
        env={**os.environ, "TRACEHUB_DB": str(directory / "tracehub.db")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("is on a network (nfs4)" in ended.stdout) == is_told


def test_a_file_in_a_directory_that_this_user_may_not_enter(path: Path) -> None:
    """As an administrator's look at a server of a user of its own: the file is told apart, and the ports are told."""
    with wayward() as server:
        server.judge = lambda _: Reply(200, {"db": str(path), "entries": 0})
        shell = Shell(path.parent.parent, server.url)
        path.parent.chmod(0)
        command = [*powerless(), BIN / "tracehub", "doctor", "--json"]
        try:
            ended = subprocess.run(command, env=shell.environ, capture_output=True, text=True, timeout=60, check=False)
        finally:
            path.parent.chmod(0o700)
    assert (ended.returncode, ended.stderr) == (1, "")
    told = {one["name"]: (one["level"], one["detail"]) for one in json.loads(ended.stdout)["findings"]}
    assert told["query"][0] == "ok"
    assert told["directory"] == ("problem", f"this user may not look into {path.parent}")


def test_a_file_that_another_program_has_locked(path: Path) -> None:
    """Its content cannot be told while the lock is held, and who holds it is named."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        told = findings(path)
    (content,) = [(level, detail) for level, name, detail in told if name == "content"]
    assert content[0] == "warning" and content[1].startswith("another program holds")
    (intruder,) = [detail for level, name, detail in told if (level, name) == ("problem", "writer")]
    assert f"(pid {os.getpid()}) has {path} open for writing" in intruder


def test_a_writer_that_finds_no_room(path: Path) -> None:
    """Its reason stands beside its pid."""
    claim = Claim(path, 12_345)
    claim.take()
    claim.tell("no room left")
    assert ("problem", "writer", "the ingest service (pid 12345) writes nothing: no room left") in findings(path)
    claim.release()


def test_a_process_whose_name_is_no_text(path: Path) -> None:
    """Whatever else runs on the machine, the doctor looks on: a long name is cut by the system in mid-letter."""
    program = path.parent / "gefährlich-grün"
    shutil.copy(str(shutil.which("sleep")), program)
    found = findings(path)
    with subprocess.Popen([program, "600"]) as process, ExitStack() as at_the_end:
        at_the_end.callback(process.kill)
        assert findings(path) == found


def test_a_secret_that_travels_unencrypted(services: Services) -> None:
    """To an address that others can listen in on, while the same secret to this machine's own is only taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address that others can reach: an unencrypted secret was NOT TRIED")
        address = probe.getsockname()[0]
    services.environ = {"TRACEHUB_SECRET": "right", "TRACEHUB_HOST": "0.0.0.0"}
    services.start("ingest_svc")
    for host, level, detail in (
        (address, "warning", f"it travels unencrypted to http://{address}:{services.ingest_port}"),
        ("127.0.0.1", "ok", "set, and taken"),
    ):
        shell = Shell(services.db.parent, f"http://{host}:{services.ingest_port}")
        ended = shell.run("doctor", "--json", "--db", str(services.db), TRACEHUB_SECRET="right")
        told = {one["name"]: (one["level"], one["detail"]) for one in json.loads(ended.stdout)["findings"]}
        assert told["ingest secret"] == (level, detail)


async def test_a_secret_that_is_missing_or_wrong(services: Services, http: aiohttp.ClientSession) -> None:
    """Of each port, under its own name; the right one is taken."""
    services.environ = {"TRACEHUB_SECRET": "right", "TRACEHUB_QUERY_SECRET": "right"}
    services.start("ingest_svc")
    services.start("query_svc")

    async def is_healthy() -> bool:
        async with http.get(f"{services.query_url}/health") as response:
            return response.status == 200

    await until(is_healthy)
    shell = Shell(services.db.parent, services.ingest_url)
    for given, level, detail in (
        ("", "problem", "the port wants a secret and none is set here"),
        ("wrong", "problem", "the port refuses the secret that is set here"),
        ("right", "ok", "set, and taken"),
    ):
        ended = shell.run("doctor", "--json", "--db", str(services.db), **dict.fromkeys(services.environ, given))
        told = {one["name"]: (one["level"], one["detail"]) for one in json.loads(ended.stdout)["findings"]}
        assert told["ingest secret"] == told["query secret"] == (level, detail)


def test_what_is_in_the_wal_is_told(path: Path) -> None:
    """A file of which all is in its WAL is not called empty."""
    writer = Writer(path, 3_600_000, synced=False)
    try:
        writer.write([[checkpoint(number, raw_line="x" * 200) for number in range(1000)]], 0)
        ended = subprocess.run(
            [BIN / "tracehub", "doctor", "--json", "--db", str(path), "--url", NOBODY],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        size = path.with_name(f"{path.name}-wal").stat().st_size
    finally:
        writer.close()
    (database,) = [one for one in json.loads(ended.stdout)["findings"] if one["name"] == "database"]
    assert size > 100_000 and f"and {size / 1e3:,.1f} kB in its WAL" in database["detail"]


def test_a_name_beyond_ascii_under_another_encoding(tmp_path: Path) -> None:
    """What is found of the file arrives whole, whatever encoding this user's output has."""
    folder = tmp_path / "straße"
    ended = Shell(tmp_path, NOBODY).run("doctor", "--json", "--db", str(folder / "none.db"), PYTHONIOENCODING="latin-1")
    told = {one["name"]: one["detail"] for one in json.loads(ended.stdout)["findings"]}
    assert told["database"] == f"the directory {folder} does not exist"


def test_a_certificate_that_nobody_knows(tmp_path: Path) -> None:
    """Says which setting names its CA, and does not advise to start what runs."""
    with wayward() as server:
        certificate = server.speak_tls(tmp_path)
        server.judge = lambda _: Reply(200, {})
        shell = Shell(tmp_path, server.url)
        for known, level in ({}, "problem"), ({"SSL_CERT_FILE": str(certificate)}, "ok"):
            ended = shell.run("doctor", "--json", "--db", str(tmp_path / "none.db"), **known)
            told = [one for one in json.loads(ended.stdout)["findings"] if server.url in one["detail"]]
            assert {(one["level"], one["remedy"]) for one in told} == {(level, "")}
            assert ("SSL_CERT_FILE" in told[0]["detail"]) == (not known)


@pytest.mark.parametrize("words", [("doctor", "--db", "/dev/null/none.db"), ("list",), ("status",)])
def test_a_port_with_tls_that_is_asked_without(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Proxies answer 400 and a page: the remedy is in what is told."""
    page = b"<html>400 The plain HTTP request was sent to HTTPS port</html>"
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    with wayward() as server:
        server.judge = lambda _: Reply(garbage=head + page)
        ended = Shell(tmp_path, server.url).run(*words)
    assert ended.returncode and "https://" in ended.stdout + ended.stderr


def test_a_clock_that_differs(tmp_path: Path) -> None:
    """By the server's `Date`: a warning that says by how much."""
    date = b"Tue, 01 Jan 2030 00:00:00 GMT"
    with wayward() as server:
        server.judge = lambda _: Reply(garbage=b"HTTP/1.1 200 OK\r\nDate: " + date + b"\r\nContent-Length: 2\r\n\r\n{}")
        ended = Shell(tmp_path, server.url).run("doctor", "--json", "--db", str(tmp_path / "none.db"))
    (clock,) = [one for one in json.loads(ended.stdout)["findings"] if one["name"] == "clock"]
    assert clock["level"] == "warning" and "behind the server" in clock["detail"]
