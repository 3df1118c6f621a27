"""What the server's answer to a batch means for the batch: one table, no I/O."""

from __future__ import annotations

import json
import re
import time
from email.message import Message
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple

from tracehub.connection import Answer

MAX_WAIT_S = 600.0  # the longest Retry-After that is believed

_ENTRY = re.compile(r"^\$\.traces\[(\d+)\]")


class Fate(Enum):
    STORED = "stored"
    AGAIN = "again"  # may well succeed later
    SPLIT = "split"  # too large
    BAD = "bad"  # one entry is refused for what it is
    CLOSED = "closed"  # nothing will succeed until somebody changes a setting


class Verdict(NamedTuple):
    """`place` is the refused entry's in the batch where known, `wait_s` what the server asked for."""

    fate: Fate
    reason: str = ""
    place: int | None = None
    wait_s: float | None = None


def judge(answer: Answer) -> Verdict:
    """200 with a receipt is the only success: a stray page that answers 200 has stored nothing."""
    status = answer.status
    told = _told(answer.body)
    if status == 200:
        return Verdict(Fate.STORED) if "accepted" in told else Verdict(Fate.AGAIN, "200 without a receipt")
    reason = f"{status} {detail_of(answer)}".strip()[:500]
    if status in (408, 429) or status >= 500:
        return Verdict(Fate.AGAIN, reason, wait_s=retry_after(answer.headers))
    if status == 413:
        return Verdict(Fate.SPLIT, reason)
    if status == 400 and answer.body and not told:
        return Verdict(Fate.CLOSED, "400, but not from a TraceHub: https:// instead of http://?")
    if status == 400:
        named = _ENTRY.match(str(told.get("path") or ""))
        return Verdict(Fate.BAD, reason, place=int(named[1]) if named else None)
    return Verdict(Fate.CLOSED, reason)


def detail_of(answer: Answer) -> str:
    """What an answer says of itself, or where it sends to, if it is a redirect that nobody follows with a POST."""
    location = answer.headers.get("Location") if answer.status in (301, 302, 303) else None
    return str(_told(answer.body).get("detail") or (f"moved to {location}" if location else ""))


def retry_after(headers: Message) -> float | None:
    """Seconds that the server asks to wait, given in seconds or as an HTTP date; None where it does not say."""
    text = (headers.get("Retry-After") or "").strip()
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
    return min(max(wait_s, 0.0), MAX_WAIT_S) if wait_s == wait_s else None


def _told(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
