"""The ingest service as it runs: entries per second and latency over kept-alive connections, every answer durable.

    python bench/ingest.py [--batch 10] [--seconds 10] [--connections 16] [--directory DIR]

Starts a service of its own on a file of its own. Bodies are made ahead of time and unique. The load comes from one
process on the same machine, whose share of a core is reported. One line of JSON.
"""

import argparse
import asyncio
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from workload import bodies

WARM_UP_S = 2.0


class Sender(asyncio.Protocol):
    """One connection: sends a request, waits for its answer, sends the next."""

    def __init__(self, requests: Iterator[bytes], latencies: list[tuple[float, float]], until: float) -> None:
        self._requests = requests
        self._latencies = latencies
        self._until = until
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(data.decode(errors="replace")))
            return
        self._latencies.append((now, now - self._sent_at))
        if now < self._until:
            self._send()
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))


async def load(port: int, requests: list[bytes], connections: int, seconds: float) -> list[tuple[float, float]]:
    """When each answer came and how long it took, in seconds."""
    latencies: list[tuple[float, float]] = []
    until = time.perf_counter() + WARM_UP_S + seconds
    shared = iter(requests)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Sender(shared, latencies, until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(sender.done for _, sender in made))
    return latencies


def wait_for(port: int) -> None:
    """Until somebody listens."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def request(body: bytes) -> bytes:
    """A whole request."""
    head = f"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def main() -> None:
    """Start, warm up, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=10, help="entries in a request (10)")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, after a warm-up of two (10)")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--directory", type=Path, help="where the file is made, and deleted again")
    arguments = parser.parse_args()
    most = int(200_000 / max(arguments.batch, 10) * (arguments.seconds + WARM_UP_S))
    requests = [request(body) for body in itertools.islice(bodies(arguments.batch), most)]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        command = [sys.executable, "-m", "ingest_svc", "--port", str(port), "--db", f"{directory}/tracehub.db"]
        service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            used, started = os.times(), time.perf_counter()
            latencies = asyncio.run(load(port, requests, arguments.connections, arguments.seconds))
            spent, elapsed = os.times(), time.perf_counter() - started
        finally:
            service.terminate()
            service.wait()
    measured = [(at, took) for at, took in latencies if at >= started + WARM_UP_S]
    seconds = max(at for at, _ in measured) - started - WARM_UP_S
    milliseconds = sorted(took * 1000 for _, took in measured)
    report = {
        "batch": arguments.batch,
        "connections": arguments.connections,
        "entries_per_second": round(len(measured) * arguments.batch / seconds),
        "p50_ms": round(statistics.median(milliseconds), 2),
        "p99_ms": round(milliseconds[len(milliseconds) * 99 // 100], 2),
        "load_cpu_share": round((spent.user + spent.system - used.user - used.system) / elapsed, 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
