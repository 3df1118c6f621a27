"""One turn: a batch taken from disk or memory, encoded, delivered and settled; what fails is put back, or spooled."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from time import monotonic, sleep, time

from tracehub.answers import Fate, Verdict
from tracehub.backlog import Backlog, Item
from tracehub.backoff import Backoff
from tracehub.delivery import Delivery, Outcome
from tracehub.encoding import Encoder
from tracehub.spool import Spool
from tracehub.trouble import say

MAX_BATCH_BYTES = 2**20  # as captured; a larger entry goes alone
KEEP_S = 600.0  # how long an entry is tried again
STRETCH = 100  # entries encoded at a stretch
YIELD_S = 0.0001


class Turns:
    """Empties the spool, then the backlog, oldest first. For one thread at a time."""

    def __init__(
        self, backlog: Backlog, encoder: Encoder, delivery: Delivery, backoff: Backoff, spool: Spool | None
    ) -> None:
        self._backlog = backlog
        self._encoder = encoder
        self._delivery = delivery
        self._spool = spool
        self._in_hand: list[str] = []
        self._copy: Path | None = None  # of what was in hand when the process seemed to end
        self._tried: deque[tuple[float, int]] = deque()  # (when, the backlog's mark) of failed attempts
        self._lost = 0
        self.backoff = backoff
        self.told_to_wait = False
        self.leaving = False

    def take(self) -> float | None:
        """Send one batch. None when all of it is settled, else the seconds to wait before trying again."""
        self.tell_losses()
        self._adopt()
        if not self._backlog.waiting and not self.on_disk():
            return None
        unreachable = self._delivery.reach()
        if unreachable is not None:
            self._backlog.settle(failed=1)
            return self._failed(unreachable)
        return self._send_from_disk() if self.on_disk() else self._send_from_memory()

    def _send_from_memory(self) -> float | None:
        texts = self._taken()
        self._in_hand = texts
        outcome = self._delivery.deliver(texts, self._backlog.counts().dropped)
        self._in_hand = []
        self._backlog.settle(outcome.sent, outcome.dropped, outcome.failed)
        copy, self._copy = self._copy, None
        if outcome.rest:
            self._keep(outcome.rest, copy)
        elif copy is not None and self._spool is not None:
            self._spool.remove(copy)
        return self._judged(outcome)

    def _keep(self, rest: list[str], copy: Path | None) -> None:
        """What is left of the batch in hand: in memory, or in its copy, for the process may end yet."""
        if self._spool is None or copy is None:
            self._backlog.put_back(rest)
            return
        try:
            self._spool.replace(copy, rest)
            self._backlog.spooled(written=len(rest))
        except OSError as error:
            say("spool", "cannot spool: %s", error)
            self._spool.remove(copy)
            self._backlog.put_back(rest)

    def _send_from_disk(self) -> float | None:
        spool = self._spool
        stored = spool.oldest() if spool is not None else None
        if spool is None or stored is None:
            return None
        outcome = self._delivery.deliver(stored.texts, self._backlog.counts().dropped)
        if not outcome.rest:
            lost = spool.remove(stored.path) - len(stored.texts)  # a file that is gone, or cannot be read
            self._backlog.spooled(dropped=lost)
        elif len(outcome.rest) < len(stored.texts):
            try:
                spool.replace(stored.path, outcome.rest)
            except OSError as error:
                say("spool", "cannot spool: %s", error)
                outcome = outcome._replace(sent=0, dropped=0)  # the file is as it was: all of it is sent again
        self._backlog.spooled(sent=outcome.sent, dropped=outcome.dropped, failed=outcome.failed)
        return self._judged(outcome)

    def _judged(self, outcome: Outcome) -> float | None:
        if outcome.sent:
            self._tried.clear()
        if outcome.verdict.fate is not Fate.STORED:
            return self._failed(outcome.verdict)
        self.backoff.succeeded()
        return None

    def _taken(self) -> list[str]:
        taken: list[Item] = self._backlog.take(self._delivery.most, MAX_BATCH_BYTES)
        texts: list[str] = []
        for start in range(0, len(taken), STRETCH):
            if not self.leaving:
                sleep(YIELD_S)  # callers' threads get the interpreter: without this they could wait for the whole batch
            chosen = map(self._encoder.encode, taken[start : start + STRETCH])
            texts += [text for text in chosen if text is not None]
        self._backlog.settle(dropped=len(taken) - len(texts))
        return texts

    def on_disk(self) -> bool:
        return self._spool is not None and self._spool.entries > 0

    def _adopt(self) -> None:
        if self._spool is not None:
            self._backlog.spooled(adopted=self._spool.adopt(monotonic()))

    def to_disk(self) -> None:
        """Spool what waits in memory; where the disk refuses, it goes on waiting there."""
        if self._spool is None:
            return
        try:
            while self._backlog.waiting:
                texts = self._taken()
                if not texts:
                    continue
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
        pending, address = self._backlog.counts().pending, self._delivery.address
        if verdict.fate is Fate.CLOSED:
            text = "%s refuses this client (check TRACEHUB_SECRET and TRACEHUB_URL), %d entries are kept: %s"
            say("closed", text, address, pending, verdict.reason)
            self.told_to_wait = False
            return self.backoff.refused()
        say("away", "cannot send to %s, %d entries are kept and tried again: %s", address, pending, verdict.reason)
        self._expire(monotonic())
        self.told_to_wait = verdict.wait_s is not None
        wait_s = self.backoff.failed(verdict.wait_s)
        if self.backoff.slow:
            self.to_disk()
        return wait_s

    def _expire(self, now: float) -> None:
        """Drop what was here at an attempt that failed `KEEP_S` ago."""
        self._tried.append((now, self._backlog.mark()))
        while self._tried[0][0] < now - KEEP_S:
            dropped = self._backlog.expire(self._tried.popleft()[1])
            if dropped:
                say("expired", "dropped %d entries that could not be sent for %d s", dropped, KEEP_S)

    def tell_losses(self, at_the_end: bool = False) -> None:
        """Say how many entries found no room, at the end anew: most of them may have come since it was said."""
        lost = self._backlog.lost_to_bounds
        if lost > self._lost or (at_the_end and lost):
            kind = "full at the end" if at_the_end else "full"
            say(kind, "no room: %d entries dropped so far, the oldest or too large", lost)
            self._lost = lost

    def rescue(self) -> None:
        """The process ends with entries pending: spool what is on its way, and what waits behind it, or say so."""
        pending = self._backlog.counts().pending
        if self._spool is None and pending:
            say(
                "left", "the process ends with %d entries that could not be sent to %s", pending, self._delivery.address
            )
        if self._spool is None or not pending:
            return
        on_its_way, self._in_hand = self._in_hand, []  # once, however often the end is noticed
        try:
            if on_its_way:
                self._copy = self._spool.write(on_its_way)
        except OSError as error:
            say("spool", "cannot spool: %s", error)
        self.to_disk()
