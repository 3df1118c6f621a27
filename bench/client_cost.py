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
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import earlier_release

PORT, QUERY_PORT = 18099, 18100
DATA = {"id": "123", "status": "ok", "count": 5}
Contender = tuple[Callable[[], Any], Callable[[], Any]]  # one call, and what empties its queue


def empty() -> None:
    """The cheapest call there is."""


def start_server(folder: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "TRACEHUB_DB": f"{folder}/bench.db", "TRACEHUB_PORT": str(PORT)}
    server = subprocess.Popen([sys.executable, "-m", "ingest_svc"], env=environ, cwd=Path(__file__).parent.parent)
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=1).close()
            return server
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")


def checkpoint_contenders() -> dict[str, Contender]:
    import tracehub
    from checkpoint_logger import checkpoints, get_checkpoint_logger, set_correlation_id
    from tracehub.client import TraceEntry, TraceHubClient

    os.environ.update(CHECKPOINT_TRACING="1", TRACEHUB_URL=f"http://127.0.0.1:{PORT}")
    log, logged = get_checkpoint_logger("MA"), get_checkpoint_logger("LG")
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115, PTH123
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger("checkpoint.LG").addHandler(handler)
    logging.getLogger("checkpoint.LG").setLevel(logging.INFO)
    set_correlation_id("bench-" + os.urandom(8).hex())
    client = tracehub.get_tracehub_client()
    assert client is not None
    direct = TraceHubClient(f"http://127.0.0.1:{PORT}")
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


def earlier_contenders() -> dict[str, Contender]:
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
    running = earlier.TraceHubClient(f"http://127.0.0.1:{PORT}")
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


def sustain(seconds: float, rate: int, threads: int, *, as_json: bool) -> None:
    """Eight threads, paced; each call is timed by itself."""
    import tracehub
    from checkpoint_logger import get_checkpoint_logger, set_correlation_id

    client = tracehub.get_tracehub_client()
    assert client is not None
    assert client.flush(20)
    before = client.counts()
    log = get_checkpoint_logger("MA")
    taken: list[list[int]] = [[] for _ in range(threads)]
    clock = time.perf_counter_ns

    def busy(mine: list[int]) -> None:
        set_correlation_id("bench-" + os.urandom(8).hex())
        began = time.perf_counter()
        made = 0
        while (elapsed := time.perf_counter() - began) < seconds:
            due = int(elapsed * rate / threads)
            while made < due:
                started = clock()
                log.checkpoint_entry("REST", "/api/agents", DATA)
                mine.append(clock() - started)
                made += 1
            time.sleep(0.002)

    workers = [threading.Thread(target=busy, args=(mine,)) for mine in taken]
    began, cpu_began = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lasted, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    flushed = client.flush(30)
    counts = client.counts()
    times = sorted(value for mine in taken for value in mine)
    quantiles = {
        name: times[int(len(times) * part)] / 1000 for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }
    if as_json:
        figures = {
            "made_per_second": round(len(times) / lasted),
            "asked_per_second": rate,
            "delivered": counts.sent - before.sent,
            "dropped": counts.dropped - before.dropped,
            "cpu_share": round(cpu / lasted, 2),
            **{f"{name}_us": round(value, 1) for name, value in quantiles.items()},
        }
        print(json.dumps({"measure": "sustained", **figures}), flush=True)
        return
    print(
        f"\n{threads} threads, {rate} checkpoints/s asked for, {seconds:.0f} s, against a live server on this machine"
    )
    print(f"  made       {len(times) / lasted:10,.0f} /s")
    print(f"  CPU        {cpu / lasted:10.0%} of one core, the pacing loops and their clocks included")
    print(f"  delivered  {counts.sent - before.sent:10,} of {len(times):,}{'' if flushed else ' (and some pending)'}")
    print(f"  dropped    {counts.dropped - before.dropped:10,}")
    for name, value in quantiles.items():
        print(f"  {name:9}  {value:10.1f} microseconds a call, in the caller's thread")


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
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(folder)
        try:
            contenders = {
                "empty call": (empty, empty),
                "OpenTelemetry span": span_contender(),
                **checkpoint_contenders(),
            }
            if chosen.earlier:
                contenders.update(earlier_contenders())
            medians = compare(contenders, chosen.rounds, chosen.burst)
            span, nothing = medians["OpenTelemetry span"], medians["empty call"]
            if not chosen.json:
                print(f"{'':38}{'ns a call':>10}{'of a span':>11}{'empty calls':>13}")
            for name, value in medians.items():
                if chosen.json:
                    figures = {
                        "ns": round(value),
                        "of_span": round(value / span, 4),
                        "calls": round(value / nothing, 1),
                    }
                    print(json.dumps({"measure": "call", "name": name, **figures}), flush=True)
                else:
                    print(f"{name:38}{value:10,.0f}{value / span:10.1%}{value / nothing:13.1f}")
            sustain(chosen.seconds, chosen.rate, chosen.threads, as_json=chosen.json)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
