"""Signals of the host: its handlers may trace at any moment, and none is taken from it."""

from __future__ import annotations

from test_client_processes import endpoints, run
from wayward import Wayward


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
until = time.monotonic() + 1.5
n = 0
while time.monotonic() < until:
    log.checkpoint_entry("SIG", "/main", {"a": [1]})
    n += 1
    if n % 500 == 0:
        time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0)
client = tracehub.get_tracehub_client()
assert client.flush(20)
assert client.counts()[:2] == (n + done[0], n + done[0] - client.dropped), (client.counts(), n, done)
assert done[0] > 50
"""
    run(server.url, code)


def test_a_signal_that_the_host_waits_for_is_not_the_senders(server: Wayward) -> None:
    """A host that blocks a signal to wait for it gets it, though the sender's thread was there before."""
    code = """
import signal
log.checkpoint_entry("CLI", "/before")
assert tracehub.get_tracehub_client().flush()
assert signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}) == set()
os.kill(os.getpid(), signal.SIGTERM)
print(signal.sigwait({signal.SIGTERM}).name)
"""
    assert run(server.url, code).stdout == "SIGTERM\n"


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
