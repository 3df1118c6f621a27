"""Three little services that call each other through the client: something to watch. `make demo`, until Ctrl-C.

    python bench/demo.py [--rate 3] [--seed 1] [--orders N] [--url http://127.0.0.1:8099]

A shop (SH) asks a stock (ST), which is slow at times, and payments (PY), which die in the middle of a request at times
and are started anew. The seed decides which order meets what. TraceHub is run as well where none answers, on the ports
and the file that its settings name; with --url it has to run already.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import aiohttp
from aiohttp import web
from checkpoint_logger import get_checkpoint_logger
from tracehub.integrations.aiohttp import tracehub_middleware, tracehub_trace_config

HEALTHY_S = 20.0  # for TraceHub to come up
RESTART_S = 1.5  # until a service that died is back
ANSWER_S = 8.0  # that one service waits for another
PEERS: dict[str, str] = {}  # source -> address
Handler = Callable[[web.Request], Awaitable[web.Response]]


def fate(request: web.Request, step: str) -> random.Random:
    """What befalls an order in a step: the same in each run of a seed."""
    return random.Random(f"{request.query['fate']} {step}")


async def ask(request: web.Request, method: str, source: str, path: str) -> None:
    """Call another service, with the correlation id; a checkpoint on either side of the call."""
    log = get_checkpoint_logger("SH")
    session = request.app[SESSION]
    address = f"{PEERS[source]}{path}{'&' if '?' in path else '?'}fate={request.query['fate']}"
    try:
        with log.checkpoint("HTTP", f"{method} {source}{path.partition('?')[0]}") as call:
            async with session.request(method, address) as response:
                call.exit_data = {"status": response.status}
    except aiohttp.ServerDisconnectedError:
        raise web.HTTPBadGateway(text=f"{source} died") from None
    except aiohttp.ClientError:
        raise web.HTTPServiceUnavailable(text=f"{source} is away") from None
    if response.status >= 400:
        raise web.HTTPConflict(text=f"{source} said no")


async def basket(request: web.Request) -> web.Response:
    """The shop: what is in stock of what somebody looks at."""
    rng = fate(request, "basket")
    items = sorted(rng.sample(range(100, 160), rng.randint(2, 3)))
    await asyncio.gather(*(ask(request, "GET", "ST", f"/stock?item={item}") for item in items))
    with get_checkpoint_logger("SH").checkpoint("RENDER", "basket.html", {"items": items}):
        await asyncio.sleep(rng.uniform(0.004, 0.02))
    return web.Response(text="a basket")


async def order(request: web.Request) -> web.Response:
    """The shop: check, look into the stock, take the money, reserve."""
    rng = fate(request, "order")
    items = sorted(rng.sample(range(100, 160), rng.randint(1, 3)))
    with get_checkpoint_logger("SH").checkpoint("CALL", "validate", {"items": items, "customer": rng.randint(1, 999)}):
        await asyncio.sleep(rng.uniform(0.002, 0.015))
    await asyncio.gather(*(ask(request, "GET", "ST", f"/stock?item={item}") for item in items))
    await ask(request, "POST", "PY", "/payments")
    await ask(request, "POST", "ST", f"/reservations?item={items[0]}")
    return web.Response(text="an order", status=201)


async def stock(request: web.Request) -> web.Response:
    """The stock: one look in five scans the whole table."""
    item = request.query["item"]
    rng = fate(request, item)
    with get_checkpoint_logger("ST").checkpoint("SQL", "SELECT stock", {"item": int(item)}) as query:
        scanned = rng.random() < 0.2
        await asyncio.sleep(rng.uniform(0.4, 1.6) if scanned else rng.uniform(0.006, 0.05))
        query.exit_data = {"left": rng.randint(0, 40), "plan": "full scan" if scanned else "index"}
    return web.Response(text="in stock")


async def reservation(request: web.Request) -> web.Response:
    """The stock: put something aside."""
    with get_checkpoint_logger("ST").checkpoint("SQL", "UPDATE stock", {"item": int(request.query["item"])}):
        await asyncio.sleep(fate(request, "reservation").uniform(0.01, 0.06))
    return web.Response(text="reserved")


async def payment(request: web.Request) -> web.Response:
    """Payments: the bank declines some cards, and one time in 25 the process dies while it waits for the bank."""
    rng = fate(request, "payment")
    log, end = get_checkpoint_logger("PY"), rng.random()
    amount = {"amount": round(rng.uniform(5, 250), 2), "currency": "EUR", "card": {"brand": "Visa", "token": "4929"}}
    with log.checkpoint("BANK", "authorize", amount) as call:
        if end < 1 / 25:
            await asyncio.sleep(2)
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(rng.uniform(0.03, 0.25))
        call.exit_data = {"error": "card declined", "code": 51} if end > 0.9 else {"approved": True}
    if end > 0.9:
        raise web.HTTPPaymentRequired(text="card declined")
    with log.checkpoint("SQL", "INSERT payment"):
        await asyncio.sleep(rng.uniform(0.003, 0.012))
    return web.Response(text="paid")


ROUTES: dict[str, list[tuple[str, str, Handler]]] = {
    "SH": [("GET", "/basket", basket), ("POST", "/orders", order)],
    "ST": [("GET", "/stock", stock), ("POST", "/reservations", reservation)],
    "PY": [("POST", "/payments", payment)],
}
SESSION = web.AppKey("session", aiohttp.ClientSession)


def serve(source: str, port: int) -> None:
    """Be one of the services, until the process ends."""

    async def session(app: web.Application) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        app[SESSION] = aiohttp.ClientSession(trace_configs=[tracehub_trace_config()], timeout=timeout)

    app = web.Application(middlewares=[tracehub_middleware(source)])
    app.add_routes([web.route(method, path, handler) for method, path, handler in ROUTES[source]])
    app.on_startup.append(session)
    app.on_cleanup.append(lambda app: app[SESSION].close())
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=1)


async def keep(source: str) -> None:
    """Run a service in a process of its own, again whenever it dies."""
    command = [sys.executable, __file__, "--serve", source, *(f"{peer}={url}" for peer, url in PEERS.items())]
    while True:
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        await asyncio.sleep(RESTART_S)


async def shopping(http: aiohttp.ClientSession, options: argparse.Namespace, page: str) -> None:
    """Customers: `rate` requests a second, each with a correlation id that says when the demo began and which it is."""
    began, rng, under_way = time.strftime("%H%M%S"), random.Random(options.seed), set()
    for number in range(options.orders):
        method, path = ("POST", "/orders") if rng.random() < 0.7 else ("GET", "/basket")
        correlation_id = f"demo-{began}-{number + 1:05}"
        address = f"{PEERS['SH']}{path}?fate={options.seed}-{number}"
        task = asyncio.create_task(shop(http, method, address, correlation_id, page))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(rng.expovariate(options.rate))
    await asyncio.gather(*under_way)


async def shop(http: aiohttp.ClientSession, method: str, address: str, correlation_id: str, page: str) -> None:
    """One request; a death is told with the place to look."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.request(method, address, headers={"X-Correlation-ID": correlation_id}) as response:
            if response.status == 502:
                print(f"  {await response.text()}: {page}#/traces/{correlation_id}", flush=True)


async def healthy(http: aiohttp.ClientSession, url: str, within_s: float = 0.0) -> bool:
    """Whether a port of TraceHub answers."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"{url}/health"):
                return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.1)


async def find_tracehub(http: aiohttp.ClientSession, options: argparse.Namespace) -> str:
    """The page of the TraceHub that runs, or of one that is started."""
    url = options.url or f"http://127.0.0.1:{os.environ.get('TRACEHUB_PORT') or 8099}"
    os.environ.update(CHECKPOINT_TRACING="1", TRACEHUB_URL=url)
    if not await healthy(http, url):
        if options.url:
            give_up(f"nothing answers at {url}: start TraceHub there, or leave --url out")
        query = f"http://127.0.0.1:{os.environ.get('TRACEHUB_QUERY_PORT') or 8100}"
        server = [sys.executable, "-m", "tracehub_server"]
        options.tracehub = await asyncio.create_subprocess_exec(
            *server, stdout=subprocess.DEVNULL, start_new_session=True
        )
        if not (await healthy(http, url, HEALTHY_S) and await healthy(http, query, HEALTHY_S)):
            give_up(f"TraceHub does not come up at {url} and {query}")
    async with http.get(f"{url}/", allow_redirects=False) as response:
        return response.headers.get("Location", f"{url}/")


def give_up(reason: str) -> NoReturn:
    """One line, and the end."""
    sys.exit(f"demo: {reason}")


async def demo(options: argparse.Namespace) -> None:
    """Everything up, customers until they are told to go, everything down again, TraceHub last."""
    options.tracehub = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2 * ANSWER_S)) as http:
        page = await find_tracehub(http, options)
        PEERS.update({source: f"http://127.0.0.1:{free_port()}" for source in ROUTES})
        services = [asyncio.create_task(keep(source)) for source in ROUTES]
        try:
            await asyncio.gather(*(healthy(http, url, HEALTHY_S) for url in PEERS.values()))
            print(f"A shop (SH) asks a stock (ST), slow at times, and payments (PY), which die at times.\nSee {page}")
            print("Ctrl-C ends it.", flush=True)
            await shopping(http, options, page)
        finally:
            for service in services:
                service.cancel()
            await asyncio.gather(*services, return_exceptions=True)
            if options.tracehub and options.tracehub.returncode is None:
                options.tracehub.terminate()
                await options.tracehub.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def until_stopped(options: argparse.Namespace) -> None:
    """The demo; SIGINT and SIGTERM end it in order."""
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await demo(options)


def main() -> None:
    """The demo, or one of its services."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=3.0, help="requests a second (3)")
    parser.add_argument("--seed", type=int, default=1, help="decides which order meets what (1)")
    parser.add_argument("--orders", type=int, default=1_000_000, help="end after so many")
    parser.add_argument("--url", help="the ingest port of a TraceHub that runs")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        source, *peers = options.serve
        PEERS.update(peer.split("=", 1) for peer in peers)
        serve(source, int(PEERS[source].rpartition(":")[2]))
    else:
        asyncio.run(until_stopped(options))


if __name__ == "__main__":
    main()
