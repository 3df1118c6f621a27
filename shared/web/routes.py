"""One route for every call of the contract: answered here, or sent on to the port that answers it."""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from shared.answers import Problem
from shared.api import CALLS, Call, Port
from shared.env import Settings
from shared.openapi import document
from shared.web.access import ACCESS, Access
from shared.web.draining import DRAINING, Draining
from shared.web.headers import protect
from shared.web.origins import host_name
from shared.web.problems import Handler, answer, problems

_ANY_TEXT: Final = re.compile(r"{(\w+)}")  # a part of a path; of itself aiohttp takes no braces in one

CLIENT = web.RequestKey("client", str)  # of a call that counts against its client's share


def set_up(app: web.Application, port: Port, settings: Settings, handlers: Mapping[str, Handler]) -> None:
    """Make an application answer the calls of a port."""
    access = app[ACCESS] = Access(port, settings)
    app[DRAINING] = Draining(app)
    app.middlewares.append(problems(access.gate.check))
    app.on_response_prepare.append(protect)
    for call in CALLS:
        if call.port in (port, "both"):
            handler = _guarded(handlers[call.name], call, access)
        else:
            handler = _elsewhere(call, settings)
        path = _ANY_TEXT.sub(r"{\1:[^/]+}", call.path)
        app.router.add_route(call.method, path, handler)
        if call.method == "GET" and not call.streams:
            app.router.add_route("HEAD", path, handler)


def _guarded(handler: Handler, call: Call, access: Access) -> Handler:
    """The handler behind the call's guard."""
    guard = access.guard(call)
    if guard is None:
        return handler

    async def guarded(request: web.Request) -> web.StreamResponse:
        request[CLIENT] = guard.admit(request)
        return await handler(request)

    return guarded


def _elsewhere(call: Call, settings: Settings) -> Handler:
    other = call.port
    public = settings.ingest_url if other == "ingest" else settings.query_url
    port = settings.port if other == "ingest" else settings.query_port

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        base = public.rstrip("/") or f"{request.scheme}://{host_name(request.host)}:{port}"
        url = base + request.rel_url.raw_path_qs
        return answer(Problem(f"The {other} service answers this: {url} (curl -L)"), 307, {"Location": url})

    return elsewhere


async def openapi(_: web.Request) -> web.Response:
    """`GET /openapi.json`, the same on both ports."""
    return answer(document())
