"""Whose clock differs from whose, as the command line tells it."""

from typing import Any

import pytest
from clocks import CLOCKS, clock_entries
from conftest import entry
from shell import Shell, hub, shell
from tracehub.cli.clocks import clocks_of
from tracehub.cli.timeline import steps_of

__all__ = ["hub", "shell"]  # fixtures


@pytest.mark.parametrize("case", CLOCKS, ids=lambda case: case["says"])
def test_clocks(case: dict[str, Any]) -> None:
    """The rules by which clocks are compared, which the dashboard has as well."""
    entries = clock_entries(case)
    steps = steps_of(sorted(entries, key=lambda entry: float(entry["timestamp"])))
    found = clocks_of(steps, [entries[place] for place in case["arrived"]])
    assert [[each.host, each.other, round(each.ms), each.late] for each in found] == case["clocks"]


def test_a_clock_that_is_behind_is_told(shell: Shell) -> None:
    """By the order in which the entries came: the step of that host is within the one that was there before it."""
    behind = {"correlation_id": "behind"}
    shell.store(entry(**behind, timestamp=100_000.0, endpoint="/order", hostname="ma-1"))
    shell.store(entry(**behind, timestamp=95_200.0, endpoint="charge", source_id="WK", hostname="wk-1"))
    lines = shell.run("show", "behind", COLUMNS="200").stdout.splitlines()
    told = "clock of wk-1 is about 4.80s behind that of ma-1, or entries of wk-1 came late, as far as this chain"
    assert [line for line in lines if " ".join(line.split()).startswith(told)]
    outer, inner = (next(line for line in lines if name in line) for name in ("REST /order", "REST charge"))
    assert lines.index(outer) < lines.index(inner) and inner.index("REST") > outer.index("REST")
    assert [line for line in lines if line.startswith("open")][-1].startswith("open  WK -> REST charge")


def test_what_the_clocks_differ_is_not_the_own_time_of_a_step(shell: Shell) -> None:
    """Steps under way by another clock take from the time of the step that called them."""
    skewed = {"correlation_id": "skewed-own"}
    for name, source, host, begin, end in (
        ("/order", "MA", "ma-1", 100_000.0, 100_500.0),
        ("/charge", "MA", "ma-1", 100_100.0, 100_400.0),
        ("/charge", "WK", "wk-1", 95_100.0, 95_390.0),
        ("/a", "WK", "wk-1", 95_110.0, 95_120.0),
        ("/b", "WK", "wk-1", 95_130.0, 95_140.0),
        ("/c", "WK", "wk-1", 95_150.0, 95_380.0),
    ):
        step = {**skewed, "source_id": source, "endpoint": name, "hostname": host}
        shell.store(entry(**step, timestamp=begin), entry(**step, timestamp=end, direction="<-"))
    shown = " ".join(shell.run("show", "skewed-own", COLUMNS="200").stdout.split())
    assert "clock of ma-1 is about 5.00s ahead of that of wk-1, as far as this chain shows it" in shown
    assert "longest by themselves: 230ms WK REST /c, 200ms MA REST /order" in shown
