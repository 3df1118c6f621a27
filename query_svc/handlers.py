"""The query port's calls."""

import time
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from query_svc import parameters
from query_svc.last_hour import Figures
from query_svc.recent import RecentQuery, send_recent
from query_svc.sending import send_json
from query_svc.single_flight import SingleFlight
from query_svc.source_rates import RATE_S
from query_svc.stream import Stream
from query_svc.tail import Tail
from query_svc.trace_page import Ready, TraceQuery, read_page, wait_for_page
from query_svc.windows import Windows
from shared.answers import CorrelationPage, SourcesStats, Stats
from shared.env import Settings
from shared.errors import BadFile, TraceHubError
from shared.exposition import Metric, exposition
from shared.memory import memory_bytes
from shared.storage.claim import why_not_written
from shared.storage.found import Chosen
from shared.storage.sqlite import file_sizes
from shared.web import ACCESS, CLIENT, health_answer
from shared.wire import encode

SETTINGS = web.AppKey("settings", Settings)
TAIL = web.AppKey("tail", Tail)
WINDOWS = web.AppKey("windows", Windows)
READY = web.AppKey("ready", Ready)
LAST_HOUR: web.AppKey[SingleFlight[Figures]] = web.AppKey("last_hour", SingleFlight)
SOURCE_RATES: web.AppKey[SingleFlight[SourcesStats]] = web.AppKey("source_rates", SingleFlight)
STARTED = web.AppKey("started", float)

PAGE_ENTRIES: Final = 50_000  # of a chain in one answer


async def trace(request: web.Request) -> web.StreamResponse:
    """`GET /traces/{correlation_id}`"""
    query = TraceQuery(
        request.match_info["correlation_id"],
        request.query.get("source") or None,
        parameters.number(request, "since_ts"),
        parameters.whole(request, "limit", PAGE_ENTRIES, PAGE_ENTRIES),
        request.query.get("after") or None,
    )
    ready = request.app[READY]
    page = await read_page(request.app[TAIL].reader, ready, query)
    patience_s = parameters.patience(request)
    if not patience_s or page.says_something:
        return await send_json(request, page.body)
    with request.app[ACCESS].share.stream(request[CLIENT], patience_s):
        page = await wait_for_page(request.app[TAIL], request.app[WINDOWS], ready, query, patience_s)
    return await send_json(request, page.body, {"Preference-Applied": f"wait={patience_s}"})


async def stream_trace(request: web.Request) -> web.StreamResponse:
    """`GET /traces/{correlation_id}/stream`"""
    resume = parameters.last_event_id(request)
    stream = Stream(request.app[TAIL], correlation_id=request.match_info["correlation_id"], resume=resume)
    return await _send(stream, request)


async def stream(request: web.Request) -> web.StreamResponse:
    """`GET /stream`"""
    resume = parameters.last_event_id(request)
    stream = Stream(request.app[TAIL], wanted=parameters.stream_filter(request), resume=resume)
    return await _send(stream, request)


async def _send(stream: Stream, request: web.Request) -> web.StreamResponse:
    seconds = parameters.seconds(request)
    with request.app[ACCESS].share.stream(request[CLIENT], seconds):
        return await stream.send(request, request.app[WINDOWS], seconds)


async def correlations(request: web.Request) -> web.StreamResponse:
    """`GET /correlations`"""
    chosen = Chosen(
        source=request.query.get("source", ""),
        q=request.query.get("q", ""),
        complete=parameters.truth(request, "complete"),
        errors=parameters.truth(request, "errors"),
        active_after=parameters.number(request, "active_after"),
        active_before=parameters.number(request, "active_before"),
    )
    limit, before = parameters.whole(request, "limit", 50, 1000), parameters.row_id(request, "before")
    page = await request.app[TAIL].reader.correlations(limit, before, chosen)
    following = None if page.next is None else str(page.next)
    return await send_json(request, encode(CorrelationPage(page.correlations, len(page.correlations), following)))


async def recent(request: web.Request) -> web.StreamResponse:
    """`GET /recent`"""
    query = RecentQuery(
        parameters.whole(request, "limit", 200, 1000),
        parameters.row_id(request, "since_id"),
        request.query.get("source", ""),
    )
    return await send_recent(request, request.app[TAIL].reader, query)


async def stats(request: web.Request) -> web.StreamResponse:
    """`GET /stats`"""
    settings, tail = request.app[SETTINGS], request.app[TAIL]
    reader = tail.reader
    oldest, newest, before = await reader.extent((time.time() - RATE_S) * 1000)
    senders = await reader.senders()
    db_bytes, wal_bytes = file_sizes(settings.path)
    found = Stats(
        entries=newest - oldest + 1,
        chains=await reader.chains(),
        oldest_id=oldest,
        newest_id=newest,
        rate=round((newest - before) / RATE_S, 3),
        db_bytes=db_bytes,
        wal_bytes=wal_bytes,
        subscribers=tail.subscribers,
        memory_bytes=memory_bytes(),
        tail_lag=tail.lag,
        retention_hours=settings.retention_hours,
        **_ingesting(settings.path),
        dropped=sum(sender.dropped for sender in senders),
        senders=senders,
    )
    return await send_json(request, encode(found))


def _ingesting(path: Path) -> dict[str, Any]:
    """Whether entries are taken in, and why not."""
    try:
        why_not = why_not_written(path) or None
    except BadFile:
        return {"ingesting": None, "why_not": None}
    return {"ingesting": why_not is None, "why_not": why_not}


async def stats_sources(request: web.Request) -> web.StreamResponse:
    """`GET /stats/sources`"""
    return await send_json(request, encode(await request.app[SOURCE_RATES].found(request.app[TAIL].reader)))


async def stats_endpoints(request: web.Request) -> web.StreamResponse:
    """`GET /stats/endpoints`"""
    return await send_json(request, encode((await request.app[LAST_HOUR].found(request.app[TAIL].reader)).endpoints))


async def stats_follows(request: web.Request) -> web.StreamResponse:
    """`GET /stats/follows`"""
    return await send_json(request, encode((await request.app[LAST_HOUR].found(request.app[TAIL].reader)).follows))


async def health(request: web.Request) -> web.Response:
    """`GET /health`: healthy means that the file could be read just now; beside that stands whether it is written."""
    settings, tail = request.app[SETTINGS], request.app[TAIL]
    detail = None
    try:
        await tail.reader.newest()
    except TraceHubError as error:
        detail = str(error)
    writing = _ingesting(settings.path)
    return health_answer(request, settings, request.app[STARTED], detail, tail_lag=tail.lag, **writing)


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`"""
    tail = request.app[TAIL]
    db_bytes, wal_bytes = file_sizes(request.app[SETTINGS].path)
    text = exposition(
        [
            Metric("subscribers", "gauge", "Streams and waiting requests now.", tail.subscribers),
            Metric("tail_lag_entries", "gauge", "Entries committed and not handed out yet.", tail.lag.entries),
            Metric("tail_lag_seconds", "gauge", "How long there have been any.", tail.lag.seconds),
            Metric("tail_cursor", "gauge", "Row id up to which entries are handed out.", tail.cursor),
            Metric("db_bytes", "gauge", "Size of the database file.", db_bytes),
            Metric("wal_bytes", "gauge", "Size of the write-ahead log.", wal_bytes),
            Metric("memory_bytes", "gauge", "Memory of the query process.", memory_bytes()),
        ]
    )
    return web.Response(text=text, content_type="text/plain")
