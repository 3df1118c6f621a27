"""structlog: the correlation id in every event.

structlog.configure(processors=[add_correlation_id, ...])
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from checkpoint_logger.correlation import get_correlation_id


def add_correlation_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add `correlation_id` where one is in force and the event has none."""
    correlation_id = get_correlation_id()
    if correlation_id is not None:
        event.setdefault("correlation_id", correlation_id)
    return event
