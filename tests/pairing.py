"""The rules by which exits belong to entries: cases for whoever pairs them, in Python and in JavaScript."""

import json
from pathlib import Path
from typing import Any, Final

from conftest import entry

PAIRING: Final[list[dict[str, Any]]] = json.loads((Path(__file__).parent / "golden/pairing.json").read_text())


def paired_entries(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a case, each at its millisecond, with `data` where it has a span."""
    made = []
    for direction, at, fields in case["entries"]:
        fields = {"hostname": "one", **fields}
        if "span" in fields:
            fields["data"] = {"span_id": fields.pop("span")}
        made.append(entry(timestamp=1_700_000_000_000.0 + at, direction=direction, **fields))
    return made


def in_order(steps: list[list[int | None]]) -> list[list[int | None]]:
    """Places of entry and exit, None for one that is missing, in an order that does not depend on who paired them."""
    return sorted(steps, key=lambda pair: [-1 if place is None else place for place in pair])
