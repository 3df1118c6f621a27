"""Stretches of a chain: found as columns of text, in one look with the sites of their entries, and rendered."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.storage import queries
from shared.storage.found import Position, Stretch
from shared.storage.pool import Pool, Row, TooLong, all_rows, one_moment, some_rows
from shared.storage.rendering import Parts, Rendering, integers, rendered
from shared.storage.rows import site_size
from shared.storage.sound import shape, sound
from shared.wire import encode

SITES_BYTES: Final = 8 * 2**20  # of the sites that are learnt for a stretch

_COLUMNS: Final = shape(int, str, str, str, str, str, str)  # how many; row ids, instants, sites, and what is rendered


class Found(NamedTuple):
    """A chain and a stretch of it as SQLite gives them, the site of each entry, and how those sites read."""

    chain: Row
    columns: Row
    sites: Sequence[int]
    parts: dict[int, Parts]


class Stretches:
    """Finds stretches and renders them, with what was learnt of the sites that were met before."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rendering = Rendering()

    async def find(self, chain: str, asked: Mapping[str, Any], most_bytes: int) -> Found:
        """The stretch that is `asked` for of the chain that a condition picks; raises TooLong as `Pool.rows` does."""
        query = queries.IN_TIME.format(chain=chain, source=queries.of(asked["source"]))

        def look(db: sqlite3.Connection) -> tuple[Found, list[Row]]:
            with one_moment(db):  # sites leave with the last entry of their era
                return self._look(db, query, asked, most_bytes)

        found, new = await self._pool.call(look)
        found.parts.update(self._rendering.learn(new))
        return found

    def render(self, correlation_id: str, found: Found, limit: int, after: Position) -> Stretch:
        """What was found, of the `limit` entries behind a position that were asked for."""
        number, ids, instants, _, *columns = found.columns
        if not number:
            return Stretch(b"", 0, after, may_go_on=False)
        with self._pool.decoding():
            times = integers(instants)
            text = rendered(correlation_id, times, found.sites, columns, found.parts).encode()
            return Stretch(text, number, Position(times[-1], int(ids.rpartition(",")[2])), number == limit)

    def _look(
        self, db: sqlite3.Connection, query: str, asked: Mapping[str, Any], most_bytes: int
    ) -> tuple[Found, list[Row]]:
        """A stretch, and those of its sites that are new here: nobody waits for the thread a second time for them."""
        (row,) = all_rows(db, query, asked, most_bytes)
        chain, columns = row[:6], row[6:]
        if not columns[0]:
            return Found(chain, columns, (), {}), []
        sound([columns], _COLUMNS)
        sites = integers(columns[3])
        parts = self._rendering.known(sites)
        found = Found(chain, columns, sites, parts)
        if not (unknown := [site for site in set(sites) if site not in parts]):
            return found, []
        new, more = some_rows(db, queries.SITES, (encode(unknown).decode(),), site_size, SITES_BYTES)
        if more:
            raise TooLong
        return found, new
