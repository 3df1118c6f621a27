"""Who talks: the entries of each source in the last minute, or among the newest SCAN_ENTRIES, whichever is less."""

import time
from typing import Final

from query_svc.single_flight import SingleFlight
from shared.answers import SourcesStats, SourceStats
from shared.storage.reader import SCAN_ENTRIES, Reader

RATE_S: Final = 60.0  # that rates are taken over
FRESH_PART: Final = 20.0  # an answer is given to whoever asks for so many times as long as counting took, but
FRESH_S: Final = 1.0  # no longer than this: 50,000 entries take 30 ms of a core, and every page that is open asks


def source_rates() -> SingleFlight[SourcesStats]:
    """The sources of one file, as they were a second ago at most."""
    return SingleFlight(_count, lambda took_s: min(FRESH_S, FRESH_PART * took_s))


async def _count(reader: Reader) -> SourcesStats:
    oldest, newest, a_minute_ago = await reader.extent((time.time() - RATE_S) * 1000)
    start = max(a_minute_ago, newest - SCAN_ENTRIES)
    is_cut = start > a_minute_ago or 1 < oldest == start + 1 <= newest  # the entries before it are not counted, or gone
    window_s = await reader.age_s(start + 1) if is_cut else RATE_S
    counts = await reader.by_source(start)
    sources = [SourceStats(source, entries, round(entries / window_s, 3)) for source, entries in counts]
    return SourcesStats(sources, len(sources), newest - start, round(window_s, 3))
