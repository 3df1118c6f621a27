"""SQLite alone with the layout of the earlier release: one table, its five indexes, one thread, commits of 1,000 rows.

    python bench/peers/earlier_schema.py --entries 200000 --directory DIR

The earlier release itself commits each entry by itself; this is what its layout could do. Synced commits. JSON lines.
"""

import argparse
import itertools
import json
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from service import scratch
from workload import entries

LAYOUT = """
    CREATE TABLE traces (
        id INTEGER PRIMARY KEY AUTOINCREMENT, source_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
        timestamp REAL NOT NULL, suffix TEXT NOT NULL, direction TEXT NOT NULL, operation TEXT NOT NULL,
        endpoint TEXT NOT NULL, data TEXT, hostname TEXT, raw_line TEXT,
        created_at REAL DEFAULT (strftime('%s', 'now')), UNIQUE(correlation_id, timestamp, suffix));
    CREATE INDEX idx_correlation_id ON traces(correlation_id);
    CREATE INDEX idx_timestamp ON traces(timestamp);
    CREATE INDEX idx_source_id ON traces(source_id);
"""
INSERT = """
    INSERT OR IGNORE INTO traces
        (source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, hostname, data)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
COMMIT = 1_000


def main() -> None:
    """Fill, measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--directory", type=Path, help="where the file is made, and deleted again")
    arguments = parser.parse_args()
    with scratch(arguments.directory) as directory:
        path = directory / "earlier.db"
        db = sqlite3.connect(path, isolation_level=None)
        db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {LAYOUT}")
        seconds, source = 0.0, entries()
        for _ in range(arguments.entries // COMMIT):
            rows = [row(entry) for entry in itertools.islice(source, COMMIT)]
            started = time.perf_counter()
            db.execute("BEGIN")
            db.executemany(INSERT, rows)
            db.execute("COMMIT")
            seconds += time.perf_counter() - started
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        made = arguments.entries // COMMIT * COMMIT
        print(
            json.dumps(
                {
                    "entries": made,
                    "rate": round(made / seconds),
                    "bytes_per_entry": round(path.stat().st_size / made, 1),
                }
            )
        )


def row(entry: dict[str, object]) -> tuple[object, ...]:
    """An entry as the earlier release binds it."""
    names = ("source_id", "correlation_id", "timestamp", "suffix", "direction", "operation", "endpoint", "hostname")
    data = json.dumps(entry["data"]) if "data" in entry else None
    return (*(entry[name] for name in names), data)


if __name__ == "__main__":
    main()
