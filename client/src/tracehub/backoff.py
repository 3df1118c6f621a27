"""How long to wait before the next attempt: full jitter, so that a recovering server does not meet everyone at once."""

from __future__ import annotations

from random import SystemRandom

QUICK_S = 0.2  # bound of the first quick retry; doubles with each
SLOW_S = 1.0  # bound of the first slow retry; doubles up to
SLOWEST_S = 15.0
REFUSED_S = 30.0  # the server wants another secret or address: only a person can help

_random = SystemRandom()  # the module's own generator may be seeded by the host, the same in every process


class Backoff:
    """Counts failures in a row. `quick` retries come soon, the rest slow down."""

    def __init__(self, quick: int) -> None:
        self._quick = quick
        self.failures = 0

    def succeeded(self) -> None:
        self.failures = 0

    def failed(self, asked_s: float | None = None) -> float:
        """Seconds to wait after one more failure; `asked_s` is what the server asked for."""
        self.failures += 1
        if asked_s is not None:
            return asked_s + _random.uniform(0, 0.1 + asked_s / 10)
        if self.failures <= self._quick:
            return _random.uniform(0, QUICK_S * 2 ** min(self.failures - 1, 10))
        return _random.uniform(0, min(SLOWEST_S, SLOW_S * 2 ** min(self.failures - self._quick - 1, 10)))

    def refused(self) -> float:
        self.failures += 1
        return _random.uniform(REFUSED_S / 2, REFUSED_S)

    @property
    def slow(self) -> bool:
        """The quick retries are used up."""
        return self.failures > self._quick
