"""A captured entry -> the JSON that the server takes, redacted, within the contract's lengths."""

from __future__ import annotations

import json
import marshal
from typing import Any, Callable, Optional
from uuid import uuid4

from tracehub.backlog import Item
from tracehub.entry import valid_time
from tracehub.plain import plain
from tracehub.redaction import Redaction
from tracehub.trouble import say

BeforeSend = Callable[[dict[str, Any]], Optional[dict[str, Any]]]

MAX_SOURCE = 128
MAX_CORRELATION = 512
MAX_SUFFIX = 128
MAX_OPERATION = 256
MAX_ENDPOINT = 2048

_FLAT = frozenset({str, int, bool, type(None)})


def _json_encoder() -> Callable[[object], str]:
    """`json.dumps` without what it sets up for each call, where the interpreter has the part in C."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode
    pieces = make(None, _no_json, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(pieces(value, 0))


def _no_json(value: object) -> object:
    raise TypeError(type(value).__name__)


_to_json = _json_encoder()


class Encoder:
    """Turns what was captured into text. Runs on the sender's thread, and so does `before_send`."""

    def __init__(self, redaction: Redaction, before_send: BeforeSend | None = None) -> None:
        self._redaction = redaction
        self._before_send = before_send

    def encode(self, item: Item) -> str | None:
        """One JSON object, or None where `before_send` or a direction that is neither `->` nor `<-` drops the entry."""
        if isinstance(item, str):
            return item
        entry: dict[str, Any] | None = self._entry(item)
        if entry is not None and self._before_send is not None:
            entry = self._asked(entry, self._before_send)
        return None if entry is None else _text(entry)

    def _entry(self, item: bytes) -> dict[str, Any] | None:
        source, correlation, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line = (
            marshal.loads(item)
        )
        if direction != "->" and direction != "<-":
            say("direction", "an entry's direction is %.20r, neither '->' nor '<-': dropped", direction)
            return None
        entry = {
            "source_id": _fit(source, MAX_SOURCE, "source_id") or "unknown",
            "correlation_id": _fit(correlation, MAX_CORRELATION, "correlation_id") or uuid4().hex,
            "timestamp": timestamp if type(timestamp) is float else valid_time(timestamp),
            "suffix": _fit(suffix, MAX_SUFFIX, "suffix"),
            "direction": direction,
            "operation": _fit(operation, MAX_OPERATION, "operation"),
            "endpoint": _fit(endpoint, MAX_ENDPOINT, "endpoint"),
        }
        if data is not None:
            entry["data"] = data if self._is_harmless(data) else self._plain(data)
        entry["hostname"] = hostname if type(hostname) is str and hostname else "unknown"
        if raw_line is not None:
            entry["raw_line"] = _text_of(raw_line)
        return entry

    def _is_harmless(self, data: Any) -> bool:
        """Flat, with nothing to mask: the usual case, told without looking into every value."""
        return type(data) is dict and _FLAT.issuperset(map(type, data.values())) and self._redaction.spares(data)

    def _plain(self, data: Any) -> Any:
        return plain(data if type(data) is dict else {"value": data}, self._redaction.is_secret)

    def _asked(self, entry: dict[str, Any], before_send: BeforeSend) -> dict[str, Any] | None:
        try:
            return before_send(entry)
        except Exception as error:
            # What the hook failed to look at may hold what it was to take out.
            say("before_send", "before_send raised %s: %s; the entry is dropped", type(error).__name__, error)
            return None


def _text(entry: dict[str, Any]) -> str:
    try:
        text = _to_json(entry)
        if "\\u0000" not in text:
            text.encode()  # raises on a lone surrogate
            return text
    except (ValueError, TypeError, RecursionError):
        pass  # something that JSON, UTF-8 or a database cannot carry: look at every value
    return _to_json(plain(entry, repair_text=True))


def _fit(value: Any, most: int, name: str) -> str:
    if type(value) is str and len(value) <= most:
        return value
    text = "" if value is None else _text_of(value)
    if len(text) <= most:
        return text
    say(f"long {name}", "%s is %d characters long and cut to %d", name, len(text), most)
    return text[:most]


def _text_of(value: Any) -> str:
    """Of an integer too, that is too long for Python to print: one entry must not take its batch with it."""
    return value if type(value) is str else str(plain(value, repair_text=True))
