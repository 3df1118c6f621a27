"""What comes before a request is understood, and behind one."""

import asyncio
import contextlib
from collections.abc import Iterator

from test_hostile import MEMORY, MIB, TRIES, TURN_S, Heart, pace_s

from hard.report import Report, Scale
from hard.stage import beside, connected, memory_mb, started, watch

PROMISE = (
    "Whatever arrives before a request is understood, or behind one that is being answered, costs a service 50 MB at "
    "most, and its event loop 100 ms at a time"
)
HOW = "Many connections at once that send long headers, trailers, noise, and more behind an upgrade or a long answer"
STAY_S = 1.0

LINE = b" HTTP/1.1\r\nHost: localhost\r\n"
WIDE = "\N{GRINNING FACE}".encode() + b"a" * 8_000  # the first character makes the others take as much room
HEADERS = b"".join(b"X%d: %b\r\n" % (number, WIDE) for number in range(60))
FEW = b"".join(b"X%d: %b\r\n" % (number, WIDE) for number in range(2))
UPGRADE = b"GET /nowhere" + LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CHUNKED = b"POST /ingest" + LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
WAITS = b"GET /traces/none" + LINE + b"Prefer: wait=10\r\n\r\n"
SENT = {
    "headers without end": b"GET /nowhere" + LINE + HEADERS,
    "many headers": b"GET /nowhere" + LINE + HEADERS + b"\r\n",
    "trailers": CHUNKED + HEADERS,
    "noise behind an upgrade": UPGRADE + bytes(600_000),
    "headers behind an upgrade": UPGRADE + b"GET /nowhere" + LINE + HEADERS,
    "noise behind a request that waits": WAITS + bytes(600_000),
    "headers behind a request that waits": WAITS + (b"GET /nowhere" + LINE + HEADERS + b"\r\n") * 4,
    "requests behind a request that waits": WAITS + (b"GET /nowhere" + LINE + FEW + b"\r\n") * 20,
}


async def run(scale: Scale, report: Report) -> None:
    """All of it, at both services, while a process beside feels the event loop."""
    names = scale.of(["headers behind a request that waits", "noise behind an upgrade"], list(SENT))
    connections = scale.of(60, 200)
    grown, turns = [], []
    with started("ingest_svc", "query_svc") as services:
        ports = {"ingest_svc": services.ingest_port, "query_svc": services.query_port}
        for done, (name, case) in enumerate((name, case) for name in ports for case in names):
            report.progress(done, len(ports) * len(names), "kinds of trouble")
            pid = services.processes[name].pid
            with _felt(ports[name], pid) as heart:
                costs = [await _send(connections, ports[name], pid, SENT[case], heart)]
                while costs[-1][1] > TURN_S and len(costs) < TRIES:
                    costs.append(await _send(connections, ports[name], pid, SENT[case], heart))
            grown.append((costs[0][0], name, case))
            turns.append((min(turn_s for _, turn_s in costs), name, case))
            async with connected(ports[name]) as connection:
                assert (await connection.get("/health")).status == 200
    report.tried(len(grown) * connections, "connections")
    report.figure("grown_mb", max(grown)[0])
    report.figure("grown_at", " ".join(max(grown)[1:]))
    report.figure("slowest_turn_ms", max(turns)[0] * 1000)
    assert max(grown)[0] < MEMORY / MIB * connections / 200, sorted(grown)[-3:]
    assert max(turns)[0] <= (max(TURN_S, 2 * pace_s()) if scale.short else TURN_S), sorted(turns)[-3:]


@contextlib.contextmanager
def _felt(port: int, pid: int) -> Iterator[Heart]:
    heart = Heart(port, pid)
    try:
        yield heart
    finally:
        heart.stop()


async def _send(connections: int, port: int, pid: int, sent: bytes, heart: Heart) -> tuple[float, float]:
    """The most that the service holds more than before, in MB, and its longest turn in seconds."""
    held = [memory_mb(pid)]
    async with beside(watch(pid, held)):
        await asyncio.gather(*(_stay(port, sent) for _ in range(connections)))
    return max(held) - held[0], await asyncio.to_thread(heart.slowest_s)


async def _stay(port: int, sent: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        await asyncio.sleep(STAY_S)
    finally:
        writer.transport.abort()
