"""The same entries again and again."""

import asyncio
import json
import random

from conftest import entry

from hard.report import Report, Scale
from hard.stage import connected, latencies, percentile, started
from hard.truth import is_whole, rows

PROMISE = (
    "Entries that are sent again, however often and by whomever, are stored once, and every answer counts them exactly"
)
HOW = (
    "16 senders that send batches from one common stock at the same time, in any mixture and order; one with new "
    "entries"
)
SENDERS = 16


async def run(scale: Scale, report: Report) -> None:
    """Storm, count."""
    stock = [entry(correlation_id=f"c{number % 100}", data={"n": number}) for number in range(scale.of(2_000, 20_000))]
    texts = [json.dumps(one) for one in stock]
    counts = {"accepted": 0, "inserted": 0, "duplicates": 0}

    with started("ingest_svc") as services:

        async def send(sender: int) -> None:
            dice = random.Random(sender)
            async with connected(services.ingest_port) as connection:
                for _ in range(scale.of(10, 250)):
                    if not sender:
                        report.progress(counts["accepted"], SENDERS * scale.of(10, 250) * 200, "entries")
                    batch = dice.choices(texts, k=200)
                    answer = await connection.call("POST", "/ingest", f'{{"traces":[{",".join(batch)}]}}'.encode())
                    assert answer.status == 200, answer
                    told = answer.json
                    assert told["accepted"] == 200 == told["inserted"] + told["duplicates"], told
                    assert told["inserted"] <= len(set(batch)), told
                    for name in counts:
                        counts[name] += told[name]

        senders = [asyncio.create_task(send(number)) for number in range(SENDERS)]
        beside_ms = await latencies(services.ingest_port, scale.of(0.5, 10), size=10)
        await asyncio.gather(*senders)
        there = {suffix for (suffix,) in rows(services.db, "SELECT suffix FROM traces")}
        stored = there & {one["suffix"] for one in stock}
        assert counts["inserted"] == len(stored), f"{counts['inserted']} told as new, {len(stored)} are there"
        ((count, distinct),) = rows(services.db, "SELECT count(*), count(DISTINCT suffix) FROM traces")
        assert count == distinct, "an entry is there twice"
        await asyncio.to_thread(is_whole, services.db)
    report.tried(counts["accepted"], "entries sent")
    report.figure("duplicates", counts["duplicates"])
    report.figure("beside_p99_ms", percentile(beside_ms, 99))
