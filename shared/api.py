"""Every call of both ports in one table.

Routes, redirects and /openapi.json come from here.
"""

from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from shared import wire
from shared.answers import (
    CorrelationPage,
    Credentials,
    Deleted,
    EndpointsStats,
    FollowsStats,
    Health,
    Login,
    Receipt,
    Recent,
    SingleReceipt,
    SourcesStats,
    Stats,
    TracePage,
)
from shared.env import Settings

Port = Literal["ingest", "query"]
Owner = Literal["ingest", "query", "both"]
Need = Literal["nothing", "sender", "reader"]


class Parameter(NamedTuple):
    """A parameter of a call, as the OpenAPI document tells it."""

    name: str
    place: Literal["path", "query", "header"]
    type: Any
    description: str


class Call(NamedTuple):
    """One method on one path."""

    name: str  # of its handler
    method: str
    path: str
    port: Owner
    needs: Need
    summary: str
    answers: Any  # of 200: a struct, or the content type of anything but JSON
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    streams: bool = False

    def secrets(self, port: Port, settings: Settings) -> tuple[str, ...]:
        """The secrets that open this call on this port; none means that it is open."""
        if self.needs == "nothing":
            return ()
        if self.port == "both":
            own = settings.secrets if port == "ingest" else settings.query_secrets
            return (*own, *settings.query_secrets) if own else ()
        return settings.secrets if self.needs == "sender" else settings.query_secrets


_ID = Parameter("correlation_id", "path", wire.CorrelationId, "Quoted: a slash is %2F")
_SOURCE = Parameter("source", "query", str, "Only entries of this source")
_TIMEOUT = Parameter("timeout", "query", Annotated[float, Meta(ge=1, le=3600)], "Seconds until the stream ends, 60")
_ROW_ID = Annotated[int, Meta(ge=0)]
_LAST_ID = Parameter("Last-Event-ID", "header", _ROW_ID, "Resume behind this event")
_LAST_ID_QUERY = Parameter("last_event_id", "query", _ROW_ID, "The same, for clients that cannot set headers")
_DROPPED = Parameter("X-TraceHub-Dropped", "header", str, "`id=total`: what this sender had to drop since its start")
_WRITE_ERRORS = (400, 408, 413, 415, 503, 507)
_EVENTS = "text/event-stream"
_METRICS = "text/plain"


CALLS: tuple[Call, ...] = (
    Call(
        "ingest", "POST", "/ingest", "ingest", "sender", "Store a batch", Receipt, wire.Batch, (_DROPPED,),
        _WRITE_ERRORS,
    ),
    Call(
        "ingest_single", "POST", "/ingest/single", "ingest", "sender", "Store one entry",
        SingleReceipt, wire.Entry, (), _WRITE_ERRORS,
    ),
    Call(
        "cleanup", "DELETE", "/cleanup", "ingest", "sender", "Delete what is past retention", Deleted, errors=(503, 507)
    ),
    Call(
        "trace", "GET", "/traces/{correlation_id}", "query", "reader", "One chain in order", TracePage,
        parameters=(
            _ID, _SOURCE,
            Parameter("since_ts", "query", float, "Only entries later than this, in Unix milliseconds"),
            Parameter("limit", "query", Annotated[int, Meta(ge=1, le=50_000)], "Entries on a page, 50,000"),
            Parameter("after", "query", str, "`next` of the page before"),
            Parameter("Prefer", "header", str, "`wait=N`: hold an empty answer up to N seconds, at most 60"),
        ),
        errors=(400, 503),
    ),
    Call(
        "stream_trace", "GET", "/traces/{correlation_id}/stream", "query", "reader",
        "One chain as Server-Sent Events: what is stored, then what comes", _EVENTS,
        parameters=(_ID, _TIMEOUT, _LAST_ID, _LAST_ID_QUERY), errors=(400, 503), streams=True,
    ),
    Call(
        "stream", "GET", "/stream", "query", "reader", "All chains as Server-Sent Events, as they come", _EVENTS,
        parameters=(
            _SOURCE,
            Parameter("operation", "query", str, "Only this operation"),
            Parameter("endpoint", "query", str, "Only endpoints like this: * and ? stand for anything, case counts"),
            Parameter("correlation_id", "query", str, "Only ids like this, in the same way"),
            _TIMEOUT, _LAST_ID, _LAST_ID_QUERY,
        ),
        errors=(400, 503), streams=True,
    ),
    Call(
        "correlations", "GET", "/correlations", "query", "reader", "Chains, newest activity first", CorrelationPage,
        parameters=(
            Parameter("limit", "query", Annotated[int, Meta(ge=1, le=1000)], "Chains on a page, 50; larger is clamped"),
            Parameter("before", "query", str, "`next` of the page before"),
            Parameter("source", "query", str, "Only chains with entries of this source"),
            Parameter("q", "query", str, "Only chains whose id contains this"),
            Parameter("complete", "query", bool, "Only chains that are complete, or that are not"),
            Parameter("errors", "query", bool, "Only chains with entries that report an error, or without"),
            Parameter("active_after", "query", float, "Only chains with arrived_ts from this on, in Unix milliseconds"),
            Parameter("active_before", "query", float, "Only chains with arrived_ts before this"),
        ),
        errors=(400, 503),
    ),
    Call(
        "recent", "GET", "/recent", "query", "reader", "The newest entries over all chains", Recent,
        parameters=(
            Parameter("limit", "query", Annotated[int, Meta(ge=1, le=1000)], "Entries, 200; larger is clamped"),
            Parameter("since_id", "query", _ROW_ID, "The entries that follow this row id, instead of the newest"),
            Parameter("source", "query", str, "Only entries whose source begins with this"),
        ),
        errors=(400, 503),
    ),
    Call("stats", "GET", "/stats", "query", "reader", "Counts, rates, sizes, lag", Stats, errors=(503,)),
    Call("stats_sources", "GET", "/stats/sources", "query", "reader", "Who talks", SourcesStats, errors=(503,)),
    Call(
        "stats_endpoints", "GET", "/stats/endpoints", "query", "reader", "How long calls took", EndpointsStats,
        errors=(503,),
    ),
    Call("stats_follows", "GET", "/stats/follows", "query", "reader", "Who follows whom", FollowsStats, errors=(503,)),
    Call("dashboard", "GET", "/", "query", "nothing", "The dashboard", "text/html"),
    Call(
        "asset", "GET", "/assets/{version}/{name}", "query", "nothing", "A file of the dashboard, for ever the same",
        "*/*",
        parameters=(
            Parameter("version", "path", str, "A hash of all files, named by the page"),
            Parameter("name", "path", str, "Of the file"),
        ),
        errors=(404,),
    ),
    Call(
        "login", "POST", "/login", "query", "nothing", "Show a reader's secret once, for a cookie that reads", Login,
        Credentials, errors=(400, 403, 408, 413, 415, 429),
    ),
    Call("logout", "POST", "/logout", "query", "nothing", "Make the browser forget that cookie", Login, errors=(403,)),
    Call("health", "GET", "/health", "both", "nothing", "Whether the service can do its work",
         Health, errors=(503,)),
    Call("metrics", "GET", "/metrics", "both", "reader", "Prometheus metrics", _METRICS),
    Call("openapi", "GET", "/openapi.json", "both", "nothing", "This document", dict),
)  # fmt: skip
