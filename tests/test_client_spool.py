"""The spool: what cannot be sent survives on disk, and arrives once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import free_port
from numbered import entry, numbers
from tracehub import trouble
from tracehub.client import TraceHubClient
from tracehub.spool import Spool
from wayward import Reply, wayward

OUTAGE = """
import os, signal, sys, time
import tracehub
from tracehub.client import TraceHubClient, TraceEntry
client = TraceHubClient(sys.argv[1], flush_interval=0.02)
for n in range(int(sys.argv[2]), int(sys.argv[3])):
    client.send(TraceEntry("MA", "req-1", 1706803200000.0 + n, str(n), "->", "REST", "/api"))
if sys.argv[4] == "kill":
    while client._sender._spool.entries < int(sys.argv[3]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    trouble.forget()


def run(url: str, spool: Path, *arguments: str) -> int:
    environ = {**os.environ, "TRACEHUB_SPOOL": str(spool)}
    return subprocess.run(
        [sys.executable, "-c", OUTAGE, url, *arguments], env=environ, timeout=30, check=False
    ).returncode


def test_an_outage_goes_to_disk_and_arrives_once_and_in_order(tmp_path: Path) -> None:
    """More than fits in memory is kept, pending all the time, and sent when the server is back."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool=str(tmp_path))
    for number in range(15_000):
        client.send(entry(number))
        if number % 1000 == 999:
            time.sleep(0.1)
    assert client.counts()[:4] == (15_000, 0, 0, 15_000)
    with wayward(port) as late:
        assert client.flush(30)
        assert numbers(late) == list(range(15_000))
        assert late.duplicates == 0
        assert client.counts()[:4] == (15_000, 15_000, 0, 0)
        client.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_spooled_is_sent_by_the_next(tmp_path: Path) -> None:
    """Nothing that was spooled is lost, nothing arrives twice, and the directory is clean afterwards."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    assert run(url, tmp_path, "0", "50", "kill") == -signal.SIGKILL
    assert run(url, tmp_path, "50", "80", "kill") == -signal.SIGKILL
    with wayward(port) as late:
        client = TraceHubClient(url, flush_interval=0.02, spool=str(tmp_path))
        client.send(entry(99))
        late.wait_for(lambda: len(late.entries) == 81)
        assert client.flush(5)
        assert client.counts()[:4] == (81, 81, 0, 0)
        client.close()
        assert sorted(numbers(late)) == [*range(80), 99]
        assert late.duplicates == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mood", ["away", "hanging"])
def test_a_process_that_ends_during_an_outage_leaves_its_entries_on_disk(tmp_path: Path, mood: str) -> None:
    """At exit what could not be sent is spooled, the batch on its way included."""
    with wayward() as server:
        server.judge = lambda _request: Reply(500, hang_s=6)
        url = server.url if mood == "hanging" else f"http://127.0.0.1:{free_port()}"
        started = time.monotonic()
        assert run(url, tmp_path, "0", "30", "end") == 0
        assert time.monotonic() - started < 4
    lines = [line for path in tmp_path.glob("*/*.json") for line in path.read_text().split("\n")]
    assert sorted({int(json.loads(line)["suffix"]) for line in lines}) == list(range(30))


def test_a_living_owner_keeps_its_files(tmp_path: Path) -> None:
    """Another process takes nothing while the owner lives, all of it afterwards."""
    first, second = Spool(str(tmp_path), "first", 2**20), Spool(str(tmp_path), "second", 2**20)
    first.write(["{}", "{}"])
    assert second.adopt(1.0) == 0
    first.let_go()
    assert second.adopt(2.0) == 0, "looks once a minute"
    assert second.adopt(62.0) == 2
    stored = second.oldest()
    assert stored is not None
    assert stored.texts == ["{}", "{}"]
    second.remove(stored.path)
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_the_spool_is_bounded_and_forgets_what_is_too_old(tmp_path: Path) -> None:
    """Full: the oldest file goes. After a day: it would have expired at the server."""
    spool = Spool(str(tmp_path), "own", 1000)
    for number in range(5):
        spool.write([f'{{"n":{number},"text":"{"x" * 380}"}}'])
    assert spool.trim(time.time()) == 3
    assert spool.entries == 2
    assert spool.trim(time.time() + 25 * 3600) == 2
    assert spool.oldest() is None
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_a_disk_that_refuses_leaves_entries_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unusable directory is said once, and memory's bounds hold."""
    (tmp_path / "file").write_text("")
    port = free_port()
    client = TraceHubClient(
        f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool=str(tmp_path / "file" / "below")
    )
    for number in range(20):
        client.send(entry(number))
    time.sleep(0.3)
    assert client.counts()[:4] == (20, 0, 0, 20)
    with wayward(port) as late:
        assert client.flush(20)
        assert numbers(late) == list(range(20))
    client.close()
    assert sum("cannot spool" in record.getMessage() for record in caplog.records) == 1


def test_a_refused_entry_in_a_spooled_batch_blocks_nobody(tmp_path: Path) -> None:
    """What is left of a batch stays on disk while the rest has met its fate; a damaged file is counted."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool=str(tmp_path))
    for number in range(10):
        client.send(entry(number, endpoint="bad" if number == 4 else "/api"))
    until = time.monotonic() + 5
    while not list(tmp_path.glob("*/*.json")):
        assert time.monotonic() < until
        time.sleep(0.01)
    with wayward(port) as late:
        late.judge = lambda request: (
            Reply(400, {"path": f"$.traces[{4 - int(request.traces[0]['suffix'])}]"})
            if any(told["endpoint"] == "bad" for told in request.traces)
            else None
        )
        assert client.flush(20)
        assert client.counts()[:4] == (10, 9, 1, 0)
    client.close()
