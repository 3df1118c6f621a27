"""Sites: what repeats from entry to entry, stored once per era and known by a number."""

import sqlite3
from typing import Final, NamedTuple

from shared.storage.chains import BALANCE_MASK, hash48

MAX_KNOWN: Final = 65_536  # sites in memory; past it they are stored anew, which costs room and is right all the same

Place = tuple[str, str, str, str, str, bool]  # source_id, direction, operation, endpoint, hostname, failed


class Site(NamedTuple):
    """`weight`: adds up to 0 over a chain when each entry has its exit. `failed`: its entries report an error."""

    id: int
    source_id: str
    weight: int
    failed: bool


class Sites:
    """Place -> Site, from memory or new."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file, and begin to intern anew."""
        self.known: dict[Place, Site] = {}
        self._fresh: list[tuple[int, str, str, str, str, str, bool]] = []
        (self.next_id,) = self._db.execute(
            "SELECT max(coalesce((SELECT max(id) + 1 FROM site), 1), coalesce((SELECT max(first_site) FROM era), 1))"
        ).fetchone()

    def open(self, place: Place) -> Site:
        """A new site for a place that is not among the `known`."""
        source_id, direction, operation, endpoint, _, failed = place
        weight = hash48(source_id, operation, endpoint)
        site = Site(self.next_id, source_id, weight if direction == "->" else -weight & BALANCE_MASK, failed)
        if len(self.known) >= MAX_KNOWN:
            self.known.clear()
        self.known[place] = site
        self._fresh.append((site.id, *place))
        self.next_id += 1
        return site

    def save(self) -> None:
        """Write the sites that were opened."""
        self._db.executemany("INSERT INTO site VALUES (?, ?, ?, ?, ?, ?, ?)", self._fresh)
        self._fresh.clear()
