"""What bodies hold: every answer of both ports, and what a login sends."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.wire import NumberedEntry, StoredEntry

Cursor = Annotated[str | None, Meta(description="Opaque: give it back to get the next page; null on the last")]
Milliseconds = Annotated[float, Meta(description="Milliseconds")]


Ingesting = Annotated[bool | None, Meta(description="An ingest service writes the file; null where that is not known")]
WhyNot = Annotated[str | None, Meta(description="Why nothing is taken in")]


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


class Health(msgspec.Struct, omit_defaults=True, kw_only=True):
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
    ingesting: Ingesting = None
    why_not: WhyNot = None


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
    ingesting: Ingesting
    why_not: WhyNot
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
