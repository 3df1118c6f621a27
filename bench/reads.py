"""Reads of a large file while ingest runs at half its top rate, each beside a bare aiohttp answer of the same size.

    python bench/reads.py FILE [--requests 400] [--cases trace,deep,...] [--load 0.5] [--scratch DIR]

FILE is one of `fill.py`; a copy is measured, and deleted. The services run as installed. One connection asks, one
request after the other: first the query service, then a bare aiohttp server for as many bytes, so that both meet the
same moments. Ids and pages are drawn from all over the file. `start` is the time from starting the query service to its
first healthy answer, beside that of importing it, without load. One line of JSON for each case; times are in
milliseconds.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from load import Generator, get, post
from progress import Progress
from service import BENCH, CACHE, Service, cpu_s, free_port, ingest, listens, query, running, scratch
from workload import bodies

from shared.storage.ids import unpacked

BATCH = 100
TOP_S = 3.0
LOAD_S = 170.0  # at most
STARTS = 5


class Asker:
    """One connection, one request after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def ask(self, path: str) -> tuple[float, int]:
        """Milliseconds until the answer was there, and the bytes of its body."""
        started = time.perf_counter()
        self._socket.sendall(get(path))
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(65536)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.decode(errors='replace')}")
        head, _, body = head.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        left = size - len(body)
        while left:
            left -= self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
        return (time.perf_counter() - started) * 1000, size


def cases(file: Path) -> dict[str, Callable[[], str]]:
    """Name of a case -> what makes its next path."""
    rng = random.Random(1)
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    (chains,), (newest,) = (db.execute(f"SELECT max(id) FROM {table}").fetchone() for table in ("chain", "entry"))
    some = [rng.randrange(1, chains) for _ in range(2000)]
    ids = [unpacked(db.execute("SELECT correlation_id FROM chain WHERE id >= ?", (id,)).fetchone()[0]) for id in some]
    db.close()

    def page(**filters: Any) -> Callable[[], str]:
        text = "".join(f"&{name}={value}" for name, value in filters.items())
        return lambda: f"/correlations?limit=50&before={rng.randrange(newest // 10, newest)}{text}"

    return {
        "trace": lambda: f"/traces/{rng.choice(ids)}",
        "trace unknown": lambda: f"/traces/{rng.getrandbits(128):032x}",
        "correlations": lambda: "/correlations",
        "correlations deep": page(),
        "correlations source": page(source="MA"),
        "correlations complete": page(complete="true"),
        "correlations q, some": page(q="ab"),
        "correlations q, none": page(q="nowhere"),
        "recent": lambda: "/recent",
        "stats": lambda: "/stats",
        "stats sources": lambda: "/stats/sources",
        "long dense": lambda: "/traces/dense",
        "long spread": lambda: "/traces/spread",
    }


def pour(port: int, part: float) -> None:
    """Load ingest with a part of what it takes."""
    source = map(post, bodies(BATCH, seed=9))
    top = Generator(port, source, 16).run(0.5, TOP_S).per_second
    print(f"ingest takes {top * BATCH:,.0f} entries/s at most, and is given {part:.0%} of it", file=sys.stderr)
    Generator(port, source, 16).run(0, LOAD_S, top * part)


def measure(name: str, path: Callable[[], str], count: int, asker: Asker, bare: Asker) -> dict[str, Any]:
    """One case."""
    taken: list[float] = []
    beside: list[float] = []
    sizes: list[int] = []
    for number in range(count + 10):
        took, size = asker.ask(path())
        at_least, _ = bare.ask(f"/bytes/{size}")
        if number >= 10:  # a warm-up
            taken.append(took)
            beside.append(at_least)
            sizes.append(size)
    return {
        "case": name,
        "bytes": round(statistics.median(sizes)),
        "p50_ms": round(quantile(taken, 0.5), 3),
        "p99_ms": round(quantile(taken, 0.99), 3),
        "bare_p50_ms": round(quantile(beside, 0.5), 3),
        "bare_p99_ms": round(quantile(beside, 0.99), 3),
        "p50_above_bare_ms": round(quantile(taken, 0.5) - quantile(beside, 0.5), 3),
        "times_bare": round(quantile(taken, 0.5) / quantile(beside, 0.5), 1),
        "p99_by_p50": round(quantile(taken, 0.99) / quantile(taken, 0.5), 1),
    }


def last_hour(querying: Service) -> dict[str, Any]:
    """The first `/stats/endpoints`, which is computed, and how long `/health` takes meanwhile."""
    slow, quick = Asker(querying.port), Asker(querying.port)
    beside: list[float] = []
    spent = cpu_s(querying.pid)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(slow.ask, "/stats/endpoints")
        while not answer.done():
            beside.append(quick.ask("/health")[0])
    return {
        "case": "last hour",
        "took_ms": round(answer.result()[0]),
        "query_cpu_s": round(cpu_s(querying.pid) - spent, 2),
        "health_p50_ms": round(quantile(beside, 0.5), 2),
        "health_p99_ms": round(quantile(beside, 0.99), 2),
    }


def quantile(values: list[float], part: float) -> float:
    """The value that this part of them stays under."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def starts(folder: Path) -> dict[str, Any]:
    """How long a start takes beyond the imports."""
    healthy, imports = [], []
    for _ in range(STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import query_svc.app, shared.env, shared.web"], check=True, cwd=folder)
        imports.append((time.perf_counter() - started) * 1000)
        port = free_port()
        command = [sys.executable, "-m", "query_svc", "--port", str(port), "--db", str(folder / "tracehub.db")]
        started = time.perf_counter()
        service = Service(command, port, folder, {})
        while not listens(port):
            time.sleep(0.001)
        Asker(port).ask("/health")
        healthy.append((time.perf_counter() - started) * 1000)
        service.stop()
    took, least = statistics.median(healthy), statistics.median(imports)
    return {"case": "start", "healthy_ms": round(took), "imports_ms": round(least), "beyond_ms": round(took - least)}


def main() -> None:
    """Copy, start, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="made by fill.py")
    parser.add_argument("--requests", type=int, default=400, help="for each case; a tenth for long chains (400)")
    parser.add_argument("--cases", default="", help="all unless some are named, with commas in between")
    parser.add_argument("--load", type=float, default=0.5, help="part of ingest's top rate that runs beside (0.5)")
    parser.add_argument("--scratch", type=Path, default=CACHE, help="where the copy is made")
    chosen = parser.parse_args()
    with scratch(chosen.scratch) as folder, Progress("reads", 1) as progress:
        progress.step("copying the file")
        shutil.copyfile(chosen.file, folder / "tracehub.db")
        known = cases(folder / "tracehub.db")
        wanted = chosen.cases.split(",") if chosen.cases else [*known, "last hour", "start"]
        port = free_port()
        sized = [sys.executable, str(BENCH / "peers" / "aiohttp_bare.py"), str(port)]
        with ingest(folder) as ingesting, query(folder) as querying, running(sized, port, folder):
            load = multiprocessing.Process(target=pour, args=(ingesting.port, chosen.load))
            if chosen.load:
                load.start()
                time.sleep(TOP_S + 3)
            asker, bare = Asker(querying.port), Asker(port)
            for name in wanted:
                if name in known:
                    progress.step(name)
                    count = chosen.requests // (10 if name.startswith("long") else 1)
                    print(json.dumps(measure(name, known[name], count, asker, bare)), flush=True)
            if "last hour" in wanted:
                print(json.dumps(last_hour(querying)), flush=True)
            print(json.dumps({"case": "memory", "query_mb": round(querying.memory_bytes() / 2**20, 1)}), flush=True)
            if chosen.load:
                assert load.is_alive(), "the load ended early"
                load.terminate()
                load.join()
        if "start" in wanted:
            progress.step("start")
            print(json.dumps(starts(folder)), flush=True)


if __name__ == "__main__":
    main()
