"""Entries of a chain as the JSON text of an answer, put together from columns and never built as objects.

SQLite gives a column of all rows as one text, which costs one step and one object instead of one for each row and
field. What entries of a site have in common is rendered once and kept.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain as concatenated
from itertools import repeat
from typing import Any, Final

from shared.errors import BadFile
from shared.storage.instants import timestamps
from shared.storage.sound import Unsound
from shared.wire import encode

MAX_SITES: Final = 50_000  # rendered and kept; past it all are let go
LINE: Final = "\n"  # between the values of a column: JSON text on one line holds none

Parts = tuple[str, str, str]  # of an entry: before the correlation id, before the data, behind the data


class Rendering:
    """The sites of one file that were met."""

    def __init__(self) -> None:
        self._sites: dict[int, Parts] = {}

    def unknown(self, sites: Iterable[int]) -> list[int]:
        """Those that have to be learnt first."""
        return [site for site in set(sites) if site not in self._sites]

    def learn(self, rows: Iterable[tuple[int, str, str, str, str, str]]) -> None:
        """Take sites: id, source, direction, operation, endpoint, host."""
        if len(self._sites) > MAX_SITES:
            self._sites.clear()
        for id, *texts in rows:
            source_id, direction, operation, endpoint, hostname = map(_json, texts)
            self._sites[id] = (
                f'{{"source_id":{source_id},"correlation_id":',
                f',"direction":{direction},"operation":{operation},"endpoint":{endpoint},"data":',
                f',"hostname":{hostname},"raw_line":',
            )

    def entries(self, correlation_id: str, instants: "array[int]", sites: Sequence[int], columns: Sequence[str]) -> str:
        """Entries with commas in between; `columns` are suffixes, data and raw lines, each as JSON."""
        suffixes, data, lines = (column.split(LINE) for column in columns)
        if not len(instants) == len(sites) == len(suffixes) == len(data) == len(lines):
            raise BadFile("an entry holds a line break where none can be: restore a snapshot")
        id = _json(correlation_id)
        parts = {site: self._parts(site, id) for site in set(sites)}
        starts, middles, ends = zip(*[parts[site] for site in sites], strict=True)
        times = encode(timestamps(instants)).decode()[1:-1].split(",")
        rows = zip(starts, times, repeat(',"suffix":'), suffixes, middles, data, ends, lines, repeat("},"))
        return "".join(concatenated.from_iterable(rows))[:-1]

    def _parts(self, site: int, id: str) -> Parts:
        if site not in self._sites:
            raise BadFile(f"an entry is of site {site}, which is not in the file: restore a snapshot")
        start, middle, end = self._sites[site]
        return f'{start}{id},"timestamp":', middle, end


def integers(column: str) -> "array[int]":
    """A column of numbers with commas in between; raises Unsound."""
    try:
        return array("q", map(int, column.split(",")))
    except (ValueError, OverflowError) as error:
        raise Unsound(f"a column of whole numbers cannot be read: {error}") from None


def _json(text: Any) -> str:
    return encode(text).decode()
