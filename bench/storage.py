"""The storage room alone: how fast its Writer takes entries as the file grows, how large they are, how fast they leave.

    python bench/storage.py [--entries 1000000] [--commit 1000] [--directory DIR]

Decoding is not in the rates; a commit is synced. One line of JSON for every tenth of the entries, one at the end.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

from service import scratch
from workload import bodies

from shared.storage.writer import Writer
from shared.wire import decode_batch


def main() -> None:
    """Fill, measure, empty, measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--commit", type=int, default=1_000, help="entries in a transaction (1000)")
    parser.add_argument("--directory", type=Path, help="where the file is made, and deleted again")
    arguments = parser.parse_args()
    with scratch(arguments.directory) as directory:
        path = directory / "tracehub.db"
        writer = Writer(path, retention_ms=86_400_000)
        commits = bodies(arguments.commit)
        total = 0.0
        tenth = max(1, arguments.entries // arguments.commit // 10)
        for _ in range(10):
            seconds = 0.0
            for body in itertools.islice(commits, tenth):
                batch = decode_batch(body)
                started = time.perf_counter()
                writer.write([batch], time.time_ns() // 1_000_000)
                seconds += time.perf_counter() - started
            total += seconds
            print(json.dumps({"entries": writer.newest, "rate": round(tenth * arguments.commit / seconds)}), flush=True)
        entries = writer.newest
        writer.close()
        size = path.stat().st_size
        writer = Writer(path, retention_ms=86_400_000)
        started = time.perf_counter()
        while writer.expire(entries + 1, 500):
            pass
        report = {
            "entries": entries,
            "rate": round(entries / total),
            "bytes_per_entry": round(size / entries, 1),
            "expiry_rate": round(entries / (time.perf_counter() - started)),
        }
        writer.close()
        print(json.dumps(report))


if __name__ == "__main__":
    main()
