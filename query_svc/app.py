"""The query service, put together."""

import time
from collections.abc import AsyncIterator

from aiohttp import web

from query_svc import handlers, login
from query_svc.answer_cache import AnswerCache
from query_svc.assets import asset, dashboard
from query_svc.handlers import LAST_HOUR, READY, SETTINGS, SOURCE_RATES, STARTED, TAIL, WINDOWS
from query_svc.last_hour import last_hour
from query_svc.long_entries import LONG_ENTRIES, LongEntries
from query_svc.sending import UNDER_WAY, UnderWay
from query_svc.source_rates import source_rates
from query_svc.tail import Tail
from query_svc.trace_page import Ready
from query_svc.turns import Turns
from query_svc.windows import Windows
from shared.env import Settings
from shared.web import CANCEL_HANDLERS, openapi, running, set_up


def make_app(settings: Settings) -> web.Application:
    """The query port for these settings; it waits for a file that is not there yet."""
    app = web.Application()
    app[CANCEL_HANDLERS] = True
    app[SETTINGS] = settings
    app[STARTED] = time.monotonic()
    app[WINDOWS] = Windows()
    app[LAST_HOUR] = last_hour()
    app[SOURCE_RATES] = source_rates()
    app[READY] = Ready(AnswerCache(), Turns())
    app[UNDER_WAY] = UnderWay()
    app[LONG_ENTRIES] = LongEntries()
    app.cleanup_ctx.append(_tail)
    app.on_shutdown.append(_end_waiting)
    set_up(
        app,
        "query",
        settings,
        {
            "trace": handlers.trace,
            "stream_trace": handlers.stream_trace,
            "stream": handlers.stream,
            "correlations": handlers.correlations,
            "recent": handlers.recent,
            "stats": handlers.stats,
            "stats_sources": handlers.stats_sources,
            "stats_endpoints": handlers.stats_endpoints,
            "stats_follows": handlers.stats_follows,
            "dashboard": dashboard,
            "asset": asset,
            "login": login.login,
            "logout": login.logout,
            "health": handlers.health,
            "metrics": handlers.metrics,
            "openapi": openapi,
        },
    )
    return app


async def _tail(app: web.Application) -> AsyncIterator[None]:
    app[TAIL] = Tail(app[SETTINGS].path)
    await app[TAIL].open()
    async with running(app[TAIL].run()):
        yield


async def _end_waiting(app: web.Application) -> None:
    app[WINDOWS].close()
    app[LAST_HOUR].close()
    app[SOURCE_RATES].close()
