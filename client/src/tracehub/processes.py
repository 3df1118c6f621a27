"""Where processes begin and end: a forked child starts anew, a process that ends sends what it holds within 2 s.

multiprocessing, billiard and Celery end their children without atexit, so the last flush is registered with them, too;
an ASGI application's is with the end of its lifespan.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

LAST_FLUSH_S = 2.0


class Client(Protocol):
    def leave(self, timeout: float) -> None: ...

    def abandon(self) -> None: ...


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_hooked_pid = 0
_ran_out = -LAST_FLUSH_S  # on the monotonic clock: when a last flush had used up its time


@contextmanager
def without_signals() -> Iterator[None]:
    """A thread that is started in here leaves signals to those of the host, which may block some, or wait for them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}  # those of the thread itself
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)  # a handler may raise in it
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remember(client: Client) -> None:
    """`client` is told when this process forks or ends."""
    _clients.add(client)


def forget(client: Client) -> None:
    _clients.discard(client)


def hook() -> None:
    """To be called before a process sends for the first time: see to it that its end is noticed."""
    global _hooked_pid
    if _hooked_pid == os.getpid():
        return
    _hooked_pid = os.getpid()
    for name in ("multiprocessing.util", "billiard.util"):
        util = sys.modules.get(name)
        if util is not None:
            util.Finalize(None, leave, exitpriority=100)
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(leave, weak=False, dispatch_uid="tracehub.leave")


def leave(**_: object) -> None:
    """Send what waits, within 2 s; where that was not enough, whoever notices the same end next does not wait again."""
    global _ran_out
    until = monotonic()
    if until > _ran_out + LAST_FLUSH_S:
        until += LAST_FLUSH_S
    for client in list(_clients):
        client.leave(max(0.0, until - monotonic()))
    if monotonic() >= until:
        _ran_out = monotonic()


def _abandon() -> None:
    global _ran_out
    _ran_out = -LAST_FLUSH_S
    for client in list(_clients):
        client.abandon()


atexit.register(leave)  # this early, it runs after what the host registers later, which may pass checkpoints itself
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon)
