"""Chain summaries as the writer keeps them: all of them in the file, the ones in use in memory as well."""

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

BALANCE_MASK: Final = (1 << 48) - 1
MAX_KNOWN: Final = 20_000  # chains in memory; when it is reached, the half written longest ago is let go

_COLUMNS: Final = "id, base, first_at, last_at, newest, entries, expired, balance, errors, sources"
_FIND: Final = f"SELECT {_COLUMNS} FROM chain WHERE era IN ({{}}) AND key = ? AND correlation_id = ?"
_INSERT: Final = (
    f"INSERT INTO chain ({_COLUMNS}, correlation_id, era, key) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = """
    UPDATE chain SET first_at = ?, last_at = ?, newest = ?, entries = ?, balance = ?, errors = ?, sources = ?
    WHERE id = ?"""

decode_sources: Final = msgspec.json.Decoder(dict[str, int]).decode
_encode: Final = msgspec.json.Encoder().encode


def encode_sources(sources: dict[str, int]) -> str:
    """Source -> number of entries, as the summary stores it."""
    return _encode(sources).decode()


def hash48(*texts: str) -> int:
    """48 bits, the same in every process; where one text ends and the next begins counts."""
    return int.from_bytes(blake2b("".join(f"{len(text)}:{text}" for text in texts).encode(), digest_size=6).digest())


class Chain:
    """The summary of one correlation id. Times are instants relative to `base`."""

    __slots__ = ("balance", "base", "entries", "errors", "first_at", "id", "is_new", "last_at", "newest", "sources")

    def __init__(self, id: int, base: int, *, is_new: bool) -> None:
        self.id = id
        self.base = base
        self.is_new = is_new
        self.first_at = self.last_at = 0
        self.newest = 0
        self.entries = 0
        self.balance = 0
        self.errors = 0
        self.sources: dict[str, int] = {}

    def add(self, row_id: int, at: int, source_id: str, weight: int, failed: bool) -> None:
        """Count one more entry; `weight` is its site's share in the balance, `failed` that it reports an error."""
        self.newest = row_id
        self.entries += 1
        self.balance = (self.balance + weight) & BALANCE_MASK
        if failed:
            self.errors += 1
        if at > self.last_at:
            self.last_at = at
        elif at < self.first_at:
            self.first_at = at
        self.sources[source_id] = self.sources.get(source_id, 0) + 1


class Chains:
    """Correlation id -> Chain: from memory, else from the file, else new."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file; called when it was opened and when a transaction was undone."""
        self.known: dict[str, Chain] = {}
        self._fresh: list[tuple[Chain, str, int]] = []
        (self._newest_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM chain").fetchone()
        self.recall_eras()

    def recall_eras(self) -> None:
        """Look for chains in the eras that there are now; new ones belong to the newest."""
        self._eras = [era for (era,) in self._db.execute("SELECT id FROM era ORDER BY id")]
        self._find = _FIND.format(",".join(map(str, self._eras)))

    def open(self, correlation_id: str, instant: int) -> Chain:
        """The chain of an id that is not among the `known`; `instant` becomes the base of a new one."""
        key = hash48(correlation_id)
        row = self._db.execute(self._find, (key, correlation_id)).fetchone()
        if row is None:
            self._newest_id += 1
            chain = Chain(self._newest_id, instant, is_new=True)
            self._fresh.append((chain, correlation_id, key))
        else:
            chain = Chain(row[0], row[1], is_new=False)
            chain.first_at, chain.last_at, chain.newest, chain.entries, _, chain.balance, chain.errors = row[2:9]
            chain.sources = decode_sources(row[9])
        self.known[correlation_id] = chain
        return chain

    def save(self, touched: Iterable[Chain]) -> None:
        """Write the summaries of the chains that a transaction touched; those opened new are among them."""
        era = self._eras[-1]
        self._db.executemany(
            _INSERT,
            [
                (
                    c.id,
                    c.base,
                    c.first_at,
                    c.last_at,
                    c.newest,
                    c.entries,
                    c.balance,
                    c.errors,
                    encode_sources(c.sources),
                    cid,
                    era,
                    key,
                )
                for c, cid, key in self._fresh
            ],
        )
        self._db.executemany(
            _UPDATE,
            [
                (c.first_at, c.last_at, c.newest, c.entries, c.balance, c.errors, encode_sources(c.sources), c.id)
                for c in touched
                if not c.is_new
            ],
        )
        for chain, _, _ in self._fresh:
            chain.is_new = False
        self._fresh.clear()

    def let_go(self) -> None:
        """Keep memory bounded, whatever the number of chains."""
        if len(self.known) > MAX_KNOWN:
            by_age = sorted(self.known.items(), key=lambda item: item[1].newest)
            self.known = dict(by_age[-MAX_KNOWN // 2 :])
