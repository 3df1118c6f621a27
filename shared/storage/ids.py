"""Correlation ids as the file keeps them: 32 lower-case hexadecimal digits as 16 bytes, any other text as it is."""

from typing import Final

DIGITS: Final = 32
TEXT: Final = "CASE typeof({0}) WHEN 'blob' THEN lower(hex({0})) ELSE {0} END"
"""In SQL, the id that stands in a column."""
WITHIN: Final = "CASE typeof({0}) WHEN 'blob' THEN instr(hex({0}), {2}) ELSE instr({0}, {1}) END"
"""In SQL, whether the id in a column contains a text, which is given as it is and `in_digits`."""

_HEX: Final = frozenset("0123456789abcdef")


def in_digits(text: str) -> str:
    """A part of an id as SQL's `hex` spells it; where that cannot be, what it never spells."""
    return text.upper() if _HEX.issuperset(text) else "-"


def packed(correlation_id: str) -> str | bytearray:
    """An id as it stands in the file; sqlite3 takes several times as long to bind `bytes`."""
    if len(correlation_id) != DIGITS:
        return correlation_id
    try:
        packed = bytearray.fromhex(correlation_id)
    except ValueError:
        return correlation_id
    return packed if packed.hex() == correlation_id else correlation_id  # it also takes capitals and blanks


def unpacked(stored: str | bytes) -> str:
    """The id that stands so in the file."""
    return stored if isinstance(stored, str) else stored.hex()
