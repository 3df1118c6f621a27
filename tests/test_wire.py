"""The wire format: what is taken as it is, what is refused, and where the fault is said to be."""

import contextlib
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import entry
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadRequest, TooLarge
from shared.wire import LIMITS, decode_batch, decode_entry, stored_data

GOLDEN = Path(__file__).with_name("golden")
ABSURD = 2_000_000  # levels: more than any stack has room for

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
objects = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | finite | st.integers(-(2**63), 2**64 - 1) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def json_with(field: str, token: str) -> bytes:
    """The body of one entry in which one field is this very text."""
    fields = {name: value for name, value in entry().items() if name != field}
    return f'{json.dumps(fields)[:-1]}, "{field}": {token}}}'.encode("utf-8", "surrogatepass")


def packed_with(field: str, value: bytes) -> bytes:
    """The msgpack body of one entry in which one field is these very bytes."""
    fields = {name: value for name, value in entry().items() if name != field}
    names_and_values = b"".join(msgspec.msgpack.encode(part) for item in fields.items() for part in item)
    return bytes([0x80 | len(fields) + 1]) + names_and_values + msgspec.msgpack.encode(field) + value


def data_of(body: bytes, *, packed: bool = False) -> str:
    """The stored `data` of a body of one entry."""
    return decode_entry(body, packed=packed)[0].data


def nested(levels: int) -> str:
    """An object of so many levels."""
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


@pytest.mark.parametrize("body", sorted(GOLDEN.glob("*.entries.json")), ids=lambda path: path.name)
def test_golden_bodies_keep_their_meaning(body: Path) -> None:
    """Every golden body decodes to the entries that stand beside it, `data` to the letter."""
    expected = json.loads(body.read_bytes())
    name = body.name.removesuffix(".entries.json")
    packed = not (GOLDEN / f"{name}.json").exists()
    entries = decode_batch((GOLDEN / f"{name}.{'msgpack' if packed else 'json'}").read_bytes(), packed=packed)
    assert [msgspec.structs.asdict(entry) for entry in entries] == expected


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"b":1,"a":2}',
        '{"a":1,"a":2}',
        '{ "spaces" : [ 1 , 2 ] }',
        '{"a":1e400,"b":-0.0,"c":1.10}',
        f'{{"big":{"9" * 400},"exact":{2**53 + 1}}}',
        '{"ключ":"値 \u2028 😀"}',
        '{"a":"\\u0000\\ud83d\\ude00\\n"}',
        '{"a":"}]{[","b":"\\"{"}',
    ],
)
def test_data_comes_back_to_the_letter(text: str) -> None:
    """What is valid JSON is stored as it was written: order, doubled keys, spaces, numbers, escapes."""
    assert data_of(json_with("data", text)) == text


def test_line_breaks_between_tokens_go() -> None:
    """Stored `data` is one line, whatever the sender's layout, and means the same."""
    assert data_of(json_with("data", '{\r\n  "a": [\n    1,\n    "x\\ny"\n  ]\n}')) == '{  "a": [    1,    "x\\ny"  ]}'


@pytest.mark.parametrize("body", [json_with("data", "null"), json_with("raw_line", "null"), json_with("zz", "[{}]")])
def test_no_data_is_null(body: bytes) -> None:
    """Data that is absent or null is stored as nothing and given back as null; unknown fields do not count."""
    assert data_of(body) == ""
    assert bytes(stored_data("")) == b"null"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is empty"),
        (b'\xef\xbb\xbf{"traces":[]}', "The body begins with a byte order mark"),
        (b'{"traces":[{"data":{"a":"\\ud800"}}]}', "half a surrogate pair"),
        (b'{"traces":[' + json_with("direction", '"=>"') + b"]}", "expected `->` or `<-`"),
    ],
)
def test_what_is_wrong_is_said_so_that_it_can_be_mended(body: bytes, said: str) -> None:
    """Not that a body was cut off which was not, nor which word is wrong without those that are right."""
    with pytest.raises(BadRequest, match=re.escape(said)):
        decode_batch(body)


@given(objects)
def test_msgpack_data_means_the_same_as_json(value: dict[str, Any]) -> None:
    """Data that came as msgpack is stored as JSON of equal value, in the order of its keys."""
    stored = json.loads(data_of(packed_with("data", msgspec.msgpack.encode(value)), packed=True))
    assert stored == value
    assert list(stored) == list(value)


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_timestamps_are_exact_in_both_formats(timestamp: float) -> None:
    """Any finite double from 0 up arrives as itself."""
    assert decode_entry(json_with("timestamp", repr(timestamp)))[0].timestamp == timestamp
    packed = packed_with("timestamp", msgspec.msgpack.encode(timestamp))
    assert decode_entry(packed, packed=True)[0].timestamp == timestamp


@pytest.mark.parametrize("levels", [LIMITS.depth, LIMITS.depth + 1])
@pytest.mark.parametrize("spread", [False, True], ids=["alone", "in a batch"])
@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
def test_64_levels_and_no_more(levels: int, spread: bool, packed: bool) -> None:
    """Data may be 64 levels deep and not 65, alone or in a batch, in JSON or msgpack."""
    pack = msgspec.msgpack.encode if packed else msgspec.json.encode
    deep = entry(data=json.loads(nested(levels)))
    decode, body = (decode_batch, {"traces": [entry(), deep]}) if spread else (decode_entry, deep)
    if levels == LIMITS.depth:
        assert json.loads(decode(pack(body), packed=packed)[-1].data) == deep["data"]
    else:
        with pytest.raises(BadRequest, match="64 levels") as caught:
            decode(pack(body), packed=packed)
        assert str(caught.value.path).startswith("$.traces[1].data" if spread else "$.data")


def test_levels_count_in_the_shortest_text() -> None:
    """65 levels with nothing in them are one too many, and 64 are not."""
    for levels in (LIMITS.depth, LIMITS.depth + 1):
        text = '{"":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
        with contextlib.nullcontext() if levels == LIMITS.depth else pytest.raises(BadRequest, match="64 levels"):
            assert data_of(json_with("data", text)) == text


def test_brackets_in_strings_are_no_levels() -> None:
    """Brackets within strings, escaped quotes before them, and many short lists do not count as depth."""
    text = json.dumps({"text": '"[[{' * 100, "lists": [[]] * 200, "[" * 70: 1})
    assert data_of(json_with("data", text)) == text


@pytest.mark.parametrize("field", ["data", "zz"])
def test_absurd_depth_is_refused(field: str) -> None:
    """A million levels and more are a refusal, in a field that nobody reads as well."""
    with pytest.raises(BadRequest, match="too deep"):
        decode_entry(json_with(field, nested(ABSURD)))
    with pytest.raises(BadRequest, match="too deep"):
        decode_entry(packed_with(field, b"\x81\xa1a" + b"\x91" * ABSURD + b"\x01"), packed=True)


@pytest.mark.parametrize(
    ("field", "token", "path"),
    [
        ("source_id", '""', "$.source_id"),
        ("source_id", json.dumps("x" * 129), "$.source_id"),
        ("correlation_id", '""', "$.correlation_id"),
        ("correlation_id", json.dumps("x" * 513), "$.correlation_id"),
        ("suffix", json.dumps("😀" * 129, ensure_ascii=False), "$.suffix"),
        ("suffix", "7", "$.suffix"),
        ("operation", json.dumps("x" * 257), "$.operation"),
        ("endpoint", json.dumps("x" * 2049), "$.endpoint"),
        ("direction", '"=>"', "$.direction"),
        ("direction", "null", "$.direction"),
        ("timestamp", "-1e-300", "$.timestamp"),
        ("timestamp", "1e400", "$.timestamp"),
        ("timestamp", "9" * 400, "$.timestamp"),
        ("timestamp", '"1"', "$.timestamp"),
        ("timestamp", "true", "$.timestamp"),
        ("timestamp", "NaN", None),
        ("hostname", "null", "$.hostname"),
        ("raw_line", "1", "$.raw_line"),
        ("data", "[1]", "$.data"),
        ("data", '"{}"', "$.data"),
        ("data", "-1.5", "$.data"),
        ("data", "false", "$.data"),
        ("data", '{"a":NaN}', None),
        ("data", '{"a":01}', None),
        ("data", '{"a":1,}', None),
        ("data", '{"a":"\n"}', None),
        ("data", '{"a":"\\ud800"}', None),
        ("data", '{"a":"\\x"}', None),
        ("data", '{"a":"\ud800"}', None),
        ("raw_line", '"\\udc00"', None),
        ("raw_line", '"\\ud800\\u0041"', None),
        ("zz", '"\ud800"', None),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_place(field: str, token: str, path: str | None) -> None:
    """A field over its bounds, of the wrong type or not JSON is a 400 that names the place where there is one."""
    with pytest.raises(BadRequest) as caught:
        decode_entry(json_with(field, token))
    assert caught.value.path == path


@pytest.mark.parametrize("field", [name for name in entry() if name != "data"])
def test_missing_fields_are_refused(field: str) -> None:
    """An entry without one of the required fields is a 400 that names the entry."""
    body = {"traces": [entry(), {name: value for name, value in entry().items() if name != field}]}
    with pytest.raises(BadRequest, match=field) as caught:
        decode_batch(msgspec.json.encode(body))
    assert caught.value.path == "$.traces[1]"


def test_the_bounds_themselves_are_taken() -> None:
    """Fields as long as they may be, counted in characters, and as short."""
    longest = entry(
        source_id="é" * 128, correlation_id="😀" * 512, suffix="😀" * 128, operation="x" * 256, endpoint="y" * 2048
    )
    shortest = entry(source_id="x", correlation_id="y", timestamp=0, suffix="", operation="", endpoint="")
    assert len(decode_batch(msgspec.json.encode({"traces": [longest, shortest]}))) == 2
    assert decode_batch(b'{"traces": []}') == []


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    "field", ["source_id", "correlation_id", "suffix", "operation", "endpoint", "hostname", "raw_line"]
)
def test_nul_is_refused_in_every_field(field: str, packed: bool) -> None:
    """A NUL in a field is a 400 that names it."""
    body = {"traces": [entry(), entry(**{field: "a\0b"})]}
    with pytest.raises(BadRequest, match="NUL") as caught:
        decode_batch((msgspec.msgpack if packed else msgspec.json).encode(body), packed=packed)
    assert caught.value.path == f"$.traces[1].{field}"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, math.nan]}, "$.data.a[1]"),
        ({"a": {"b": -math.inf}}, "$.data.a.b"),
        ({"a": b"bytes"}, "$.data.a"),
        ({"a": msgspec.msgpack.Ext(5, b"x")}, "$.data.a"),
        ({"a": datetime.now(UTC)}, "$.data.a"),
        ({1: 2}, "$.data"),
        ({"a": {1: 2}}, "$.data.a"),
        ({"a": {b"k": 2}}, "$.data.a"),
        ([1], "$.data"),
    ],
)
def test_what_json_lacks_is_refused_in_msgpack_data(value: Any, path: str) -> None:
    """NaN, bytes, extension types and keys that are no strings are a 400 that names the place."""
    with pytest.raises(BadRequest) as caught:
        decode_entry(packed_with("data", msgspec.msgpack.encode(value)), packed=True)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "value",
    [
        b"\x81\xa1a\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\x81\xa1a\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\x81\xa1a\x81\x81\x01\x01\x01",  # a map as a key
        b"\x81\xa1a\xa1\xff",  # not UTF-8
        b"\x81\xa1a\xa3\xed\xa0\x80",  # a surrogate
        b"\x81\xa1a\xc1",
        b"\xc0\xc0",
    ],
)
def test_broken_msgpack_is_refused(value: bytes) -> None:
    """Promises that the body does not keep, unhashable keys and broken text are a 400."""
    with pytest.raises(BadRequest):
        decode_entry(packed_with("data", value), packed=True)


def test_bad_utf8_is_refused_wherever_it_stands() -> None:
    """Text that is not UTF-8 is a 400 in a field, in data and in a field that nobody reads."""
    for field in ("endpoint", "data", "zz"):
        token = '{"a": "?"}' if field == "data" else '"?"'
        with pytest.raises(BadRequest, match="UTF-8"):
            decode_entry(json_with(field, token).replace(b"?", b"\xff"))


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xef\xbb\xbf{}", b'{"traces": {}}', b'{"traces": [1]}'])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    """A body of another shape is a 400."""
    with pytest.raises(BadRequest):
        decode_batch(body)


@given(st.binary(max_size=60), st.booleans())
def test_nothing_but_a_refusal_comes_of_noise(body: bytes, packed: bool) -> None:
    """Any bytes at all are entries or a refusal, never another error."""
    with contextlib.suppress(BadRequest):
        assert decode_batch(body, packed=packed) == []


def test_ten_thousand_entries_and_no_more() -> None:
    """A batch holds 10,000 entries; one more is too large."""
    sent = [entry()] * LIMITS.entries
    assert len(decode_batch(msgspec.json.encode({"traces": sent}))) == 10_000
    with pytest.raises(TooLarge, match="10,001"):
        decode_batch(msgspec.json.encode({"traces": [*sent, entry()]}))
