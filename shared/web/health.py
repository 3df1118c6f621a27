"""`GET /health` of either port: the status for everybody, all else for those with the secret, where one is set."""

import os
import time
from typing import Any

from aiohttp import web

from shared.answers import Health
from shared.env import VERSION, Settings
from shared.web.access import ACCESS
from shared.web.problems import answer


def health_answer(
    request: web.Request, settings: Settings, started: float, detail: str | None, **own: Any
) -> web.Response:
    """200, or 503 with the `detail` of what is wrong. `started`: monotonic seconds; `own`: a port's own fields."""
    health = Health(status="unhealthy" if detail else "healthy")
    if request.app[ACCESS].may_know(request):
        health = Health(
            status=health.status,
            service="tracehub",
            db=settings.db,
            retention_hours=settings.retention_hours,
            version=VERSION,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - started, 1),
            detail=detail,
            **own,
        )
    return answer(health, 503 if detail else 200)
