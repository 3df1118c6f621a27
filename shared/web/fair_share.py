"""A fair share for everyone: how often a client may ask, and how many answers may be held open for it."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from shared.env import Settings
from shared.errors import TooOften, Unavailable
from shared.web.buckets import Buckets, retry_after

BURST_S: Final = 10.0  # a client may ask at once as often as its rate gives it in this time


class FairShare:
    """Token buckets for a client's calls, and its number of streams. Who had its share is told when to come back."""

    def __init__(self, rate: float, settings: Settings) -> None:
        self._buckets = Buckets(rate, max(1.0, rate * BURST_S)) if rate else None
        self.has_rate = self._buckets is not None
        self._max_streams = settings.max_streams
        self._max_client_streams = settings.max_client_streams
        self._ends: dict[str, dict[object, float]] = {}
        self.streams = 0

    def take(self, client: str) -> None:
        """Count one call of this client; raises TooOften."""
        if self._buckets is not None:
            self.admit(client, 1.0)
            self._buckets.charge(client)

    def admit(self, client: str, tokens: float = 0.0) -> None:
        """Raise TooOften while the client has not so many tokens, or has not paid off what it took beyond them."""
        if self._buckets is not None and (wait_s := self._buckets.wait_s(client, tokens)):
            raise TooOften("This client exceeds its rate limit", retry_after(wait_s))

    def charge(self, client: str, tokens: int) -> None:
        """Count what an admitted call turned out to cost."""
        if self._buckets is not None:
            self._buckets.charge(client, tokens)

    @contextlib.contextmanager
    def stream(self, client: str, seconds: float) -> Iterator[None]:
        """Hold an answer open for a client, for so long at most; raises TooOften, or Unavailable: all are taken."""
        ends = self._ends.get(client, {})
        if len(ends) >= self._max_client_streams:
            soonest_s = retry_after(min(ends.values()) - time.monotonic())
            raise TooOften(f"One client may hold {self._max_client_streams:,} streams at a time", soonest_s)
        if self.streams >= self._max_streams:
            raise Unavailable(f"{self._max_streams:,} streams are open, the most that are allowed", retry_after=5)
        mine = object()
        self._ends.setdefault(client, ends)[mine] = time.monotonic() + seconds
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
            del ends[mine]
            if not ends:
                self._ends.pop(client, None)
