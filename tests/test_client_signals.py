"""Signals of the host: its handlers may trace at any moment, and none is taken from it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from numbered import entry, numbers
from patience import PATIENCE_S, wait_until
from test_client_processes import endpoints, run
from tracehub.backlog import _PATIENCE_S, Backlog
from tracehub.client import TraceHubClient
from tracehub.processes import without_signals
from wayward import Reply, Wayward


def test_a_signal_handler_that_logs_and_flushes_in_the_middle_of_it_does_not_hang(server: Wayward) -> None:
    """Handlers run between any two steps of the main thread, with whatever lock it holds."""
    code = """
import signal
done = [0]
def handler(*_):
    log.checkpoint_entry("SIG", "/handler")
    done[0] += 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
n = 0
while done[0] < 1_000:
    log.checkpoint_entry("SIG", "/main", {"a": [1]})
    n += 1
    if n % 500 == 0:
        time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0)
client = tracehub.get_tracehub_client()
assert client.flush(60)
assert client.counts()[:2] == (n + done[0], n + done[0] - client.dropped), (client.counts(), n, done)
"""
    run(server.url, code)


def test_a_signal_that_the_host_waits_for_is_not_the_senders(server: Wayward) -> None:
    """A host that blocks a signal to wait for it gets it, though the sender's thread was there before."""
    code = """
import signal
log.checkpoint_entry("CLI", "/before")
assert tracehub.get_tracehub_client().flush(60)
assert signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}) == set()
os.kill(os.getpid(), signal.SIGTERM)
print(signal.sigwait({signal.SIGTERM}).name)
"""
    assert run(server.url, code).stdout == "SIGTERM\n"


def test_a_handler_that_asks_for_the_counts_in_the_middle_of_counting_changes_none(server: Wayward) -> None:
    """The lock that the main thread holds is the handler's after a while, and the main thread takes no harm."""
    client = TraceHubClient(server.url)
    admit = client._backlog._admit
    asked: list[int] = []

    def interrupted() -> None:
        client._backlog._admit = admit  # type: ignore[method-assign]
        asked.append(client.counts().enqueued)
        admit()

    client._backlog._admit = interrupted  # type: ignore[method-assign]
    client.send(entry(0))
    assert client.flush()
    assert (asked, client.counts()) == ([1], (1, 1, 0, 0, 0))
    client.close()


def test_who_is_impatient_at_the_end_loses_nothing_that_there_is_a_spool_for(server: Wayward, tmp_path: Path) -> None:
    """A second Ctrl-C ends the waiting for a server that hangs, not the keeping of what waits."""
    server.judge = lambda _request: Reply(500, hang_s=2 * PATIENCE_S)
    code = """
import signal
def handler(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
log.checkpoint_entry("CLI", "/x")
client = tracehub.get_tracehub_client()
assert not client.flush(0.5)
leave = client.leave
def impatiently(timeout):
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    leave(timeout)
client.leave = impatiently
"""
    done = run(server.url, code, TRACEHUB_SPOOL=str(tmp_path), TRACEHUB_TIMEOUT="120")
    assert "KeyboardInterrupt" in done.stderr
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_termination_by_a_handler_that_flushes(server: Wayward) -> None:
    """The usual SIGTERM handler, which closes and exits, delivers what was sent before."""
    code = """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
log.checkpoint_entry("SIG", "/before")
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
"""
    run(server.url, code, TRACEHUB_FLUSH_INTERVAL="60")
    assert endpoints(server) == ["/before"]


@pytest.mark.parametrize("begun", [True, False])
def test_a_handler_that_raises_while_the_sender_starts_leaves_one_sender(
    server: Wayward, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Whoever goes on after Ctrl-C, or after the time limit of a task, still has what comes later sent."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if begun or thread.name != "tracehub-sender":
            start(thread)
        if thread.name == "tracehub-sender":
            raise KeyboardInterrupt

    clients = [TraceHubClient(server.url, batch_size=1) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        for client in clients:
            with pytest.raises(KeyboardInterrupt):
                client.send(entry(0))
    wait_until(lambda: not begun or clients[0].sent == 1)
    clients[0].send(entry(1))
    assert clients[0].flush()
    assert all(client.close() for client in clients)
    assert numbers(server) == [0, 1]


def test_a_handler_that_raises_while_signals_are_held_back_leaves_none_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose main thread had them blocked for good could not be ended but by kill -9."""
    real = signal.pthread_sigmask
    before = real(signal.SIG_BLOCK, ())

    def interrupted(how: int, signals: set[int]) -> set[int]:
        given = real(how, signals)
        if how == signal.SIG_BLOCK and signals:
            raise KeyboardInterrupt
        return given

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(signal, "pthread_sigmask", interrupted)
        with without_signals():
            pass
    assert real(signal.SIG_SETMASK, before) == before


def test_a_lock_whose_holder_was_interrupted_is_waited_for_once() -> None:
    """An exception that a handler raises right behind the taking of the lock leaves it taken."""
    backlog = Backlog()
    backlog._lock.acquire()
    started = time.monotonic()
    for _ in range(200):
        assert backlog.counts().pending == 0
    assert time.monotonic() - started < 200 / 2 * _PATIENCE_S
