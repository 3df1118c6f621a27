"""What a chain shows of the clocks of its hosts: cases for whoever compares them, in Python and in JavaScript."""

import json
from pathlib import Path
from typing import Any, Final

from conftest import entry

CLOCKS: Final[list[dict[str, Any]]] = json.loads((Path(__file__).parent / "golden/clocks.json").read_text())
BEGIN_MS: Final = 1_700_000_000_000.0


def clock_entries(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a case, each at its millisecond; the host of a source is called like it."""
    return [
        entry(
            timestamp=BEGIN_MS + at,
            direction=direction,
            source_id=source,
            endpoint=endpoint,
            hostname=host[0] if host else source.lower(),
        )
        for direction, at, source, endpoint, *host in case["entries"]
    ]
