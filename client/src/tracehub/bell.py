"""Wakes one sleeper. Ringing takes no lock that could be held: right in signal handlers and finalizers too."""

from __future__ import annotations

import threading


class Bell:
    """Rings are not counted: several before a wait are one."""

    def __init__(self) -> None:
        self._silent = threading.Lock()  # made late, so that it is gevent's where gevent has patched threading
        self._silent.acquire()

    def ring(self) -> None:
        try:
            if self._silent.locked():
                self._silent.release()
        except RuntimeError:
            return  # somebody else rang in between

    def wait(self, timeout_s: float) -> None:
        """Return when it rings or rang since the last wait, or after `timeout_s`."""
        if timeout_s > 0:
            self._silent.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))
        else:
            self._silent.acquire(False)
