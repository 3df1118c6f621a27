"""The one thread that talks to the server: gather a batch, encode it, deliver it, settle it.

It starts with the first entry and sleeps while there is nothing to do. Where no thread can be had, as in a process that
is ending, whoever flushes does the same turns in line.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from sys import is_finalizing
from time import monotonic, sleep

from tracehub.backlog import Backlog
from tracehub.backoff import Backoff
from tracehub.bell import Bell
from tracehub.delivery import Delivery
from tracehub.encoding import Encoder
from tracehub.processes import without_signals
from tracehub.spool import Spool
from tracehub.trouble import say
from tracehub.turns import Turns

AGES_S = 3600.0
SPOOL_EVERY_S = 0.1  # at most so often what comes in during an outage goes to disk


class Sender:
    """Empties the backlog, oldest first. `attend`, `flush` and `close` are for callers, the rest is its own."""

    def __init__(
        self,
        backlog: Backlog,
        encoder: Encoder,
        delivery: Delivery,
        batch_size: int,
        flush_interval_s: float,
        quick: int,
        spool: Spool | None = None,
    ) -> None:
        self._backlog = backlog
        self._delivery = delivery
        self._batch_size = batch_size
        self._flush_interval_s = flush_interval_s
        self._spool = spool
        self._backoff = Backoff(quick)
        self._turns = Turns(backlog, encoder, delivery, self._backoff, spool)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._sending = threading.Lock()  # held by whoever takes turns: the thread, or a flush in line
        self._bell = Bell()
        self._flushes: deque[tuple[int, threading.Event]] = deque()
        self._deaf = False  # waits before it tries again: a full batch changes nothing
        self._hurry = False
        self._stopped = False

    def attend(self) -> None:
        """Count what came in and see to it that someone sends it. Never waits."""
        self._backlog.count_in()
        if self._stopped:
            self._backlog.drop_oldest(self._backlog.waiting)
        elif is_finalizing():  # a finalizer, or a generator that was left half-way, after the last flush
            self.rescue()
        elif self._running() and not self._deaf:
            self._bell.ring()

    def flush(self, timeout_s: float, leaving: bool = False) -> bool:
        """Whether all that was enqueued before is settled within `timeout_s`. Leaving: after quick retries, no."""
        until = monotonic() + timeout_s
        target = self._backlog.mark()
        if leaving:
            self._turns.leaving = True
        if self._backlog.settled() < target:
            if self._running():
                self._wait_for(target, until)
            else:
                self._send_in_line(target, until)
        if leaving:
            self._turns.tell_losses(at_the_end=True)
            self._turns.leaving = False  # the process may go on, as it does when an application's lifespan ends in it
        return self._backlog.settled() >= target

    def close(self, timeout_s: float) -> bool:
        """Flush, then end the thread; what could not be sent by then is dropped. Whether nothing was."""
        until = monotonic() + timeout_s
        flushed = self.flush(timeout_s, leaving=True)
        self._stopped = True
        self._backlog.watch()
        self._bell.ring()
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(max(0.05, until - monotonic()))
        if not self._is_alive():
            self._finish()
        return flushed

    def abandon(self) -> None:
        """In a forked child: the parent sends what it holds, over a connection that is its own."""
        self._stopped = True
        self._delivery.let_go()
        if self._spool is not None:
            self._spool.let_go()

    def rescue(self) -> None:
        """The process ends with entries pending: spool what there is a spool for, or say what is lost."""
        self._turns.rescue()

    def _take_turn(self) -> float | None:
        self._hurry = False
        try:
            return self._turns.take()
        except Exception as error:  # whoever flushes, and the thread, outlive whatever a batch does
            return self._broken(error)

    def _broken(self, error: Exception) -> float:
        say("sender", "the sender failed, a batch is dropped: %s: %s", type(error).__name__, error)
        self._backlog.give_up()
        return self._backoff.failed()

    def _is_alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _running(self) -> bool:
        """Whether there is a thread, started now if need be, or somebody is starting one at this moment."""
        if self._is_alive():
            return True
        if self._stopped or is_finalizing():  # up to Python 3.11 a thread that is started then is waited for in vain
            return False
        if not self._starting.acquire(False):
            return True
        try:
            if self._is_alive():
                return True
            if self._thread is None:
                self._bell = Bell()
                self._bell.ring()
            # Known before it runs: a signal handler that raises in here must not leave a thread that nobody wakes.
            self._thread = threading.Thread(target=self._run, name="tracehub-sender", daemon=True)
            with without_signals():
                self._thread.start()
        except RuntimeError:  # the interpreter is ending, or there are too many threads
            self._thread = None
            self._backlog.relax(self._batch_size)
        finally:
            self._starting.release()
        return self._thread is not None

    def _wait_for(self, target: int, until: float) -> None:
        waiter = (target, threading.Event())
        self._flushes.append(waiter)
        self._hurry = True
        self._bell.ring()
        waiter[1].wait(max(0.0, until - monotonic()))
        self._forget(waiter)

    def _forget(self, waiter: tuple[int, threading.Event]) -> None:
        with suppress(ValueError, IndexError):  # the other one was faster
            self._flushes.remove(waiter)

    def _send_in_line(self, target: int, until: float) -> None:
        if not self._sending.acquire(timeout=max(0.0, until - monotonic())):
            return
        try:
            while self._backlog.settled() < target and monotonic() < until:
                self._delivery.limit(max(0.05, until - monotonic()))
                wait_s = self._take_turn()
                if wait_s is not None:
                    if self._backoff.slow:
                        return
                    sleep(min(wait_s, max(0.0, until - monotonic())))
        finally:
            self._delivery.limit(None)
            self._sending.release()

    def _run(self) -> None:
        with self._sending:
            self._take_turns()

    def _take_turns(self) -> None:
        self._gather()
        while not self._stopped:
            try:
                wait_s = self._take_turn()
                self._answer_flushes(gave_up=self._turns.leaving and wait_s is not None and self._backoff.slow)
                if wait_s is None:
                    self._gather()
                else:
                    self._pause(wait_s)
            except Exception as error:  # noqa: PERF203  # the turn of an endless loop: the next one may do better
                self._pause(self._broken(error))
        self._finish()

    def _gather(self) -> None:
        """Sleep until a batch is due: because it is full, or has waited long enough, or somebody flushes."""
        backlog = self._backlog
        if self._turns.on_disk():
            return
        if not backlog.waiting:
            backlog.watch()
            while not backlog.waiting and not self._stopped:
                self._bell.wait(AGES_S)
        backlog.relax(self._batch_size)
        until = monotonic() + self._flush_interval_s
        while backlog.waiting < self._batch_size and not (self._flushes or self._turns.leaving or self._stopped):
            left_s = until - monotonic()
            if left_s <= 0:
                return
            self._bell.wait(left_s)

    def _pause(self, wait_s: float) -> None:
        """Sleep before the next attempt; a flush ends it, unless the server asked for the time."""
        until = monotonic() + wait_s
        look_every_s = AGES_S if self._spool is None else max(self._flush_interval_s, SPOOL_EVERY_S)
        self._deaf = True
        while not (self._stopped or (self._hurry and not self._turns.told_to_wait)) and monotonic() < until:
            self._bell.wait(min(until - monotonic(), look_every_s))
            if self._backoff.slow:
                self._turns.to_disk()
        self._deaf = False

    def _answer_flushes(self, gave_up: bool) -> None:
        settled = self._backlog.settled()
        for waiter in list(self._flushes):
            if gave_up or waiter[0] <= settled:
                self._forget(waiter)
                waiter[1].set()

    def _finish(self) -> None:
        self._delivery.close()
        self._turns.to_disk()
        if self._spool is not None:
            self._spool.close()
        self._backlog.watch()
        left = self._backlog.drop_oldest(self._backlog.waiting)
        if left:
            say("closed with rest", "closed with %d entries that could not be sent", left)
        self._answer_flushes(gave_up=True)
