"""The spool: what cannot be sent survives on disk, and arrives once."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import free_port
from numbered import entry, numbers
from patience import PATIENCE_S, wait_until
from tracehub import trouble
from tracehub.client import TraceHubClient
from tracehub.sender import SPOOL_EVERY_S
from tracehub.spool import Spool
from tracehub.turns import Turns
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
def _quiet(patient: None) -> None:
    trouble.forget()


def run(url: str, spool: Path, *arguments: str) -> int:
    environ = {**os.environ, "TRACEHUB_SPOOL": str(spool)}
    return subprocess.run(
        [sys.executable, "-c", OUTAGE, url, *arguments], env=environ, timeout=PATIENCE_S, check=False
    ).returncode


def on_disk(spool: Path) -> int:
    """How many entries a spool holds, by the names of its files."""
    return sum(int(path.stem.split("-")[1]) for path in spool.glob("*/*.json"))


def test_an_outage_goes_to_disk_and_arrives_once_and_in_order(tmp_path: Path) -> None:
    """More than fits in memory is kept, pending all the time, and sent when the server is back."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool=str(tmp_path))
    for number in range(15_000):
        client.send(entry(number))
        if number % 1000 == 999:
            wait_until(lambda sent=number + 1: on_disk(tmp_path) > sent - 5_000)
    assert client.counts()[:4] == (15_000, 0, 0, 15_000)
    with wayward(port) as late:
        assert client.flush(PATIENCE_S)
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
        wait_until(lambda: len(late.entries) == 81)
        assert client.flush(PATIENCE_S)
        assert client.counts()[:4] == (81, 81, 0, 0)
        client.close()
        assert sorted(numbers(late)) == [*range(80), 99]
        assert late.duplicates == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mood", ["away", "hanging"])
def test_a_process_that_ends_during_an_outage_leaves_its_entries_on_disk(tmp_path: Path, mood: str) -> None:
    """At exit what could not be sent is spooled, the batch on its way included."""
    with wayward() as server:
        server.judge = lambda _request: Reply(500, hang_s=2 * PATIENCE_S)
        url = server.url if mood == "hanging" else f"http://127.0.0.1:{free_port()}"
        assert run(url, tmp_path, "0", "30", "end") == 0
    lines = [line for path in tmp_path.glob("*/*.json") for line in path.read_text().split("\n")]
    assert sorted({int(json.loads(line)["suffix"]) for line in lines}) == list(range(30))


def test_a_process_that_goes_on_counts_what_it_spooled_for_its_end_once(tmp_path: Path) -> None:
    """A lifespan ended while a batch was on its way and others waited: all are pending, then sent, each once."""
    with wayward() as server:
        go_on = threading.Event()
        server.judge = lambda _request: Reply(500, hang_s=0 if go_on.wait(PATIENCE_S) else PATIENCE_S)
        with TraceHubClient(server.url, 5, timeout=2 * PATIENCE_S, retry_count=9, spool=str(tmp_path)) as client:
            for number in range(5):
                client.send(entry(number))
            wait_until(lambda: server.requests)
            for number in range(5, 8):
                client.send(entry(number))
            client.leave(0.1)
            assert client.counts()[:4] == (8, 0, 0, 8)
            go_on.set()
            wait_until(lambda: client.failed)
            assert on_disk(tmp_path) == 8
            server.judge = None
            assert client.flush(PATIENCE_S)
            assert client.counts()[:4] == (8, 8, 0, 0)
        assert (sorted(numbers(server)), server.duplicates) == (list(range(8)), 0)


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
    wait_until(lambda: "cannot spool" in caplog.text)
    assert client.counts()[:4] == (20, 0, 0, 20)
    with wayward(port) as late:
        assert client.flush(PATIENCE_S)
        assert numbers(late) == list(range(20))
    client.close()
    assert sum("cannot spool" in record.getMessage() for record in caplog.records) == 1


def test_a_refused_entry_in_a_spooled_batch_blocks_nobody(tmp_path: Path) -> None:
    """What is left of a batch stays on disk while the rest has met its fate; a damaged file is counted."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool=str(tmp_path))
    for number in range(10):
        client.send(entry(number, endpoint="bad" if number == 4 else "/api"))
    wait_until(lambda: on_disk(tmp_path))
    with wayward(port) as late:
        late.judge = lambda request: (
            Reply(400, {"path": f"$.traces[{4 - int(request.traces[0]['suffix'])}]"})
            if any(told["endpoint"] == "bad" for told in request.traces)
            else None
        )
        assert client.flush(PATIENCE_S)
        assert client.counts()[:4] == (10, 9, 1, 0)
    client.close()


def test_a_file_that_is_no_batch_is_left_where_it_is(tmp_path: Path) -> None:
    """What else lies with a dead owner's batches, as the copy that a synchronised folder makes, hinders nobody."""
    dead = Spool(str(tmp_path), "dead", 2**20)
    dead.write([json.dumps({"correlation_id": "left", "timestamp": 0, "suffix": "0"})])
    dead.let_go()
    strange = tmp_path / "dead" / "01706803200000000000-1 (1).json"
    strange.write_text("{}")
    with wayward() as server, TraceHubClient(server.url, flush_interval=0.02, spool=str(tmp_path)) as client:
        client.send(entry(1))
        assert client.flush(PATIENCE_S)
        assert (client.counts()[:4], numbers(server)) == ((2, 2, 0, 0), [0, 1])
    assert list(tmp_path.rglob("*.json")) == [strange]


def test_a_process_that_goes_elsewhere_finds_its_spool_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon changes its directory; a spool that was named from the one before stays where it was."""
    monkeypatch.chdir(tmp_path)
    port = free_port()
    with TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02, retry_count=0, spool="spool") as client:
        client.send(entry(1))
        while not list(tmp_path.rglob("*.json")):
            time.sleep(0.01)
        monkeypatch.chdir("/")
        with wayward(port) as late:
            assert client.flush(PATIENCE_S)
            assert (client.counts()[:4], numbers(late)) == ((1, 1, 0, 0), [1])


def test_a_flush_waits_for_its_own_entries_behind_adopted_ones(tmp_path: Path) -> None:
    """What a dead process left goes first, and does not stand for what this one sent."""
    dead = Spool(str(tmp_path), "dead", 2**20)
    left = [f'{{"correlation_id":"left","timestamp":{number},"suffix":"{number}"}}' for number in range(50)]
    dead.write(left[:25])
    dead.write(left[25:])
    dead.let_go()
    with wayward() as server:
        server.judge = lambda request: Reply(200, server.store(request.traces), hang_s=0.1)
        client = TraceHubClient(server.url, flush_interval=60, spool=str(tmp_path))
        for number in range(5):
            client.send(entry(number))
        assert client.flush(PATIENCE_S)
        assert client.counts() == (55, 55, 0, 0, 0)
        assert numbers(server)[50:] == list(range(5))
        client.close()


def test_what_comes_while_an_old_outage_lasts_is_spooled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old entries on disk do not make those expire that have just come and are still in memory."""
    monkeypatch.setattr("tracehub.turns.KEEP_S", 0.2)
    with wayward() as server:
        server.judge = lambda _request: Reply(503, {}, hang_s=0.3)
        client = TraceHubClient(server.url, flush_interval=0.02, retry_count=0, spool=str(tmp_path))
        for number in range(60):
            client.send(entry(number))
            time.sleep(0.02)
        wait_until(lambda: client.failed >= 3)
        assert client.counts()[:4] == (60, 0, 0, 60)
        server.judge = None
        assert client.flush(PATIENCE_S)
        assert sorted(numbers(server)) == list(range(60))
        client.close()


def test_an_outage_costs_next_to_nothing_where_entries_leave_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two attempts the sender sleeps, also with an interval of 0."""
    looks: list[float] = []
    to_disk = Turns.to_disk
    monkeypatch.setattr(Turns, "to_disk", lambda turns: (looks.append(time.monotonic()), to_disk(turns))[1])
    client = TraceHubClient(f"http://127.0.0.1:{free_port()}", flush_interval=0, retry_count=0, spool=str(tmp_path))
    client.send(entry(1))
    wait_until(lambda: len(looks) > 5)
    assert len(looks) < 10 + 2 * (looks[-1] - looks[0]) / SPOOL_EVERY_S
    client.close(0)


def test_a_batch_of_which_nothing_is_left_is_not_spooled(tmp_path: Path) -> None:
    """Entries that `before_send` drops are dropped once; no empty file is sent, or stays behind."""
    port = free_port()
    client = TraceHubClient(
        f"http://127.0.0.1:{port}",
        flush_interval=0.02,
        retry_count=0,
        spool=str(tmp_path),
        before_send=lambda fields: fields if fields["endpoint"] == "/api" else None,
    )
    for round_ in range(2):
        for number in range(5):
            client.send(entry(10 * round_ + number, endpoint="/api" if round_ else "unwanted"))
        wait_until(lambda round_=round_: client.counts()[2:4] == (5, 5 * round_))
    with wayward(port) as late:
        assert client.flush(PATIENCE_S)
        assert client.counts()[:4] == (10, 5, 5, 0)
        assert numbers(late) == list(range(10, 15))
    client.close()
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """What is longer than a kilobyte finds no room."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_not_filled_further(tmp_path: Path) -> None:
    """What could not be written whole is taken away again, and closing works as ever."""
    client = TraceHubClient(f"http://127.0.0.1:{free_port()}", flush_interval=0.02, retry_count=0, spool=str(tmp_path))
    with full_disk():
        for number in range(20):  # none of which finds room, in whatever company it leaves
            client.send(entry(number, data={"text": "x" * 1000}))
        wait_until(lambda: client.failed >= 3)
        assert client.close(0.5) is False
    assert client.counts()[:4] == (20, 0, 20, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_a_batch_is_sent_leaves_the_counters_exact(tmp_path: Path) -> None:
    """A part of a batch from disk is stored, the rest cannot be written: all of it goes again, and is counted once."""
    port = free_port()
    url, spool = f"http://127.0.0.1:{port}", str(tmp_path)
    client = TraceHubClient(url, batch_size=20, flush_interval=3600, retry_count=0, spool=spool)
    for number in range(20):
        client.send(entry(number))
    wait_until(lambda: on_disk(tmp_path))
    with full_disk(), wayward(port) as late:
        late.replies = [Reply(413)]
        late.judge = lambda _request: Reply(503) if len(late.requests) == 3 else None
        assert client.flush(PATIENCE_S)
        assert client.counts()[:4] == (20, 20, 0, 0)
        assert numbers(late) == list(range(20))
        assert late.duplicates == 10
        client.close()


def test_a_spool_that_somebody_removed_can_be_taken_over_again(tmp_path: Path) -> None:
    """Files that are written later have a lock beside them once more."""
    first, second = Spool(str(tmp_path), "first", 2**20), Spool(str(tmp_path), "second", 2**20)
    first.write(["{}"])
    shutil.rmtree(tmp_path)
    first.write(["{}", "{}"])
    first.let_go()
    assert second.adopt(1.0) == 2
    second.let_go()
