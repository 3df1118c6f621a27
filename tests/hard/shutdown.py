"""SIGTERM in the middle of work."""

import asyncio
import json
import signal
import time

from conftest import entry, until
from patience import PATIENCE_S

from hard.followers import following
from hard.report import Report, Scale
from hard.stage import connected, started
from hard.truth import is_whole, rows

PROMISE = "Both services stop within 10 s: requests on their way are answered, and streams end cleanly"
HOW = "Open streams, posts just sent and posts half sent, which are completed after the signal; SIGTERM to both"
POSTS = 50


async def run(scale: Scale, report: Report) -> None:
    """Begin, stop, see the end of each."""
    streams, turns = scale.of((100, 1), (500, 10))
    slowest_s = 0.0
    for turn in range(turns):
        report.progress(turn, turns, "shutdowns")
        slowest_s = max(slowest_s, await _stop(streams))
    report.tried(turns, "shutdowns")
    report.tried(turns * streams, "streams")
    report.tried(turns * POSTS, "posts")
    report.figure("slowest_s", slowest_s)
    assert scale.short or slowest_s < 10, f"it took {slowest_s:.1f} s"


async def _stop(streams: int) -> float:
    with started("ingest_svc", "query_svc") as services:
        async with following(streams, services.query_port) as followers:
            at_once, afterwards = asyncio.Event(), asyncio.Event()
            bodies = [_body(number) for number in range(POSTS)]
            posts = [
                asyncio.create_task(_post(services.ingest_port, body, (at_once, afterwards)[number % 2]))
                for number, body in enumerate(bodies)
            ]
            await _until_held(services.ingest_port, sum(len(body) // 2 for body in bodies))
            at_once.set()
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            asyncio.get_running_loop().call_later(0.5, afterwards.set)
            names = list(services.processes)
            codes = await asyncio.gather(*(asyncio.to_thread(services.kill, name, signal.SIGTERM) for name in names))
            took_s = time.monotonic() - begun
            assert codes == [0, 0], codes
            statuses = [await post for post in posts]
            assert statuses == [200] * POSTS, f"{POSTS - statuses.count(200)} of {POSTS} posts were not answered 200"
            await asyncio.wait([one.ended for one in followers], timeout=PATIENCE_S)
            broken = sum(not one.is_clean for one in followers)
            assert not broken, f"{broken} of {streams} streams broke off"
        assert rows(services.db, "SELECT count(*) FROM entry") == [(POSTS * 100,)]
        await asyncio.to_thread(is_whole, services.db)
        for name in names:
            assert "Traceback" not in services.log(name), services.log(name)
    return took_s


def _body(number: int) -> bytes:
    return json.dumps({"traces": [entry(correlation_id=f"c{number}") for _ in range(100)]}).encode()


async def _until_held(port: int, size: int) -> None:
    """Wait until the service holds so many bytes of bodies."""
    async with connected(port) as connection:

        async def is_held() -> bool:
            return f"tracehub_queue_bytes {size}\n".encode() in (await connection.get("/metrics")).body

        await until(is_held)


async def _post(port: int, body: bytes, go_on: asyncio.Event) -> int:
    """Send half of a batch, and the rest when told to; gives the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body[: len(body) // 2])
        await go_on.wait()
        writer.write(body[len(body) // 2 :])
        line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except OSError:
        return 0
    finally:
        writer.close()
