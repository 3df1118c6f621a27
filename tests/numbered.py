"""What tests of a sending client stand on: entries that are known by a number, and a server that has them or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from patience import PATIENCE_S
from tracehub import trouble
from tracehub.client import TraceEntry, TraceHubClient
from wayward import Wayward, wayward


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings come from around the test, and nothing was complained of before."""
    for name in ("TRACEHUB_URL", "TRACEHUB_SECRET", "TRACEHUB_SECRET_FILE", "TRACEHUB_SPOOL", "TRACEHUB_REDACT"):
        monkeypatch.delenv(name, raising=False)
    trouble.forget()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client waits as long as tests do, for an answer and for all that is pending, unless it is told otherwise."""
    given = TraceHubClient.__init__.__defaults__ or ()
    for call, defaults in (
        (TraceHubClient.__init__, (*given[:2], PATIENCE_S, *given[3:])),
        (TraceHubClient.flush, (PATIENCE_S,)),
        (TraceHubClient.close, (PATIENCE_S,)),
    ):
        monkeypatch.setattr(call, "__defaults__", defaults)


@pytest.fixture
def server(patient: None) -> Iterator[Wayward]:
    """A server that stores what it is sent, until it is told otherwise."""
    with wayward() as running:
        yield running


def entry(number: int, **changes: Any) -> TraceEntry:
    """The entry of a number, which is its suffix and its place in time."""
    fields: dict[str, Any] = {
        "source_id": "MA", "correlation_id": "req-1", "timestamp": 1706803200000.0 + number, "suffix": str(number),
        "direction": "->", "operation": "REST", "endpoint": "/api",
    }  # fmt: skip
    return TraceEntry(**{**fields, **changes})


def numbers(server: Wayward) -> list[int]:
    """Those of the entries that the server has stored, in the order in which they came."""
    return [int(stored["suffix"]) for stored in server.entries]
