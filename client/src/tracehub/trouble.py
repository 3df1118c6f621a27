"""Trouble is said through the logger `tracehub`, each kind once a minute, on one line, and nowhere else."""

from __future__ import annotations

import logging
import re
import time

EVERY_S = 60.0

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_log = logging.getLogger("tracehub")
_said: dict[str, float] = {}
_unsaid: dict[str, int] = {}


def say(kind: str, message: str, *args: object, level: int = logging.WARNING) -> None:
    """Log `message` unless this kind of trouble was told within the last minute. A handler that raises is its own."""
    now = time.monotonic()
    if now - _said.get(kind, -EVERY_S) < EVERY_S:
        _unsaid[kind] = _unsaid.get(kind, 0) + 1
        return
    _said[kind] = now
    again = _unsaid.pop(kind, 0)
    if again:
        message += " (and %d times more since this was last said)"
        args = (*args, again)
    try:
        _log.log(level, message, *map(_on_one_line, args))
    except Exception:  # a handler of the host raised: it must not reach the host's caller through us
        _said[kind] = now


def _on_one_line(arg: object) -> object:
    """What others say may hold line breaks, and forge a line of the log with them."""
    if isinstance(arg, (int, float)):
        return arg
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], str(arg))


def forget() -> None:
    """Say everything anew."""
    _said.clear()
    _unsaid.clear()
