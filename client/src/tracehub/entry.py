"""The entry: one checkpoint that a request passed, on its way in (`->`) or out (`<-`).

`TraceEntry` is what callers hold; `freeze` turns its fields into what waits to be sent.
"""

from __future__ import annotations

import marshal
import math
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Callable, Optional

from tracehub.plain import plain

# source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line
Fields = tuple[str, str, float, str, str, str, str, Optional[Mapping[str, Any]], str, Optional[str]]

_TEXT = frozenset({str})
_ATOMS = frozenset({str, int, float, bool, type(None)})
_BYTES = frozenset({bytes, bytearray, memoryview})
_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_LOCKED = getattr(sys, "_is_gil_enabled", lambda: True)()  # else marshal crashes where another thread changes `data`


@cache
def this_host() -> str:
    """Name of the host this process runs on, asked for once."""
    return socket.gethostname() or "unknown"


@dataclass
class TraceEntry:
    """One checkpoint. `timestamp` is Unix time in milliseconds; `direction` is `->` or `<-`."""

    source_id: str
    correlation_id: str
    timestamp: float
    suffix: str
    direction: str
    operation: str
    endpoint: str
    data: Mapping[str, Any] | None = None
    hostname: str = field(default_factory=this_host)
    raw_line: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, `data` by reference."""
        return {
            "source_id": self.source_id,
            "correlation_id": self.correlation_id,
            "timestamp": self.timestamp,
            "suffix": self.suffix,
            "direction": self.direction,
            "operation": self.operation,
            "endpoint": self.endpoint,
            "data": self.data,
            "hostname": self.hostname,
            "raw_line": self.raw_line,
        }


def create_trace_entry(
    source_id: str,
    correlation_id: str,
    timestamp_ms: float,
    suffix: str,
    direction: str,
    operation: str,
    endpoint: str,
    data: Mapping[str, Any] | None = None,
    raw_line: str | None = None,
) -> TraceEntry:
    """An entry of this host."""
    return TraceEntry(
        source_id=source_id,
        correlation_id=correlation_id,
        timestamp=timestamp_ms,
        suffix=suffix,
        direction=direction,
        operation=operation,
        endpoint=endpoint,
        data=data,
        raw_line=raw_line,
    )


def freeze(fields: Any, is_secret: Callable[[str], bool] | None = None) -> bytes:
    """An entry's ten `Fields` as they are now, as one bytes object that later changes to `data` cannot reach.

    The collector does not track bytes, and their length is what the memory bound counts. Values that are not plain
    (dates, decimals, anything with a class of its own) are turned into text on the way, masked where `is_secret` says
    so of a key. Raises nothing that a value could cause.
    """
    if not _LOCKED and type(fields[7]) is dict:
        fields = (*fields[:7], fields[7].copy(), *fields[8:])
    data = fields[7]
    try:
        if data is None or (
            type(data) is dict and _TEXT.issuperset(map(type, data)) and _ATOMS.issuperset(map(type, data.values()))
        ):
            return marshal.dumps(fields, 2)
        # Looking into anything but a container may take what is the host's.
        if _LOCKED and type(data) in _CONTAINERS and _is_known(data):
            # Version 2 follows every reference again: a dict that holds itself twice would never end.
            return marshal.dumps(fields, 4)
    except Exception:
        pass  # nested too deep for marshal, or a mapping that it does not take
    return marshal.dumps(tuple(plain(value, is_secret) for value in fields), 2)


def _is_known(data: Any) -> bool:
    """Whether marshal takes `data` for what it is: what has a buffer, like numpy's numbers, it takes for bytes."""
    containers, seen = [data], {id(data)}
    for values in containers:  # which grow meanwhile
        if type(values) is dict:
            if not _TEXT.issuperset(map(type, values)):
                return False
            values = values.values()
        for value in values:
            kind = type(value)
            if kind in _ATOMS or kind in _BYTES:
                continue
            if kind not in _CONTAINERS:
                return False
            if id(value) not in seen:
                seen.add(id(value))
                containers.append(value)
    return True


def valid_time(timestamp: object) -> float:
    """`timestamp` in milliseconds where it is one, else now: a broken clock reading must not lose the entry."""
    try:
        number = float(timestamp)  # type: ignore[arg-type]
    except Exception:
        return time.time() * 1000
    return number if 0 <= number < math.inf else time.time() * 1000
