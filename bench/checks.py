"""What the checks of a request cost, one by one, beside all that bare aiohttp does for a request.

    python bench/checks.py [--calls 100000]

The checks are called as the services call them, on a request as a sender makes it. Each is the median of seven rounds,
the empty loop taken off. The bare request is its process's CPU time, driven flat out over 16 connections.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from load import Generator, post
from multidict import CIMultiDict
from service import BENCH, free_port, running, scratch

from shared.env import Settings
from shared.web.clients import Clients
from shared.web.fair_share import FairShare
from shared.web.headers import protect
from shared.web.lock import Guesses, Lock
from shared.web.origins import Gate

ROUNDS = 7
SECRETS = ("a-new-secret-of-thirty-two-chars", "an-old-secret-of-thirty-two-char")  # the second is shown
BODY = b'{"traces":[]}'
TRUSTED = "127.0.0.0/8"


def request(**headers: str) -> web.Request:
    """One as a sender makes it."""
    usual = {"Host": "localhost:8099", "Content-Type": "application/json", "Content-Length": str(len(BODY))}
    transport: Any = type("Transport", (), {"get_extra_info": lambda _, name, default=None: _PEER.get(name, default)})()
    return make_mocked_request("POST", "/ingest", headers={**usual, **headers}, transport=transport)


_PEER = {"peername": ("127.0.0.1", 40_000)}


class Answer:
    """As much of an answer as its headers need; a new one costs half a microsecond, which counts."""

    status = 200

    def __init__(self) -> None:
        self.headers = CIMultiDict({"Content-Type": "application/json"})


def checks() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each check, ready to be called."""
    settings = Settings()
    plain, secret = request(), request(**{"X-TraceHub-Secret": SECRETS[1]})
    forwarded = request(**{"X-Forwarded-For": "192.0.2.7"})
    gate, clients = Gate(settings), Clients(settings)
    behind = Clients(Settings(trusted_proxies=TRUSTED))
    locked, opened = Lock(SECRETS, Guesses(clients)), Lock((), Guesses(clients))
    share = FairShare(1e9, settings)

    def headers() -> None:
        coroutine = protect(plain, Answer())  # type: ignore[arg-type]
        try:
            coroutine.send(None)
        except StopIteration:
            return

    def count() -> None:
        share.admit("127.0.0.1")
        share.charge("127.0.0.1", 10)

    yield "Host and Origin", lambda: gate.check(plain)
    yield "a secret, where none is set", lambda: opened.open(plain)
    yield "a secret, the second of two", lambda: locked.open(secret)
    yield "whose it is: the address", lambda: clients.address(plain)
    yield "whose it is, behind a proxy", lambda: behind.address(forwarded)
    yield "its share of entries", count
    yield "headers of the answer", headers


def cost_us(call: Callable[[], Any], calls: int) -> float:
    """Microseconds that a call takes."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in itertools.repeat(None, calls):
            call()
        took.append(time.perf_counter() - started)
    return statistics.median(took) / calls * 1e6


def bare_us(seconds: float) -> float:
    """Microseconds of CPU that bare aiohttp takes for a request of that size."""
    with scratch() as folder:
        port = free_port()
        with running([sys.executable, str(BENCH / "peers" / "aiohttp_bare.py"), str(port)], port, folder) as service:
            load = Generator(port, itertools.repeat(post(BODY)), 16, [service.pid]).run(0.5, seconds)
    return load.service_cpu_shares[0] / load.per_second * 1e6


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000, help="of each check in a round (100000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of bare aiohttp (3)")
    arguments = parser.parse_args()
    whole = bare_us(arguments.seconds)
    empty = cost_us(lambda: None, arguments.calls)
    print(f"{'a bare request of aiohttp':<30} {whole:8.2f} us")
    for name, call in checks():
        cost = cost_us(call, arguments.calls) - empty
        print(f"{name:<30} {cost:8.2f} us {100 * cost / whole:6.1f} %")


if __name__ == "__main__":
    main()
