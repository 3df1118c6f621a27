"""The ingest service, put together."""

import logging
import time
from collections.abc import AsyncIterator

from aiohttp import web

from ingest_svc import handlers
from ingest_svc.desk import Desk
from ingest_svc.group_commit import GroupCommit
from ingest_svc.handlers import COMMITS, DESK, INTAKE, LIMITS, RETENTION, SETTINGS, STARTED
from ingest_svc.intake import Intake
from ingest_svc.retention import Retention
from shared.doorbell import Doorbell
from shared.env import Settings
from shared.web import openapi, running, set_up
from shared.wire import Limits

_log = logging.getLogger("tracehub.ingest")


def make_app(settings: Settings) -> web.Application:
    """The ingest port for these settings; storage opens when the application starts."""
    app = web.Application(client_max_size=0)
    app[SETTINGS] = settings
    app[STARTED] = time.monotonic()
    app[INTAKE] = Intake(settings.queue_mb * 2**20, settings.max_body_mb * 2**20, settings.body_timeout_s)
    app[LIMITS] = Limits(settings.max_entries, settings.max_depth)
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
    return app


async def _storage(app: web.Application) -> AsyncIterator[None]:
    """The file, the commits into it and what leaves it, from the first request to the last."""
    settings = app[SETTINGS]
    if settings.db.startswith("/tmp/"):
        _log.warning("%s: traces below /tmp do not survive a reboot; set TRACEHUB_DB to a lasting path", settings.db)
    desk, doorbell = Desk(settings), Doorbell(settings.path)
    app[DESK] = desk
    app[COMMITS] = GroupCommit(desk, doorbell)
    app[RETENTION] = Retention(desk, settings.retention_ms, settings.max_db_mb * 2**20)
    await desk.open()
    async with running(app[COMMITS].run()), running(app[RETENTION].run()):
        yield
    await desk.close()
    doorbell.close()
