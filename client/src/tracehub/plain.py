"""Any value -> what JSON can carry. Never raises, always ends: cycles, depth and size are all bounded.

Dates, decimals, bytes, sets, exceptions and objects of any class become text or lists; NaN and the infinities become
text, because a server must refuse them.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from typing import Any, Callable

MASK = "***"
MAX_DEPTH = 56  # levels below `data`; the server refuses bodies nested deeper than 64
MAX_NODES = 100_000  # values in one entry: shared references would otherwise multiply without end
MAX_TEXT = 4096  # characters of an object's own text

_SEQUENCES = (list, tuple, set, frozenset, deque)
_KEY = re.compile(r"""(?<![\w-])([A-Za-z_][\w-]*)['"]?(?:=|: ?)""")
_VALUE = re.compile(r"""\w*[(\[{].*|b?'(?:[^'\\]|\\.)*'?|b?"(?:[^"\\]|\\.)*"?|[^,;&)\]}>\n]*""", re.DOTALL)


def plain(value: Any, is_secret: Callable[[str], bool] | None = None, repair_text: bool = False) -> Any:
    """`value` in dicts, lists, str, int, float, bool and None, masked where `is_secret` says so of a key.

    With `repair_text`, lone surrogates, NUL characters and integers too long to print are replaced as well.
    """
    return _Walk(is_secret, repair_text).visit(value)


class _Walk:
    def __init__(self, is_secret: Callable[[str], bool] | None, repair_text: bool) -> None:
        self._is_secret = is_secret
        self._repair_text = repair_text
        self._left = MAX_NODES
        self._path: set[int] = set()

    def visit(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return repaired(value) if self._repair_text else value
        if kind is bool or value is None:
            return value
        if kind is int:
            return _printable(value) if self._repair_text else value
        if kind is float:
            return value if math.isfinite(value) else _not_finite(value)
        try:
            if isinstance(value, Mapping):
                return self._inside(value, self._mapping)
            if isinstance(value, _SEQUENCES):
                return self._inside(value, self._sequence)
            simpler = _simpler(value)
            if type(simpler) is str and not isinstance(value, str) and self._is_secret is not None:
                return _masked(simpler, self._is_secret)
            return self.visit(simpler)
        except Exception:
            return _unshown(value)

    def _inside(self, value: Any, visit: Callable[[Any], Any]) -> Any:
        if id(value) in self._path:
            return "<cycle>"
        if len(self._path) >= MAX_DEPTH:
            return "<too deep>"
        self._left -= len(value)
        if self._left < 0:
            return "<too large>"
        self._path.add(id(value))
        try:
            return visit(value)
        finally:
            self._path.discard(id(value))

    def _mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        is_secret = self._is_secret
        result = {}
        for key, item in list(value.items()):  # of one moment: other threads may change it
            name = key if type(key) is str else _name(key)
            if self._repair_text:
                name = repaired(name)
            result[name] = MASK if is_secret is not None and is_secret(name) else self.visit(item)
        return result

    def _sequence(self, value: Any) -> list[Any]:
        return [self.visit(item) for item in list(value)]


def repaired(text: str) -> str:
    """`text` without what no database or browser can carry: paired surrogates joined, lone ones and NUL replaced."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\0", "\ufffd")


def error_text(error: BaseException) -> str:
    """`TypeName: text` of an exception, whatever its own text does."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"[:MAX_TEXT].removesuffix(": ")
    except Exception:
        return f"{name}: cannot be shown"


def _simpler(value: Any) -> Any:
    """`value` one step closer to plain: an exact str, number, or a text that describes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[:MAX_TEXT]).decode("utf-8", "replace")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, BaseException):
        return error_text(value)
    return str.__str__(str(value))[:MAX_TEXT]


def _masked(text: str, is_secret: Callable[[str], bool]) -> str:
    """The text of an object without what stands behind a secret key: `User(name='x', password=***)`.

    Of what has brackets of its own nobody can tell where it ends: it takes the rest with it.
    """
    kept, end = [], 0
    for key in _KEY.finditer(text):
        if key.start() >= end and is_secret(key[1]):
            kept += [text[end : key.end()], MASK]
            end = _VALUE.match(text, key.end()).end()  # type: ignore[union-attr]  # it matches nothing, too
    return "".join([*kept, text[end:]])


def _name(key: Any) -> str:
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    try:
        return str.__str__(str(_simpler(key)))
    except Exception:
        return _unshown(key)


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _printable(value: int) -> Any:
    """Python refuses to print integers beyond some thousand digits in decimal."""
    return value if value.bit_length() <= 4096 else hex(value)[:MAX_TEXT]


def _unshown(value: Any) -> str:
    return f"<{type(value).__name__}: cannot be shown>"
