"""Which entries are meant, by four of their fields, with `*` and `?` as the server has them. Pure."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Any, Callable

Entry = dict[str, Any]


def glob(pattern: str) -> Callable[[str], bool]:
    """`*` stands for anything, `?` for one character, the rest, `[` too, for itself."""
    matches = re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
    return lambda text: matches(text) is not None


@dataclass(frozen=True)
class Pattern:
    """An entry as a person writes it: `WK <- /run`, or with its operation, `WK <- RPC /run`."""

    source: str = "*"
    direction: str = "*"
    operation: str = "*"
    endpoint: str = "*"

    @classmethod
    def read(cls, text: str) -> Pattern:
        """Raises ValueError where the text is none."""
        words = text.split(None, 3)
        if len(words) not in (2, 3, 4) or words[1] not in ("->", "<-"):
            raise ValueError(f"expected complete, quiet=2s or an entry such as 'WK <- /run', not {text!r}")
        operation = words[2] if len(words) == 4 else "*"
        return cls(words[0], words[1], operation, words[-1] if len(words) > 2 else "*")

    def takes(self, entry: Entry) -> bool:
        """Whether the entry is meant."""
        return all(
            glob(pattern)(str(entry[name]))
            for pattern, name in (
                (self.source, "source_id"),
                (self.direction, "direction"),
                (self.operation, "operation"),
                (self.endpoint, "endpoint"),
            )
        )
