"""What is asked of JSON text without parsing it: a parser's answers, in time proportional to the text."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import json_text
from shared.json_text import is_deeper, one_line, refuse_bad_utf8

PIECES = ["[", "]", "{", "}", '"', "\\", "\\\\", '\\"', ",", "a", "\u00e9", "\U0001f600"]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


def depth(value: Any) -> int:
    """How deep arrays and objects nest."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values, st.booleans(), st.integers(1, 9))
def test_depth_is_that_of_the_parsed_text(value: Any, ascii_only: bool, slice_size: int) -> None:
    """Brackets within strings do not count, however they are escaped and wherever a slice ends."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "SLICE", slice_size)
        for levels in range(depth(value) + 2):
            assert is_deeper(text, levels) == (depth(value) > levels)


WORST = {
    "strings that hold brackets": '"[",',
    "strings between brackets": '"[",[],',
    "escapes": '"\\\\",[],',
    "escaped quotes": '"\\"[",',
    "shallow brackets": "[],",
    "brackets up to the limit": "[" * 60 + "]" * 60 + ",",
}


@pytest.mark.parametrize("unit", WORST.values(), ids=WORST)
def test_time_and_memory_are_bounded_whatever_the_text(unit: str) -> None:
    """Four times the text takes about four times as long, not sixteen times, and no more memory."""
    took_s: list[float] = []
    peaks: list[int] = []
    for size in (2**19, 2**21):
        text = "[" + unit * (size // len(unit)) + "0]"
        started = time.process_time()
        assert not is_deeper(text, 64)
        took_s.append(time.process_time() - started)
        tracemalloc.start()
        is_deeper(text, 64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert took_s[1] < 10 * took_s[0] + 0.05
    assert peaks[1] < 1.5 * peaks[0] + 2**16
    assert peaks[1] < 2**22


@given(values, st.sampled_from([None, 0, 3, "\t"]))
def test_one_line_is_the_same_value(value: Any, indent: Any) -> None:
    """Without its line breaks the text says the same."""
    text = json.dumps(value, indent=indent).replace("\n", "\r\n")
    assert json.loads(one_line(text)) == value
    assert not {"\r", "\n"} & set(one_line(text))


@given(st.text(max_size=40), st.integers(1, 9))
def test_utf8_is_accepted(text: str, slice_size: int) -> None:
    """Wherever a slice cuts a character in two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "SLICE", slice_size)
        refuse_bad_utf8(text.encode())


NOT_UTF8 = [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]


@given(st.text(max_size=20), st.sampled_from(NOT_UTF8), st.text(max_size=20), st.integers(1, 9))
def test_what_is_not_utf8_is_refused_with_its_place(before: str, bad: bytes, after: str, slice_size: int) -> None:
    """Stray bytes, surrogates, overlong forms, a character cut short: each is named by the byte where it stands."""
    body = before.encode() + bad + after.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "SLICE", slice_size)
        with pytest.raises(ValueError, match=f"at byte {len(before.encode())}$"):
            refuse_bad_utf8(body)
