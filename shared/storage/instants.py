"""Times as the file keeps them: the bits of a double as an integer, exact and in the order of time."""

import struct
from array import array
from collections.abc import Sequence
from typing import Final

_DOUBLE: Final = struct.Struct("<d")
_INTEGER: Final = struct.Struct("<q")
_SIGN: Final = 2**63


def instants(timestamps: Sequence[float]) -> list[int]:
    """The instants of finite timestamps (milliseconds)."""
    count = len(timestamps)
    integers = struct.unpack(f"{count}q", struct.pack(f"{count}d", *timestamps))
    if integers and min(integers) < 0:
        return [bits if bits >= 0 else -_SIGN - bits for bits in integers]
    return list(integers)


def instant(timestamp: float) -> int:
    """The instant of one timestamp."""
    return instants((timestamp,))[0]


def timestamp(instant: int) -> float:
    """The timestamp (milliseconds) of an instant: the very double that was sent, but for the sign of 0."""
    value: float = _DOUBLE.unpack(_INTEGER.pack(abs(instant)))[0]
    return value if instant >= 0 else -value


def timestamps(instants: "array[int]") -> list[float]:
    """The timestamps of many."""
    if instants and min(instants) < 0:
        return [timestamp(instant) for instant in instants]
    return array("d", instants.tobytes()).tolist()
