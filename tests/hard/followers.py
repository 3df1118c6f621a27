"""Clients of /stream that cost little, so that there can be thousands."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

_ID = re.compile(rb"id: (\d+)\n")
_GAP = re.compile(rb'event: gap\ndata: {"from":(\d+),"to":(\d+)')
AT_ONCE = 200  # connections made at a time


class Follower(asyncio.Protocol):
    """One client: the row ids it got, the gaps it was told of, and how its stream ended."""

    def __init__(self, path: str, last: int | None, sent_at: dict[int, float] | None) -> None:
        self.ids: list[int] = []
        self.gaps: list[tuple[int, int]] = []
        self.lags_ms: list[float] = []
        self.is_open = False  # its first bytes have come
        self.is_clean = False  # the stream came to its end, it did not break off
        self.status = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode()
        self._sent_at = sent_at
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self.transport: asyncio.Transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note what came."""
        if not self.status:
            self.status = int(data.split(b" ", 2)[1])
        data = self._rest + data
        self.is_open = self.is_open or b"retry:" in data
        self.is_clean = data.endswith(b"0\r\n\r\n")
        whole = data.rfind(b"\n\n") + 2  # a frame may be cut anywhere by the network
        self._rest = data[whole:] if whole > 1 else data
        data = data[:whole] if whole > 1 else b""
        self.gaps += [(int(first), int(last)) for first, last in _GAP.findall(data)]
        if ids := _ID.findall(data):
            self.ids += map(int, ids)
            if self._sent_at is not None and self.ids[-1] in self._sent_at:
                self.lags_ms.append((time.perf_counter() - self._sent_at[self.ids[-1]]) * 1000)

    def connection_lost(self, _: Exception | None) -> None:
        """Note the end."""
        if not self.ended.done():
            self.ended.set_result(None)


async def follow(
    port: int, path: str = "/stream?timeout=3600", last: int | None = None, sent_at: dict[int, float] | None = None
) -> Follower:
    """A client, connected; raises OSError. `sent_at`: when the entry with a row id was sent."""
    make = asyncio.get_running_loop().create_connection
    _, follower = await make(lambda: Follower(path, last, sent_at), "127.0.0.1", port)
    return follower


@contextlib.asynccontextmanager
async def following(count: int, port: int, **options: Any) -> AsyncIterator[list[Follower]]:
    """So many clients, their streams open; hung up at the end."""
    followers: list[Follower] = []
    try:
        while len(followers) < count:
            some = min(AT_ONCE, count - len(followers))
            followers += await asyncio.gather(*(follow(port, **options) for _ in range(some)))
            await until_all(followers, lambda one: one.is_open)
        yield followers
    finally:
        for follower in followers:
            follower.transport.abort()


async def until_all(followers: list[Follower], condition: Any, timeout_s: float = 60.0) -> None:
    """Wait until a condition is true of each."""
    deadline = time.monotonic() + timeout_s
    while missing := sum(not condition(one) for one in followers):
        assert time.monotonic() < deadline, (
            f"{missing} of {len(followers)} clients did not come so far in {timeout_s:.0f} s"
        )
        await asyncio.sleep(0.02)


def stuck(port: int, path: str = "/stream?timeout=3600&last_event_id=0") -> socket.socket:
    """A client that asks and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client
