"""A chain as steps, as the command line shows it."""

from typing import Any

import pytest
from pairing import PAIRING, in_order, paired_entries
from tracehub.cli.timeline import steps_of


@pytest.mark.parametrize("case", PAIRING, ids=lambda case: case["rule"])
def test_pairs(case: dict[str, Any]) -> None:
    """The rules of pairing, which the dashboard has as well."""
    entries = paired_entries(case)
    place = {id(entry): at for at, entry in enumerate(entries)}
    pairs = [[place.get(id(step.entry)), place.get(id(step.exit))] for step in steps_of(entries)]
    assert in_order(pairs) == in_order(case["steps"])
