"""SIGTERM in the middle of work."""

import asyncio
import json
import signal
import time

from conftest import entry

from hard.followers import following
from hard.report import Report, Scale
from hard.stage import started
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
    assert slowest_s < 10, f"it took {slowest_s:.1f} s"


async def _stop(streams: int) -> float:
    with started("ingest_svc", "query_svc") as services:
        async with following(streams, services.query_port) as followers:
            go_on = asyncio.Event()
            posts = [asyncio.create_task(_post(services.ingest_port, number, go_on)) for number in range(POSTS)]
            await asyncio.sleep(0.5)
            begun = time.monotonic()
            asyncio.get_running_loop().call_later(0.5, go_on.set)
            names = list(services.processes)
            codes = await asyncio.gather(*(asyncio.to_thread(services.kill, name, signal.SIGTERM) for name in names))
            took_s = time.monotonic() - begun
            assert codes == [0, 0], codes
            statuses = [await post for post in posts]
            assert statuses == [200] * POSTS, f"{POSTS - statuses.count(200)} of {POSTS} posts were not answered 200"
            await asyncio.wait([one.ended for one in followers], timeout=5)
            broken = sum(not one.is_clean for one in followers)
            assert not broken, f"{broken} of {streams} streams broke off"
        assert rows(services.db, "SELECT count(*) FROM entry") == [(POSTS * 100,)]
        await asyncio.to_thread(is_whole, services.db)
        for name in names:
            assert "Traceback" not in services.log(name), services.log(name)
    return took_s


async def _post(port: int, number: int, go_on: asyncio.Event) -> int:
    """A batch: half of them sent whole when the signal comes, half of them completed afterwards."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps({"traces": [entry(correlation_id=f"c{number}") for _ in range(100)]}).encode()
        head = f"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body[: len(body) // 2])
        if number % 2:
            await go_on.wait()
        else:
            await asyncio.sleep(0.45)  # shortly before the signal
        writer.write(body[len(body) // 2 :])
        line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except OSError:
        return 0
    finally:
        writer.close()
