"""Reading the parameters of a request; what cannot be read is a BadRequest that names the parameter."""

import math
import re
from typing import Final

from aiohttp import web

from query_svc.filters import Filter
from shared.errors import BadRequest
from shared.storage.reader import MAX_INT64

MAX_WAIT_S: Final = 60

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WAIT: Final = re.compile(r'wait\s*=\s*"?(\d{1,9})"?(\s*;.*)?', re.ASCII | re.IGNORECASE)  # RFC 7240


def whole(request: web.Request, name: str, default: int, most: int) -> int:
    """A whole number from 1; a larger one than `most` is `most`."""
    text = request.query.get(name)
    return default if text is None or text == "" else min(_whole(name, text, least=1), most)


def row_id(request: web.Request, name: str) -> int | None:
    """A row id, or None where the parameter is absent."""
    text = request.query.get(name)
    return None if text is None or text == "" else _whole(name, text)


def number(request: web.Request, name: str) -> float | None:
    """A finite number, or None where the parameter is absent."""
    text = request.query.get(name)
    if text is None or text == "":
        return None
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise BadRequest(f"{name} is a number, not {text!r}")
    return value


def truth(request: web.Request, name: str) -> bool | None:
    """True, false, or None where the parameter is absent."""
    text = request.query.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        raise BadRequest(f"{name} is true or false, not {text!r}")
    return text in ("true", "1") if text else None


def seconds(request: web.Request) -> float:
    """The `timeout` of a stream, from 1 to 3600 seconds."""
    value = number(request, "timeout")
    return 60.0 if value is None else max(1.0, min(value, 3600.0))


def last_event_id(request: web.Request) -> int | None:
    """Where a stream is resumed, if it is."""
    text = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    return _whole("Last-Event-ID", text) if text else None


def patience(request: web.Request) -> int:
    """Seconds of `Prefer: wait=N`; 0 without it, or where N is no number."""
    for preference in ",".join(request.headers.getall("Prefer", [])).split(","):
        if match := _WAIT.fullmatch(preference.strip()):
            return min(int(match[1]), MAX_WAIT_S)
    return 0


def stream_filter(request: web.Request) -> Filter:
    """The filters of /stream."""
    return Filter(*(request.query.get(name, "") for name in Filter._fields))


def _whole(name: str, text: str, least: int = 0) -> int:
    if not re.fullmatch(r"\d{1,1000}", text, re.ASCII) or int(text) < least:
        raise BadRequest(f"{name} is a whole number from {least} up, not {text[:40]!r}")
    return min(int(text), MAX_INT64)
