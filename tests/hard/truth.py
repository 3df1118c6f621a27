"""What a file says, looked at from outside, and whether it agrees with itself."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from shared.storage.chains import BALANCE_MASK, weight
from shared.storage.sqlite import read_only_uri


def rows(path: Path, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """What the file answers."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=10)) as db:
        return db.execute(query, parameters).fetchall()


def is_whole(path: Path) -> None:
    """SQLite finds nothing wrong, row ids are dense, and every summary says what its entries say."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True, timeout=10, isolation_level=None)) as db:
        db.execute("BEGIN")  # one moment of a file that may be written to meanwhile
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        count, first, last = db.execute("SELECT count(*), min(id), max(id) FROM entry").fetchone()
        assert not count or count == last - first + 1, f"{count} entries from row id {first} to {last}"
        of_entry = "once.entry = entry.id AND once.chain = entry.chain AND once.at = entry.at"
        (fit,) = db.execute(f"SELECT count(*) FROM entry_once AS once JOIN entry ON {of_entry}").fetchone()
        (keys,) = db.execute("SELECT count(*) FROM entry_once").fetchone()
        assert count == fit == keys, f"{count} entries, {keys} keys of entries, {fit} that fit"
        unkeyed = "SELECT count(*) FROM chain WHERE id NOT IN (SELECT chain FROM chain_key)"
        (lost,) = db.execute(f"{unkeyed} AND id <= (SELECT max(keyed) FROM era)").fetchone()
        assert not lost, f"{lost} chains cannot be found by their ids"
        told, counted = dict(_told(db)), _counted(db)
    assert told.keys() == counted.keys(), "summaries without entries, or entries without a summary"
    for chain, summary in told.items():
        expected = counted[chain]
        if summary["expired"]:  # the balance is kept for whole chains only
            expected["balance"] = summary["balance"]
        differing = {name: (summary[name], expected[name]) for name in expected if summary[name] != expected[name]}
        assert not differing, f"chain {chain}: its summary says, its entries say: {differing}"


def _told(db: sqlite3.Connection) -> Iterator[tuple[int, dict[str, Any]]]:
    names = ("entries", "errors", "first_at", "last_at", "newest", "balance", "expired")
    for id, sources, *values in db.execute(f"SELECT id, sources, {', '.join(names)} FROM chain"):
        yield id, {"sources": json.loads(sources), **dict(zip(names, values, strict=True))}


NOTHING = {"entries": 0, "errors": 0, "newest": 0, "balance": 0}


def _counted(db: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    query = """
        SELECT entry.chain, count(*), min(at), max(at), max(entry.id), source_id, direction, operation, endpoint, failed
        FROM entry JOIN site ON site.id = entry.site GROUP BY entry.chain, entry.site"""
    found: dict[int, dict[str, Any]] = {}
    for chain, count, first, last, newest, source_id, direction, operation, endpoint, failed in db.execute(query):
        it = found.setdefault(chain, {**NOTHING, "first_at": first, "last_at": last, "sources": {}})
        it["entries"] += count
        it["errors"] += count * bool(failed)
        it["first_at"] = min(it["first_at"], first)
        it["last_at"] = max(it["last_at"], last)
        it["newest"] = max(it["newest"], newest)
        one = weight(source_id, direction, operation, endpoint)
        it["balance"] = (it["balance"] + count * one) & BALANCE_MASK
        it["sources"][source_id] = it["sources"].get(source_id, 0) + count
    return found
