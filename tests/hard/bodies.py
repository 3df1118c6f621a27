"""Bodies that mean harm."""

import aiohttp
from hostile import corpus
from test_hostile import MEMORY, MIB, TURN_S, try_out

from hard.report import Report, Scale
from hard.stage import started

PROMISE = (
    "A hostile body gets the documented answer, which names the place, costs no memory, and holds the event loop for "
    "100 ms at most"
)
HOW = "The whole corpus: malformed, mistyped, huge, deep, lying and compressed bodies, a good request after each"
SHORT = ("test_hostile.py",)


async def run(scale: Scale, report: Report) -> None:
    """All of it, while a process beside feels the event loop."""
    with started("ingest_svc") as services:
        async with aiohttp.ClientSession() as http:
            tried = await try_out(services, http, corpus(whole=True))
        assert tried.faults == [], tried.faults[:10]
        assert tried.grown < MEMORY, f"{tried.grown / MIB:.0f} MiB more than before"
        assert "Traceback" not in services.log("ingest_svc"), services.log("ingest_svc")[-3000:]
        report.tried(len(tried.turns), "bodies")
        report.figure("grown_mib", tried.grown / MIB)
        report.figure("slowest_turn_ms", tried.turns[0][0] * 1000)
        report.figure("slowest_body", tried.turns[0][1])
        assert tried.turns[0][0] <= TURN_S, tried.turns[:10]
