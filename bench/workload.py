"""The workload that figures are taken on, made from a seed.

Chains of about 10 entries over 3 to 5 of 8 sources, 200 endpoints, 8 hosts (a source has its own), random ids of 32 hex
digits, 64 chains live at a time, `data` of 60 to 120 bytes on four entries of five; 300 bytes of JSON an entry.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

LIVE_CHAINS = 64
SOURCES = ("MA", "WS", "WK", "VM", "MB", "JW", "SP", "DB")
ENDPOINTS = tuple(f"/api/v1/resource-{number}/action" for number in range(200))


def entries(seed: int = 1) -> Iterator[dict[str, Any]]:
    """Entries without end; the same ones for the same seed."""
    rng = random.Random(seed)
    live = [_chain(rng) for _ in range(LIVE_CHAINS)]
    while True:
        place = rng.randrange(LIVE_CHAINS)
        chain = live[place]
        yield chain.pop()
        if not chain:
            live[place] = _chain(rng)


def bodies(batch: int, seed: int = 1) -> Iterator[bytes]:
    """Bodies of `POST /ingest` without end."""
    source = entries(seed)
    while True:
        yield json.dumps({"traces": [next(source) for _ in range(batch)]}, separators=(",", ":")).encode()


def _chain(rng: random.Random) -> list[dict[str, Any]]:
    """The entries of one chain, the last one first: calls within calls, each with its exit."""
    correlation_id = f"{rng.getrandbits(128):032x}"
    sources = rng.sample(SOURCES, rng.randint(3, 5))
    calls = [(rng.choice(sources), rng.choice(ENDPOINTS)) for _ in range(rng.randint(3, 7))]
    steps = [("->", *call) for call in calls] + [("<-", *call) for call in reversed(calls)]
    timestamp = 1_700_000_000_000 + rng.random() * 1000
    made = []
    for direction, source, endpoint in steps:
        timestamp += rng.expovariate(1 / 8)
        entry = {
            "source_id": source,
            "correlation_id": correlation_id,
            "timestamp": round(timestamp, 3),
            "suffix": f"{rng.getrandbits(16):04x}",
            "direction": direction,
            "operation": "REST",
            "endpoint": endpoint,
            "hostname": f"host-{SOURCES.index(source)}",
        }
        if rng.random() < 0.8:
            entry["data"] = {"user": rng.randrange(10**6), "note": "x" * rng.randint(30, 90)}
        made.append(entry)
    return made[::-1]
