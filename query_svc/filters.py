"""The filters of a stream over all chains. Streams with the same filters share one test of each entry."""

import fnmatch
import re
from collections.abc import Callable
from typing import NamedTuple

from shared.wire import StoredEntry

Test = Callable[[StoredEntry], bool]


class Filter(NamedTuple):
    """What a subscriber wants; empty: whatever it is. The last two are patterns with `*` and `?`."""

    source: str = ""
    operation: str = ""
    endpoint: str = ""
    correlation_id: str = ""

    def test(self) -> Test:
        """What says of an entry whether it is wanted."""
        tests: list[Test] = []
        if self.source:
            tests.append(lambda entry: entry.source_id == self.source)
        if self.operation:
            tests.append(lambda entry: entry.operation == self.operation)
        if self.endpoint:
            endpoint_is = _glob(self.endpoint)
            tests.append(lambda entry: endpoint_is(entry.endpoint))
        if self.correlation_id:
            id_is = _glob(self.correlation_id)
            tests.append(lambda entry: id_is(entry.correlation_id))
        return tests[0] if len(tests) == 1 else lambda entry: all(test(entry) for test in tests)


EVERYTHING = Filter()


def _glob(pattern: str) -> Callable[[str], bool]:
    """`*` stands for anything, `?` for one character, the rest, `[` too, for itself."""
    matches = re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
    return lambda text: matches(text) is not None
