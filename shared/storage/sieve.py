"""Which chains an era cannot hold: a Bloom filter over their keys, so that a new chain is not looked for in the file.

It may say that a key could be there when it is not, which costs a look. It never says that a key is missing which is
there.
"""

from typing import Final

PROBES: Final = 3  # bits that a key sets
BITS_A_KEY: Final = 8  # kept when an era ends: one key in fifty or fewer is looked for in vain
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

    def add(self, key: int) -> None:
        """The key is there from now on."""
        bits = self._bits
        last = len(bits) * 8 - 1
        place, step = _places(key)
        for _ in range(PROBES):
            bit = place & last
            bits[bit >> 3] |= 1 << (bit & 7)
            place += step

    def may_hold(self, key: int) -> bool:
        """Whether the key may be there."""
        bits = self._bits
        last = len(bits) * 8 - 1
        place, step = _places(key)
        for _ in range(PROBES):
            bit = place & last
            if not bits[bit >> 3] & 1 << (bit & 7):
                return False
            place += step
        return True

    def folded(self, keys: int) -> bytes:
        """The same in as little room as so many keys need: half laid upon half."""
        bits = bytes(self._bits)
        while len(bits) > 64 and len(bits) * 8 // 2 >= keys * BITS_A_KEY:
            half = len(bits) // 2
            low, high = (int.from_bytes(part) for part in (bits[:half], bits[half:]))
            bits = (low | high).to_bytes(half)
        return bits


def _places(key: int) -> tuple[int, int]:
    spread = key * _SPREAD & _WORD
    return spread >> 32, spread & _HALF | 1
