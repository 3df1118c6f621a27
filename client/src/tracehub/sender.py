"""The one thread that talks to the server: gather a batch, encode it, deliver it, settle it.

It starts with the first entry and sleeps while there is nothing to do. Where no thread can be had, as in a process that
is ending, whoever flushes does the same turns in line.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic, sleep, time

from tracehub.answers import Fate, Verdict
from tracehub.backlog import Backlog, Item
from tracehub.backoff import Backoff
from tracehub.bell import Bell
from tracehub.delivery import Delivery, Outcome
from tracehub.encoding import Encoder
from tracehub.spool import Spool
from tracehub.trouble import say

MAX_BATCH_BYTES = 2**20  # as captured; a larger entry goes alone
KEEP_S = 600.0  # how long an entry is tried again
AGES_S = 3600.0
STRETCH = 100  # entries encoded at a stretch
YIELD_S = 0.0001


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
        self._encoder = encoder
        self._delivery = delivery
        self._batch_size = max(1, batch_size)
        self._flush_interval_s = flush_interval_s
        self._backoff = Backoff(quick)
        self._spool = spool
        self._in_hand: list[str] = []
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._in_line = threading.Lock()
        self._bell = Bell()
        self._flushes: deque[tuple[int, threading.Event]] = deque()
        self._tried: deque[tuple[float, int]] = deque()  # (when, how many were enqueued) of failed attempts
        self._lost = 0
        self._deaf = False  # waits before it tries again: a full batch changes nothing
        self._hurry = False
        self._told_to_wait = False
        self._leaving = False
        self._stopped = False

    def attend(self) -> None:
        """Count what came in and see to it that someone sends it. Never waits."""
        self._backlog.count_in()
        if self._stopped:
            self._backlog.drop_oldest(self._backlog.waiting)
        elif self._running() and not self._deaf:
            self._bell.ring()

    def flush(self, timeout_s: float, leaving: bool = False) -> bool:
        """Whether all that was enqueued before is settled within `timeout_s`. Leaving: after quick retries, no."""
        until = monotonic() + timeout_s
        target = self._backlog.counts().enqueued
        self._leaving = self._leaving or leaving
        if self._backlog.settled() < target:
            if not self._running():
                self._send_in_line(target, until)
            else:
                self._wait_for(target, until)
        return self._backlog.settled() >= target

    def rescue(self) -> None:
        """The process ends while an answer is still awaited: spool what is on its way, and what waits behind it."""
        if self._spool is None or not self._backlog.counts().pending:
            return
        on_its_way = self._in_hand
        try:
            if on_its_way:
                self._spool.write(on_its_way)
        except OSError as error:
            say("spool", "cannot spool: %s", error)
        self._to_disk()

    def close(self, timeout_s: float) -> bool:
        """Flush, then end the thread; what could not be sent by then is dropped. Whether nothing was."""
        until = monotonic() + timeout_s
        flushed = self.flush(timeout_s, leaving=True)
        self._stopped = True
        self._backlog.watch()
        self._bell.ring()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.05, until - monotonic()))
        if self._thread is None or not self._thread.is_alive():
            self._finish()
        return flushed

    def abandon(self) -> None:
        """In a forked child: the parent sends what it holds, over a connection that is its own."""
        self._stopped = True
        self._delivery.let_go()
        if self._spool is not None:
            self._spool.let_go()

    def _running(self) -> bool:
        thread = self._thread
        if thread is not None and thread.is_alive():
            return True
        if self._stopped or not self._starting.acquire(False):
            return False
        try:
            self._bell = Bell()
            self._bell.ring()
            thread = threading.Thread(target=self._run, name="tracehub-sender", daemon=True)
            thread.start()
            self._thread = thread
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
        if waiter in self._flushes:
            self._flushes.remove(waiter)

    def _send_in_line(self, target: int, until: float) -> None:
        if not self._in_line.acquire(timeout=max(0.0, until - monotonic())):
            return
        try:
            while self._backlog.settled() < target and monotonic() < until:
                self._delivery.answer_within_s = max(0.05, until - monotonic())
                wait_s = self._turn()
                if wait_s is not None:
                    if self._backoff.slow:
                        return
                    sleep(min(wait_s, max(0.0, until - monotonic())))
        finally:
            self._in_line.release()

    def _run(self) -> None:
        self._gather()
        while not self._stopped:
            try:
                wait_s = self._turn()
                self._answer_flushes(gave_up=self._leaving and wait_s is not None and self._backoff.slow)
                if wait_s is None:
                    self._gather()
                else:
                    self._pause(wait_s)
            except Exception as error:  # noqa: PERF203  # the thread outlives whatever a batch does
                say("sender", "the sender failed, a batch is dropped: %s: %s", type(error).__name__, error)
                self._backlog.give_up()
        self._finish()

    def _gather(self) -> None:
        """Sleep until a batch is due: because it is full, or has waited long enough, or somebody flushes."""
        backlog = self._backlog
        if self._on_disk():
            return
        if not backlog.waiting:
            backlog.watch()
            while not backlog.waiting and not self._stopped:
                self._bell.wait(AGES_S)
        backlog.relax(self._batch_size)
        until = monotonic() + self._flush_interval_s
        while backlog.waiting < self._batch_size and not (self._flushes or self._leaving or self._stopped):
            left_s = until - monotonic()
            if left_s <= 0:
                return
            self._bell.wait(left_s)

    def _pause(self, wait_s: float) -> None:
        """Sleep before the next attempt; a flush ends it, unless the server asked for the time."""
        until = monotonic() + wait_s
        self._deaf = True
        while not (self._stopped or (self._hurry and not self._told_to_wait)) and monotonic() < until:
            self._bell.wait(min(until - monotonic(), AGES_S if self._spool is None else self._flush_interval_s))
            if self._backoff.slow:
                self._to_disk()
        self._deaf = False

    def _turn(self) -> float | None:
        """Send one batch. None when all of it is settled, else the seconds to wait before trying again."""
        self._hurry = False
        self._tell_losses()
        self._adopt()
        if not self._backlog.waiting and not self._on_disk():
            return None
        unreachable = self._delivery.reach()
        if unreachable is not None:
            self._backlog.settle(failed=1)
            return self._failed(unreachable)
        return self._send_from_disk() if self._on_disk() else self._send_from_memory()

    def _send_from_memory(self) -> float | None:
        texts = self._taken()
        self._in_hand = texts
        outcome = self._delivery.deliver(texts, self._backlog.counts().dropped)
        self._in_hand = []
        self._backlog.settle(outcome.sent, outcome.dropped, outcome.failed)
        if outcome.rest:
            self._backlog.put_back(outcome.rest)
        return self._judged(outcome)

    def _send_from_disk(self) -> float | None:
        spool = self._spool
        stored = spool.oldest() if spool is not None else None
        if spool is None or stored is None:
            return None
        outcome = self._delivery.deliver(stored.texts, self._backlog.counts().dropped)
        self._backlog.spooled(sent=outcome.sent, dropped=outcome.dropped, failed=outcome.failed)
        if not outcome.rest:
            lost = spool.remove(stored.path) - len(stored.texts)  # a file that is gone, or cannot be read
            self._backlog.spooled(dropped=lost)
        elif len(outcome.rest) < len(stored.texts):
            spool.replace(stored.path, outcome.rest)
        return self._judged(outcome)

    def _judged(self, outcome: Outcome) -> float | None:
        if outcome.sent:
            self._tried.clear()
        if outcome.verdict.fate is not Fate.STORED:
            return self._failed(outcome.verdict)
        self._backoff.succeeded()
        return None

    def _taken(self) -> list[str]:
        taken: list[Item] = self._backlog.take(self._delivery.most, MAX_BATCH_BYTES)
        texts: list[str] = []
        for start in range(0, len(taken), STRETCH):
            if not self._leaving:
                sleep(YIELD_S)  # callers' threads get the interpreter: without this they could wait for the whole batch
            chosen = map(self._encoder.encode, taken[start : start + STRETCH])
            texts += [text for text in chosen if text is not None]
        self._backlog.settle(dropped=len(taken) - len(texts))
        return texts

    def _on_disk(self) -> bool:
        return self._spool is not None and self._spool.entries > 0

    def _adopt(self) -> None:
        if self._spool is not None:
            self._backlog.spooled(adopted=self._spool.adopt(monotonic()))

    def _to_disk(self) -> None:
        """Spool what waits in memory; where the disk refuses, it goes on waiting there."""
        if self._spool is None:
            return
        try:
            while self._backlog.waiting:
                texts = self._taken()
                try:
                    self._spool.write(texts)
                except OSError:
                    self._backlog.put_back(texts)
                    raise
                self._backlog.spooled(written=len(texts))
            dropped = self._spool.trim(time())
            self._backlog.spooled(dropped=dropped)
            if dropped:
                say("spool full", "no room in the spool, or too old: the oldest %d entries are dropped", dropped)
        except OSError as error:
            say("spool", "cannot spool: %s", error)

    def _failed(self, verdict: Verdict) -> float:
        pending = self._backlog.counts().pending
        if verdict.fate is Fate.CLOSED:
            say("closed", "the server does not let us in, %d entries are kept: %s", pending, verdict.reason)
            self._told_to_wait = False
            return self._backoff.refused()
        say("away", "cannot send, %d entries are kept and tried again: %s", pending, verdict.reason)
        self._expire(monotonic())
        self._told_to_wait = verdict.wait_s is not None
        wait_s = self._backoff.failed(verdict.wait_s)
        if self._backoff.slow:
            self._to_disk()
        return wait_s

    def _expire(self, now: float) -> None:
        """Drop what was here at an attempt that failed `KEEP_S` ago."""
        self._tried.append((now, self._backlog.counts().enqueued))
        while self._tried[0][0] < now - KEEP_S:
            dropped = self._backlog.drop_oldest(self._tried.popleft()[1] - self._backlog.settled())
            if dropped:
                say("expired", "dropped %d entries that could not be sent for %d s", dropped, KEEP_S)

    def _tell_losses(self) -> None:
        lost = self._backlog.lost_to_bounds
        if lost > self._lost:
            say("full", "no room: the oldest %d entries are dropped", lost - self._lost)
            self._lost = lost

    def _answer_flushes(self, gave_up: bool) -> None:
        settled = self._backlog.settled()
        while self._flushes and (gave_up or self._flushes[0][0] <= settled):
            self._flushes.popleft()[1].set()

    def _finish(self) -> None:
        self._delivery.close()
        self._to_disk()
        if self._spool is not None:
            self._spool.close()
        left = self._backlog.drop_oldest(self._backlog.waiting)
        if left:
            say("closed with rest", "closed with %d entries that could not be sent", left)
        self._answer_flushes(gave_up=True)
