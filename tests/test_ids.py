"""Correlation ids in the file: smaller where they can be, and the same again."""

import sqlite3
from contextlib import closing

from hypothesis import example, given
from hypothesis import strategies as st

from shared.storage.ids import TEXT, WITHIN, in_digits, packed, unpacked

HEX = "0123456789abcdef"
ids = st.text(HEX, min_size=32, max_size=32) | st.text(HEX + "AF -ﬀ", min_size=30, max_size=34) | st.text(max_size=40)


@given(ids)
@example(HEX * 2)
@example(HEX.upper() * 2)
@example("ab " * 10 + "ab")
@example("\u0660" * 32)
def test_an_id_comes_back(id: str) -> None:
    """32 lower-case hexadecimal digits are 16 bytes, everything else is the text itself; SQL reads both."""
    stored = packed(id)
    assert (len(stored) == 16 and not isinstance(stored, str)) == (len(id) == 32 and set(id) <= set(HEX))
    with closing(sqlite3.connect(":memory:")) as db:
        read, text = db.execute(f"SELECT id, {TEXT.format('id')} FROM (SELECT ? AS id)", (stored,)).fetchone()
    assert unpacked(read) == text == id


@given(ids, st.text(HEX + "AF -ﬀ", max_size=3))
@example("abcdef" + "0" * 26, "ﬀ")
@example("ff" + "0" * 30, "ﬀ")
@example("ff" + "0" * 30, "FF")
def test_parts_of_an_id(id: str, part: str) -> None:
    """A part is found where it is, and no other spelling of it."""
    with closing(sqlite3.connect(":memory:")) as db:
        (found,) = db.execute(
            f"SELECT {WITHIN.format('id', ':part', ':digits')} FROM (SELECT :id AS id)",
            {"id": packed(id), "part": part, "digits": in_digits(part)},
        ).fetchone()
    assert bool(found) == (part in id)
