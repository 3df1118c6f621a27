"""The correlation id on its way between services: which headers carry it in, which carry it out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Callable

from checkpoint_logger.correlation import get_correlation_id, new_correlation_id

CORRELATION_HEADER = "X-Correlation-ID"
REQUEST_HEADER = "X-Request-ID"
TRACEPARENT_HEADER = "traceparent"

_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_NO_TRACE = "0" * 32


def incoming_id(header: Callable[[str], str | None]) -> str:
    """The id of a request whose headers `header` looks up by name: X-Correlation-ID, X-Request-ID, the trace id of
    traceparent, else a new one. Ids with other characters than `A-Za-z0-9._:@/+=-`, or more than 128, are passed over.
    """
    for name in (CORRELATION_HEADER, REQUEST_HEADER):
        given = header(name)
        if given is not None and _ID.fullmatch(given.strip()):
            return given.strip()
    parent = _TRACEPARENT.fullmatch((header(TRACEPARENT_HEADER) or "").strip())
    if parent is not None and parent[1] != _NO_TRACE:
        return parent[1]
    return new_correlation_id()


def outgoing_headers(present: Mapping[str, object] | None = None) -> dict[str, str]:
    """What to add to a request that is sent from here, beside the headers that are `present` already.

    Empty without an id in force, or where the id could not be a header.
    """
    correlation_id = get_correlation_id()
    if correlation_id is None or not _ID.fullmatch(correlation_id):
        return {}
    given = {name.lower() for name in present or ()}
    headers = {}
    if CORRELATION_HEADER.lower() not in given:
        headers[CORRELATION_HEADER] = correlation_id
    if TRACEPARENT_HEADER not in given and _TRACE_ID.fullmatch(correlation_id) and correlation_id != _NO_TRACE:
        headers[TRACEPARENT_HEADER] = f"00-{correlation_id}-{os.urandom(8).hex()}-01"
    return headers
