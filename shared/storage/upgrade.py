"""From the file of the earlier TraceHub to today's: read the one, write the other beside it, rename.

Safe to interrupt at any moment: until the rename the old file is whole, and what an interrupted upgrade left behind is
deleted by the next one.
"""

import itertools
import logging
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw

from shared.errors import Unavailable
from shared.storage.reserve import with_room
from shared.storage.sqlite import BUSY_MS, FileKind, companions, file_kind, remove_orphans, sync, translated
from shared.storage.writer import Writer
from shared.wire import Entry, encode

SLICE: Final = 2_000  # rows read at a time, fewer where they are long:
SLICE_BYTES: Final = 4 * 2**20  # the row that passes it is the last
REPORT_S: Final = 2.0  # between two progress lines

_ROWS: Final = """
    SELECT id, source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line,
           created_at
    FROM traces ORDER BY id"""
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_log = logging.getLogger("tracehub.upgrade")


def needs_upgrade(path: Path) -> bool:
    """Whether the file is one of the earlier release.

    Raises BadFile for one that nothing here can use, Locked while another program lets nobody look.
    """
    if not path.exists():
        return False
    return with_room(path, lambda: _is_earlier(path))


def _is_earlier(path: Path) -> bool:
    address = f"{path.resolve().as_uri()}?mode=rw"
    with translated(path):
        remove_orphans(path)
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_MS / 1000)) as db:
            return file_kind(db, path) is FileKind.EARLIER


def upgrade(path: Path, retention_ms: float, go_on: Callable[[], bool] = lambda: True) -> None:
    """Replace the earlier release's file by one of today's with the same entries and arrival times.

    Raises Unavailable as soon as `go_on` says no, and leaves the old file as it was.
    """
    new = path.with_name(f"{path.name}.upgrade")
    for leftover in (new, *companions(new)):
        leftover.unlink(missing_ok=True)
    with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.text_factory = lambda text: text.decode("utf-8", "replace")
        old.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        old.execute("PRAGMA journal_mode=DELETE")  # no WAL may be left that would be taken for the new file's
        old.execute("BEGIN IMMEDIATE")  # keeps writers out; readers may look, and see that it is not today's file
        (total,) = old.execute("SELECT count(*) FROM traces").fetchone()
        _log.info("upgrading %s: %d entries of the earlier release", path, total)
        _copy(old, new, retention_ms, total, go_on)
        sync(new)
        new.replace(path)
        sync(path.parent)
    _log.info("upgraded %s: all %d entries are there", path, total)


def _copy(old: sqlite3.Connection, new: Path, retention_ms: float, total: int, go_on: Callable[[], bool]) -> None:
    writer = Writer(new, retention_ms, synced=False)
    try:
        done, reported, now_s = 0, time.monotonic(), time.time()
        for rows in _slices(old):
            if not go_on():
                raise Unavailable("the upgrade was interrupted: the next start begins it again")
            for arrived_s, group in itertools.groupby(rows, key=lambda row: int(_number(row[-1], 0, now_s))):
                writer.write([[_entry(row) for row in group]], arrived_s * 1000)
            done += len(rows)
            if time.monotonic() - reported >= REPORT_S:
                reported = time.monotonic()
                _log.info("upgraded %d of %d entries, %d %%", done, total, 100 * done // total)
        writer.checkpoint()  # raises on a full disk, where `close` would leave the rest in a WAL that gets no new name
    finally:
        writer.close()


def _slices(old: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    some: list[tuple[Any, ...]] = []
    size = 0
    for row in old.execute(_ROWS):
        some.append(row)
        size += sum(len(field) for field in row if isinstance(field, str | bytes))
        if len(some) == SLICE or size > SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _entry(row: tuple[Any, ...]) -> Entry:
    _, source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line, _ = row
    told = _number(timestamp, 0, sys.float_info.max)
    return Entry(
        source_id=str(source_id),
        correlation_id=str(correlation_id),
        timestamp=told,
        suffix=str(suffix) if told == timestamp else f"{suffix} {timestamp}",  # or it might be the same as another one
        direction=str(direction),  # type: ignore[arg-type]  # nothing of an old file is left behind
        operation=str(operation),
        endpoint=str(endpoint),
        data="" if data is None else _readable(data if isinstance(data, str) else str(data)),
        hostname="unknown" if hostname is None else str(hostname),
        raw_line=None if raw_line is None else str(raw_line),
    )


def _number(value: object, least: float, most: float) -> float:
    """The number nearest to what stands in a column that may hold anything, 0 for what is none."""
    return min(max(least, value), most) if isinstance(value, int | float) else 0.0


def _readable(text: str) -> str:
    """The text of an object as it is, on one line; anything else within an object."""
    if text == "null":
        return ""
    try:
        _object(text)
    except (ValueError, RecursionError):
        return encode({"_unparsed": text}).decode()
    return text.replace("\n", "").replace("\r", "")
