"""Token buckets: how often each of many clients may do something."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_CLIENTS: Final = 10_000  # that are remembered; the one not seen for longest is forgotten, as if it had never come


class Buckets:
    """One bucket a client: `burst` tokens at most, `rate` new ones a second.

    Of each client one instant is kept: the one at which its bucket will be full again.
    """

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._token_s = 1 / rate
        self._burst_s = burst / rate
        self._now = now
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, client: str, tokens: float = 1.0) -> float:
        """Seconds until the client's bucket holds so many tokens; 0.0 if it does now."""
        full_at = self._full_at.get(client)
        if full_at is None:
            return 0.0
        return max(0.0, full_at - self._now() + tokens * self._token_s - self._burst_s)

    def charge(self, client: str, tokens: float = 1.0) -> None:
        """Take tokens out, more than there are if need be."""
        now = self._now()
        self._full_at[client] = max(now, self._full_at.get(client, now)) + tokens * self._token_s
        self._full_at.move_to_end(client)
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)

    def __len__(self) -> int:
        return len(self._full_at)


def retry_after(wait_s: float) -> int:
    """The whole seconds that a client is told to wait."""
    return max(1, math.ceil(wait_s))
