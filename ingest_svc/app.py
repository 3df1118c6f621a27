"""The ingest service, put together."""

import logging
import time
from collections.abc import AsyncIterator

from aiohttp import web

from ingest_svc import handlers
from ingest_svc.desk import Desk
from ingest_svc.fast_path import FastPath
from ingest_svc.handlers import DESK, INTAKE, LIMITS, RETENTION, SETTINGS, STARTED
from ingest_svc.intake import Intake
from ingest_svc.retention import Retention
from shared.env import Settings, volatile_folder
from shared.web import TAKE, Take, openapi, running, set_up
from shared.wire import Limits

_log = logging.getLogger("tracehub.ingest")


def make_app(settings: Settings) -> web.Application:
    """The ingest port for these settings; storage opens when the application starts."""
    app = web.Application(client_max_size=0)
    app[SETTINGS] = settings
    app[STARTED] = time.monotonic()
    app[INTAKE] = Intake(settings.queue_mb * 2**20, settings.max_body_mb * 2**20, settings.body_timeout_s)
    app[LIMITS] = Limits(settings.max_entries, settings.max_depth)
    app[DESK] = Desk(settings)
    app.cleanup_ctx.append(_storage)
    set_up(
        app,
        "ingest",
        settings,
        {
            "ingest": handlers.ingest,
            "ingest_single": handlers.ingest_single,
            "cleanup": handlers.cleanup,
            "health": handlers.health,
            "metrics": handlers.metrics,
            "openapi": openapi,
        },
    )
    take: Take = FastPath(app)
    app[TAKE] = take
    return app


async def _storage(app: web.Application) -> AsyncIterator[None]:
    """The file, the commits into it and what leaves it, from the first request to the last."""
    settings = app[SETTINGS]
    if folder := volatile_folder(settings.path):
        _log.warning("traces below %s may not survive a reboot: set TRACEHUB_DB to a lasting path", folder)
    desk = app[DESK]
    app[RETENTION] = Retention(desk, settings.retention_ms, settings.max_db_mb * 2**20)
    await desk.open()
    async with running(app[RETENTION].run()):
        yield
    await desk.close()
