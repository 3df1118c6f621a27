"""From what a caller hands over to the JSON that leaves: golden bodies, redaction, values that JSON cannot carry."""

from __future__ import annotations

import json
import math
from array import array
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from ctypes import c_short
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracehub import trouble
from tracehub.client import TraceEntry, create_trace_entry
from tracehub.encoding import Encoder
from tracehub.entry import freeze, this_host
from tracehub.redaction import Redaction

GOLDEN = Path(__file__).parent / "golden" / "client"
KEY = {"source_id": "MA", "correlation_id": "req-12345", "timestamp": 1706803200123.0, "suffix": "x7K2p"}
ODD_VALUES = {
    "nan": math.nan,
    "inf": -math.inf,
    "when": datetime(2026, 11, 22, 20, 0, tzinfo=UTC),
    "price": Decimal("1.10"),
    "bytes": b"\xff\x00abc",
    "tuple": (1, (2,)),
    5: "number key",
    None: "none key",
    "big": 2**70,
    "error": ValueError("no"),
}
CALL = {"direction": "->", "operation": "REST", "endpoint": "/api/agents", "hostname": "web-1"}


@pytest.fixture(autouse=True)
def _say_all_anew() -> None:
    trouble.forget()


def body(*entries: TraceEntry, encoder: Encoder | None = None) -> str:
    """The body of a batch, as the sender puts it together."""
    encoder = encoder or Encoder(Redaction())
    texts = (encoder.encode(freeze(tuple(entry.to_dict().values()))) for entry in entries)
    return f'{{"traces":[{",".join(text for text in texts if text is not None)}]}}'


def sent(**changes: Any) -> dict[str, Any]:
    return json.loads(body(TraceEntry(**{**KEY, **CALL, **changes})))["traces"][0]


def entries_of(name: str) -> list[TraceEntry]:
    """What each golden body was made of."""
    plain = TraceEntry(**KEY, **CALL)
    made = {
        "minimal": [plain],
        "pair": [
            TraceEntry(**KEY, **CALL, data={"id": "123"}),
            replace(plain, timestamp=1706803200124.4375, suffix="x7K2q", direction="<-", data={"status": "ok"}),
        ],
        "full": [replace(plain, data={"b": 1, "a": {"z": [1, 2.5, None, True], "y": {}}}, raw_line="the line")],
        "empty-data": [replace(plain, data={})],
        "unicode": [replace(plain, correlation_id="заказ/1 %2F?#🦊", data={"größe": '\u2028\t"\\ é 🦊'})],
        "repaired": [
            replace(plain, raw_line="\0", data={"lone": "\ud800x", "nul": "a\0b", "pair": "\ud83e\udd8a", "k\0": 1})
        ],
        "limits": [
            TraceEntry("s" * 200, "c" * 600, 1.0, "x" * 200, "->", "o" * 300, "/" + "ä" * 3000, hostname="web-1")
        ],
        "redacted": [
            replace(plain, data={"Authorization": "Bearer x", "user": {"password": "p", "list": [{"api_key": 1}]}})
        ],
        "odd-values": [replace(plain, data=ODD_VALUES)],
        "many": [replace(plain, timestamp=plain.timestamp + n, suffix=f"{n:05}", data={"n": n}) for n in range(25)],
    }
    return made[name]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_client_writes_the_golden_bodies(path: Path) -> None:
    """What the client sends is byte for byte what the server's tests read."""
    assert body(*entries_of(path.stem)).encode() == path.read_bytes()


def test_every_field_keeps_its_rules() -> None:
    """Fields are cut to the contract's lengths rather than lost, missing ones get what the contract gives them."""
    entry = json.loads(body(*entries_of("limits")))["traces"][0]
    lengths = {name: len(entry[name]) for name in ("source_id", "correlation_id", "suffix", "operation", "endpoint")}
    assert lengths == {"source_id": 128, "correlation_id": 512, "suffix": 128, "operation": 256, "endpoint": 2048}
    assert sent(source_id="")["source_id"] == "unknown"
    assert len(sent(correlation_id="")["correlation_id"]) == 32
    assert sent(hostname="")["hostname"] == "unknown"
    assert sent(endpoint=None, operation=7, suffix="")["endpoint"] == ""
    assert "data" not in sent()
    assert "raw_line" not in sent()


@dataclass
class Point:
    x: int = 1


class Label(c_short):
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"label {self.value}"


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Torn(dict):
    def items(self) -> Any:
        raise RuntimeError("no")


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("NaN"), "NaN"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/tmp"), "/tmp"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Text("text"), "text"),
        (bytearray(b"abc"), "abc"),
        ({1}, [1]),
        (Pair(1, 2), [1, 2]),
        (Point(), "Point(x=1)"),
        (Broken(), "<Broken: cannot be shown>"),
        (Torn(a=1), "<Torn: cannot be shown>"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(int, a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (KeyError("k"), "KeyError: 'k'"),
        (1 + 2j, "(1+2j)"),
        (10**5000, hex(10**5000)[:4096]),
        (memoryview(b"x"), "x"),
        (array("i", [7]), "array('i', [7])"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_cannot_carry_become_text(value: Any, told: Any) -> None:
    """No type of value makes an entry fail, alone or nested, beside plain ones."""
    assert sent(data={"value": value, "plain": 1})["data"] == {"value": told, "plain": 1}
    assert sent(data={"in": [{"it": value}]})["data"] == {"in": [{"it": told}]}


def test_what_offers_its_bytes_is_no_bytes() -> None:
    """What has a buffer, as numpy's numbers and labels have, is told by its own text, as a value and as a key."""
    number, label = c_short(7), Label(7)
    assert sent(data={"n": number})["data"] == {"n": "c_short(7)"}
    assert sent(data={"in": [1.5, ({"n": number}, "x")]})["data"] == {"in": [1.5, [{"n": "c_short(7)"}, "x"]]}
    assert sent(data={label: 1})["data"] == {"label 7": 1}
    assert sent(data={"in": {label: 1}})["data"] == {"in": {"label 7": 1}}


def test_what_can_be_read_only_once_is_left_to_the_host() -> None:
    """Generators, rows and files keep what they hold, also where they stand in the place of the whole data."""
    for once in (map(str, range(3)), iter([(1,), (2,)]), StringIO("a\nb\n")):
        assert "object at" in sent(data=once)["data"]["value"]
        assert "object at" in sent(data={"in": [once]})["data"]["in"][0]
        assert len(list(once)) >= 2
    assert sent(data=["a", 1])["data"] == {"value": ["a", 1]}


class Meddling:
    """Changes what holds it while somebody asks for its text."""

    def __init__(self, change: Callable[[], object]) -> None:
        self.change = change

    def __str__(self) -> str:
        self.change()
        return "text"


def test_what_changes_while_it_is_looked_at_is_told_as_it_was() -> None:
    """As another thread of the host may change it: nothing of it is lost."""
    mapping: dict[str, Any] = {}
    mapping["it"] = Meddling(lambda: mapping.update(more=1))
    waiting: deque[Any] = deque()
    waiting.append(Meddling(lambda: waiting.append(1)))
    members: set[Any] = set()
    members.add(Meddling(lambda: members.add(1)))
    data = {"mapping": mapping, "waiting": waiting, "members": members}
    assert sent(data=data)["data"] == {"mapping": {"it": "text"}, "waiting": ["text"], "members": ["text"]}


def test_cycles_depth_and_multiplied_references_end() -> None:
    """Data that never ends is cut, quickly, and nothing the server would refuse as too deep is sent."""
    cycle: dict[str, Any] = {"n": 1}
    cycle["self"] = [cycle, cycle]
    assert sent(data=cycle)["data"]["self"] == ["<cycle>", "<cycle>"]
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"in": deep}
    text = body(TraceEntry(**KEY, **CALL, data=deep))
    assert text.count("{") < 64
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]
    assert len(body(TraceEntry(**KEY, **CALL, data={"shared": shared}))) < 5_000_000


@pytest.mark.parametrize("timestamp", [math.nan, math.inf, -1.0, "soon", None, 10**400])
def test_a_timestamp_that_is_none_becomes_now(timestamp: Any) -> None:
    """A broken clock reading does not lose the entry."""
    from tracehub.entry import valid_time

    assert 1.7e12 < valid_time(timestamp) < 1e14


def test_a_direction_that_is_none_drops_the_entry_here() -> None:
    """The server would refuse the whole batch for it."""
    assert body(TraceEntry(**KEY, **{**CALL, "direction": "in"})) == '{"traces":[]}'


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
    )
)
def test_any_data_becomes_json_that_a_strict_reader_takes(data: dict[str, Any]) -> None:
    """Whatever the data, the body is UTF-8, without NUL and NaN, and the same again after a second reading."""
    text = body(TraceEntry(**KEY, **CALL, data=data))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    read = json.loads(text.encode(), parse_constant=refuse)
    assert "\0" not in str(read)
    assert len(read["traces"]) == 1


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "user-password", "api_key", "X-Api-Key", "apiKey", "Authorization", "Set-Cookie",
     "access_token", "client_secret", "db_passwd", "private key", "aws_credentials", "sessionId"],
)  # fmt: skip
def test_keys_that_look_like_secrets_are_masked(key: str) -> None:
    """At any depth and whatever the value, lists and objects included."""
    assert sent(data={key: "x"})["data"] == {key: "***"}
    assert sent(data={"a": [{key: {"b": 1}}]})["data"] == {"a": [{key: "***"}]}


def test_long_keys_are_not_kept_in_memory() -> None:
    """Who sends a service bodies with ever new keys of a megabyte fills no memory by way of its checkpoints."""
    redaction = Redaction()
    for number in range(50):
        assert not redaction.is_secret(f"{number} {'x' * 10_000}")
        assert redaction.is_secret(f"{number} {'x' * 10_000} password")
    assert sum(map(len, map(str, redaction._harmless))) < 10_000


def test_words_can_be_added_and_taken_away() -> None:
    """TRACEHUB_REDACT and `redact` change which keys are masked."""
    data = {"pin": 1, "token_count": 7, "password": "x"}

    def masked(*words: str) -> list[str]:
        text = body(TraceEntry(**KEY, **CALL, data=data), encoder=Encoder(Redaction(words)))
        return [key for key, value in json.loads(text)["traces"][0]["data"].items() if value == "***"]

    assert masked() == ["token_count", "password"]
    assert masked("PIN", "-token") == ["pin", "password"]
    assert masked("-*") == []
    assert masked("-*", "pin") == ["pin"]


def test_before_send_sees_what_is_redacted_and_may_change_or_drop_it() -> None:
    """The hook has the last word; when it raises, the entry is dropped, for it may hold what was to be taken out."""

    def hook(entry: dict[str, Any]) -> dict[str, Any] | None:
        assert entry["data"]["password"] == "***"
        if entry["suffix"] == "drop":
            return None
        if entry["suffix"] == "raise":
            raise RuntimeError("no")
        return {**entry, "endpoint": "/changed", "data": {"when": date(2026, 1, 2)}}

    encoder = Encoder(Redaction(), hook)
    made = [
        TraceEntry(**{**KEY, "suffix": suffix}, **CALL, data={"password": "x"}) for suffix in ("drop", "raise", "keep")
    ]
    traces = json.loads(body(*made, encoder=encoder))["traces"]
    assert [(trace["suffix"], trace["endpoint"], trace["data"]) for trace in traces] == [
        ("keep", "/changed", {"when": "2026-01-02"})
    ]


def test_create_trace_entry_takes_the_fields_of_the_earlier_release() -> None:
    """Positionally as well, on this host, and to_dict has every field."""
    entry = create_trace_entry("MA", "id", 1.5, "s", "->", "REST", "/x", {"a": 1}, "raw")
    assert entry.to_dict() == {
        "source_id": "MA", "correlation_id": "id", "timestamp": 1.5, "suffix": "s", "direction": "->",
        "operation": "REST", "endpoint": "/x", "data": {"a": 1}, "hostname": this_host(), "raw_line": "raw",
    }  # fmt: skip


if __name__ == "__main__":  # writes the golden bodies anew: python tests/test_client_entries.py
    for path in GOLDEN.glob("*.json"):
        path.write_bytes(body(*entries_of(path.stem)).encode())
