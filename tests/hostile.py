"""Bodies that mean harm, or no sense: what to send, and what the contract answers."""

import gzip
import itertools
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from conftest import entry
from test_inflate import PACK, gzip_bomb

MIB = 2**20
BODY_LIMIT = 16 * MIB
JSON, MSGPACK = "application/json", "application/msgpack"
ENCODINGS = {JSON: msgspec.json.encode, MSGPACK: msgspec.msgpack.encode}


class Hostile(NamedTuple):
    """One body; it is made when it is wanted."""

    name: str
    body: Callable[[], bytes]
    status: int
    path: str | None = None  # that the answer names
    kind: str = JSON
    encoding: str = ""
    is_long: bool = False  # costs much, and others of its kind are there


CORPUS = Path(__file__).parent / "corpus"
MALFORMED: list[str] = json.loads((CORPUS / "malformed.json").read_text())  # after the n_ cases of JSONTestSuite
WELL_FORMED: list[str] = json.loads((CORPUS / "well-formed.json").read_text())  # after its y_ cases, and odd numbers

VALUES = [None, True, False, 0, -1, 1.5, "", "x", [], [1], {}, {"a": 1}]
TEXTS = {"source_id": 128, "correlation_id": 512, "suffix": 128, "operation": 256, "endpoint": 2048}
NOT_UTF8 = [b"\xff", b"\xc3", b"\xc3(", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"]


def batch(*rows: dict[str, Any]) -> bytes:
    """A JSON body."""
    return msgspec.json.encode({"traces": rows})


def with_data(data: bytes, **fields: Any) -> bytes:
    """A JSON body with one good entry, then one whose `data` is these bytes."""
    bad = msgspec.json.encode(entry(**fields))[:-1] + b',"data":' + data + b"}"
    return b'{"traces":[' + msgspec.json.encode(entry()) + b"," + bad + b"]}"


def packed_with(data: bytes) -> bytes:
    """A msgpack body with one entry whose `data` is these bytes."""
    row = msgspec.msgpack.encode(entry())
    return b"\x81\xa6traces\x91" + bytes([row[0] + 1]) + row[1:] + b"\xa4data" + data


def allowed(field: str, value: Any) -> bool:
    """Whether the contract lets a field hold the value."""
    if field == "timestamp":
        return type(value) in (int, float) and value >= 0
    if field in ("data", "raw_line") and value is None:
        return True
    if field == "data":
        return isinstance(value, dict)
    if field == "direction":
        return False
    return isinstance(value, str) and (value != "" or field not in ("source_id", "correlation_id"))


def wrong_types() -> Iterator[Hostile]:
    """Every type in every field, in both encodings, for the batch and for what holds it."""
    for field, value, (kind, encode) in itertools.product(
        (*TEXTS, "timestamp", "direction", "data", "hostname", "raw_line"), VALUES, ENCODINGS.items()
    ):
        good = allowed(field, value)
        row = entry()
        row[field] = value
        body = encode({"traces": [entry(), row]})
        name = f"{field} is {value!r} in {kind}"
        yield Hostile(
            name, lambda body=body: body, 200 if good else 400, None if good else f"$.traces[1].{field}", kind
        )
    for value in VALUES:
        for rows, path in ((value, "$"), ({"traces": value}, "$.traces"), ({"traces": [value]}, "$.traces[0]")):
            if rows != {"traces": []}:
                for kind, encode in ((JSON, msgspec.json.encode), (MSGPACK, msgspec.msgpack.encode)):
                    told = path if not (isinstance(value, dict) and path != "$.traces") else None
                    yield Hostile(f"{rows!r} in {kind}", lambda r=rows, e=encode: e(r), 400, told, kind)
    for field in (*TEXTS, "timestamp", "direction"):
        row = entry()
        del row[field]
        yield Hostile(f"no {field}", lambda row=row: batch(entry(), row), 400, "$.traces[1]")


def texts() -> Iterator[Hostile]:
    """What is no JSON, by itself and as `data`; what is JSON; what is no UTF-8; characters that nothing carries."""
    for text in MALFORMED:
        whole = text.encode("utf-8", "surrogatepass")
        yield Hostile(f"{text!r} as a body", lambda whole=whole: whole, 400)
        yield Hostile(f"{text!r} as data", lambda whole=whole: with_data(b'{"a":' + whole + b"}"), 400)
    for text in WELL_FORMED:
        yield Hostile(f"{text[:40]!r} as data", lambda text=text: with_data(text.encode()), 200)
    for bad in NOT_UTF8:
        for place in (b'{"a":"%b"}', b'{"%b":0}', b'{"a":[{"b":"x%b"}]}'):
            data = place.replace(b"%b", bad)
            yield Hostile(f"{data!r} as data", lambda data=data: with_data(data), 400)
        body = batch(entry(endpoint="HERE")).replace(b"HERE", bad)
        yield Hostile(f"{bad!r} in a field", lambda body=body: body, 400)
        yield Hostile(f"{bad!r} unread", lambda bad=bad: b'{"traces":[],"x":"' + bad + b'"}', 400)
    for field in TEXTS:
        yield Hostile(
            f"NUL in {field}", lambda field=field: batch(entry(), entry(**{field: "a\0"})), 400, f"$.traces[1].{field}"
        )
        body = batch(entry(**{field: "HERE"})).replace(b"HERE", b"\\ud800")
        yield Hostile(f"a lone surrogate in {field}", lambda body=body: body, 400)


def numbers() -> Iterator[Hostile]:
    """Timestamps at and beyond every edge."""
    edges = ["0", "-0", "-0.0", "1e-400", *map(str, (2**53 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64)), "1e308"]
    beyond = ["1e309", "-1", "-1e-300", "NaN", "Infinity", "9" * 400, "1" * 5_000]
    for text in edges + beyond:
        good = text in edges
        body = batch(entry(timestamp=424242)).replace(b"424242", text.encode())
        yield Hostile(f"timestamp {text[:20]}", lambda body=body: body, 200 if good else 400)
    for number in (float("nan"), float("inf"), float("-inf"), -1.0, -5):
        body = msgspec.msgpack.encode({"traces": [entry(timestamp=number)]})
        yield Hostile(f"packed timestamp {number}", lambda body=body: body, 400, "$.traces[0].timestamp", MSGPACK)
    for number in (2**53, 2**63 - 1, 2**63, 2**64 - 1):
        body = msgspec.msgpack.encode({"traces": [entry(timestamp=number, data={"a": number})]})
        yield Hostile(f"packed number {number}", lambda body=body: body, 200, None, MSGPACK)


def sizes() -> Iterator[Hostile]:
    """Long texts, many keys, many entries."""
    for field, most in TEXTS.items():
        for length, good in ((most, True), (most + 1, False), (10 * MIB, False)):
            is_long = length == 10 * MIB and field != "endpoint"
            path = None if good else f"$.traces[0].{field}"
            body = lambda field=field, n=length: batch(entry(**{field: "\u00e9" * (n // 3) + "x" * (n - n // 3)}))  # noqa: E731
            yield Hostile(f"{length} characters of {field}", body, 200 if good else 400, path, is_long=is_long)
    for name, text, status in (
        ("10 MiB", b"x" * 10 * MIB, 200),
        ("10 MiB and a wide character", b"x" * 10 * MIB + "\U0001f600".encode(), 200),
        ("more than a body holds", b"x" * BODY_LIMIT, 413),
    ):
        yield Hostile(f"data of {name}", lambda text=text: with_data(b'{"a":"' + text + b'"}'), status)
    for number in range(1, 10):
        rows = [*(entry() for _ in range(number)), entry(data={"a": "x" * 10 * MIB})]
        yield Hostile(f"{number} entries and a long one", lambda rows=rows: batch(*rows), 200, is_long=number != 5)
    yield Hostile("10,001 entries", lambda: batch(*(entry() for _ in range(10_001))), 413)
    short = batch(entry(source_id="a", correlation_id="a", operation="", endpoint=""))[11:-2]
    yield Hostile("very many entries", lambda: b'{"traces":[' + b",".join([short] * 110_000) + b"]}", 413)
    keys = b",".join(b'"k%d":0' % number for number in range(1_000_000))
    yield Hostile("a million keys", lambda: with_data(b"{" + keys + b"}"), 200)
    yield Hostile("a million unknown fields", lambda: b"{" + keys + b',"traces":[]}', 200, is_long=True)
    packed = struct.pack(">BI", 0xDF, 1_000_000) + b"".join(b"\xa7%07d\x00" % number for number in range(1_000_000))
    yield Hostile("a million packed keys", lambda: packed_with(packed), 200, None, MSGPACK)
    many = b"\x81\xa1a\xdd" + struct.pack(">I", 15 * MIB) + b"\x90" * 15 * MIB
    yield Hostile("15 million packed arrays", lambda: packed_with(many), 413, None, MSGPACK)


def depths() -> Iterator[Hostile]:
    """Deep nesting, and what looks like it."""
    for levels in (64, 65, 1_000, 10_000, 100_000):
        status, path = (200, None) if levels == 64 else (400, "$.traces[1].data" if levels == 65 else None)
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            data = b'{"a":' + opened * (levels - 1) + b"0" + closed * (levels - 1) + b"}"
            yield Hostile(f"{levels} levels of {opened!r}", lambda data=data: with_data(data), status, path)
        packed = b"\x81\xa1a" + b"\x91" * (levels - 1) + b"\x00"
        yield Hostile(f"{levels} packed levels", lambda packed=packed: packed_with(packed), status, None, MSGPACK)
    for opened in (b"[", b'{"a":', b'{"traces":['):
        yield Hostile(f"100,000 times {opened!r}", lambda opened=opened: opened * 100_000, 400)
    for name, begin, unit in (
        ("strings and brackets", b'{"a":[', b'"[",'), ("arrays", b'{"a":[', b"[],"), ("line breaks", b'{"a":[', b"\n"),
        ("sixty levels", b'{"a":[', b"[" * 60 + b"]" * 60 + b","), ("errors", b'{"error":[', b"[],"),
    ):  # fmt: skip
        data = begin + unit * (15 * MIB // len(unit)) + b"0]}"
        is_long = name not in ("strings and brackets", "sixty levels")
        yield Hostile(f"15 MiB of {name}", lambda data=data: with_data(data), 200, is_long=is_long)


def promises() -> Iterator[Hostile]:
    """msgpack that announces more than it holds, or what JSON has no word for."""
    huge = b"\xff\xff\xff\xff"
    for first in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF):
        head = bytes([first]) + huge
        for name, body in (
            ("a body", head), ("traces", b"\x81\xa6traces" + head), ("an entry", b"\x81\xa6traces\x91" + head),
            ("a source", b"\x81\xa6traces\x91\x81\xa9source_id" + head), ("data", packed_with(head)),
            ("a value", packed_with(b"\x81\xa1a" + head)), ("an unknown field", b"\x82\xa6traces\x90\xa1x" + head),
        ):  # fmt: skip
            yield Hostile(f"{first:x} promises 2**32 - 1 for {name}", lambda body=body: body, 400, None, MSGPACK)
    whole = msgspec.msgpack.encode({"traces": [entry(data={"a": [1, 2.5, "x", None]})]})
    for length in range(len(whole)):
        is_long = length % 8 != 0
        yield Hostile(f"packed, cut at {length}", lambda n=length: whole[:n], 400, None, MSGPACK, is_long=is_long)
    yield Hostile("packed, with a byte too many", lambda: whole + b"\x00", 400, None, MSGPACK)
    yield Hostile("packed, with a byte that is none", lambda: b"\xc1", 400, None, MSGPACK)
    for name, data in (
        ("bytes", b"\xc4\x01x"),
        ("an extension", b"\xd4\x05x"),
        ("an instant", b"\xd6\xff" + bytes(4)),
        ("NaN", struct.pack(">Bd", 0xCB, float("nan"))),
        ("infinity", struct.pack(">Bf", 0xCA, float("inf"))),
        ("a number as a key", b"\x81\x01\x02"),
        ("an array as a key", b"\x81\x91\x01\x02"),
        ("null as a key", b"\x81\xc0\x02"),
        ("no UTF-8", b"\xa1\xff"),
        ("no UTF-8 as a key", b"\x81\xa1\xff\x00"),
    ):
        yield Hostile(
            f"packed {name}", lambda data=data: packed_with(b"\x81\xa1a" + data), 400, "$.traces[0].data", MSGPACK
        )


def compressed() -> Iterator[Hostile]:
    """Bodies that become more than they are, or nothing at all."""
    for encoding in PACK:
        for name, body, status in _compressed(PACK[encoding], batch(entry())):
            yield Hostile(f"{encoding}: {name}", body, status, None, JSON, encoding)
    gzipped = gzip.compress(b"", mtime=0)
    yield Hostile("a million empty members of gzip", lambda: gzipped * 1_000_000, 413, None, JSON, "gzip")
    for size in (100, 1_024, 10_240):
        is_long = size == 1_024
        yield Hostile(f"gzip of {size} MiB", lambda n=size: gzip_bomb(n), 413, None, JSON, "gzip", is_long)
        yield Hostile(f"zstd of {size} MiB", lambda n=size: zstd_bomb(n), 413, None, JSON, "zstd", is_long)
    for encoding in ("deflate", "br", "gzip, gzip", "\u00e9"):
        yield Hostile(f"{encoding!r}", lambda: batch(entry()), 415, None, JSON, encoding)


def _compressed(pack: Callable[[bytes], bytes], good: bytes) -> Iterator[tuple[str, Callable[[], bytes], int]]:
    body, empty = pack(good), pack(b"")
    for length in (0, 1, 5, len(body) // 2, len(body) - 1):
        yield f"cut at {length}", lambda length=length: body[:length], 400
    yield "twice", lambda: pack(body), 400
    yield "not at all", lambda: good, 400
    yield "and then noise", lambda: body + b"noise", 400
    yield "of nothing", lambda: empty, 400
    yield "as much as may be", lambda: pack(good + b" " * (BODY_LIMIT - len(good))), 200
    yield "one more", lambda: pack(good + b" " * (BODY_LIMIT - len(good) + 1)), 413
    most = min(1_000_000, (BODY_LIMIT - len(body)) // len(empty))
    yield f"{most:,} empty members", lambda: empty * most + body, 400


def zstd_bomb(size: int) -> bytes:
    """One zstd frame of so many megabytes of zeros, four bytes for each 128 KiB."""
    block = (1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b"\0"
    last = (1 | 1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x70" + block * (size * 8 - 1) + last


def corpus(*, whole: bool) -> Iterator[Hostile]:
    """All bodies, or all but the long ones."""
    groups = (wrong_types(), texts(), numbers(), sizes(), depths(), promises(), compressed())
    return (case for case in itertools.chain(*groups) if whole or not case.is_long)
