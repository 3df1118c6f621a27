"""The ingest service as installed, beside its ceilings and the earlier release: rate and latency by batch size.

    python bench/ingest.py [--rounds 3] [--seconds 3] [--batches 10,100] [--peers tracehub,decode] [--directory DIR]

All services of a round run at the same time, one of them busy; each round begins with new files. A round measures, for
each batch size, every peer flat out over 16 connections, in turns, so that a machine whose speed changes changes for
all of them; then the product paced at 70 % of what it just did; then SQLite alone in commits of 1,000 rows, with the
product's layout and with the earlier one; and the disk's own rate of syncs beside a single connection that sends one by
one. One line of JSON for each measurement.
"""

import argparse
import contextlib
import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from load import Generator, Load, joined, post
from peers import earlier_release
from progress import Progress
from service import BENCH, Service, free_port, ingest, metrics, running, scratch
from workload import bodies

CONNECTIONS = 16
TURNS = 3  # that the seconds of a measurement are taken in
WARM_UP_S = 0.3
EARLIER_WARM_UP_S = 0.5
PACE = 0.7  # of the top rate
POOL_BYTES = 400 * 2**20  # of requests made ahead of time; when the product has used them up, its run is over
MOST_ENTRIES_PER_SECOND = 300_000  # that a pool is made for
MOST_REQUESTS_PER_SECOND = 20_000
SERVICES = {"bare": "aiohttp_bare.py", "decode": "aiohttp_decode.py"}
ALONE = {"sqlite": "storage.py", "earlier_schema": "peers/earlier_schema.py"}
PEERS = ("tracehub", *SERVICES, "earlier", *ALONE, "disk")

Report = Callable[[dict[str, Any]], None]


class Round:
    """One round: what runs in it, and what it has measured."""

    def __init__(self, number: int, chosen: argparse.Namespace, progress: Progress, report: Report) -> None:
        self._number = number
        self._chosen = chosen
        self._progress = progress
        self._report = report

    def run(self) -> None:
        """Start everything, measure everything."""
        with scratch(self._chosen.directory) as folder, contextlib.ExitStack() as stack:
            services: dict[str, Service] = {}
            if "tracehub" in self._chosen.peers:
                services["tracehub"] = stack.enter_context(ingest(folder))
            for peer in self._chosen.peers:
                if peer in SERVICES:
                    port = free_port()
                    command = [sys.executable, str(BENCH / "peers" / SERVICES[peer]), str(port)]
                    services[peer] = stack.enter_context(running(command, port, folder))
            for batch in self._chosen.batches:
                self._batch(batch, services, folder)
            if product := services.get("tracehub"):
                self._single(product, folder)
                self._check(product)
        for peer in ALONE:
            if peer in self._chosen.peers:
                self._alone(peer)

    def _batch(self, batch: int, services: dict[str, Service], folder: Path) -> None:
        source = bodies(batch, seed=batch)
        pool = _pool(source, batch, TURNS * WARM_UP_S + self._chosen.seconds)
        loads = self._in_turn(batch, services, pool)
        for peer, load in loads.items():
            peak_mb = round(services[peer].peak_bytes() / 2**20, 1)
            self._tell("top", peer, batch, CONNECTIONS, load, peak_mb=peak_mb)
        if "tracehub" in loads and self._chosen.paced:
            top = loads["tracehub"].per_second
            self._progress.step(f"batch {batch}: tracehub at {PACE:.0%} of its top rate")
            product, seconds = services["tracehub"], self._chosen.seconds
            requests = _pool(source, batch, WARM_UP_S + seconds)
            load = Generator(product.port, iter(requests), CONNECTIONS, [product.pid]).run(
                WARM_UP_S, seconds, top * PACE
            )
            self._tell("paced", "tracehub", batch, CONNECTIONS, load, asked=round(top * PACE * batch))
        if "earlier" in self._chosen.peers and batch > 1:
            self._earlier(batch, pool, folder)

    def _in_turn(self, batch: int, services: dict[str, Service], pool: list[bytes]) -> dict[str, Load]:
        """What each service takes in flat out."""
        turns: dict[str, list[Load]] = {peer: [] for peer in services}
        requests = {peer: iter(pool) if peer == "tracehub" else itertools.cycle(pool) for peer in services}
        for turn in range(1, TURNS + 1):
            for peer, service in services.items():
                self._progress.step(f"batch {batch}: {peer}, {turn} of {TURNS}")
                generator = Generator(service.port, requests[peer], CONNECTIONS, [service.pid])
                turns[peer].append(generator.run(WARM_UP_S, self._chosen.seconds / TURNS))
        return {peer: joined(loads) for peer, loads in turns.items()}

    def _earlier(self, batch: int, pool: list[bytes], folder: Path) -> None:
        """Its rate is counted in its file, since a batch of 1,000 takes it many seconds to answer."""
        self._progress.step(f"batch {batch}: the earlier release")
        port, db = free_port(), folder / f"earlier-{batch}.db"
        with running(earlier_release.command(port, db), port, folder, at_once=True) as service:
            generator = Generator(port, iter(pool), CONNECTIONS, [service.pid])
            load = generator.run(EARLIER_WARM_UP_S, self._chosen.seconds, drain=False)
            stored = sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute("SELECT max(id) FROM traces").fetchone()[0]
        rate = (stored or 0) / (EARLIER_WARM_UP_S + self._chosen.seconds)
        self._tell("top", "earlier", batch, CONNECTIONS, load, entries_per_second=round(rate))

    def _single(self, product: Service, folder: Path) -> None:
        self._progress.step("batch 1, one connection: tracehub, and the disk's syncs")
        requests = _pool(bodies(1, seed=7), 1, WARM_UP_S + self._chosen.seconds)
        load = Generator(product.port, iter(requests), 1, [product.pid]).run(WARM_UP_S, self._chosen.seconds)
        self._tell("top", "tracehub", 1, 1, load)
        if "disk" in self._chosen.peers:
            (line,) = _script("peers/disk.py", folder)
            self._report({"measure": "disk", "round": self._number, **line})

    def _alone(self, peer: str) -> None:
        self._progress.step(f"commits of 1,000 rows: {peer}")
        *_, line = _script(ALONE[peer], self._chosen.directory, "--entries", str(self._chosen.alone))
        self._report({"measure": "alone", "peer": peer, "round": self._number, **line})

    def _check(self, product: Service) -> None:
        """A figure over duplicates would be worth nothing."""
        duplicates = metrics(product)["entries_duplicate_total"]
        if duplicates:
            raise RuntimeError(f"{duplicates:.0f} entries were duplicates: the bodies were not unique")

    def _tell(self, measure: str, peer: str, batch: int, connections: int, load: Load, **more: Any) -> None:
        if not load.latencies:
            figures: dict[str, Any] = {"p50_ms": None, "p99_ms": None}
        else:
            figures = {"p50_ms": round(load.p50_ms, 2), "p99_ms": round(load.quantile_ms(0.99), 2)}
        self._report(
            {
                "measure": measure,
                "peer": peer,
                "batch": batch,
                "connections": connections,
                "round": self._number,
                "entries_per_second": round(load.per_second * batch),
                **figures,
                "load_cpu_share": round(load.cpu_share, 2),
                "service_cpu_share": round(sum(load.service_cpu_shares), 2),
                **more,
            }
        )


def _pool(source: Iterator[bytes], batch: int, seconds: float) -> list[bytes]:
    most = min(MOST_REQUESTS_PER_SECOND, MOST_ENTRIES_PER_SECOND // batch) * seconds
    first = post(next(source))
    return [first, *(post(body) for body in itertools.islice(source, int(min(most, POOL_BYTES // len(first)))))]


def _script(script: str, directory: Path | None, *more: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(BENCH / script), *more]
    if directory:
        command += ["--directory", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    """Measure round after round."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after a warm-up (3)")
    parser.add_argument("--batches", default="1,10,100,1000", help="entries in a request (1,10,100,1000)")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--alone", type=int, default=200_000, help="entries for SQLite alone")
    parser.add_argument("--no-paced", dest="paced", action="store_false", help="top rates only")
    parser.add_argument("--directory", type=Path, help="where the files are made, and deleted again")
    chosen = parser.parse_args()
    chosen.batches = [int(batch) for batch in chosen.batches.split(",")]
    chosen.peers = chosen.peers.split(",")
    if "earlier" in chosen.peers:
        try:
            earlier_release.prepare()
        except earlier_release.Absent as error:
            print(json.dumps({"absent": "earlier", "why": str(error)}), flush=True)
            chosen.peers.remove("earlier")
    with Progress("ingest", chosen.rounds) as progress:
        for number in range(1, chosen.rounds + 1):
            progress.begin(number)
            Round(number, chosen, progress, lambda line: print(json.dumps(line), flush=True)).run()


if __name__ == "__main__":
    main()
