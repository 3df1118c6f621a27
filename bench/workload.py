"""The workload that figures are taken on, made from a seed.

Chains of about 10 entries over 3 to 5 of 8 sources, 200 endpoints, 8 hosts (a source has its own), random ids of 32 hex
digits, 64 chains live at a time, `data` of 60 to 120 bytes on four entries of five; 325 bytes of JSON an entry.
"""

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

LIVE_CHAINS = 64
BLOCK = 40_000  # entries, after which the same ones come again under new correlation ids
MARK = "~chains~"  # where a body says which time it is: the last 8 digits of each correlation id
SOURCES = ("MA", "WS", "WK", "VM", "MB", "JW", "SP", "DB")
ENDPOINTS = tuple(f"/api/v1/tenants/resource-{number:03}/action" for number in range(200))
NOTES = " ".join(
    random.Random(0).choices(["queued", "for", "the", "worker", "agent", "retry", "lease", "took", "id"], k=2_000)
)


def entries(seed: int = 1) -> Iterator[dict[str, Any]]:
    """Entries without end; the same ones for the same seed."""
    rng = random.Random(seed)
    for turn in itertools.count():
        for entry in itertools.islice(_block(rng), BLOCK):
            yield {**entry, "correlation_id": entry["correlation_id"].replace(MARK, f"{turn:08x}")}


def bodies(batch: int, seed: int = 1) -> Iterator[bytes]:
    """Bodies of `POST /ingest` without end, no two entries of them alike; cheap enough to be made in quantity."""
    source = _block(random.Random(seed))
    block = []
    for _ in range(max(1, BLOCK // batch)):
        traces = list(itertools.islice(source, batch))
        block.append(json.dumps({"traces": traces}, separators=(",", ":")).encode())
    for turn in itertools.count():
        digits = f"{turn:08x}".encode()
        yield from (body.replace(MARK.encode(), digits) for body in block)


def _block(rng: random.Random) -> Iterator[dict[str, Any]]:
    live = [_chain(rng) for _ in range(LIVE_CHAINS)]
    while True:
        place = rng.randrange(LIVE_CHAINS)
        chain = live[place]
        yield chain.pop()
        if not chain:
            live[place] = _chain(rng)


def _chain(rng: random.Random) -> list[dict[str, Any]]:
    """The entries of one chain, the last one first: calls within calls, each with its exit."""
    correlation_id = f"{rng.getrandbits(96):024x}{MARK}"
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
            "hostname": f"host-{SOURCES.index(source)}.rack-04.east-2.internal",
        }
        if rng.random() < 0.8:
            start = rng.randrange(len(NOTES) - 100)
            note = NOTES[start : start + rng.randint(35, 95)]
            entry["data"] = {"user": rng.randrange(100_000, 1_000_000), "note": note}
        made.append(entry)
    return made[::-1]
