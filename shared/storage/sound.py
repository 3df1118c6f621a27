"""What the file gave, looked at before anybody reckons with it: SQLite gives whatever a damaged row says, of any type.

A value that no writer stores is Unsound. Whatever else fails while rows are made sense of is a fault of this program,
and sends nobody for a snapshot.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, TypeVar, get_args

Shape = tuple[tuple[Callable[[Any], Any], frozenset[type]], ...]
Rows = TypeVar("Rows", bound="list[Any]")


class Unsound(Exception):
    """A value of a type, or beyond the range, that no writer stores."""


def shape(*columns: Any) -> Shape:
    """What each column of a row holds: a type, or several in a union; `object` is not looked at."""
    return tuple(
        (itemgetter(place), frozenset(get_args(column) or (column,)))
        for place, column in enumerate(columns)
        if column is not object
    )


def sound(rows: Rows, columns: Shape) -> Rows:
    """The rows, if they are of this shape: column by column, for there may be many."""
    for value_of, types in columns:
        if not types.issuperset(map(type, map(value_of, rows))):
            found = next(kind for kind in map(type, map(value_of, rows)) if kind not in types)
            raise Unsound(f"where {' or '.join(sorted(map(_named, types)))} belongs it holds {_named(found)}")
    return rows


def number(value: object) -> int:
    """A number that must be whole."""
    if type(value) is not int:
        raise Unsound(f"where {_named(int)} belongs it holds {_named(type(value))}")
    return value


def _named(kind: type) -> str:
    return {int: "a whole number", float: "a fractional number", str: "text", bytes: "bytes"}.get(kind, "nothing")
