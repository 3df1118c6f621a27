"""What a checkpoint costs the thread that makes it, as ratios taken in one run, and what eight busy threads deliver.

    python bench/client_cost.py [--rounds 15] [--burst 5000] [--seconds 10] [--json] [--no-earlier]

Rounds are interleaved: each measures every contender once, and the median of the rounds counts, so a machine that is
slow for a while is slow for all. A round is a burst of calls, timed as a whole, with the collector on; what the burst
has queued is flushed before the next contender's turn. The earlier release's client is one of them where it can be had.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from peers import earlier_release
from service import ingest, scratch

DATA = {"id": "123", "status": "ok", "count": 5}
Contender = tuple[Callable[[], Any], Callable[[], Any]]  # one call, and what empties its queue


def empty() -> None:
    """The cheapest call there is."""


def checkpoint_contenders(url: str) -> dict[str, Contender]:
    import tracehub
    from checkpoint_logger import checkpoints, get_checkpoint_logger, set_correlation_id
    from tracehub.client import TraceEntry, TraceHubClient

    os.environ.update(CHECKPOINT_TRACING="1", TRACEHUB_URL=url)
    log, logged = get_checkpoint_logger("MA"), get_checkpoint_logger("LG")
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115, PTH123
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger("checkpoint.LG").addHandler(handler)
    logging.getLogger("checkpoint.LG").setLevel(logging.INFO)
    set_correlation_id("bench-" + os.urandom(8).hex())
    client = tracehub.get_tracehub_client()
    assert client is not None
    direct = TraceHubClient(url)
    nested = {"id": "123", "user": {"name": "x", "roles": ["a", {"b": 1.5}]}, "count": 5}
    entry = TraceEntry("MA", "bench", time.time() * 1000, "abc", "->", "REST", "/api/agents", DATA)

    def off() -> None:
        log.checkpoint_entry("REST", "/api/agents", DATA)

    def switch(on: bool) -> None:
        checkpoints._switch.on, checkpoints._switch.off = on, not on

    contenders: dict[str, Contender] = {
        "checkpoint, tracing off": (off, lambda: None),
        "checkpoint, three keys": (lambda: log.checkpoint_entry("REST", "/api/agents", DATA), client.flush),
        "checkpoint, nested data": (lambda: log.checkpoint_entry("REST", "/api/agents", nested), client.flush),
        "checkpoint, with a logging handler": (
            lambda: logged.checkpoint_entry("REST", "/api/agents", DATA), client.flush,
        ),
        "TraceHubClient.send": (lambda: direct.send(entry), direct.flush),
    }  # fmt: skip
    contenders["checkpoint, tracing off"] = (off, lambda: None)
    contenders["switch"] = (switch, lambda: None)  # type: ignore[assignment]
    return contenders


def span_contender() -> Contender:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Discarding(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Discarding(), max_queue_size=1_000_000))
    tracer = provider.get_tracer("bench")

    def span() -> None:
        made = tracer.start_span("/api/agents")
        made.set_attribute("id", "123")
        made.set_attribute("status", "ok")
        made.end()

    return span, provider.force_flush


def earlier_contenders(url: str) -> dict[str, Contender]:
    try:
        earlier_release.prepare()
    except earlier_release.Absent as error:
        print(json.dumps({"absent": "client of the earlier release", "why": str(error)}), flush=True)
        return {}
    spec = importlib.util.spec_from_file_location("earlier_client", earlier_release.CLIENT)
    assert spec is not None
    assert spec.loader is not None
    earlier = importlib.util.module_from_spec(spec)
    sys.modules["earlier_client"] = earlier
    spec.loader.exec_module(earlier)
    running = earlier.TraceHubClient(url)
    stopped = earlier.TraceHubClient("")
    stopped.base_url = "nowhere"
    entry = earlier.TraceEntry("MA", "bench", time.time() * 1000, "abc", "->", "REST", "/api/agents", DATA)

    def drain() -> None:
        running._queue.queue.clear()
        time.sleep(0.05)

    return {
        "the earlier release's send": (lambda: running.send(entry), drain),
        "the same, its sender stopped": (lambda: stopped.send(entry), stopped._queue.queue.clear),
    }


def burst(call: Callable[[], Any], calls: int) -> float:
    """Nanoseconds a call, the loop's own cost included."""
    started = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - started) / calls


def compare(contenders: dict[str, Contender], rounds: int, calls: int) -> dict[str, float]:
    switch = contenders.pop("switch")[0]
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (call, settle) in contenders.items():
            switch(name != "checkpoint, tracing off")
            taken[name].append(burst(call, calls))
            settle()
    switch(True)
    return {name: statistics.median(values) for name, values in taken.items()}


def sustain(seconds: float, rate: int, threads: int) -> dict[str, float]:
    """What so many threads make and deliver, paced; each call is timed by itself."""
    import tracehub

    client = tracehub.get_tracehub_client()
    assert client is not None
    assert client.flush(20)
    before = client.counts()
    taken: list[list[int]] = [[] for _ in range(threads)]
    workers = [threading.Thread(target=busy, args=(mine, seconds, rate / threads)) for mine in taken]
    began, cpu_began = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lasted, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    client.flush(30)
    counts = client.counts()
    times = sorted(value for mine in taken for value in mine)
    return {
        "made": len(times),
        "made_per_second": round(len(times) / lasted),
        "asked_per_second": rate,
        "delivered": counts.sent - before.sent,
        "dropped": counts.dropped - before.dropped,
        "cpu_share": round(cpu / lasted, 2),
        **{
            f"{name}_us": round(times[int(len(times) * part)] / 1000, 1)
            for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
        },
    }


def busy(taken: list[int], seconds: float, rate: float) -> None:
    """So many checkpoints a second, as long as it lasts; the nanoseconds of each call go into the list."""
    from checkpoint_logger import get_checkpoint_logger, set_correlation_id

    log = get_checkpoint_logger("MA")
    set_correlation_id("bench-" + os.urandom(8).hex())
    clock = time.perf_counter_ns
    began = time.perf_counter()
    made = 0
    while (elapsed := time.perf_counter() - began) < seconds:
        due = int(elapsed * rate)
        while made < due:
            started = clock()
            log.checkpoint_entry("REST", "/api/agents", DATA)
            taken.append(clock() - started)
            made += 1
        time.sleep(0.002)


def tell_sustained(figures: dict[str, float], seconds: float, threads: int) -> None:
    """The figures for people."""
    print(
        f"\n{threads} threads, {figures['asked_per_second']} checkpoints/s asked for, {seconds:.0f} s, "
        "against a live server on this machine"
    )
    print(f"  made       {figures['made_per_second']:10,} /s")
    print(f"  CPU        {figures['cpu_share']:10.0%} of one core, the pacing loops and their clocks included")
    print(f"  delivered  {figures['delivered']:10,} of {figures['made']:,}")
    print(f"  dropped    {figures['dropped']:10,}")
    for name in ("p50", "p99", "p99.9"):
        print(f"  {name:9}  {figures[f'{name}_us']:10.1f} microseconds a call, in the caller's thread")


def tell_calls(medians: dict[str, float], *, as_json: bool) -> None:
    """What each contender's call costs, in nanoseconds and beside the others."""
    span, nothing = medians["OpenTelemetry span"], medians["empty call"]
    if not as_json:
        print(f"{'':38}{'ns a call':>10}{'of a span':>11}{'empty calls':>13}")
    for name, value in medians.items():
        if as_json:
            figures = {"ns": round(value), "of_span": round(value / span, 4), "calls": round(value / nothing, 1)}
            print(json.dumps({"measure": "call", "name": name, **figures}), flush=True)
        else:
            print(f"{name:38}{value:10,.0f}{value / span:10.1%}{value / nothing:13.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--burst", type=int, default=5000, help="calls at a stretch")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="lines of JSON instead of tables")
    parser.add_argument(
        "--no-earlier", dest="earlier", action="store_false", help="without the earlier release's client"
    )
    chosen = parser.parse_args()
    with scratch() as folder, ingest(folder) as server:
        url = f"http://127.0.0.1:{server.port}"
        contenders = {
            "empty call": (empty, empty),
            "OpenTelemetry span": span_contender(),
            **checkpoint_contenders(url),
        }
        if chosen.earlier:
            contenders.update(earlier_contenders(url))
        tell_calls(compare(contenders, chosen.rounds, chosen.burst), as_json=chosen.json)
        figures = sustain(chosen.seconds, chosen.rate, chosen.threads)
        if chosen.json:
            print(json.dumps({"measure": "sustained", **figures}), flush=True)
        else:
            tell_sustained(figures, chosen.seconds, chosen.threads)


if __name__ == "__main__":
    main()
