"""Files of the earlier release."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

COLUMNS = (
    "source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line, created_at"
)

Row = tuple[Any, ...]


def earlier_file(path: Path, some: list[Row]) -> None:
    """A file as the earlier release left it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            """CREATE TABLE traces (
                id INTEGER PRIMARY KEY AUTOINCREMENT, source_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
                timestamp REAL NOT NULL, suffix TEXT NOT NULL, direction TEXT NOT NULL, operation TEXT NOT NULL,
                endpoint TEXT NOT NULL, data TEXT, hostname TEXT, raw_line TEXT,
                created_at REAL DEFAULT (strftime('%s', 'now')), UNIQUE(correlation_id, timestamp, suffix))"""
        )
        for column in ("correlation_id", "timestamp", "source_id"):
            db.execute(f"CREATE INDEX idx_{column} ON traces({column})")
        db.executemany(f"INSERT INTO traces ({COLUMNS}) VALUES ({', '.join('?' * 11)})", some)
        db.commit()


def old(number: int, **fields: Any) -> Row:
    """A row of the earlier release, arrived just now."""
    values = {
        "source_id": "MA",
        "correlation_id": f"chain-{number % 50}",
        "timestamp": 1_700_000_000_000.25 + number,
        "suffix": f"{number:x}",
        "direction": "->",
        "operation": "REST",
        "endpoint": "/api",
        "data": '{"b": 1, "a": {}}',
        "hostname": "web-1",
        "raw_line": None,
        "created_at": int(time.time()),
    }
    return tuple({**values, **fields}.values())
