"""Thousands of stream clients, some of which never read."""

import resource
import time

from conftest import Services, entry

from hard.followers import Follower, following, stuck, until_all
from hard.report import Report, Scale
from hard.stage import beside as running_beside
from hard.stage import connected, memory_mb, percentile, started, watch

PROMISE = (
    "Thousands of clients follow one stream and get every entry once; clients that never read cost little and hold up "
    "nobody"
)
HOW = "Clients of /stream while entries come in; then the same beside 20 more that never read; in the end all catch up"
STUCK = 20
EVERY_S = 1.0  # between two batches
BATCH = 5
MOST_MB = 64  # that clients may cost more than before while entries come, all together
LAG_MB = 0.5  # and what one holds that has fallen behind: what waits in its connection, and a page of the file


async def run(scale: Scale, report: Report) -> None:
    """Follow, with and without the stuck ones; then again with more clients."""
    for count in scale.of([200], [2_000, 10_000]):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if count + 500 > most:
            report.figure(f"clients_{count}", f"not tried: {most} descriptors allowed")
            continue
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, count + 500)), most))
        await _crowd(count, scale, report)


async def _crowd(count: int, scale: Scale, report: Report) -> None:
    many = str(count + STUCK + 10)
    with started("ingest_svc", "query_svc", TRACEHUB_MAX_STREAMS=many, TRACEHUB_MAX_CLIENT_STREAMS=many) as services:
        pid = services.processes["query_svc"].pid
        before = memory_mb(pid)
        sent_at: dict[int, float] = {}
        async with following(count, services.query_port, sent_at=sent_at) as followers:
            each_kb = (memory_mb(pid) - before) * 1024 / count
            batches = scale.of(2, 15)
            without = await _pour(services, followers, sent_at, batches, report)
            silent = [stuck(services.query_port) for _ in range(STUCK)]
            beside = await _pour(services, followers, sent_at, batches, report)
            expected = list(range(1, 2 * batches * BATCH + scale.of(5, 30) * 20 + 1))
            memory = [memory_mb(pid)]
            async with running_beside(watch(pid, memory)):
                for _ in range(scale.of(5, 30)):  # far more than a stuck client may hold
                    await _flood(services)
                await until_all(followers, lambda one: one.ids and one.ids[-1] == expected[-1], 120)
            assert all(one.ids == expected for one in followers), "a client missed something, or got it twice"
            grew = max(memory) - before - each_kb * count / 1024
            for client in silent:
                client.close()
    report.tried(count, "clients")
    report.figure(f"memory_a_client_kb_of_{count}", each_kb)
    report.figure(f"memory_grew_at_most_mb_of_{count}", grew)
    report.figure(f"last_client_p50_ms_of_{count}", percentile(without, 50))
    report.figure(f"last_client_p50_ms_of_{count}_beside_stuck", percentile(beside, 50))
    assert each_kb < 64, f"a client costs {each_kb:.0f} KB"
    assert grew < MOST_MB + count * LAG_MB, f"clients that lag cost {grew:.0f} MB"
    assert scale.short or min(beside) < 3 * min(without) + 50, "stuck clients keep others waiting"


async def _pour(
    services: Services, followers: list[Follower], sent_at: dict[int, float], batches: int, report: Report
) -> list[float]:
    """Send batches; returns after how many milliseconds the last of the clients had each."""
    last_ms = []
    async with connected(services.ingest_port) as connection:
        for number in range(batches):
            report.progress(number, batches, f"batches to {len(followers):,} clients")
            last = max(sent_at, default=0) + BATCH
            sent_at[last] = time.perf_counter()
            answer = await connection.post([entry(correlation_id=f"c{number}") for _ in range(BATCH)])
            assert answer.status == 200, answer
            await until_all(followers, lambda one: one.ids and one.ids[-1] >= last)  # noqa: B023 - called at once
            last_ms.append((time.perf_counter() - sent_at[last]) * 1000)
    return last_ms


async def _flood(services: Services) -> None:
    async with connected(services.ingest_port) as connection:
        answer = await connection.post([entry(data={"filler": "x" * 4_000}) for _ in range(20)])
        assert answer.status == 200, answer
