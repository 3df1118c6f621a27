"""Entries as the writer takes them: column by column, and what repeats from entry to entry as one value."""

from collections.abc import Container, Iterable, Sequence
from itertools import accumulate, chain, compress, pairwise, repeat
from typing import NamedTuple

from shared.failure import may_report_error, reports_error
from shared.storage.instants import instants
from shared.storage.sites import Traits
from shared.wire import Entry


class Columns(NamedTuple):
    """Entries in their order, and the sizes of the batches they came in. A raw line stands with its entry's place."""

    correlation_ids: list[str]
    instants: list[int]
    suffixes: list[str]
    traits: list[Traits]
    data: list[str]
    lines: list[tuple[int, str]]
    sizes: list[int]

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
            [sum(stays[start:stop]) for start, stop in pairwise(accumulate(self.sizes, initial=0))],
        )


def columns(*batches: Sequence[Entry]) -> Columns:
    """The entries of batches, column by column."""
    entries = batches[0] if len(batches) == 1 else list(chain.from_iterable(batches))
    data = [entry.data for entry in entries]
    failed: Iterable[bool] = repeat(False)
    if may_report_error("\n".join(data)):
        failed = map(reports_error, data)
    return Columns(
        [entry.correlation_id for entry in entries],
        instants([entry.timestamp for entry in entries]),
        [entry.suffix for entry in entries],
        [
            (entry.source_id, entry.direction, entry.operation, entry.endpoint, entry.hostname, has_failed)
            for entry, has_failed in zip(entries, failed, strict=False)
        ],
        data,
        [(place, entry.raw_line) for place, entry in enumerate(entries) if entry.raw_line is not None],
        list(map(len, batches)),
    )
