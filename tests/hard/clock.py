"""A clock that jumps, and senders whose clocks are years off."""

import asyncio
import time
from typing import Any

from conftest import Services, entry
from patience import PATIENCE_S

from hard.followers import follow, until_all
from hard.report import Report, Scale
from hard.stage import Connection, connected
from hard.trouble import Trouble, troubled
from hard.truth import is_whole

PROMISE = (
    "Whatever the clocks say, nothing young is deleted, lists stay in order of arrival, and timeouts last as long as "
    "asked"
)
HOW = "The clock of both services jumps an hour ahead and back while they run; senders are ten years behind and ahead"
HOUR_S = 3_600
TEN_YEARS_MS = 10 * 365.25 * 86_400_000


async def run(scale: Scale, report: Report) -> None:
    """Jump, and look at everything that has to do with time."""
    jumps = scale.of([HOUR_S, -HOUR_S], [HOUR_S, 0, -HOUR_S, 0] * 5)
    with troubled("ingest_svc", "query_svc") as (services, trouble):
        async with connected(services.ingest_port) as ingest, connected(services.query_port) as query:
            for number, offset_s in enumerate(jumps):
                report.progress(number, len(jumps), "jumps")
                await _store(ingest, f"before-{number}")
                waiting = asyncio.create_task(_timeouts(services))
                await asyncio.sleep(0.2)
                trouble.clock_s(offset_s)
                await _store(ingest, f"after-{number}")
                await _sane(ingest, query, number)
                await waiting
            await _is_due(ingest, trouble, 2 * len(jumps))
        await asyncio.to_thread(is_whole, services.db)
        for name in services.processes:
            assert "Traceback" not in services.log(name), services.log(name)
    report.tried(len(jumps), "jumps")


async def _store(ingest: Connection, name: str) -> None:
    """One chain whose senders disagree on the time by twenty years."""
    now_ms = time.time() * 1000
    stamps = (now_ms + TEN_YEARS_MS, now_ms, now_ms - TEN_YEARS_MS)
    answer = await ingest.post([entry(correlation_id=name, timestamp=stamp) for stamp in stamps])
    assert answer.json == {"accepted": 3, "inserted": 3, "duplicates": 0}, answer


async def _sane(ingest: Connection, query: Connection, number: int) -> None:
    """Nothing is gone, the newest activity comes first, a chain is in order of its timestamps, rates make sense."""
    assert (await ingest.call("DELETE", "/cleanup")).json == {"deleted": 0}
    listed = [one["correlation_id"] for one in (await query.get("/correlations?limit=1000")).json["correlations"]]
    assert listed == [f"{when}-{n}" for n in range(number, -1, -1) for when in ("after", "before")], listed
    stamps = [one["timestamp"] for one in (await query.get(f"/traces/after-{number}")).json["traces"]]
    assert len(stamps) == 3
    assert stamps == sorted(stamps)
    recent = (await query.get("/recent")).json["traces"]
    assert [one["id"] for one in recent] == sorted(one["id"] for one in recent)
    for path in ("/stats", "/stats/sources", "/health"):
        answer = await query.get(path)
        assert answer.status == 200, answer
        assert not _negative(answer.json), answer
    assert (await ingest.get("/health")).status == 200


def _negative(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_negative, value.values()))
    if isinstance(value, list):
        return any(map(_negative, value))
    return isinstance(value, int | float) and value < 0


async def _timeouts(services: Services) -> None:
    """A stream and a wait of one second each, begun before the jump, last as long as they should."""
    begun = time.monotonic()
    stream = await follow(services.query_port, "/stream?timeout=1")

    async def wait() -> None:
        async with connected(services.query_port) as connection:
            answer = await connection.call("GET", "/traces/nobody", headers="Prefer: wait=1\r\n")
        assert answer.status == 200, answer
        assert time.monotonic() - begun > 0.9, "a wait ended early"

    await asyncio.gather(asyncio.wait_for(wait(), PATIENCE_S), until_all([stream], lambda one: one.is_clean))
    assert time.monotonic() - begun > 0.9, "a stream ended early"


async def _is_due(ingest: Connection, trouble: Trouble, chains: int) -> None:
    """A day later everything is past retention, but for what came under a clock that was ahead or behind an hour."""
    trouble.clock_s(26 * HOUR_S)
    assert (await ingest.call("DELETE", "/cleanup")).json == {"deleted": 3 * chains}
