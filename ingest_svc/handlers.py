"""The ingest port's calls, each a sentence."""

import asyncio
from typing import Final, Protocol

from aiohttp import web

from ingest_svc.desk import Desk
from ingest_svc.headers import drop_report, is_packed
from ingest_svc.intake import Intake
from ingest_svc.retention import Retention
from shared import wire
from shared.answers import Deleted, Receipt, SingleReceipt
from shared.env import Settings
from shared.errors import TraceHubError
from shared.exposition import Metric, exposition
from shared.memory import memory_bytes
from shared.storage.columns import Columns, columns
from shared.storage.sqlite import file_sizes
from shared.web import ACCESS, CLIENT, answer, health_answer

SETTINGS = web.AppKey("settings", Settings)
INTAKE = web.AppKey("intake", Intake)
LIMITS = web.AppKey("limits", wire.Limits)
DESK = web.AppKey("desk", Desk)
RETENTION = web.AppKey("retention", Retention)
STARTED = web.AppKey("started", float)

PATIENCE_S: Final = 5.0  # of /health and /metrics with the disk
LONG_BODY: Final = 512 * 1024  # bytes; what costs most in so many takes about 20 ms


class Decode(Protocol):
    """One of the two ways from a body to entries."""

    def __call__(self, body: bytes, *, packed: bool, limits: wire.Limits) -> list[wire.Entry]: ...


async def ingest(request: web.Request) -> web.Response:
    """`POST /ingest`"""
    packed, report = is_packed(request.headers), drop_report(request.headers)
    async with request.app[INTAKE].body(request) as body:
        entries = await _taken_apart(request, wire.decode_batch, body, packed)
        inserted = await request.app[DESK].commit(entries, report)
    return answer(Receipt(entries.size, inserted, entries.size - inserted))


async def ingest_single(request: web.Request) -> web.Response:
    """`POST /ingest/single`"""
    packed = is_packed(request.headers)
    async with request.app[INTAKE].body(request) as body:
        entries = await _taken_apart(request, wire.decode_entry, body, packed)
        inserted = await request.app[DESK].commit(entries)
    return answer(SingleReceipt(inserted == 1))


async def cleanup(request: web.Request) -> web.Response:
    """`DELETE /cleanup`"""
    return answer(Deleted(await request.app[RETENTION].cleanup()))


async def health(request: web.Request) -> web.Response:
    """`GET /health`: healthy means that a write just worked."""
    app = request.app
    detail, entries = None, None
    try:
        async with asyncio.timeout(PATIENCE_S):
            entries = await app[DESK].look("probe")
    except TimeoutError:
        detail = f"a write has not finished for {PATIENCE_S:g} s"
    except TraceHubError as error:
        detail = str(error)
    return health_answer(request, app[SETTINGS], app[STARTED], detail, entries=entries)


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`"""
    app = request.app
    desk, intake = app[DESK], app[INTAKE]
    db_bytes, wal_bytes = file_sizes(app[SETTINGS].path)
    text = exposition(
        [
            Metric("entries_inserted_total", "counter", "Entries committed.", desk.inserted),
            Metric("entries_duplicate_total", "counter", "Entries that were there already.", desk.duplicates),
            Metric("entries_expired_total", "counter", "Entries deleted by retention.", app[RETENTION].deleted),
            Metric("commits_total", "counter", "Transactions that wrote entries.", desk.commits),
            Metric("commit_seconds_total", "counter", "Time spent in them.", desk.commit_seconds),
            Metric("bodies_refused_total", "counter", "Requests refused because the queue was full.", intake.refused),
            Metric("queue_bytes", "gauge", "Bodies held now.", intake.held),
            Metric("queue_limit_bytes", "gauge", "Bodies that may be held.", intake.queue_bytes),
            Metric("db_bytes", "gauge", "Size of the database file.", db_bytes),
            Metric("wal_bytes", "gauge", "Size of the write-ahead log.", wal_bytes),
            Metric("memory_bytes", "gauge", "Memory of the ingest process.", memory_bytes()),
            *await _of_the_writer(desk),
        ]
    )
    return web.Response(text=text, content_type="text/plain")


async def _of_the_writer(desk: Desk) -> list[Metric]:
    """What only the process that writes can tell: nothing while it does not, for 0 would be a wrong number."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            dropped, held = await desk.look("dropped"), await desk.look("memory_bytes")
    except (TimeoutError, TraceHubError):
        return []
    return [
        Metric("entries_dropped", "gauge", "Entries that senders report to have dropped.", dropped),
        Metric("writer_memory_bytes", "gauge", "Memory of the process that writes for it.", held),
    ]


async def _taken_apart(request: web.Request, decode: Decode, body: bytes, packed: bool) -> Columns:
    """The entries of a body, counted against their sender; those of a long one are made beside the event loop."""

    def entries() -> Columns:
        return columns(decode(body, packed=packed, limits=request.app[LIMITS]))

    made = await asyncio.to_thread(entries) if len(body) > LONG_BODY else entries()
    request.app[ACCESS].share.charge(request.get(CLIENT, ""), made.size)
    return made
