"""Entries as the writer takes them: column by column, and what repeats from entry to entry as one value."""

from collections.abc import Container, Iterable, Sequence
from itertools import accumulate, chain, compress, repeat
from typing import NamedTuple

from shared.failure import may_report_error, reports_error
from shared.storage.instants import instants
from shared.storage.sites import Traits
from shared.wire import Entry


class Columns(NamedTuple):
    """Entries in their order. A raw line, which few have, stands with the place of its entry."""

    correlation_ids: list[str]
    instants: list[int]
    suffixes: list[str]
    traits: list[Traits]
    data: list[str]
    lines: list[tuple[int, str]]

    @property
    def size(self) -> int:
        """How many entries."""
        return len(self.correlation_ids)

    def without(self, places: Container[int]) -> "Columns":
        """The entries but those in these places."""
        stays = [place not in places for place in range(self.size)]
        moved = {place: number for number, place in enumerate(compress(range(self.size), stays))}
        return Columns(
            list(compress(self.correlation_ids, stays)),
            list(compress(self.instants, stays)),
            list(compress(self.suffixes, stays)),
            list(compress(self.traits, stays)),
            list(compress(self.data, stays)),
            [(moved[place], line) for place, line in self.lines if stays[place]],
        )


def columns(entries: Sequence[Entry]) -> Columns:
    """Entries, column by column."""
    data = [entry.data for entry in entries]
    failed: Iterable[str] = repeat("")
    if may_report_error("\n".join(data)):
        failed = ["1" if reports_error(text) else "" for text in data]
    return Columns(
        [entry.correlation_id for entry in entries],
        instants([entry.timestamp for entry in entries]),
        [entry.suffix for entry in entries],
        [
            f"{each.source_id}\0{each.direction}\0{each.operation}\0{each.endpoint}\0{each.hostname}\0{has_failed}"
            for each, has_failed in zip(entries, failed, strict=False)
        ],
        data,
        [(place, entry.raw_line) for place, entry in enumerate(entries) if entry.raw_line is not None],
    )


def joined(batches: Sequence[Columns]) -> Columns:
    """Batches, one behind the other."""
    if len(batches) == 1:
        return batches[0]
    starts = accumulate((batch.size for batch in batches), initial=0)
    return Columns(
        list(chain.from_iterable(batch.correlation_ids for batch in batches)),
        list(chain.from_iterable(batch.instants for batch in batches)),
        list(chain.from_iterable(batch.suffixes for batch in batches)),
        list(chain.from_iterable(batch.traits for batch in batches)),
        list(chain.from_iterable(batch.data for batch in batches)),
        [(start + place, line) for start, batch in zip(starts, batches, strict=False) for place, line in batch.lines],
    )
