"""What both services share of HTTP: routes, errors to statuses, secrets, the way to the other port, start and stop."""

import asyncio
import contextlib
import hmac
import logging
import re
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NoReturn

from aiohttp import web

from shared import errors
from shared.address import explained, refuse_taken
from shared.api import CALLS, Call, Port, Problem
from shared.env import BAD_SETTING, SettingError, Settings, give_up
from shared.openapi import document
from shared.wire import encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHUTDOWN_S: Final = 5.0  # for answers on their way; supervisors kill after 10 to 20
OPEN_FILES: Final = 65_536  # asked of the system, for many streams

_STATUS: Final[list[tuple[type[errors.TraceHubError], int]]] = [
    (errors.BadRequest, 400),
    (errors.TooSlow, 408),
    (errors.TooLarge, 413),
    (errors.Unsupported, 415),
    (errors.DiskFull, 507),
    (errors.Unavailable, 503),
    (errors.BadFile, 503),
]
_ANY_TEXT: Final = re.compile(r"{(\w+)}")  # a part of a path; of itself aiohttp takes no braces in one
CANCEL_HANDLERS: Final = web.AppKey("cancel_handlers", bool)  # when the client has gone
_log = logging.getLogger("tracehub")


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=encode(body), status=status, headers=headers, content_type="application/json")


def refusal(error: errors.TraceHubError) -> web.Response:
    """The answer that tells a client of an error."""
    problem = Problem(str(error), getattr(error, "path", None))
    if isinstance(error, errors.NotAllowed):
        challenge = {"WWW-Authenticate": 'Bearer realm="TraceHub"'}
        return answer(problem, 401, challenge) if error.missing else answer(problem, 403)
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if isinstance(error, errors.Unavailable):
        return answer(problem, status, {"Retry-After": str(error.retry_after)})
    return answer(problem, status)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as JSON under its status; what nobody foresaw goes to the log, and to no client."""
    try:
        return await handler(request)
    except errors.TraceHubError as error:
        return refusal(error)
    except web.HTTPNotFound:
        return answer(Problem(f"No such path: {request.path}"), 404)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return answer(Problem(f"{request.path} takes {allowed}, not {request.method}"), 405, {"Allow": allowed})
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        if request.writer.output_size:  # an answer has begun: aiohttp logs the fault and cuts the connection
            raise
        _log.exception("%s %s failed", request.method, request.path)
        return answer(Problem("Internal error: the log of the service says more"), 500)


def add_routes(app: web.Application, port: Port, settings: Settings, handlers: Mapping[str, Handler]) -> None:
    """One route for every call of the contract: answered here, or sent on to the port that answers it."""
    for call in CALLS:
        if call.port in (port, "both"):
            handler = _guarded(handlers[call.name], call.secrets(port, settings))
        else:
            handler = _elsewhere(call, settings)
        path = _ANY_TEXT.sub(r"{\1:[^/]+}", call.path)
        app.router.add_route(call.method, path, handler)
        if call.method == "GET" and not call.streams:
            app.router.add_route("HEAD", path, handler)


def has_secret(request: web.Request, secrets: Sequence[str]) -> bool:
    """Whether the request carries one of the secrets; True where none is set. Raises NotAllowed for a wrong one."""
    if not secrets:
        return True
    given = request.headers.get("X-TraceHub-Secret") or ""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not given and scheme.lower() == "bearer":
        given = token.strip()
    if not given:
        return False
    matches = [hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode()) for secret in secrets]
    if not any(matches):
        raise errors.NotAllowed("The secret is wrong", missing=False)
    return True


def may_know(request: web.Request, secrets: Sequence[str]) -> bool:
    """Whether the request may be told more than the status of the service."""
    try:
        return has_secret(request, secrets)
    except errors.NotAllowed:
        return False


@contextlib.asynccontextmanager
async def running(endless: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run an endless loop beside the block."""
    task = asyncio.create_task(endless)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _guarded(handler: Handler, secrets: Sequence[str]) -> Handler:
    if not secrets:
        return handler

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not has_secret(request, secrets):
            raise errors.NotAllowed("A secret is required: X-TraceHub-Secret or Authorization: Bearer", missing=True)
        return await handler(request)

    return guarded


def _elsewhere(call: Call, settings: Settings) -> Handler:
    other = call.port
    public = settings.ingest_url if other == "ingest" else settings.query_url
    port = settings.port if other == "ingest" else settings.query_port

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        base = public.rstrip("/") or f"{request.scheme}://{_host_name(request.host)}:{port}"
        url = base + request.rel_url.raw_path_qs
        return answer(Problem(f"The {other} service answers this: {url} (curl -L)"), 307, {"Location": url})

    return elsewhere


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def openapi(_: web.Request) -> web.Response:
    """`GET /openapi.json`, the same on both ports."""
    return answer(document())


def run(program: str, app: web.Application, settings: Settings, port_field: str) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then answer what is on its way and end the process."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(OPEN_FILES, hard)), hard))
    try:
        refuse_taken(settings, port_field)  # before the file is touched
        asyncio.run(_serve(program, app, settings, port_field))
    except SettingError as error:
        give_up(program, str(error), BAD_SETTING)
    except (errors.TraceHubError, OSError) as error:
        give_up(program, str(error), 1)
    sys.exit(0)


def make_runner(app: web.Application) -> web.AppRunner:
    """How a service runs, in a process of its own or within a test."""
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # inflating is bounded by whoever reads the body
        handler_cancellation=app.get(CANCEL_HANDLERS, False),
        shutdown_timeout=SHUTDOWN_S,
    )


async def _serve(program: str, app: web.Application, settings: Settings, port_field: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = make_runner(app)
    await runner.setup()
    try:
        with explained(settings, port_field):
            await web.TCPSite(runner, settings.host, getattr(settings, port_field), backlog=1024).start()
        for address in runner.addresses:
            _log.info("%s listens on http://%s:%s", program, _bracketed(address[0]), address[1])
        await stop.wait()
        _log.info("%s stops", program)
    finally:
        await runner.cleanup()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
