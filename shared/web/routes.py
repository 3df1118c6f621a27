"""One route for every call of the contract: answered here, or sent on to the port that answers it."""

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from shared.answers import Problem
from shared.api import CALLS, Call, Port
from shared.env import Settings
from shared.openapi import document
from shared.web.access import Gate, host_name
from shared.web.clients import Clients
from shared.web.exchange import Asking
from shared.web.fair_share import FairShare
from shared.web.farewell import FAREWELL, Farewell
from shared.web.headers import protect
from shared.web.lock import Guesses, Lock
from shared.web.login import Logins
from shared.web.problems import Handler, answer, problems

_ANY_TEXT: Final = re.compile(r"{(\w+)}")  # a part of a path; of itself aiohttp takes no braces in one


class Access:
    """What one port needs to tell who may do what, and how much of it."""

    def __init__(self, port: Port, settings: Settings) -> None:
        self.secrets = settings.secrets if port == "ingest" else settings.query_secrets
        self.clients = Clients(settings)
        self.guesses = Guesses(self.clients)
        self.logins = Logins(self.secrets) if port == "query" else None
        self.share = FairShare(settings.ingest_rate if port == "ingest" else settings.query_rate, settings)
        self.gate = Gate(settings)
        self.port: Port = port
        self.settings = settings
        self._own = Lock(self.secrets, self.guesses, self.logins)

    def guard(self, call: Call) -> "Guard | None":
        """Who stands before a call of this port; None where there is nothing to guard."""
        counts = call.needs != "nothing" and call.port == self.port and self.share.has_rate
        secrets = call.secrets(self.port, self.settings)
        if call.needs == "nothing" or not (counts or call.port == "query" or secrets):
            return None
        return Guard(Lock(secrets, self.guesses, self.logins), self, counts=counts, has_body=call.body is not None)

    def may_know(self, request: web.Request) -> bool:
        """Whether the request may be told more than the status of the service."""
        return self._own.is_opened(request)


class Guard:
    """Lets a request pass whose client may make the call, and takes it out of the client's share."""

    def __init__(self, lock: Lock, access: Access, *, counts: bool, has_body: bool) -> None:
        self._lock = lock
        self._clients = access.clients
        self._share = access.share
        self._counts = counts
        self._has_body = has_body

    def admit(self, request: Asking) -> str:
        """Whose share the call counts against. Raises NotAllowed, TooOften; a body is charged when it is known."""
        client = self._lock.open(request) or self._clients.address(request)
        if self._has_body:
            self._share.admit(client)
        elif self._counts:
            self._share.take(client)
        return client


ACCESS = web.AppKey("access", Access)
CLIENT = web.RequestKey("client", str)  # of a call that counts against its client's share


def set_up(app: web.Application, port: Port, settings: Settings, handlers: Mapping[str, Handler]) -> None:
    """Make an application answer the calls of a port."""
    access = app[ACCESS] = Access(port, settings)
    app[FAREWELL] = Farewell(app)
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
