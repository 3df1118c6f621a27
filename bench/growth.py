"""What becomes of the product as its file grows: rate, size, memory, time to start.

    python bench/growth.py [--entries 10000000] [--keep FOLDER] [--directory DIR]

One file is filled over HTTP, 1,000 entries in a request, 16 connections. At each mark (1 and 10 million and the end)
the rate in batches of 100 is taken on it and, in turn, on a file of 100,000 that is made anew each time: the
machine of that minute is the measure, not the one of the beginning. Then both services are stopped and started again.
The file holds two chains of 10,000 entries, `dense` and `spread`. `--keep` leaves it for others, and `small.db`, what
it was at the first mark. JSON lines.
"""

import argparse
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from load import Generator, get, post
from progress import Progress
from service import Service, free_port, ingest, query, scratch
from workload import bodies

CONNECTIONS = 16
FRESH = 100_000  # entries in the file that is compared with
MARKS = (100_000, 1_000_000, 10_000_000)
STEP = 250_000  # entries between two points of the curve
LONG = 10_000  # entries of a long chain
STARTS = 5
READS = (b"/correlations?limit=50", b"/recent?limit=200", b"/stats", b"/traces/dense?limit=100")


class Feed:
    """Requests of 1,000 entries and one of the chain `spread`; the first ten are the chain `dense`."""

    def __init__(self, seed: int) -> None:
        self._source = bodies(1_000, seed)
        self.entries = 0

    def __iter__(self) -> "Feed":
        return self

    def __next__(self) -> bytes:
        number = self.entries // 1_001
        if number < LONG // 1_000:
            body = json.dumps({"traces": [_long("dense", number * 1_000 + place) for place in range(1_000)]}).encode()
        else:
            body = next(self._source)
        self.entries += 1_001
        return post(body[:-2] + b"," + json.dumps(_long("spread", number)).encode() + b"]}")

    def limited(self, entries: int) -> Iterator[bytes]:
        """Requests until that many entries have gone out."""
        while self.entries < entries:
            yield next(self)


def _long(correlation_id: str, number: int) -> dict[str, Any]:
    """One entry of a long chain: calls with their exits."""
    call = number // 2
    return {
        "source_id": "MA" if call % 3 else "WS",
        "correlation_id": correlation_id,
        "timestamp": 1_700_000_000_000.25 + 3 * number,
        "suffix": f"{number:x}",
        "direction": "<-" if number % 2 else "->",
        "operation": "REST",
        "endpoint": f"/api/v1/tenants/resource-{call % 5:03}/action",
        "data": {"user": 100_000 + number, "note": "x" * 60},
        "hostname": "host-0.rack-04.east-2.internal",
    }


class Growth:
    """One file and what is measured of it."""

    def __init__(self, folder: Path, chosen: argparse.Namespace, progress: Progress) -> None:
        self._folder = folder
        self._chosen = chosen
        self._progress = progress
        self._feed = Feed(seed=1)
        self._windows = bodies(100, seed=2)
        self._extra = 0  # entries that went in besides the feed's

    @property
    def entries(self) -> int:
        """How many the file holds."""
        return self._feed.entries + self._extra

    def run(self) -> None:
        """Fill up to each mark, measure there."""
        marks = [mark for mark in MARKS if mark < self._chosen.entries] + [self._chosen.entries]
        for number, mark in enumerate(marks, 1):
            self._progress.begin(number)
            with ingest(self._folder) as service:
                self._fill(service, mark)
                if mark > FRESH:
                    self._compare(service, mark)
                peak = service.peak_bytes()
                self._tell("memory", mark, service="ingest", peak_mb=_mb(peak), now_mb=_mb(service.memory_bytes()))
            self._disk(mark)
            if self._chosen.keep and number == 1:
                shutil.copy(self._folder / "tracehub.db", self._chosen.keep / "small.db")
            self._query_memory(mark)
            self._starts(mark)

    def _fill(self, service: Service, mark: int) -> None:
        while self.entries < mark:
            goal = min(mark, self.entries + STEP)
            self._progress.step(f"filling: {self.entries:,} of {mark:,}")
            before, started = self.entries, time.perf_counter()
            requests = self._feed.limited(goal - self._extra)
            load = Generator(service.port, requests, CONNECTIONS, [service.pid]).run(0, 3_600)
            self._tell(
                "curve",
                self.entries,
                entries_per_second=round((self.entries - before) / (time.perf_counter() - started)),
                load_cpu_share=round(load.cpu_share, 2),
                p99_ms=round(load.quantile_ms(0.99), 1),
            )

    def _compare(self, service: Service, mark: int) -> None:
        """The rate on the grown file and on a new one, in turn."""
        for turn in range(1, self._chosen.rounds + 1):
            self._progress.step(f"{mark:,} entries beside {FRESH:,}, {turn} of {self._chosen.rounds}")
            grown = self._window(service)
            self._extra += grown["entries"]
            with scratch(self._chosen.directory) as folder, ingest(folder) as fresh:
                Generator(fresh.port, Feed(seed=3).limited(FRESH), CONNECTIONS).run(0, 600)
                new = self._window(fresh)
            for file, window in (("grown", grown), ("new", new)):
                self._tell("rate", mark, file=file, round=turn, **window)

    def _window(self, service: Service) -> dict[str, Any]:
        sent = [post(next(self._windows)) for _ in range(int(3_000 * (0.3 + self._chosen.seconds)))]
        requests = iter(sent)
        load = Generator(service.port, requests, CONNECTIONS, [service.pid]).run(0.3, self._chosen.seconds)
        return {
            "entries": 100 * (len(sent) - len(list(requests))),
            "entries_per_second": round(load.per_second * 100),
            "p50_ms": round(load.p50_ms, 2),
            "p99_ms": round(load.quantile_ms(0.99), 2),
        }

    def _disk(self, mark: int) -> None:
        files = [
            file for file in self._folder.glob("tracehub.db*") if file.suffix != ".reserve"
        ]  # 64 MB, whatever the file
        size = sum(file.stat().st_size for file in files)
        self._tell("disk", mark, bytes_per_entry=round(size / self.entries, 1), mb=_mb(size))

    def _query_memory(self, mark: int) -> None:
        self._progress.step(f"{mark:,}: memory of the query service after reads")
        with query(self._folder) as service:
            requests = [get(path.decode()) for path in READS] * 50
            Generator(service.port, iter(requests), 4).run(0, 30)
            peak = service.peak_bytes()
            self._tell("memory", mark, service="query", peak_mb=_mb(peak), now_mb=_mb(service.memory_bytes()))

    def _starts(self, mark: int) -> None:
        self._progress.step(f"{mark:,}: how long both services take to start")
        for module in ("ingest_svc", "query_svc"):
            imports, starts = [], []
            for _ in range(STARTS):
                imports.append(_imports_ms(module))
                starts.append(_start_ms(module, self._folder))
            self._tell(
                "start",
                mark,
                service=module.removesuffix("_svc"),
                imports_ms=round(statistics.median(imports), 1),
                healthy_ms=round(statistics.median(starts), 1),
                beyond_ms=round(statistics.median(starts) - statistics.median(imports), 1),
            )

    def _tell(self, measure: str, mark: int, **figures: Any) -> None:
        print(json.dumps({"measure": measure, "mark": mark, "in_file": self.entries, **figures}), flush=True)


def _mb(size: float) -> float:
    return round(size / 2**20, 1)


def _imports_ms(module: str) -> float:
    """The service's imports and no more: it says its version and ends."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", module, "--version"], check=True, capture_output=True)
    return (time.perf_counter() - started) * 1000


def _start_ms(module: str, folder: Path) -> float:
    """From the start of the process to the first 200 of /health."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), "--db", str(folder / "tracehub.db")]
    started = time.perf_counter()
    service = Service(command, port, folder, {})
    try:
        while time.perf_counter() < started + 60 and service.alive:
            if _is_healthy(port):
                return (time.perf_counter() - started) * 1000
            time.sleep(0.002)
        raise RuntimeError(f"{module} did not become healthy")
    finally:
        service.stop()


def _is_healthy(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as asked:
        asked.sendall(get("/health"))
        return asked.recv(4096).startswith(b"HTTP/1.1 200")
    return False


def main() -> None:
    """Grow, measure, perhaps keep."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="comparisons at each mark")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each comparison")
    parser.add_argument("--keep", type=Path, help="leave the file in this folder")
    parser.add_argument("--directory", type=Path, help="where the files are made, and deleted again")
    chosen = parser.parse_args()
    marks = sum(mark < chosen.entries for mark in MARKS) + 1
    with Progress("growth", marks) as progress, scratch(chosen.directory) as folder:
        if chosen.keep:
            chosen.keep.mkdir(parents=True, exist_ok=True)
        Growth(folder, chosen, progress).run()
        if chosen.keep:
            shutil.move(folder / "tracehub.db", chosen.keep / "tracehub.db")


if __name__ == "__main__":
    main()
