"""How long the earlier release takes to answer, without any load, from a file of 100,000 entries.

    python bench/peers/earlier_reads.py [--entries 100000] [--requests 20] [--directory DIR]

The file is laid out as that release does and filled directly: it would take many minutes to do so itself. JSON lines.
"""

import argparse
import itertools
import json
import random
import sqlite3
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from peers import earlier_release
from peers.earlier_schema import INSERT, LAYOUT, row
from progress import Progress
from reads import Asker
from service import free_port, running, scratch
from workload import entries


def fill(path: Path, count: int) -> list[str]:
    """Make the file; returns the correlation ids."""
    made = list(itertools.islice(entries(), count))
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA synchronous=OFF; {LAYOUT}")
    db.executemany(INSERT, [row(entry) for entry in made])
    db.commit()
    db.close()
    return list({entry["correlation_id"] for entry in made})


def main() -> None:
    """Fill, start, ask."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--directory", type=Path, help="where the file is made, and deleted again")
    chosen = parser.parse_args()
    try:
        earlier_release.prepare()
    except earlier_release.Absent as error:
        print(json.dumps({"absent": "earlier", "why": str(error)}))
        return
    rng = random.Random(1)
    with Progress("earlier", 1) as progress, scratch(chosen.directory) as folder:
        progress.step(f"filling: {chosen.entries:,}")
        ids = fill(folder / "earlier.db", chosen.entries)
        port = free_port()
        progress.step("asking")
        with running(earlier_release.command(port, folder / "earlier.db"), port, folder):
            asker = Asker(port)
            for case in ("trace", "correlations"):
                paths = [f"/traces/{rng.choice(ids)}" if case == "trace" else "/correlations"] * chosen.requests
                taken = [asker.ask(path)[0] for path in paths]
                figures = {"p50_ms": round(statistics.median(taken), 2), "max_ms": round(max(taken), 2)}
                print(json.dumps({"case": case, "entries": chosen.entries, **figures}), flush=True)


if __name__ == "__main__":
    main()
