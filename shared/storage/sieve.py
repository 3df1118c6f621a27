"""Which chains an era cannot hold: a Bloom filter over their keys, so that a new chain is not looked for in the file.

It may say that a key could be there when it is not, which costs a look. It never says that a key is missing which is
there. Those of eras that have ended stand side by side, so that asking all of them costs what asking one does.
"""

import sys
from collections.abc import Iterable
from typing import Final

from shared.errors import BadFile

BITS_A_KEY: Final = 12  # kept when an era ends: one key in a hundred or fewer is looked for in vain
MOST_BYTES: Final = 512 * 1024  # kept of an era: of half a million chains and more, some are looked for in vain
SLOTS: Final = 32  # eras side by side, bits of a word; further ones are looked into
WORD_BYTES: Final = SLOTS // 8
_SPREAD: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1
_HALF: Final = (1 << 32) - 1


class Sieve:
    """A set of 48-bit keys that forgets which, in a power of two of bytes."""

    def __init__(self, bits: bytearray) -> None:
        self._bits = bits

    @classmethod
    def sized(cls, keys: int) -> "Sieve":
        """An empty one with 4 bits or more for each of so many keys."""
        return cls(bytearray(1 << max(6, (keys // 2 - 1).bit_length())))

    def add(self, keys: Iterable[int]) -> None:
        """The keys are there from now on."""
        bits, last = self._bits, len(self._bits) * 8 - 1
        for key in keys:
            for bit in _places(key, last):
                bits[bit >> 3] |= 1 << (bit & 7)

    def may_hold(self, key: int) -> bool:
        """Whether the key may be there."""
        bits = self._bits
        a, b, c = _places(key, len(bits) * 8 - 1)
        return bits[a >> 3] >> (a & 7) & bits[b >> 3] >> (b & 7) & bits[c >> 3] >> (c & 7) & 1 == 1

    def folded(self, keys: int) -> bytes:
        """The same in as little room as so many keys need: half laid upon half."""
        bits = bytes(self._bits)
        while len(bits) > 64 and (len(bits) * 8 // 2 >= keys * BITS_A_KEY or len(bits) > MOST_BYTES):
            half = len(bits) // 2
            low, high = (int.from_bytes(part) for part in (bits[:half], bits[half:]))
            bits = (low | high).to_bytes(half)
        return bits


class Sieves:
    """Those of up to SLOTS eras: at each place a word with a bit for each of them."""

    def __init__(self) -> None:
        self._eras: list[int | None] = [None] * SLOTS
        self._lay_out(bytearray(WORD_BYTES * 64 * 8))

    def put(self, era: int, bits: bytes) -> bool:
        """Take an era's sieve as it was folded, unless all slots are taken; tells whether."""
        if None not in self._eras:
            return False
        if len(bits) < 64 or len(bits) & len(bits) - 1:
            raise BadFile("the sieve of an era is damaged: move the file away or restore a snapshot")
        slot = self._eras.index(None)
        if len(bits) * 8 > self._last + 1:
            self._lay_out(self._table * (len(bits) * 8 // (self._last + 1)))
        bits *= (self._last + 1) // (len(bits) * 8)
        for bit in range(8):
            plane = _plane(slot, bit, 8)
            column = bits.translate(bytes((byte >> bit & 1) << slot % 8 for byte in range(256)))
            there = int.from_bytes(self._table[plane]) | int.from_bytes(column)
            self._table[plane] = there.to_bytes(len(bits))
        self._eras[slot] = era
        return True

    def drop(self, era: int) -> None:
        """The era has gone."""
        if era not in self._eras:
            return
        slot = self._eras.index(era)
        plane = _plane(slot, 0, 1)
        others = bytes(byte & ~(1 << slot % 8) for byte in range(256))
        self._table[plane] = self._table[plane].translate(others)
        self._eras[slot] = None

    def may_hold(self, key: int) -> list[int]:
        """The eras that may hold a key, the newest first."""
        words = self._words
        a, b, c = _places(key, self._last)
        found = words[a] & words[b] & words[c]
        if not found:
            return []
        return sorted((era for slot, era in enumerate(self._eras) if era and found >> slot & 1), reverse=True)

    def _lay_out(self, table: bytearray) -> None:
        self._table = table
        self._words = memoryview(table).cast("I")
        self._last = len(self._words) - 1


def _plane(slot: int, first: int, step: int) -> slice:
    """Of the table, the bytes with a slot's bits: at every `step`th place from the `first` on."""
    byte = slot // 8 if sys.byteorder == "little" else WORD_BYTES - 1 - slot // 8
    return slice(WORD_BYTES * first + byte, None, WORD_BYTES * step)


def _places(key: int, last: int) -> tuple[int, int, int]:
    """The bits that a key sets, of those up to `last`."""
    spread = key * _SPREAD & _WORD
    place, step = spread >> 32, spread & _HALF | 1
    return place & last, place + step & last, place + 2 * step & last
