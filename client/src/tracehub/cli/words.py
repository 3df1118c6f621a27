"""Text for people: times, sizes and counts, and what may reach a terminal. Pure."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from datetime import datetime, timezone
from typing import Any

_AGES = ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h"), (365 * 86_400, 86_400, "d"))
_YEAR_S = 365 * 86_400
_MANY = 100_000  # years and days that are told by their digits: a sender may have any clock


def clean(text: object) -> str:
    """`text` with everything that a terminal would obey, or hide, made visible: `\\x1b`, `\\u202e`."""
    told = str(text)
    if told.isprintable():
        return told
    return "".join(_visible(letter) for letter in told)


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    if unicodedata.category(letter) == "Zs":
        return " "
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON in which no control character is left raw."""
    separators = None if indent else (",", ":")
    return json.dumps(value, separators=separators, indent=indent).replace("\x7f", "\\u007f")


def in_ascii(text: str) -> str:
    """JSON text in which no control character is left raw but tabs, which stand between tokens, and none but ASCII."""
    return re.sub(r"[^\t -~]", lambda letter: as_json(letter[0])[1:-1], text)


def shown_json(value: Any) -> str:
    """JSON for people: letters of all scripts as they are."""
    return clean(json.dumps(value, ensure_ascii=False))


def duration(ms: float) -> str:
    """`0`, `0.16ms`, `4.1ms`, `188ms`, `1.24s`, `3m12s`, `2h05m`, `3d04h`."""
    if ms < 0:
        return f"-{duration(-ms)}"
    if ms == 0:
        return "0"
    if ms < 9.995:
        return f"{ms:.2f}ms" if ms < 0.995 else f"{ms:.1f}ms"
    if ms < 999.5:
        return f"{ms:.0f}ms"
    if ms < 59_995:
        return f"{ms / 1000:.2f}s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    minutes = seconds // 60
    if minutes < 1440:
        return f"{minutes // 60}h{minutes % 60:02}m"
    days = minutes // 1440
    return f"{days}d{minutes // 60 % 24:02}h" if days < _MANY else f"{days:.0e}d"


def age(timestamp_ms: float, now: float | None = None) -> str:
    """How long ago an instant was, in one unit."""
    seconds = (time.time() if now is None else now) - timestamp_ms / 1000
    if seconds < -1:
        return f"in {_unit(-seconds)}"
    return "now" if seconds < 1 else f"{_unit(seconds)} ago"


def _unit(seconds: float) -> str:
    for limit, size, letter in _AGES:
        if seconds < limit:
            return f"{int(seconds // size)}{letter}"
    years = seconds / _YEAR_S
    return f"{years:.1f}y" if years < _MANY else f"{years:.0e}y"


def clock(timestamp_ms: float, day: bool = False) -> str:
    """An instant in UTC, `04:25:39.209` or with its day; as it is where no calendar has it."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return f"{timestamp_ms:g} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if day else f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def size(count: float) -> str:
    """Bytes: `812 B`, `5.7 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def several(count: int, one: str, more: str = "") -> str:
    """`1 entry`, `46,038 entries`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def plainly(error: Exception | str) -> str:
    """What happened, without the names of exceptions and the numbers of errors."""
    return re.sub(r"\b\w+(Error|error|Exception|Refused|Disconnected|timeout): |\[Errno -?\d+\] ", "", str(error))
