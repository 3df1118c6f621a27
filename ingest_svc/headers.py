"""What the headers of a batch say: how its body is written, and what its sender had to drop."""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs

from ingest_svc.messages import Report
from shared.errors import Unsupported

DROPPED: Final = "X-TraceHub-Dropped"
_SENDER = re.compile(r"[\x21-\x7e]{1,128}")
_TOTAL = re.compile(r"[0-9]{1,15}")
_PACKED = {"application/json": False, "application/msgpack": True, "application/x-msgpack": True}


def is_packed(headers: Mapping[str, str]) -> bool:
    """Whether a body is msgpack; raises Unsupported where it is neither that nor JSON."""
    content_type = headers.get(hdrs.CONTENT_TYPE)
    if content_type is None:
        return False
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _PACKED:
        raise Unsupported(f"Content-Type {kind!r} is not supported: use application/json or application/msgpack")
    return _PACKED[kind]


def drop_report(headers: Mapping[str, str]) -> Report | None:
    """What the sender says it dropped; a report that cannot be read must not cost the entries that come with it."""
    sender, _, total = headers.get(DROPPED, "").rpartition("=")
    return (sender, int(total)) if _SENDER.fullmatch(sender) and _TOTAL.fullmatch(total) else None
