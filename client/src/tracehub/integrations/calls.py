"""A call of another service: the id goes along, and a checkpoint is written before and after, failed calls too."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from checkpoint_logger import CheckpointLogger, get_correlation_id, reset_correlation_id, set_correlation_id
from tracehub.integrations.propagation import CORRELATION_HEADER, outgoing_headers


@contextmanager
def call(log: CheckpointLogger | None, endpoint: str, headers: MutableMapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Add the id to the `headers` of a request that is sent in this block; what the block gets goes with the exit.

    Without a `log` there are no checkpoints, only the id.
    """
    answered: dict[str, Any] = {}
    if log is None:
        headers.update(outgoing_headers(headers))
        yield answered
        return
    given = headers.get(CORRELATION_HEADER)  # with a redirect comes the id of what was redirected
    token = set_correlation_id(get_correlation_id() or (given if isinstance(given, str) else None))
    try:
        with log.checkpoint("HTTP", endpoint) as point:
            point.exit_data = answered
            headers.update(outgoing_headers(headers))
            yield answered
    finally:
        reset_correlation_id(token)
