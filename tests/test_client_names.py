"""What services call by name: each call as it was published, its arguments in their order and with their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import checkpoint_logger
import pytest
import tracehub
import tracehub.client
from checkpoint_logger import CheckpointLogger
from tracehub.client import TraceEntry, TraceHubClient, TraceHubQueryClient
from tracehub.entry import this_host

NEEDED = inspect.Parameter.empty
ENTRY = ("source_id", "correlation_id", "timestamp", "suffix", "direction", "operation", "endpoint")
CREATED = ("source_id", "correlation_id", "timestamp_ms", "suffix", "direction", "operation", "endpoint")
CHECKPOINT = {"operation": NEEDED, "endpoint": NEEDED, "data": None}
SENDING = {"base_url": NEEDED, "batch_size": 10, "flush_interval": 1.0, "timeout": 5.0, "retry_count": 2}
CALLS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (TraceHubClient, SENDING),
    (TraceHubClient.send, {"entry": NEEDED}),
    (TraceHubQueryClient, {"base_url": NEEDED, "timeout": 10.0}),
    (TraceHubQueryClient.get_traces, {"correlation_id": NEEDED, "source_id": None}),
    (TraceHubQueryClient.list_correlations, {"limit": 50}),
    (TraceHubQueryClient.stream_traces, {"correlation_id": NEEDED, "callback": NEEDED, "timeout": 60}),
    (tracehub.client.get_tracehub_client, {}),
    (tracehub.client.is_tracehub_enabled, {}),
    (tracehub.client.send_trace, {"entry": NEEDED}),
    (tracehub.client.create_trace_entry, {**dict.fromkeys(CREATED, NEEDED), "data": None, "raw_line": None}),
    (checkpoint_logger.get_checkpoint_logger, {"source_id": NEEDED}),
    (checkpoint_logger.get_correlation_id, {}),
    (CheckpointLogger.checkpoint_entry, CHECKPOINT),
    (CheckpointLogger.checkpoint_exit, CHECKPOINT),
]


@pytest.mark.parametrize(("call", "published"), CALLS, ids=lambda made: getattr(made, "__qualname__", ""))
def test_a_call_is_as_it_was_published(call: Callable[..., Any], published: dict[str, Any]) -> None:
    """What was added since is by keyword only."""
    parameters = [made for made in inspect.signature(call).parameters.values() if made.name != "self"]
    assert {made.name: made.default for made in parameters if made.kind is not made.KEYWORD_ONLY} == published
    assert [made.name for made in parameters][: len(published)] == list(published)


@pytest.mark.parametrize("kind", [TraceHubClient, TraceHubQueryClient])
def test_the_secret_is_by_keyword(kind: type) -> None:
    """None of its own: what the environment says."""
    secret = inspect.signature(kind).parameters["secret"]
    assert (secret.kind, secret.default) == (secret.KEYWORD_ONLY, None)


@pytest.mark.parametrize("name", ["flush", "close"])
def test_flush_and_close_need_no_argument(name: str) -> None:
    """They have a timeout for those who want another."""
    _, *parameters = inspect.signature(getattr(TraceHubClient, name)).parameters.values()
    assert [made for made in parameters if made.default is NEEDED] == []


def test_the_id_is_set_with_one_argument() -> None:
    """By its place."""
    (only,) = inspect.signature(checkpoint_logger.set_correlation_id).parameters.values()
    assert only.kind is only.POSITIONAL_OR_KEYWORD


def test_an_entry_is_made_by_places_and_has_its_defaults() -> None:
    """Seven fields are needed, then data, hostname and raw_line."""
    parameters = inspect.signature(TraceEntry).parameters
    assert list(parameters) == [*ENTRY, "data", "hostname", "raw_line"]
    assert [name for name, made in parameters.items() if made.default is NEEDED] == list(ENTRY)
    made = TraceEntry("MA", "id", 1.5, "s", "->", "REST", "/x")
    assert (made.data, made.hostname, made.raw_line) == (None, this_host(), None)
