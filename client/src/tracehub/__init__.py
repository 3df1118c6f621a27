"""TraceHub's client: checkpoints of a service, sent without getting in its way."""

from tracehub.client import (
    TraceEntry,
    TraceHubClient,
    TraceHubQueryClient,
    close_tracehub_client,
    create_trace_entry,
    get_tracehub_client,
    is_tracehub_enabled,
    send_trace,
)
from tracehub.errors import Refused, TraceHubError, Unreachable

__version__ = "1.0.0"

__all__ = [
    "Refused",
    "TraceEntry",
    "TraceHubClient",
    "TraceHubError",
    "TraceHubQueryClient",
    "Unreachable",
    "__version__",
    "close_tracehub_client",
    "create_trace_entry",
    "get_tracehub_client",
    "is_tracehub_enabled",
    "send_trace",
]
