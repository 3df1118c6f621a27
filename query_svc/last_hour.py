"""The last hour in figures: computed once for everybody who asks within some seconds, in short steps.

Chains are taken by newest activity, until the hour, PAIRS calls, ENTRIES entries or NAMES_BYTES are through. A step
reads about STEP_ENTRIES, which keeps the event loop for about a millisecond, and no read of the file outlasts its step.
"""

import time
from typing import Final

from query_svc.pairs import Tally
from query_svc.single_flight import SingleFlight
from shared.answers import EndpointsStats, FollowsStats, LimitedBy
from shared.storage.reader import MAX_INT64, Reader, start_of

WINDOW_S: Final = 3_600.0
PAIRS: Final = 100_000
ENTRIES: Final = 300_000  # chains without exits would never make so many pairs
NAMES_BYTES: Final = 64 * 2**20  # of sources, operations and endpoints; with more it ends as with so many entries
STEP_ENTRIES: Final = 1_000
STEP_CHAINS: Final = 100
FRESH_S: Final = 5.0  # how long an answer is given to whoever asks, or
FRESH_PART: Final = 10.0  # so many times as long as it took, if that is longer


class Figures:
    """What one look at the last hour found."""

    def __init__(self, tally: Tally, limited_by: LimitedBy, window_s: float) -> None:
        endpoints, follows, said = tally.endpoints(), tally.follows(), (tally.pairs, round(window_s, 3), limited_by)
        self.endpoints = EndpointsStats(endpoints, len(endpoints), *said)
        self.follows = FollowsStats(follows, len(follows), *said)


def last_hour() -> SingleFlight[Figures]:
    """The figures of one file, at most some seconds old."""
    return SingleFlight(look, lambda took_s: max(FRESH_S, FRESH_PART * took_s))


async def look(reader: Reader) -> Figures:
    """Compute the figures."""
    floor = await reader.first_since((time.time() - WINDOW_S) * 1000)
    tally, before = Tally(), MAX_INT64
    while tally.pairs < PAIRS and tally.entries < ENTRIES and tally.size < NAMES_BYTES:
        chains = await reader.active_chains(floor, before, STEP_CHAINS)
        if not chains:
            return Figures(tally, "time", WINDOW_S)
        step: list[int] = []
        size = 0
        while chains and size < STEP_ENTRIES:
            chain = chains.pop(0)
            size += chain.entries
            before = chain.newest
            if chain.entries < STEP_ENTRIES:
                step.append(chain.id)
            else:
                await _add_long(tally, reader, chain.id)
        tally.add(await reader.checkpoints(step))
    return Figures(tally, "pairs" if tally.pairs >= PAIRS else "entries", await reader.age_s(before))


async def _add_long(tally: Tally, reader: Reader, chain: int) -> None:
    position = start_of(None)
    while tally.entries < ENTRIES and tally.size < NAMES_BYTES:
        checkpoints, position = await reader.checkpoints_of(chain, position, STEP_ENTRIES)
        tally.add(checkpoints)
        if len(checkpoints) < STEP_ENTRIES:
            return
