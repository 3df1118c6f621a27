"""Bodies that mean harm get the contract's answer from a real service, and cost it neither memory nor its attention."""

import io
import subprocess
import sys
import timeit
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from conftest import Services, entry
from hostile import MIB, Hostile, corpus, with_data
from patience import PATIENCE_S

MEMORY = 50 * MIB  # that a service may hold more of than before
TURN_S = 0.1  # that no body may hold the event loop for
TRIES = 5  # of a body that seems to: what it costs it costs each time, what others on the machine do it does not


class Heart:
    """A process beside this one that feels the service's event loop."""

    def __init__(self, port: int, pid: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("heartbeat.py")), str(port), str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.slowest_s()

    def slowest_s(self) -> float:
        """The longest turn since it was last asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """End the process."""
        self._process.communicate(timeout=PATIENCE_S)


class Tried(NamedTuple):
    """What came of some bodies."""

    faults: list[str]
    grown: int  # bytes that the service holds more than before
    turns: list[tuple[float, str]]  # of its event loop in seconds, and at which body, the slowest first


def memory(services: Services) -> int:
    """What the ingest process holds, in bytes."""
    status = Path(f"/proc/{services.processes['ingest_svc'].pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


async def send(http: aiohttp.ClientSession, url: str, case: Hostile) -> tuple[int, Any]:
    """Status and answer."""
    headers = {"Content-Type": case.kind} | ({"Content-Encoding": case.encoding} if case.encoding else {})
    async with http.post(url, data=io.BytesIO(case.body()), headers=headers) as told:
        return told.status, await told.json()


def faults(case: Hostile, status: int, told: Any) -> list[str]:
    """What is wrong with an answer."""
    found = []
    if status != case.status:
        found.append(f"{case.name}: {status} instead of {case.status}: {str(told)[:200]}")
    elif status == 200 and told["accepted"] != told["inserted"]:
        found.append(f"{case.name}: not stored: {told}")
    elif status != 200 and (not told.get("detail") or "Traceback" in told["detail"] or len(told["detail"]) > 500):
        found.append(f"{case.name}: {str(told)[:600]}")
    elif case.path is not None and not (told.get("path") or "").startswith(case.path):
        found.append(f"{case.name}: {told.get('path')} instead of {case.path}")
    return found


async def try_out(services: Services, http: aiohttp.ClientSession, cases: Iterable[Hostile]) -> Tried:
    """Send each body to a running ingest service, and a good one after it."""
    url = f"{services.ingest_url}/ingest"
    long = Hostile("long", lambda: with_data(b'{"a":"' + b"x" * 10 * MIB + b'"}'), 200)
    for _ in range(5):  # SQLite's cache has its full size before it counts
        assert (await send(http, url, long))[0] == 200
    heart = Heart(services.ingest_port, services.processes["ingest_svc"].pid)
    before = memory(services)
    found: list[str] = []
    turns: list[tuple[float, str]] = []
    for case in cases:
        found += faults(case, *await send(http, url, case))
        async with http.post(f"{services.ingest_url}/ingest/single", json=entry()) as response:
            if response.status != 200:
                found.append(f"{case.name}: the next one got {response.status}")
        turn_s, tries = heart.slowest_s(), 1
        while turn_s > TURN_S and tries < TRIES:
            await send(http, url, case)
            turn_s, tries = min(turn_s, heart.slowest_s()), tries + 1
        turns.append((turn_s, case.name))
    heart.stop()
    return Tried(found, memory(services) - before, sorted(turns, reverse=True))


def pace_s() -> float:
    """How long this machine, as busy as it is, takes for the longest step that keeps the interpreter: over brackets."""
    data = b'{"a":[' + (b"[" * 60 + b"]" * 60 + b",") * (15 * MIB // 121) + b"0]}"
    return min(timeit.repeat(lambda: msgspec.json.decode(data, type=dict[str, msgspec.Raw]), number=1, repeat=3))


async def test_hostile_bodies_get_their_answers(services: Services, http: aiohttp.ClientSession) -> None:
    """Each gets its status with the place named, and the next request is served; memory and loop stay as they were."""
    services.start("ingest_svc")
    tried = await try_out(services, http, corpus(whole=False))
    assert tried.faults == []
    assert tried.grown < MEMORY
    assert tried.turns[0][0] <= max(TURN_S, 2 * pace_s()), tried.turns[:5]
    assert "Traceback" not in services.log("ingest_svc")
