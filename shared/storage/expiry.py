"""What leaves the file: entries past retention, their share of the summaries, and the pages they stood on.

Entries leave in the order of their row ids, a slice at a time, so that commits find their turn in between.
"""

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from shared.storage.chains import Chains, decode_sources, encode_sources
from shared.storage.eras import Eras
from shared.storage.ids import unpacked
from shared.storage.marks import Marks
from shared.storage.sound import number, shape, sound

SHORT: Final = 100  # entries of a chain that are all gone through for those that go

_GOING: Final = "SELECT id FROM chain WHERE newest BETWEEN ? AND ?"
_GO: Final = "DELETE FROM chain WHERE newest BETWEEN ? AND ?"
_NEXT_LEFT: Final = "SELECT min(id) FROM chain WHERE id > ?"
_COUNTS: Final = """
    SELECT chain.id, site.source_id, count(*), sum(site.failed)
    FROM entry CROSS JOIN chain ON chain.id = entry.chain CROSS JOIN site ON site.id = entry.site
    WHERE entry.id BETWEEN ? AND ? AND entry.chain NOT BETWEEN ? AND ? GROUP BY entry.chain, entry.site"""
_KEYS_GO: Final = "DELETE FROM entry_once WHERE chain IN (SELECT value FROM json_each(?)) AND entry <= ?"
_KEYS_OF_LONG_GO: Final = """
    DELETE FROM entry_once
    WHERE (chain, at) IN (
        SELECT chain, at FROM entry WHERE id BETWEEN ?1 AND ?2 AND chain IN (SELECT value FROM json_each(?3))
    ) AND entry <= ?2"""
_SUMMARIES: Final = """
    SELECT id, correlation_id, entries, sources FROM chain WHERE id IN (SELECT value FROM json_each(?))"""
_UNCOUNT: Final = """
    UPDATE chain SET entries = entries - ?1, expired = expired + ?1, errors = errors - ?4, sources = ?2,
        first_at = (SELECT at FROM entry_once WHERE chain = ?3 ORDER BY at LIMIT 1),
        last_at = (SELECT at FROM entry_once WHERE chain = ?3 ORDER BY at DESC LIMIT 1)
    WHERE id = ?3"""

_CHAIN: Final = shape(int)
_COUNT: Final = shape(int, str, int, int)
_SUMMARY: Final = shape(int, str | bytes, int, str)


class Leaving:
    """The oldest entries on their way out, within a transaction; afterwards how many `seconds` deleting them took.

    `has_keyed`: keys of their chains had to be written, which no memory of the chains takes back.
    """

    def __init__(self, ids: range) -> None:
        self.ids = ids
        self.seconds = 0.0
        self.has_keyed = False

    def delete(self, db: sqlite3.Connection, chains: Chains) -> None:
        """Delete the entries, of which there is one at least, before anything else is asked of their chains."""
        started = time.perf_counter()
        gone, shorter = _delete_entries(db, self.ids.start, self.ids.stop - 1)
        self.has_keyed = chains.expire(gone, shorter)
        self.seconds += time.perf_counter() - started

    def clear_up(self, db: sqlite3.Connection, eras: Eras, marks: Marks, newest: int) -> None:
        """Delete what nothing refers to any more. `newest`: the row id that was given last before the transaction."""
        started = time.perf_counter()
        marks.leave(self.ids.stop)
        if self.ids.stop > newest:
            _remember_newest(db, newest)
        eras.leave(self.ids.stop, 2 * len(self.ids))
        self.seconds += time.perf_counter() - started


def _delete_entries(db: sqlite3.Connection, first: int, last: int) -> tuple[list[int], list[str]]:
    """Delete the entries of these row ids, of which `first` is the oldest.

    Returns the ids of the chains that have gone with them, and the correlation ids of those that have fewer left.
    """
    going = [id for (id,) in sound(db.execute(_GOING, (first, last)).fetchall(), _CHAIN)]
    db.execute(_GO, (first, last))  # what is left of these chains is all among the entries: nothing has to be counted
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    errors: Counter[int] = Counter()
    counted = db.execute(_COUNTS, (first, last, *_void(db, going))).fetchall()
    for chain, source_id, count, failed in sound(counted, _COUNT):
        counts[chain][source_id] += count
        errors[chain] += failed
    shorter = sound(db.execute(_SUMMARIES, (_listed(counts),)).fetchall(), _SUMMARY)
    short = [chain for chain, _, entries, _ in shorter if entries <= SHORT]
    db.execute(_KEYS_GO, (_listed([*short, *going]), last))
    if long := counts.keys() - set(short):
        db.execute(_KEYS_OF_LONG_GO, (first, last, _listed(long)))
    db.execute("DELETE FROM entry WHERE id BETWEEN ? AND ?", (first, last))
    db.execute("DELETE FROM raw_line WHERE entry <= ?", (last,))
    db.executemany(
        _UNCOUNT,
        [
            (counts[chain].total(), _less(sources, counts[chain]), chain, errors[chain])
            for chain, _, _, sources in shorter
        ],
    )
    return going, [unpacked(stored) for _, stored, *_ in shorter]


def _void(db: sqlite3.Connection, gone: list[int]) -> tuple[int, int]:
    """From the oldest chain that has gone up to the one before the next that is left: nobody has to count these."""
    if not gone:
        return 1, 0
    oldest = min(gone)
    (following,) = db.execute(_NEXT_LEFT, (oldest,)).fetchone()
    return oldest, max(gone) if following is None else number(following) - 1


def _listed(chains: Iterable[int]) -> str:
    """For `json_each`: numbers in the text of a statement would make it another one each time, to be kept as such."""
    return f"[{','.join(map(str, chains))}]"


def _less(sources: str, gone: Counter[str]) -> str:
    """The numbers of entries by source, less those that have gone: more than it has, of a source listed late."""
    left = {source_id: number - gone[source_id] for source_id, number in decode_sources(sources).items()}
    return encode_sources({source_id: number for source_id, number in left.items() if number > 0})


def _remember_newest(db: sqlite3.Connection, newest: int) -> None:
    """Keep the row id of the newest entry, which has been deleted."""
    db.execute("DELETE FROM last_expired")
    db.execute("INSERT INTO last_expired VALUES (?)", (newest,))


def used_bytes(db: sqlite3.Connection) -> int:
    """The size of the file less its unused pages, as of the last commit, wherever its pages are now."""
    pages, unused, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - unused) * size


def give_back(db: sqlite3.Connection, spare_part: int | None, limit: int) -> int:
    """Return up to `limit` unused pages to the file system, keeping one in `spare_part` of all; returns how many."""
    (unused,) = db.execute("PRAGMA freelist_count").fetchone()
    (total,) = db.execute("PRAGMA page_count").fetchone()
    pages = min(limit, unused - (total // spare_part if spare_part else 0))
    if pages <= 0:
        return 0
    db.executescript(f"PRAGMA incremental_vacuum({pages})")  # `execute` would stop after the first page
    (left,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(unused - left)
