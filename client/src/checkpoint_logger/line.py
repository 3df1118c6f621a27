"""The log line of a checkpoint, and back.

    checkpoint ts=1706803200123.25 suffix=x7K2p source=MA dir=-> id=req-1 op=REST endpoint=/api/agents data={"id":"123"}

Fields in this order, `data` only where there is some. A value with spaces, quotes, control or non-ASCII characters, or
none at all, is a JSON string; `data` is a JSON object. Everything is printable ASCII on one line.
"""

from __future__ import annotations

import json
import re

from tracehub.entry import Fields, TraceEntry
from tracehub.plain import plain
from tracehub.redaction import Redaction

_BARE = re.compile(r"[!#-\[\]-~]+")  # printable ASCII but space, quote and backslash
_VALUE = r'("(?:[^"\\]|\\.)*"|[!#-\[\]-~]+)'
_LINE = re.compile(
    r"checkpoint ts=([0-9.e+]+) "
    + " ".join(f"{name}={_VALUE}" for name in ("suffix", "source", "dir", "id", "op", "endpoint"))
    + r"(?: data=(\{.*\}))?"
)
_to_json = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def format_line(fields: Fields, redaction: Redaction) -> str:
    """The line for an entry's ten fields, secrets in `data` masked."""
    source, correlation_id, timestamp, suffix, direction, operation, endpoint, data = fields[:8]
    line = (
        f"checkpoint ts={timestamp!r} suffix={_value(suffix)} source={_value(source)} dir={direction}"
        f" id={_value(correlation_id)} op={_value(operation)} endpoint={_value(endpoint)}"
    )
    if data is None:
        return line
    return f"{line} data={_to_json(plain(data, redaction.is_secret))}"


def parse_line(text: str) -> TraceEntry | None:
    """The entry that a line tells of, wherever in `text` it stands; None where there is none."""
    found = _LINE.search(text)
    if found is None:
        return None
    timestamp, suffix, source, direction, correlation_id, operation, endpoint, data = found.groups()
    try:
        return TraceEntry(
            source_id=_parsed(source),
            correlation_id=_parsed(correlation_id),
            timestamp=float(timestamp),
            suffix=_parsed(suffix),
            direction=direction,
            operation=_parsed(operation),
            endpoint=_parsed(endpoint),
            data=None if data is None else json.loads(data),
            raw_line=text,
        )
    except ValueError:
        return None


def _value(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else _to_json(text)


def _parsed(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value
