"""Large answers that were rendered before and are still true: one that is asked for again costs a copy."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

LEAST_BYTES = 64 * 1024  # of an answer that is kept: smaller ones are quickly made
MOST_BYTES = 24 * 2**20  # of all of them; the one used longest ago is let go first

T = TypeVar("T")


class AnswerCache(Generic[T]):
    """Answers by what was asked."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> T | None:
        """The answer, if it is kept."""
        found = self._answers.get(key)
        if found is None:
            return None
        self._answers.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, answer: T, size: int) -> None:
        """Keep an answer of so many bytes instead of an earlier one, unless it is small or larger than all may be."""
        self._bytes -= self._answers.pop(key, (None, 0))[1]
        if not LEAST_BYTES <= size <= MOST_BYTES:
            return
        self._answers[key] = answer, size
        self._bytes += size
        while self._bytes > MOST_BYTES:
            _, (_, freed) = self._answers.popitem(last=False)
            self._bytes -= freed
