"""Start and stop: a service in a process of its own, until it is told to end."""

import asyncio
import contextlib
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, NoReturn

from aiohttp import web

from shared.address import BACKLOG, listening, refuse_taken
from shared.env import Settings, failing_in_one_line
from shared.log import set_up_log
from shared.memory import give_large_blocks_back, search_less_for_garbage
from shared.web.connection import Runner
from shared.web.draining import DRAINING

DRAINING_S: Final = 5.0  # for bodies and answers on their way; supervisors kill after 10 to 20
SHUTDOWN_S: Final = 1.0  # for those that are left then
IDLE_S: Final = 180.0  # that a connection may be without a whole request; proxies keep theirs for two minutes at most
MAX_HEADERS: Final = 64  # of a request, of up to 8 KiB each; portions.py bounds them in all
OPEN_FILES: Final = 65_536  # asked of the system, for many streams
CANCEL_HANDLERS: Final = web.AppKey("cancel_handlers", bool)  # when the client has gone

_log = logging.getLogger("tracehub")


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


def run(program: str, app: web.Application, settings: Settings, port_field: str) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then answer what is on its way and end the process."""
    set_up_log()
    give_large_blocks_back()
    search_less_for_garbage()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(OPEN_FILES, hard)), hard))
    with failing_in_one_line(program):
        refuse_taken(settings, port_field)  # before the file is touched
        asyncio.run(_serve(program, app, settings, port_field))
    sys.exit(0)


def make_runner(app: web.Application) -> web.AppRunner:
    """How a service runs, in a process of its own or within a test."""
    return Runner(
        app,
        access_log=None,
        auto_decompress=False,  # inflating is bounded by whoever reads the body
        handler_cancellation=app.get(CANCEL_HANDLERS, False),
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=IDLE_S,
        max_headers=MAX_HEADERS,
    )


async def _serve(program: str, app: web.Application, settings: Settings, port_field: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = make_runner(app)
    await runner.setup()
    try:
        for each in listening(settings, port_field):
            await web.SockSite(runner, each, backlog=BACKLOG).start()
        for address in runner.addresses:
            _log.info("%s listens on http://%s:%s", program, _bracketed(address[0]), address[1])
        await stop.wait()
        _log.info("%s stops", program)
        for site in runner.sites:
            await site.stop()
        await app[DRAINING].drain(DRAINING_S)
    finally:
        await runner.cleanup()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
