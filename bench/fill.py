"""Make a file of many entries, with the Writer alone: what reads are measured on.

    python bench/fill.py FILE [--entries 10000000] [--chunk N]

The entries are those of the workload, 1,000 in a commit, as if they had arrived over the last two hours. Among them are
two chains of 10,000 entries: `dense`, which came at a stretch, and `spread`, of which one came every thousand. A file
that is there already is continued, by up to `--chunk` entries. One line of JSON.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

from workload import entries

from shared.storage.writer import Writer
from shared.wire import Entry

COMMIT = 1_000
LONG = 10_000  # entries of a long chain
SPAN_MS = 7_200_000


def entry_of(made: dict[str, object]) -> Entry:
    """An entry of the workload as the wire would decode it."""
    data = made.pop("data", None)
    text = "" if data is None else json.dumps(data, separators=(",", ":"))
    return Entry(**made, data=text)  # type: ignore[arg-type]


def long_entry(correlation_id: str, number: int) -> Entry:
    """One entry of a long chain: calls with their exits, five endpoints of two sources."""
    call = number // 2
    return Entry(
        "MA" if call % 3 else "WS", correlation_id, 1_700_000_000_000.25 + 3 * number, f"{number:x}",
        "<-" if number % 2 else "->", "REST", f"/api/v1/resource-{call % 5}/action",
        json.dumps({"user": number, "note": "x" * 60}), "host-0",
    )  # fmt: skip


def main() -> None:
    """Fill."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--chunk", type=int, default=1 << 62, help="at most so many in this run")
    arguments = parser.parse_args()
    writer = Writer(arguments.file, retention_ms=86_400_000, synced=False)
    begun = writer.newest
    end = min(arguments.entries, begun + arguments.chunk)
    source = entries(seed=begun)
    now_ms = time.time_ns() // 1_000_000
    started = time.perf_counter()
    for turn in itertools.count():
        if writer.newest >= end:
            break
        commit = [entry_of(made) for made in itertools.islice(source, COMMIT)]
        commit.append(long_entry("spread", writer.newest // COMMIT))
        if begun == 0 and turn < LONG // COMMIT:
            commit += [long_entry("dense", turn * COMMIT + number) for number in range(COMMIT)]
        writer.write([commit], now_ms - SPAN_MS * (arguments.entries - writer.newest) // arguments.entries)
    seconds = time.perf_counter() - started
    print(json.dumps({"entries": writer.newest, "rate": round((writer.newest - begun) / seconds)}))
    writer.close()


if __name__ == "__main__":
    main()
