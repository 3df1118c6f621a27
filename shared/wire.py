"""The wire format: what a body may hold, and how it becomes entries and bytes.

Pure: no I/O, no clock, no state. Whatever passes `decode_batch` can be stored and shown as it is.
`data` is JSON text from the sender to the reader: checked here once, never built into objects.
"""

import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from shared.errors import BadRequest, TooLarge
from shared.json_text import is_deeper, one_line, refuse_bad_utf8
from shared.packed import json_text

SourceId = Annotated[str, Meta(min_length=1, max_length=128, description="Who recorded it, usually two letters")]
CorrelationId = Annotated[str, Meta(min_length=1, max_length=512, description="Shared by all entries of one request")]
Timestamp = Annotated[
    float, Meta(ge=0, le=sys.float_info.max, description="Unix time in milliseconds, fractions included")
]
Suffix = Annotated[str, Meta(max_length=128, description="Makes entries of one instant distinct")]
Direction = Annotated[Literal["->", "<-"], Meta(description="`->` entry, `<-` exit")]
Operation = Annotated[str, Meta(max_length=256, description="REST, WS, RPC, ...")]
Endpoint = Annotated[str, Meta(max_length=2048, description="Path or method")]

_ABSENT: Final = Raw(b"null")


class Limits(NamedTuple):
    """What a body may hold."""

    entries: int = 10_000  # in a batch
    depth: int = 64  # levels of nesting in `data`


LIMITS: Final = Limits()


class Entry(msgspec.Struct, gc=False):
    """One checkpoint. Unknown fields are ignored."""

    source_id: SourceId
    correlation_id: CorrelationId
    timestamp: Timestamp
    suffix: Suffix
    direction: Direction
    operation: Operation
    endpoint: Endpoint
    data: str = ""  # JSON text of an object, on one line; empty for none
    hostname: str = "unknown"
    raw_line: str | None = None


class Batch(msgspec.Struct, gc=False):
    """Entries that are stored together or not at all."""

    traces: Annotated[list[Entry], Meta(max_length=LIMITS.entries)]


class _JsonEntry(Entry, gc=False):
    data: Raw = _ABSENT  # type: ignore[assignment]


class _JsonBatch(msgspec.Struct, gc=False):
    traces: list[_JsonEntry]


class _MsgpackEntry(Entry, gc=False):
    data: Raw = _ABSENT  # type: ignore[assignment]


class _MsgpackBatch(msgspec.Struct, gc=False):
    traces: list[_MsgpackEntry]


_JSON_BATCH: Final = msgspec.json.Decoder(_JsonBatch)
_JSON_ENTRY: Final = msgspec.json.Decoder(_JsonEntry)
_MSGPACK_BATCH: Final = msgspec.msgpack.Decoder(_MsgpackBatch)
_MSGPACK_ENTRY: Final = msgspec.msgpack.Decoder(_MsgpackEntry)

encode: Final = msgspec.json.Encoder().encode


class StoredEntry(msgspec.Struct, gc=False):
    """One checkpoint as it is given back, `data` as the sender wrote it."""

    source_id: str
    correlation_id: str
    timestamp: float
    suffix: str
    direction: str
    operation: str
    endpoint: str
    data: Raw
    hostname: str
    raw_line: str | None


class NumberedEntry(StoredEntry, gc=False):
    """A stored entry with its row id, which is the commit order."""

    id: int


def decode_batch(body: bytes, *, packed: bool = False, limits: Limits = LIMITS) -> list[Entry]:
    """The entries of a `{"traces": [...]}` body, in JSON or (`packed`) msgpack.

    Raises BadRequest with the place of the first fault, TooLarge for too many entries.
    """
    decoder: Any = _MSGPACK_BATCH if packed else _JSON_BATCH
    entries: list[Entry] = decode(decoder, body, packed).traces
    if len(entries) > limits.entries:
        raise TooLarge(f"A batch holds at most {limits.entries:,} entries, this one has {len(entries):,}")
    _check(entries, body, packed, limits.depth, "$.traces[{}]".format)
    return entries


def decode_entry(body: bytes, *, packed: bool = False, limits: Limits = LIMITS) -> list[Entry]:
    """The one entry of a `POST /ingest/single` body, as a batch of one; raises as `decode_batch` does."""
    entries: list[Entry] = [decode(_MSGPACK_ENTRY if packed else _JSON_ENTRY, body, packed)]
    _check(entries, body, packed, limits.depth, "$".format)
    return entries


def decode(decoder: Any, body: bytes, packed: bool = False) -> Any:
    """What a decoder of msgspec makes of a body; raises BadRequest with the place of the first fault."""
    try:
        if not packed:
            refuse_bad_utf8(body)  # msgspec leaves what it skips, `data` and unknown fields, unchecked
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message = str(error).replace(" - at `key` in `", " as a key - at `")
        detail, _, path = message.rpartition(" - at `")
        if detail.startswith("Invalid enum value"):  # there is one: the direction
            detail += ", expected `->` or `<-`"
        raise BadRequest(detail or path, path.rstrip("`") if detail else "$") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply") from None
    except ValueError as error:  # malformed; a UnicodeDecodeError is one as well
        if str(error) == "Input data was truncated":  # what msgspec says of these as well
            early = "The body ends too early" if packed else "JSON ends too early, or in half a surrogate pair"
            raise BadRequest(early if body.strip() else "The body is empty") from None
        if body.startswith(BOM_UTF8) and not packed:  # nobody sees it
            raise BadRequest("The body begins with a byte order mark: JSON is sent without one") from None
        raise BadRequest(str(error)) from None


def _check(entries: list[Entry], body: bytes, packed: bool, depth: int, place: Callable[[int], str]) -> None:
    """What the types do not say: the shape of `data`, and no NUL in any field."""
    if packed:
        _pack_data_as_json(entries, depth, place)
    else:
        _take_data_as_it_is(entries, body, depth, place)
    if packed or (b"\\" in body and b"\\u0000" in body):  # a single byte is found ten times as fast
        for number, entry in enumerate(entries):
            _refuse_nul(entry, place(number))


def _take_data_as_it_is(entries: list[Entry], body: bytes, depth: int, place: Callable[[int], str]) -> None:
    line_breaks = b"\n" in body or b"\r" in body
    objects, may_be_deep = 0, False
    for number, entry in enumerate(entries):
        raw: Raw = entry.data  # type: ignore[assignment]
        if raw is _ABSENT:
            entry.data = ""
            continue
        text = str(raw, "utf-8")
        if text[0] == "{":
            objects += 1
        elif text == "null":
            text = ""
        else:
            raise BadRequest(f"Expected `object | null`, got `{_kind(text)}`", f"{place(number)}.data")
        if len(text) > 2 * depth:  # room for so many brackets and their counterparts
            may_be_deep = True
        entry.data = one_line(text) if line_breaks else text
    # Brackets beyond one for each entry and each `data` are all that can nest within one.
    if may_be_deep and body.count(b"{") + body.count(b"[") - len(entries) - objects >= depth:
        for number, entry in enumerate(entries):
            _refuse_depth(entry.data, depth, f"{place(number)}.data")


def _refuse_depth(text: str, depth: int, path: str) -> None:
    if is_deeper(text, depth):
        raise BadRequest(f"More than {depth} levels of nesting", path)


def _kind(text: str) -> str:
    """What msgspec calls the type of a JSON value."""
    return {"[": "array", '"': "str", "t": "bool", "f": "bool"}.get(text[0]) or (
        "float" if set(text) & set(".eE") else "int"
    )


def _pack_data_as_json(entries: list[Entry], depth: int, place: Callable[[int], str]) -> None:
    for number, entry in enumerate(entries):
        raw: Raw = entry.data  # type: ignore[assignment]
        if raw is _ABSENT:
            entry.data = ""
            continue
        path = f"{place(number)}.data"
        entry.data = json_text(raw, path, depth)
        _refuse_depth(entry.data, depth, path)


def _refuse_nul(entry: Entry, path: str) -> None:
    for field in ("source_id", "correlation_id", "suffix", "operation", "endpoint", "hostname", "raw_line"):
        text: str | None = getattr(entry, field)
        if text and "\0" in text:
            raise BadRequest("A NUL character cannot be stored", f"{path}.{field}")


def stored_data(text: str) -> Raw:
    """`data` for an answer from its stored text."""
    return Raw(text) if text else _ABSENT
