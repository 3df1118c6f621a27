"""`data` in msgpack to JSON text: what JSON lacks is refused, with its place.

Short `data` becomes objects and then text. Long `data` goes from bytes to text without objects in between: 16 MiB of
empty arrays would be a gigabyte of them, and would hold the event loop for a second.
"""

import math
import struct
from typing import Any, Final

import msgspec
from msgspec import Raw

from shared.errors import BadRequest, TooLarge

SHORT: Final = 16 * 1024  # bytes
MAX_VALUES: Final = 4_000_000  # in one `data`, keys counted

_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode
_NUMBERS: Final = {0xCA + number: struct.Struct(layout) for number, layout in enumerate(
    (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")
)}  # fmt: skip
_SIZED: Final = {first: (kind, struct.Struct(layout)) for first, kind, layout in (
    (0xD9, "str", ">B"), (0xDA, "str", ">H"), (0xDB, "str", ">I"),
    (0xDC, "array", ">H"), (0xDD, "array", ">I"), (0xDE, "object", ">H"), (0xDF, "object", ">I"),
)}  # fmt: skip
_WORDS: Final = {0xC0: b"null", 0xC2: b"false", 0xC3: b"true"}


def json_text(packed: Raw, path: str, depth: int) -> str:
    """An object as JSON, or nothing for nil; raises BadRequest with the place, TooLarge."""
    view = memoryview(packed)
    if (kind := _kind(view[0])) != "object":
        if kind == "null":
            return ""
        raise BadRequest(f"Expected `object | null`, got `{kind}`", path)
    if len(view) > SHORT:
        return _Walk(bytes(view), path, depth).text()
    try:
        value = _decode(view)
        _refuse_what_json_lacks(value, path)
    except RecursionError:
        raise BadRequest(f"More than {depth} levels of nesting", path) from None
    except (ValueError, TypeError) as error:  # a TypeError: of a key that cannot be one
        raise BadRequest(str(error).partition(" - at `")[0], path) from None
    return _encode(value).decode()


def _refuse_what_json_lacks(value: object, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadRequest(f"Expected `str` keys, got `{type(key).__name__}`", path)
            _refuse_what_json_lacks(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_what_json_lacks(item, f"{path}[{number}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadRequest(f"JSON has no number {value}", path)
    elif not isinstance(value, str | int | None):
        raise BadRequest(f"JSON has no type for `{type(value).__name__}`", path)


class _Walk:
    """One way through long `data`. That it is well-formed msgpack has been seen before; its depth is bounded here."""

    def __init__(self, packed: bytes, path: str, depth: int) -> None:
        self._packed = packed
        self._path = path
        self._depth = depth
        self._at = 0
        self._left = MAX_VALUES
        self._trail: list[str | int] = []  # keys and numbers that lead to the current value
        self._out = bytearray()

    def text(self) -> str:
        """The JSON text of it all."""
        self._value()
        return self._out.decode()

    def _value(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"`data` in msgpack holds at most {MAX_VALUES:,} values")
        first = self._packed[self._at]
        self._at += 1
        if first < 0x80 or first >= 0xE0:
            self._out += b"%d" % (first if first < 0x80 else first - 0x100)
        elif first in _WORDS:
            self._out += _WORDS[first]
        elif first in _NUMBERS:
            self._number(_NUMBERS[first])
        else:
            self._sized(*self._size(first))

    def _size(self, first: int) -> tuple[str, int]:
        """What begins with this byte, and its length."""
        if first < 0xC0:
            return _kind(first), first & (31 if first >= 0xA0 else 15)
        if first not in _SIZED:
            raise self._refused(f"JSON has no type for `{_kind(first)}`")
        kind, layout = _SIZED[first]
        return kind, int(self._unpacked(layout))

    def _sized(self, kind: str, size: int) -> None:
        if kind == "str":
            self._out += _encode(self._string(size))
            return
        if len(self._trail) >= self._depth:
            raise BadRequest(f"More than {self._depth} levels of nesting", self._path)
        is_object = kind == "object"
        self._out += b"{" if is_object else b"["
        self._trail.append("")
        for number in range(size):
            if number:
                self._out += b","
            self._trail[-1] = number
            if is_object:
                self._key()
            self._value()
        self._trail.pop()
        self._out += b"}" if is_object else b"]"

    def _key(self) -> None:
        self._left -= 1
        first = self._packed[self._at]
        self._at += 1
        kind, size = self._size(first) if _kind(first) == "str" else ("", 0)
        if not kind:
            self._trail.pop()
            raise self._refused(f"Expected `str` keys, got `{_kind(first)}`")
        key = self._string(size)
        self._trail[-1] = key
        self._out += _encode(key) + b":"

    def _number(self, layout: struct.Struct) -> None:
        number = self._unpacked(layout)
        if not math.isfinite(number):
            raise self._refused(f"JSON has no number {number}")
        self._out += _encode(number)

    def _string(self, size: int) -> str:
        start = self._at
        self._at += size
        try:
            return self._packed[start : self._at].decode()
        except UnicodeDecodeError:
            raise self._refused("Text that is not UTF-8") from None

    def _unpacked(self, layout: struct.Struct) -> int | float:
        (number,) = layout.unpack_from(self._packed, self._at)
        self._at += layout.size
        return number  # type: ignore[no-any-return]  # what the layout says

    def _refused(self, detail: str) -> BadRequest:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self._trail)
        return BadRequest(detail, self._path + "".join(steps))


def _kind(first: int) -> str:
    """What the first byte of a value says that it is, in the words of msgspec."""
    if first < 0x80 or first >= 0xE0 or 0xCC <= first <= 0xD3:
        return "int"
    if first < 0xC0:
        return "str" if first >= 0xA0 else "array" if first >= 0x90 else "object"
    if first in _SIZED:
        return _SIZED[first][0]
    named = {0xC0: "null", 0xC2: "bool", 0xC3: "bool", 0xC4: "bytes", 0xC5: "bytes", 0xC6: "bytes"}
    return named.get(first) or ("float" if first in (0xCA, 0xCB) else "ext")
