"""Every call of both ports in one table, and what its answers hold.

Routes, redirects and /openapi.json come from here.
"""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from shared import wire
from shared.env import Settings
from shared.wire import NumberedEntry, StoredEntry

Port = Literal["ingest", "query"]
Owner = Literal["ingest", "query", "both"]
Need = Literal["nothing", "sender", "reader"]

Cursor = Annotated[str | None, Meta(description="Opaque: give it back to get the next page; null on the last")]
Milliseconds = Annotated[float, Meta(description="Milliseconds")]


class Problem(msgspec.Struct, omit_defaults=True):
    """Any answer that is an error. `path` names the place in a body that could be parsed."""

    detail: str
    path: str | None = None


class Credentials(msgspec.Struct):
    """What somebody logs in with."""

    secret: str


class Login(msgspec.Struct):
    """Until when a browser may read; it holds the proof as a cookie."""

    expires_in_s: Annotated[int | None, Meta(description="Null: this port asks nobody for a secret")]


class Receipt(msgspec.Struct):
    """A batch that is committed and synced to disk."""

    accepted: int
    inserted: int
    duplicates: int


class SingleReceipt(msgspec.Struct):
    """One entry that is committed and synced; `inserted` is false for a duplicate."""

    inserted: bool


class Deleted(msgspec.Struct):
    """What a cleanup removed."""

    deleted: int


class TailLag(msgspec.Struct):
    """How far the live stream is behind the newest commit."""

    entries: int
    seconds: float


class Health(msgspec.Struct, omit_defaults=True):
    """Whether a service can do its work; all but `status` is for those with the secret, where one is set."""

    status: Literal["healthy", "unhealthy"]
    service: str | None = None
    db: str | None = None
    retention_hours: float | None = None
    version: str | None = None
    pid: int | None = None
    uptime_s: float | None = None
    detail: Annotated[str | None, Meta(description="What is wrong")] = None
    entries: Annotated[int | None, Meta(description="Ingest: entries in the file")] = None
    tail_lag: Annotated[TailLag | None, Meta(description="Query: how far the live stream is behind")] = None


class TracePage(msgspec.Struct):
    """A chain, or a page of one. `complete` and `expired` speak of the whole chain."""

    correlation_id: str
    traces: list[StoredEntry]
    count: Annotated[int, Meta(description="Entries that match, on all pages")]
    complete: Annotated[bool | None, Meta(description="Each entry has its exit; null when entries have expired")]
    expired: int
    next: Cursor


class Correlation(msgspec.Struct):
    """What one chain amounts to."""

    correlation_id: str
    trace_count: int
    first_ts: Milliseconds
    last_ts: Milliseconds
    duration_ms: Milliseconds
    sources: list[str]
    complete: bool | None
    open: Annotated[
        int | None, Meta(description="Entries (->) less exits (<-): below 0 an exit lacks its entry; null as complete")
    ]
    errors: Annotated[int, Meta(description="Entries whose data reports an error")]
    expired: Annotated[int, Meta(description="Entries that retention removed")]
    last_id: Annotated[int, Meta(description="Row id of the entry that came last")]
    arrived_ts: Annotated[int, Meta(description="When it arrived, to within a second, in Unix milliseconds")]


class CorrelationPage(msgspec.Struct):
    """Chains, newest activity first."""

    correlations: list[Correlation]
    count: int
    next: Cursor


class Recent(msgspec.Struct):
    """The newest entries over all chains, oldest first."""

    traces: list[NumberedEntry]
    count: int


class SenderDrops(msgspec.Struct):
    """A sender that reports to have dropped entries, since it was started."""

    sender: str
    dropped: int
    reported_ts: Milliseconds


class Stats(msgspec.Struct):
    """What the file and this process hold. `rate` is entries per second over the last minute."""

    entries: int
    chains: int
    oldest_id: int
    newest_id: int
    rate: float
    db_bytes: int
    wal_bytes: int
    subscribers: int
    memory_bytes: int
    tail_lag: TailLag
    retention_hours: float
    dropped: Annotated[int, Meta(description="Entries that senders report to have dropped")]
    senders: Annotated[list[SenderDrops], Meta(description="Those senders, the latest report first")]


class SourceStats(msgspec.Struct):
    """One source among the newest entries."""

    source_id: str
    entries: int
    rate: Annotated[float, Meta(description="Entries per second")]


class SourcesStats(msgspec.Struct):
    """Who talks, over the last minute or the newest `window_entries` entries, whichever is less."""

    sources: list[SourceStats]
    count: int
    window_entries: int
    window_s: float


LimitedBy = Annotated[
    Literal["time", "pairs", "entries"],
    Meta(description="What ended the window: an hour, 100,000 pairs, or 300,000 entries"),
]
Quantile = Annotated[float | None, Meta(description="Milliseconds; null without a pair")]
Pairs = Annotated[int, Meta(description="Entries with their exits, in the window")]


class EndpointStats(msgspec.Struct):
    """The calls of one endpoint: entries, those still without an exit, and how long the others took."""

    source_id: str
    operation: str
    endpoint: str
    calls: int
    open: int
    errors: Annotated[int, Meta(description="Entries and exits whose data reports an error")]
    p50_ms: Quantile
    p95_ms: Quantile
    p99_ms: Quantile
    max_ms: Quantile


class EndpointsStats(msgspec.Struct):
    """How long calls took, in the chains that were active in the window; most calls first."""

    endpoints: list[EndpointStats]
    count: int
    pairs: Pairs
    window_s: float
    limited_by: LimitedBy


class Follow(msgspec.Struct, rename={"before": "from", "after": "to"}):
    """How often an entry of `to` stood directly behind a checkpoint of `from`."""

    before: str
    after: str
    count: int


class FollowsStats(msgspec.Struct):
    """Who follows whom, in the chains that were active in the window; most frequent first."""

    follows: list[Follow]
    count: int
    pairs: Pairs
    window_s: float
    limited_by: LimitedBy


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
_WRITE_ERRORS = (400, 408, 413, 415, 503, 507)
_EVENTS = "text/event-stream"
_METRICS = "text/plain"


CALLS: tuple[Call, ...] = (
    Call("ingest", "POST", "/ingest", "ingest", "sender", "Store a batch", Receipt, wire.Batch, (), _WRITE_ERRORS),
    Call(
        "ingest_single", "POST", "/ingest/single", "ingest", "sender", "Store one entry",
        SingleReceipt, wire.Entry, (), _WRITE_ERRORS,
    ),
    Call("cleanup", "DELETE", "/cleanup", "ingest", "sender", "Delete what is past retention", Deleted, errors=(503,)),
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
        "application/octet-stream",
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
