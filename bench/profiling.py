"""Where the time of each path goes, sampled from outside with py-spy while the load is on; kept as text.

    python bench/profiling.py [--seconds 6] [--only write-10,read]

Paths: `write-10` and `write-1000`, ingest flat out over 16 connections in batches of that size; `read`, chains and
pages of chains of a file of 300,000 entries, four at a time; `live-1000`, a thousand subscribers of everything at 250
entries a second. Each ends up in bench/profiles/. A sample is a moment when a thread was busy, in Python or in C on its
behalf; threads that wait for work are left out, and so is the start of the process.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import live
from growth import Feed
from load import Generator, get, post
from progress import Progress
from service import BENCH, Service, free_port, ingest, running, scratch
from workload import bodies

PROFILES = BENCH / "profiles"
RATE = 400  # samples a second
SHOWN = 30
ENTRIES = 300_000
WAITING = ("_worker (concurrent/futures/thread", "_connection_worker_thread (aiosqlite/core", "EpollSelector.select ")
SHARED = ("asyncio/", "<frozen runpy>", "threading.py", "<module>", "main (")  # what everything else is called by


def main() -> None:
    """Profile what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of load")
    parser.add_argument("--only", default=",".join(PATHS))
    chosen = parser.parse_args()
    PROFILES.mkdir(exist_ok=True)
    names = chosen.only.split(",")
    with Progress("profile", len(names)) as progress:
        for number, name in enumerate(names, 1):
            progress.begin(number)
            progress.step(name)
            with scratch() as folder:
                title, samples = PATHS[name](folder, chosen.seconds)
            (PROFILES / f"{name}.txt").write_text(_text(title, samples))


def write(batch: int) -> Callable[[Path, float], tuple[str, Counter[tuple[str, ...]]]]:
    """Ingest flat out in batches of that size."""

    def profile(folder: Path, seconds: float) -> tuple[str, Counter[tuple[str, ...]]]:
        sampled = Sampled("ingest_svc", folder)
        with sampled as service:
            load = Generator(service.port, (post(body) for body in bodies(batch)), 16).run(0.5, seconds)
        return f"ingest flat out, batches of {batch:,}: {load.per_second * batch:,.0f} entries/s", sampled.samples()

    return profile


def read(folder: Path, seconds: float) -> tuple[str, Counter[tuple[str, ...]]]:
    """Chains and pages of chains."""
    with ingest(folder) as service:
        Generator(service.port, Feed(seed=1).limited(ENTRIES), 16).run(0, 600)
    sampled = Sampled("query_svc", folder)
    with sampled as service:
        paths = _paths(service.port)
        load = Generator(service.port, (get(path) for path in paths), 4).run(0.5, seconds)
    return f"chains and pages of chains, in turn: {load.per_second:,.0f} answers/s", sampled.samples()


def _paths(port: int) -> Iterator[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/correlations?limit=1000") as answer:
        ids = [chain["correlation_id"] for chain in json.load(answer)["correlations"]]
    while True:
        for correlation_id in ids:
            yield f"/traces/{correlation_id}"
            yield "/correlations?limit=50"


def live_1000(folder: Path, seconds: float) -> tuple[str, Counter[tuple[str, ...]]]:
    """A thousand subscribers of everything."""
    sampled = Sampled("query_svc", folder)
    with ingest(folder) as ingesting, sampled as service:
        crowd = live.Crowd(service.port, ["/stream?timeout=600"] * 1_000, 20)
        sent = live.send(ingesting.port, iter(lambda: "live", None), 250, seconds)
        crowd.end()
    return f"1,000 subscribers of everything, {sent / seconds:,.0f} entries/s", sampled.samples()


PATHS: dict[str, Callable[[Path, float], tuple[str, Counter[tuple[str, ...]]]]] = {
    "write-10": write(10),
    "write-1000": write(1_000),
    "read": read,
    "live-1000": live_1000,
}


class Sampled:
    """A service started under py-spy, which writes down its stacks when the service ends."""

    def __init__(self, module: str, folder: Path) -> None:
        self._stacks = folder / "stacks"
        port = free_port()
        spy = ["py-spy", "record", "--subprocesses", "--format", "raw", "--rate", str(RATE), "--output"]
        spy += [str(self._stacks), "--"]
        service = [sys.executable, "-m", module, "--port", str(port), "--db", str(folder / "tracehub.db")]
        spy[0] = str(Path(sys.executable).with_name("py-spy"))
        self._running = running([*spy, *service], port, folder, {"TRACEHUB_QUERY_RATE": "0"})

    def __enter__(self) -> Service:
        self._service = self._running.__enter__()
        return self._service

    def __exit__(self, *error: object) -> None:
        spy = self._service.pid
        for child in Path(f"/proc/{spy}/task/{spy}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        for _ in range(300):
            if not self._service.alive:
                break
            time.sleep(0.1)
        self._running.__exit__(None, None, None)

    def samples(self) -> Counter[tuple[str, ...]]:
        """Stack -> how often it was seen."""
        counts: Counter[tuple[str, ...]] = Counter()
        for line in self._stacks.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            frames = tuple(_short(frame) for frame in stack.split(";") if not frame.startswith("process "))
            if frames and not frames[-1].startswith(WAITING) and not any("_find_and_load" in frame for frame in frames):
                counts[frames] += int(count)
        return counts


def _short(frame: str) -> str:
    """`write (shared/storage/writer.py:105)`, wherever the file is installed."""
    function, is_placed, place = frame.partition(" (")
    if not is_placed:
        return frame
    for before in ("site-packages/", f"{BENCH.parent}/", f"python{sys.version_info[0]}.{sys.version_info[1]}/"):
        place = place.rpartition(before)[2]
    return f"{function} ({place}"


def _text(title: str, samples: Counter[tuple[str, ...]]) -> str:
    """Shares of all samples: by line, and by function with what it calls."""
    total = samples.total()
    lines: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, count in samples.items():
        lines[stack[-1]] += count
        called = {frame.rpartition(":")[0] + ")" for frame in stack if frame.endswith(")")}
        functions.update(dict.fromkeys((name for name in called if not any(part in name for part in SHARED)), count))
    said = [title, f"{total:,} samples, {RATE} a second", "", "in the line itself"]
    said += [f"{count / total:7.1%}  {frame}" for frame, count in lines.most_common(SHOWN)]
    said += ["", "in the function and all that it calls"]
    said += [f"{count / total:7.1%}  {function}" for function, count in functions.most_common(SHOWN)]
    return "\n".join(said) + "\n"


if __name__ == "__main__":
    try:
        main()
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
