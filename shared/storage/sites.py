"""Sites: what repeats from entry to entry, stored once per era and known by a number."""

import sqlite3
from typing import Final

from shared.storage.chains import weight
from shared.storage.sound import number

MAX_KNOWN: Final = 65_536  # sites in memory; past it they are stored anew, which costs room and is right all the same
CHARACTERS: Final = 4 * 2**20  # that they may have

Traits = tuple[str, str, str, str, str, bool]  # source_id, direction, operation, endpoint, hostname, failed


def characters(traits: Traits) -> int:
    """How long its texts are."""
    source_id, direction, operation, endpoint, hostname, _ = traits
    return len(source_id) + len(direction) + len(operation) + len(endpoint) + len(hostname)


class Site:
    """`weight` adds up to 0, modulo 2^62, over the entries of a chain when each entry has its exit."""

    __slots__ = ("failed", "id", "source_id", "weight")  # read for each entry, which takes half as long as of a tuple

    def __init__(self, id: int, traits: Traits) -> None:
        self.id = id
        self.weight = weight(*traits[:4])
        self.source_id = traits[0]
        self.failed = traits[5]


class Sites:
    """Traits -> Site, from memory or new."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file, and begin to intern anew."""
        self.known: dict[Traits, Site] = {}
        self._fresh: dict[int, Traits] = {}
        self._characters = 0
        (next_id,) = self._db.execute(
            "SELECT max(coalesce((SELECT max(id) + 1 FROM site), 1), coalesce((SELECT max(first_site) FROM era), 1))"
        ).fetchone()
        self.next_id = number(next_id)

    def open(self, traits: Traits) -> Site:
        """A new site for traits that are not among the `known`."""
        site = Site(self.next_id, traits)
        if len(self.known) >= MAX_KNOWN or self._characters > CHARACTERS:
            self.forget()
        self.known[traits] = site
        self._characters += characters(traits)
        self._fresh[site.id] = traits
        self.next_id += 1
        return site

    def forget(self) -> None:
        """Store what repeats anew from now on."""
        self.known.clear()
        self._characters = 0

    def save(self) -> None:
        """Write the sites that were opened."""
        rows = [(id, *traits) for id, traits in self._fresh.items()]
        self._db.executemany("INSERT INTO site VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._fresh.clear()

    def take_back(self) -> None:
        """The transaction that opened sites was undone before it saved them."""
        for traits in self._fresh.values():
            self.known.pop(traits, None)
        self.next_id -= len(self._fresh)
        self._fresh.clear()
