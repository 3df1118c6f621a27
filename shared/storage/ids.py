"""Correlation ids as the file keeps them: 32 lower-case hexadecimal digits as 16 bytes, any other text as it is."""

from typing import Final

DIGITS: Final = 32
TEXT: Final = "CASE typeof({0}) WHEN 'blob' THEN lower(hex({0})) ELSE {0} END"
"""In SQL, the id that stands in a column."""
WITHIN: Final = """
    CASE typeof({0}) WHEN 'blob' THEN {1} = lower({1}) AND instr(hex({0}), upper({1})) ELSE instr({0}, {1}) END"""
"""In SQL, whether the id in a column contains a text."""


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
