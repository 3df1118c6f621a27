"""`data` in msgpack to JSON: the same text from the short way and the long one, the same refusals, bounded memory."""

import math
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from shared import packed
from shared.errors import BadRequest, TooLarge
from shared.packed import json_text

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=40,
)
objects = st.dictionaries(st.text(max_size=40), values, max_size=4)


def both_ways(body: bytes, depth: int = 64) -> list[str]:
    """The text, or the refusal, from the short way and from the long one."""
    found = []
    for short in (2**30, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packed, "SHORT", short)
            try:
                found.append(json_text(Raw(body), "$.data", depth))
            except BadRequest as error:
                found.append(f"400 {error}")
    return found


@given(objects)
def test_both_ways_give_what_was_packed(value: dict[str, Any]) -> None:
    """Every value that JSON has comes out equal, whichever way it goes."""
    short, long = both_ways(msgspec.msgpack.encode(value))
    assert short == long
    assert msgspec.json.decode(long) == value


FAULTS: list[tuple[Any, str]] = [
    (math.nan, "JSON has no number nan - at `$.data.a.b[1]`"),
    (-math.inf, "JSON has no number -inf - at `$.data.a.b[1]`"),
    (b"bytes", "JSON has no type for `bytes` - at `$.data.a.b[1]`"),
    ({1: 2}, "Expected `str` keys, got `int` - at `$.data.a.b[1]`"),
    ({None: 2}, "Expected `str` keys, got "),
    (msgspec.msgpack.Ext(5, b"x"), "JSON has no type for `"),
]


@pytest.mark.parametrize(("value", "refusal"), FAULTS, ids=[type(value).__name__ for value, _ in FAULTS])
def test_both_ways_refuse_what_json_lacks(value: Any, refusal: str) -> None:
    """NaN, infinities, bytes, extension types and keys that are no text are named with their place."""
    for told in both_ways(msgspec.msgpack.encode({"x": 1, "a": {"b": [0, value]}})):
        assert told.startswith(f"400 {refusal}")


BAD = [
    b"\x81\xa1\xff\x00", b"\x81\xa1a\xa1\xff", b"\x81\xa1a\x91\xa2\xc3(", b"\x81\x81\xa1a\x00\x00", b"\x81\x91\x00\x00"
]  # fmt: skip


@pytest.mark.parametrize("body", BAD)
def test_both_ways_refuse_bad_text_and_keys(body: bytes) -> None:
    """Text that is not UTF-8, as a key or as a value, and containers for keys are refused, and raise nothing else."""
    for told in both_ways(body):
        assert told.startswith("400 ")
        assert "$.data" in told


def test_depth_is_bounded_on_the_long_way() -> None:
    """An object of as many levels as are allowed is taken, one more is refused, and so are a hundred thousand."""
    for levels, is_good in ((4, True), (5, False), (100_000, False)):
        body = b"\x81\xa1a" + b"\x91" * (levels - 1) + b"\x00"
        told = both_ways(body, depth=4)[1]
        assert told == ('{"a":[[[0]]]}' if is_good else "400 More than 4 levels of nesting - at `$.data`")


def test_many_small_values_take_little_memory() -> None:
    """Empty arrays, which as objects would take 64 bytes each, take the memory of their text."""
    number = 200_000
    body = b"\x81\xa1a\xdd" + number.to_bytes(4, "big") + b"\x90" * number
    tracemalloc.start()
    text = json_text(Raw(body), "$.data", 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text == '{"a":[' + ",".join(["[]"] * number) + "]}"
    assert peak < 16 * number


def test_the_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More values than are allowed are too large, keys counted."""
    monkeypatch.setattr(packed, "SHORT", 0)
    monkeypatch.setattr(packed, "MAX_VALUES", 7)
    for number, is_good in ((2, True), (3, False)):
        value = {str(key): 0 for key in range(number + 1)}
        if is_good:
            assert msgspec.json.decode(json_text(Raw(msgspec.msgpack.encode(value)), "$", 64)) == value
        else:
            with pytest.raises(TooLarge, match="7 values"):
                json_text(Raw(msgspec.msgpack.encode(value)), "$", 64)
