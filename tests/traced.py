"""A test's surroundings: tracing is on, entries go to a server of the test's own, nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import tracehub
from checkpoint_logger import checkpoints, reset_correlation_id, set_correlation_id
from patience import PATIENCE_S
from tracehub import trouble
from wayward import Wayward, wayward


class Traced:
    """What was sent so far, as (direction, operation, endpoint, data) or whole."""

    def __init__(self, server: Wayward) -> None:
        self.server = server

    @property
    def entries(self) -> list[dict[str, Any]]:
        client = tracehub.get_tracehub_client()
        assert client is not None
        assert client.flush(PATIENCE_S)
        return self.server.entries

    @property
    def steps(self) -> list[tuple[str, str, str, Any]]:
        return [(told["direction"], told["operation"], told["endpoint"], told.get("data")) for told in self.entries]

    @property
    def ids(self) -> list[str]:
        return [told["correlation_id"] for told in self.entries]


@contextmanager
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    trouble.forget()
    tracehub.close_tracehub_client(0)
    with wayward() as server:
        monkeypatch.setenv("CHECKPOINT_TRACING", "1")
        monkeypatch.setenv("TRACEHUB_URL", server.url)
        monkeypatch.setenv("TRACEHUB_FLUSH_INTERVAL", "0.05")
        monkeypatch.setenv("TRACEHUB_TIMEOUT", str(PATIENCE_S))
        monkeypatch.delenv("TRACEHUB_REDACT", raising=False)
        token = set_correlation_id(None)
        checkpoints.get_checkpoint_logger("MA")
        yield Traced(server)
        tracehub.close_tracehub_client(PATIENCE_S)
        reset_correlation_id(token)
    monkeypatch.undo()
    checkpoints.get_checkpoint_logger("MA")
