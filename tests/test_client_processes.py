"""Processes that end, fork, and are forked by others: each delivers what it was given, once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patience import PATIENCE_S, wait_until
from wayward import Reply, Wayward

PREAMBLE = """
import os, sys, threading, time
import tracehub
from checkpoint_logger import get_checkpoint_logger, set_correlation_id
from tracehub import processes
processes.LAST_FLUSH_S = float(os.environ.get("LAST_FLUSH_S") or 60)
log = get_checkpoint_logger("PR")
set_correlation_id("processes")
"""


def run(server_url: str, code: str, timeout_s: float = PATIENCE_S, **environ: str) -> subprocess.CompletedProcess[str]:
    """`code` in a fresh interpreter that traces to the server; it must end well and print nothing to stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", PREAMBLE + code],
        env={**os.environ, "TRACEHUB_URL": server_url, "CHECKPOINT_TRACING": "1", "TRACEHUB_TIMEOUT": "60", **environ},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def endpoints(server: Wayward) -> list[str]:
    return sorted(entry["endpoint"] for entry in server.entries)


def test_a_script_of_one_checkpoint_that_just_ends_is_delivered(server: Wayward) -> None:
    """The last flush happens at exit, at once and not after the interval."""
    done = run(server.url, "log.checkpoint_entry('CLI', '/only')", TRACEHUB_FLUSH_INTERVAL="3600")
    assert endpoints(server) == ["/only"]
    assert (done.stdout, done.stderr) == ("", "")


def test_a_script_that_fails_or_exits_early_is_delivered(server: Wayward) -> None:
    """sys.exit and an exception from another thread change nothing."""
    run(server.url, "log.checkpoint_entry('CLI', '/exit'); sys.exit(0)", TRACEHUB_FLUSH_INTERVAL="60")
    assert endpoints(server) == ["/exit"]


def test_a_script_whose_server_is_away_says_what_was_lost() -> None:
    """ "Kept and tried again" is not the last word: the process ends."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = run(nowhere, "log.checkpoint_entry('CLI', '/lost')").stderr.splitlines()
    assert nowhere in said[0]
    assert said[-1] == f"the process ends with 1 entries that could not be sent to {nowhere}"


def test_checkpoints_made_while_the_interpreter_ends_are_delivered(server: Wayward) -> None:
    """Where no thread can be started any more, the last flush sends in line."""
    code = (
        "import atexit\ntracehub.get_tracehub_client()\natexit.register(lambda: log.checkpoint_entry('CLI', '/late'))"
    )
    run(server.url, code, TRACEHUB_FLUSH_INTERVAL="60")
    assert endpoints(server) == ["/late"]


LEFT = """
def rows():
    with log.checkpoint("DB", "/rows"):
        yield 1
        yield 2
left = rows()
next(left)
"""


def test_a_block_that_is_left_after_the_last_flush_hangs_nothing(server: Wayward) -> None:
    """Its generator is collected when no thread can be started any more; what it passes is lost, and that is told."""
    said = run(server.url, LEFT).stderr
    assert said == f"the process ends with 1 entries that could not be sent to {server.url}\n"
    assert [entry["direction"] for entry in server.entries] == ["->"]


LEAVING = """
import multiprocessing.util
client = tracehub.get_tracehub_client()
leave = client.leave
client.leave = lambda timeout: (print(timeout), leave(timeout))
log.checkpoint_entry("CLI", "/x")
"""


@pytest.mark.parametrize(("mood", "most_s"), [("away", 4), ("hanging", 2), ("failing", 4)])
def test_a_bad_server_delays_the_end_by_two_seconds_at_most(
    server: Wayward, tmp_path: Path, mood: str, most_s: int
) -> None:
    """A process that ends does not wait for a server that does not answer; nor again where multiprocessing ends too."""
    server.judge = lambda _request: Reply(500, hang_s=2 * PATIENCE_S if mood == "hanging" else 0)
    url = f"http://127.0.0.1:{free_port()}" if mood == "away" else server.url
    waits_s = run(url, LEAVING, TRACEHUB_SPOOL=str(tmp_path), LAST_FLUSH_S="2").stdout.split()
    assert len(waits_s) == 2
    assert sum(map(float, waits_s)) <= most_s
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_forked_child_sends_its_own_and_leaves_the_parents_to_the_parent(server: Wayward) -> None:
    """What was pending at the fork is sent once, by the parent; both go on afterwards with counters of their own."""
    code = """
log.checkpoint_entry("FORK", "/before")
child = os.fork() == 0
client = tracehub.get_tracehub_client()
assert client.counts().enqueued == (0 if child else 1)
for n in range(25):
    log.checkpoint_entry("FORK", "/child" if child else "/parent")
assert client.flush(60)
assert client.counts()[:4] == ((25, 25, 0, 0) if child else (26, 26, 0, 0)), client.counts()
if child:
    os._exit(0)
assert os.wait()[1] == 0
"""
    run(server.url, code, TRACEHUB_FLUSH_INTERVAL="0.2")
    assert endpoints(server) == ["/before"] + ["/child"] * 25 + ["/parent"] * 25
    assert server.duplicates == 0


def test_whoever_closes_all_descriptors_loses_nothing(server: Wayward) -> None:
    """A process that becomes a daemon closes what it finds, the client's connection too; and may fork then."""
    code = """
log.checkpoint_entry("CLI", "/before")
assert tracehub.get_tracehub_client().flush(60)
os.closerange(3, 256)
if os.fork() == 0:
    log.checkpoint_entry("CLI", "/child")
    assert tracehub.get_tracehub_client().flush(60)
    sys.exit()
log.checkpoint_entry("CLI", "/parent")
assert os.wait()[1] == 0
"""
    run(server.url, code)
    assert endpoints(server) == ["/before", "/child", "/parent"]


def test_a_child_that_was_forked_past_the_interpreter_loses_nothing(server: Wayward) -> None:
    """Where a host forks without Python's hooks, the child's first checkpoint finds out, and goes with the rest."""
    code = """
import ctypes
log.checkpoint_entry('CLI', '/parent')
assert tracehub.get_tracehub_client().flush(60)
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    for number in range(3):
        log.checkpoint_entry('CLI', f'/child/{number}')
    sent = tracehub.get_tracehub_client().flush(60)
    os._exit(tracehub.get_tracehub_client().counts()[:4] != (3, 3, 0, 0) or not sent)
assert os.waitpid(pid, 0)[1] == 0
"""
    run(server.url, code, TRACEHUB_FLUSH_INTERVAL="60")
    assert endpoints(server) == ["/child/0", "/child/1", "/child/2", "/parent"]


def test_many_forks_while_other_threads_log_do_not_deadlock(server: Wayward) -> None:
    """Children forked at any moment can log, flush and exit; none hangs, none is lost."""
    code = """
stop = threading.Event()
def busy():
    while not stop.is_set():
        log.checkpoint_entry("FORK", "/busy", {"n": 1})
        time.sleep(0)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads: thread.start()
for number in range(FORKS):
    pid = os.fork()
    if not pid:
        log.checkpoint_entry("FORK", f"/child/{number}")
        if number % 10 == 0:
            ok = tracehub.get_tracehub_client().flush(60)
            os._exit(0 if ok else 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, number
stop.set()
for thread in threads: thread.join()
assert tracehub.get_tracehub_client().flush(60)
"""
    forks = int(os.environ.get("TRACEHUB_TEST_FORKS", "300"))
    run(server.url, code.replace("FORKS", str(forks)), timeout_s=300)
    children = [name for name in endpoints(server) if name.startswith("/child")]
    assert set(children) >= {f"/child/{number}" for number in range(0, forks, 10)}
    assert len(set(children)) == len(children)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_multiprocessing_pool_delivers_every_checkpoint_once(server: Wayward, method: str, tmp_path: Any) -> None:
    """A pool that is closed and joined ends its workers without atexit; their last flush happens all the same."""
    script = tmp_path / "pooled.py"
    script.write_text(
        PREAMBLE
        + f"""
import multiprocessing
def work(n):
    set_correlation_id("processes")
    log.checkpoint_entry("POOL", f"/{{n:03}}")
if __name__ == "__main__":
    log.checkpoint_entry("POOL", "/main")
    pool = multiprocessing.get_context("{method}").Pool(3)
    pool.map(work, range(60), chunksize=1)
    pool.close()
    pool.join()
"""
    )
    run(server.url, f"import runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')" if method == "fork" else "")
    if method != "fork":
        environ = {**os.environ, "TRACEHUB_URL": server.url, "CHECKPOINT_TRACING": "1", "TRACEHUB_FLUSH_INTERVAL": "60"}
        subprocess.run([sys.executable, str(script)], env=environ, timeout=PATIENCE_S, check=True)
    assert endpoints(server) == [f"/{n:03}" for n in range(60)] + ["/main"]
    assert server.duplicates == 0


GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent
from checkpoint_logger import get_checkpoint_logger, get_correlation_id, set_correlation_id
import tracehub
tracehub.processes.LAST_FLUSH_S = 60.0
log = get_checkpoint_logger("GE")
def request(n):
    set_correlation_id(f"green-{n}")
    log.checkpoint_entry("GEVENT", f"/{n:03}")
    gevent.sleep(0.01)
    assert get_correlation_id() == f"green-{n}"
gevent.joinall([gevent.spawn(request, n) for n in range(100)], raise_error=True)
flushing = gevent.spawn(tracehub.get_tracehub_client().flush, 60)
for _ in range(20):
    gevent.sleep(0.01)
counts = tracehub.get_tracehub_client().counts()
print(counts.sent + counts.failed, flush=True)
assert flushing.get()
log.checkpoint_entry("GEVENT", "/last")
"""


def test_under_gevent_the_sender_is_a_greenlet_that_blocks_nobody(server: Wayward) -> None:
    """Patched threading, ids per greenlet, a flush that yields, and the last flush at exit."""
    pytest.importorskip("gevent")
    go_on = threading.Event()
    server.judge = lambda _request: None if go_on.wait(PATIENCE_S) else Reply(500)
    environ = {**os.environ, "TRACEHUB_URL": server.url, "CHECKPOINT_TRACING": "1", "TRACEHUB_TIMEOUT": "120"}
    with subprocess.Popen([sys.executable, "-c", GEVENT], env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        go_on.set()
        assert process.wait(PATIENCE_S) == 0
    assert endpoints(server) == [f"/{n:03}" for n in range(100)] + ["/last"]


GUNICORN_APP = """
from checkpoint_logger import get_checkpoint_logger, set_correlation_id
from tracehub import processes
processes.LAST_FLUSH_S = 60.0
log = get_checkpoint_logger("GU")
set_correlation_id("preload")
log.checkpoint_entry("BOOT", "/boot")

def app(environ, start_response):
    set_correlation_id("request")
    log.checkpoint_entry("REST", environ["PATH_INFO"])
    log.checkpoint_exit("REST", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_with_preload_and_four_workers_delivers_every_checkpoint_once(
    server: Wayward, tmp_path: Any, worker: str
) -> None:
    """The application is loaded and has logged before the fork; each worker sends its own, up to its end."""
    pytest.importorskip("gunicorn")
    (tmp_path / "served.py").write_text(GUNICORN_APP)
    port = free_port()
    # gunicorn's gevent workers do not always notice SIGTERM and are killed then: they must have sent all before.
    interval_s, grace_s = ("0.05", "2") if worker == "gevent" else ("60", "30")
    command = ["gunicorn", "--preload", "-w", "4", "-k", worker, "--graceful-timeout", grace_s, "--timeout", "600"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "-b", f"127.0.0.1:{port}", "served:app"],
        cwd=tmp_path,
        env={
            **os.environ,
            "TRACEHUB_URL": server.url,
            "CHECKPOINT_TRACING": "1",
            "TRACEHUB_FLUSH_INTERVAL": interval_s,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for number in range(80):
            get(port, f"/{number:03}")
        if worker == "gevent":
            wait_until(lambda: len(server.entries) == 161)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    expected = sorted([f"/{number:03}" for number in range(80)] * 2 + ["/boot"])
    assert endpoints(server) == expected, errors
    assert server.duplicates == 0


def get(port: int, path: str) -> None:
    """One request on a connection of its own, repeated until the service is up."""

    def is_answered() -> bool:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(4096):
                pass
            return True
        return False

    wait_until(is_answered)
