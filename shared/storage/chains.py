"""Summaries of chains as the writer keeps them: all of them in the file, the ones in use in memory as well."""

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from shared.errors import BadFile
from shared.storage.eras import Eras
from shared.storage.ids import packed, unpacked
from shared.storage.sound import shape, sound

BALANCE_MASK: Final = (1 << 62) - 1
COUNT_BITS: Final = 22  # of a balance, which count: each `->` adds one, each `<-` takes one
SOURCES_ROOM: Final = 24  # characters for the sources of a new chain that goes on, or they would split its page later
LISTED_SOURCES: Final = 1_000  # of a chain, the first; a summary is read and written whole with each of its entries
KEYS_TOGETHER: Final = 1_500  # new chains whose keys are written together
MAX_KNOWN: Final = 20_000  # chains in memory: half of them newly used, half of them let go next
SOURCES: Final = 200_000  # that they may have together

_SUMMARY: Final = "SELECT id, base, first_at, last_at, newest, entries, balance, errors, sources FROM chain WHERE id"
_FIND: Final = f"{_SUMMARY} IN (SELECT chain FROM chain_key WHERE era = ? AND key = ?) AND correlation_id = ?"
_UNKEYED: Final = "SELECT correlation_id, id FROM chain WHERE id > ? ORDER BY id"
_INSERT: Final = """
    INSERT INTO chain (id, correlation_id, base, first_at, last_at, newest, entries, balance, errors, sources, expired)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"""
_UPDATE: Final = """
    UPDATE chain SET first_at = ?, last_at = ?, newest = ?, entries = ?, balance = ?, errors = ?, sources = ?
    WHERE id = ?"""
_FOUND: Final = shape(int, int, int, int, int, int, int, int, str)
_IDS: Final = shape(str | bytes, int)

_decode: Final = msgspec.json.Decoder(dict[str, int]).decode
_encode: Final = msgspec.json.Encoder().encode


def decode_sources(text: str) -> dict[str, int]:
    """Source -> number of entries, from what the summary stores; raises BadFile."""
    try:
        return _decode(text)
    except ValueError as error:
        raise BadFile(f"a summary is damaged ({error}): move the file away or restore a snapshot") from None


def encode_sources(sources: dict[str, int]) -> str:
    """Source -> number of entries, as the summary stores it."""
    return _encode(sources).decode()


def hash48(*texts: str) -> int:
    """48 bits, the same in every process; where one text ends and the next begins counts."""
    whole = "".join([f"{len(text)}:{text}" for text in texts])
    return int.from_bytes(blake2b(whole.encode(), digest_size=6).digest())


def weight(source_id: str, direction: str, operation: str, endpoint: str) -> int:
    """What an entry adds to the balance of its chain: above, 40 bits that tell its step; below, its direction."""
    step = (hash48(source_id, operation, endpoint) << COUNT_BITS | 1) & BALANCE_MASK
    return step if direction == "->" else -step & BALANCE_MASK


def open_in(balance: int) -> int:
    """Entries less exits, of a balance: right for chains with less than two million open."""
    half = 1 << COUNT_BITS - 1
    return ((balance + half) & (2 * half - 1)) - half


class Summary:
    """The summary of one correlation id. Times are relative to `base`, an instant; `newest` is 0 for a new one.

    `counted` is how many of its sources are in the count of those that are in memory.
    """

    __slots__ = ("balance", "base", "counted", "entries", "errors", "first_at", "id", "last_at", "newest", "sources")

    def __init__(self, id: int, base: int) -> None:
        self.id = id
        self.base = base
        self.first_at = self.last_at = 0
        self.newest = 0
        self.entries = 0
        self.balance = 0
        self.errors = 0
        self.sources: dict[str, int] = {}
        self.counted = 0


class Chains:
    """Correlation id -> Summary: from memory, else from the file, else new."""

    def __init__(self, db: sqlite3.Connection, eras: Eras) -> None:
        self._db = db
        self._eras = eras
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file; called when it was opened and when a transaction failed."""
        self.known: dict[str, Summary] = {}
        self._resting: dict[str, Summary] = {}
        self._turned_at = 0  # the newest row id when the older half began to rest
        self._sources = 0  # of the known
        self._fresh: dict[str, tuple[int, Summary]] = {}  # correlation id -> key and chain
        unkeyed = sound(self._db.execute(_UNKEYED, (self._eras.keyed,)).fetchall(), _IDS)
        ids = [(unpacked(stored), id) for stored, id in unkeyed]
        self._unkeyed = {correlation_id: (hash48(correlation_id), id) for correlation_id, id in ids}
        self._newest_id = unkeyed[-1][1] if unkeyed else self._eras.keyed

    def open(self, correlation_id: str, instant: int) -> Summary:
        """The chain of an id that is not among the `known`; `instant` becomes the base of a new one."""
        chain = self._resting.pop(correlation_id, None)
        if chain is None:
            key = hash48(correlation_id)
            chain = self._find(key, correlation_id)
            if chain is None:
                self._newest_id += 1
                chain = Summary(self._newest_id, instant)
                self._fresh[correlation_id] = key, chain
        self.known[correlation_id] = chain
        self._sources += chain.counted
        return chain

    def open_anew(self, correlation_id: str, instant: int) -> Summary:
        """The chain of an id of which the one in memory has gone."""
        self.forget((correlation_id,))
        return self.open(correlation_id, instant)

    def save(self, touched: Sequence[Summary]) -> None:
        """Write the summaries of the chains that a transaction opened new, and of the others that it touched."""
        self._count(touched)
        if self._fresh:
            self._count(chain for _, chain in self._fresh.values())
            self._db.executemany(
                _INSERT,
                [
                    (
                        c.id, packed(id), c.base, c.first_at, c.last_at, c.newest, c.entries, c.balance & BALANCE_MASK,
                        c.errors, encode_sources(c.sources).ljust(SOURCES_ROOM if c.balance & BALANCE_MASK else 0),
                    )
                    for id, (_, c) in self._fresh.items()
                ],
            )  # fmt: skip
            self._unkeyed.update({id: (key, chain.id) for id, (key, chain) in self._fresh.items()})
            self._fresh.clear()
            if len(self._unkeyed) >= KEYS_TOGETHER:
                self.write_keys()
        self._db.executemany(
            _UPDATE,
            [
                (
                    c.first_at, c.last_at, c.newest, c.entries, c.balance & BALANCE_MASK, c.errors,
                    encode_sources(c.sources), c.id,
                )
                for c in touched
            ],
        )  # fmt: skip

    def write_keys(self) -> None:
        """Put the keys of the newest chains into the newest era; until then they are few enough to look through."""
        self._eras.add(sorted(self._unkeyed.values()), self._newest_id)
        self._unkeyed.clear()

    def take_back(self, correlation_ids: Iterable[str]) -> None:
        """A transaction that touched these chains, and perhaps no others, was undone before it saved them."""
        self.forget(correlation_ids)
        self._newest_id -= len(self._fresh)
        self._fresh.clear()

    def expire(self, gone: Sequence[int], shorter: Iterable[str]) -> bool:
        """Entries have left: all of the chains with ids in `gone`, some of those `shorter`.

        A chain that has gone leaves its key, and is in memory as it was. Returns whether keys had to be written.
        """
        has_unkeyed = max(gone, default=0) > self._eras.keyed
        if has_unkeyed:
            self.write_keys()
        self.forget(shorter)
        return has_unkeyed

    def forget(self, correlation_ids: Iterable[str]) -> None:
        """Ask the file for these chains when they are next wanted."""
        for correlation_id in correlation_ids:
            if chain := self.known.pop(correlation_id, None):
                self._sources -= chain.counted
            self._resting.pop(correlation_id, None)

    def let_go(self, oldest: int, newest: int) -> None:
        """Keep memory bounded, whatever the number of chains and of sources, without going through those that stay.

        `oldest` and `newest` are the row ids that there are: the older half goes as well when all of it has expired.
        """
        if len(self.known) > MAX_KNOWN // 2 or self._sources > SOURCES // 2 or oldest > self._turned_at:
            self.known, self._resting = {}, self.known
            self._sources, self._turned_at = 0, newest

    def _count(self, chains: Iterable[Summary]) -> None:
        for chain in chains:
            if (sources := len(chain.sources)) != chain.counted:
                self._sources += sources - chain.counted
                chain.counted = sources

    def _find(self, key: int, correlation_id: str) -> Summary | None:
        if unkeyed := self._unkeyed.get(correlation_id):
            return _summary(self._db.execute(f"{_SUMMARY} = ?", unkeyed[1:]).fetchone())
        for era in self._eras.may_hold(key):
            row = self._db.execute(_FIND, (era, key, packed(correlation_id))).fetchone()
            if row is not None:
                return _summary(row)
        return None


def _summary(row: tuple[Any, ...]) -> Summary:
    sound([row], _FOUND)
    chain = Summary(row[0], row[1])
    chain.first_at, chain.last_at, chain.newest, chain.entries, chain.balance, chain.errors = row[2:8]
    chain.sources = decode_sources(row[8])
    chain.counted = len(chain.sources)
    return chain
