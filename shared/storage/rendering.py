"""Entries of a chain as the JSON text of an answer, put together from columns and never built as objects.

SQLite gives a column of all rows as one text, which costs one step and one object instead of one for each row and
field. What entries of a site have in common is rendered once and kept.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain as concatenated
from itertools import repeat
from sys import getsizeof
from typing import Any, Final

from shared.errors import BadFile
from shared.storage.instants import timestamps
from shared.storage.pool import TooLong
from shared.storage.sound import Unsound
from shared.wire import encode

MAX_BYTES: Final = 16 * 2**20  # of sites that are rendered and kept; past it all are let go
SITE_BYTES: Final = 128  # of them, that a site takes which reads as another
REPEATED_BYTES: Final = 16 * 2**20  # of what entries have of their sites, if each had the longest
LINE: Final = "\n"  # between the values of a column: JSON text on one line holds none

Parts = tuple[str, str, str]  # of an entry: before the correlation id, before the data, behind the data


class Rendering:
    """The sites of one file that were met. Eras have sites of their own, of which most read as those before."""

    def __init__(self) -> None:
        self._sites: dict[int, Parts] = {}
        self._read_as: dict[tuple[str, ...], Parts] = {}
        self._bytes = 0

    def known(self, sites: Iterable[int]) -> dict[int, Parts]:
        """Those of the sites that need not be learnt; asked from threads that read, whatever is learnt meanwhile."""
        return {site: parts for site in set(sites) if (parts := self._sites.get(site))}

    def learn(self, rows: Iterable[tuple[int, str, str, str, str, str]]) -> dict[int, Parts]:
        """Take sites: id, source, direction, operation, endpoint, host."""
        if self._bytes > MAX_BYTES:
            self._sites.clear()
            self._read_as.clear()
            self._bytes = 0
        learnt = {id: self._read_as.get(tuple(texts)) or self._render(texts) for id, *texts in rows}
        self._bytes += SITE_BYTES * sum(id not in self._sites for id in learnt)
        self._sites.update(learnt)
        return learnt

    def _render(self, texts: list[str]) -> Parts:
        source_id, direction, operation, endpoint, hostname = map(_json, texts)
        parts = (
            f'{{"source_id":{source_id},"correlation_id":',
            f',"direction":{direction},"operation":{operation},"endpoint":{endpoint},"data":',
            f',"hostname":{hostname},"raw_line":',
        )
        self._read_as[tuple(texts)] = parts
        self._bytes += sum(map(getsizeof, (*texts, *parts)))
        return parts


def rendered(
    correlation_id: str, instants: "array[int]", sites: Sequence[int], columns: Sequence[str], parts: dict[int, Parts]
) -> str:
    """Entries with commas in between; `columns` are suffixes, data and raw lines, each as JSON.

    Raises TooLong where their sites, whose `parts` are given, may have more than REPEATED_BYTES of them.
    """
    suffixes, data, lines = (column.split(LINE) for column in columns)
    if not len(instants) == len(sites) == len(suffixes) == len(data) == len(lines):
        raise BadFile("an entry holds a line break where none can be: restore a snapshot")
    id = _json(correlation_id)
    own = {site: _of_chain(site, parts, id) for site in set(sites)}
    if len(sites) * max(sum(map(len, part)) for part in own.values()) > REPEATED_BYTES:
        raise TooLong
    starts, middles, ends = zip(*[own[site] for site in sites], strict=True)
    times = encode(timestamps(instants)).decode()[1:-1].split(",")
    rows = zip(starts, times, repeat(',"suffix":'), suffixes, middles, data, ends, lines, repeat("},"))
    return "".join(concatenated.from_iterable(rows))[:-1]


def _of_chain(site: int, parts: dict[int, Parts], id: str) -> Parts:
    if site not in parts:
        raise BadFile(f"an entry is of site {site}, which is not in the file: restore a snapshot")
    start, middle, end = parts[site]
    return f'{start}{id},"timestamp":', middle, end


def integers(column: str) -> "array[int]":
    """A column of numbers with commas in between; raises Unsound."""
    try:
        return array("q", map(int, column.split(",")))
    except (ValueError, OverflowError) as error:
        raise Unsound(f"a column of whole numbers cannot be read: {error}") from None


def _json(text: Any) -> str:
    return encode(text).decode()
