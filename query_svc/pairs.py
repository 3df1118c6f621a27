"""Calls within chains, and who follows whom: a tally that takes some whole chains at a time. Pure: no I/O, no clock.

Within a chain, in order of time, an exit closes the latest open entry of its (source, operation, endpoint). An entry
that stands directly behind a checkpoint of another source follows that source.
"""

import math
from array import array
from collections import Counter
from sys import getsizeof
from typing import Final

from shared.answers import EndpointStats, Follow
from shared.storage.instants import timestamp
from shared.storage.rows import Checkpoint

MOST_ROWS: Final = 1_000  # of an answer; endpoints that hold ids could be without number

Step = tuple[str, str, str]  # source_id, operation, endpoint


class Calls:
    """The calls of one step."""

    __slots__ = ("calls", "durations_ms", "errors")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.durations_ms = array("d")

    def answer(self, step: Step) -> EndpointStats:
        """What the answer says of it; percentiles are nearest ranks, null without a pair."""
        ordered = sorted(self.durations_ms)
        p50, p95, p99, most = (_rank(ordered, part) for part in (0.5, 0.95, 0.99, 1.0))
        return EndpointStats(*step, self.calls, self.calls - len(ordered), self.errors, p50, p95, p99, most)


class _Steps(dict[Step, Calls]):
    """Calls by step, those of a new one when it is asked for; `size` is bytes of names."""

    size = 0

    def __missing__(self, step: Step) -> Calls:
        self.size += sum(map(getsizeof, step))
        calls = self[step] = Calls()
        return calls


class Tally:
    """What the chains that were added amount to."""

    def __init__(self) -> None:
        self.pairs = 0
        self.entries = 0
        self._steps = _Steps()
        self._follows: Counter[tuple[str, str]] = Counter()
        self._chain = 0
        self._before = ""
        self._open: dict[Step, list[int]] = {}

    @property
    def size(self) -> int:
        """Bytes of the names of steps."""
        return self._steps.size

    def add(self, checkpoints: list[Checkpoint]) -> None:
        """Take the next ones, chain after chain, each in order of time; a chain may go on in the next call."""
        self.entries += len(checkpoints)
        for chain, instant, _, source_id, direction, operation, endpoint, failed in checkpoints:
            if chain != self._chain:
                self._chain, self._before, self._open = chain, source_id, {}
            step = (source_id, operation, endpoint)
            calls = self._steps[step]
            calls.errors += failed
            if direction == "->":
                calls.calls += 1
                self._open.setdefault(step, []).append(instant)
                if self._before != source_id:
                    self._follows[self._before, source_id] += 1
            elif opened := self._open.get(step):
                calls.durations_ms.append(timestamp(instant) - timestamp(opened.pop()))
                self.pairs += 1
            self._before = source_id

    def endpoints(self) -> list[EndpointStats]:
        """Steps, most calls first."""
        most = sorted(self._steps.items(), key=lambda item: (-item[1].calls, item[0]))[:MOST_ROWS]
        return [calls.answer(step) for step, calls in most]

    def follows(self) -> list[Follow]:
        """Pairs of sources, most frequent first."""
        most = sorted(self._follows.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS]
        return [Follow(before, after, count) for (before, after), count in most]


def _rank(ordered: list[float], part: float) -> float | None:
    return ordered[math.ceil(part * len(ordered)) - 1] if ordered else None
