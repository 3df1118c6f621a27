"""From the file of the earlier TraceHub to today's: read the one, write the other beside it, rename.

Safe to interrupt at any moment: until the rename the old file is whole, and what an interrupted upgrade left behind is
deleted by the next one.
"""

import itertools
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw

from shared.storage.sqlite import BUSY_MS, FileKind, file_kind, translated
from shared.storage.writer import Writer
from shared.wire import Entry, encode

SLICE: Final = 2_000  # rows read at a time
REPORT_S: Final = 2.0  # between two progress lines

_ROWS: Final = """
    SELECT id, source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line,
           coalesce(created_at, 0)
    FROM traces WHERE id > ? ORDER BY id LIMIT ?"""
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_log = logging.getLogger("tracehub.upgrade")


def needs_upgrade(path: Path) -> bool:
    """Whether the file is one of the earlier release. Raises BadFile for one that nothing here can use."""
    if not path.exists():
        return False
    with translated(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as db:
        return file_kind(db) is FileKind.EARLIER


def upgrade(path: Path, retention_ms: float) -> None:
    """Replace the earlier release's file by one of today's with the same entries and arrival times."""
    new = path.with_name(f"{path.name}.upgrade")
    for leftover in (new, *_companions(new)):
        leftover.unlink(missing_ok=True)
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.text_factory = lambda text: text.decode("utf-8", "replace")
        old.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        old.execute("PRAGMA journal_mode=DELETE")  # no WAL may be left that would be taken for the new file's
        old.execute("BEGIN EXCLUSIVE")
        (total,) = old.execute("SELECT count(*) FROM traces").fetchone()
        _log.info("upgrading %s: %d entries of the earlier release", path, total)
        _copy(old, new, retention_ms, total)
        _sync(new)
        new.replace(path)
        _sync(path.parent)
    _log.info("upgraded %s: all %d entries are there", path, total)


def _copy(old: sqlite3.Connection, new: Path, retention_ms: float, total: int) -> None:
    writer = Writer(new, retention_ms, synced=False)
    try:
        done, reported = 0, time.monotonic()
        for rows in _slices(old):
            for arrived_s, group in itertools.groupby(rows, key=lambda row: int(row[-1])):
                writer.write([[_entry(row) for row in group]], arrived_s * 1000)
            done += len(rows)
            if time.monotonic() - reported >= REPORT_S:
                reported = time.monotonic()
                _log.info("upgraded %d of %d entries, %d %%", done, total, 100 * done // total)
    finally:
        writer.close()


def _slices(old: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    last = -1
    while rows := old.execute(_ROWS, (last, SLICE)).fetchall():
        last = rows[-1][0]
        yield rows


def _entry(row: tuple[Any, ...]) -> Entry:
    _, source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line, _ = row
    return Entry(
        source_id=str(source_id),
        correlation_id=str(correlation_id),
        timestamp=float(timestamp),
        suffix=str(suffix),
        direction=direction,
        operation=str(operation),
        endpoint=str(endpoint),
        data="" if data is None else _readable(data if isinstance(data, str) else str(data)),
        hostname="unknown" if hostname is None else str(hostname),
        raw_line=None if raw_line is None else str(raw_line),
    )


def _readable(text: str) -> str:
    """The text of an object as it is, on one line; anything else within an object."""
    if text == "null":
        return ""
    try:
        _object(text)
    except (ValueError, RecursionError):
        return encode({"_unparsed": text}).decode()
    return text.replace("\n", "").replace("\r", "")


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _companions(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
