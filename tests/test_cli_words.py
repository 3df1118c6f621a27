"""What people are told: times of any clock."""

import pytest
from conftest import entry
from shell import Shell, hub, shell
from tracehub.cli.words import age, duration

__all__ = ["hub", "shell"]  # fixtures


@pytest.mark.parametrize("timestamp_ms", [0, 1.7e12, 1.7e15, 1.7e18, 8.64e15, 1e300])
def test_times_of_any_clock_are_short(timestamp_ms: float) -> None:
    """A sender that counts nanoseconds, or means harm, leaves room for the other columns of a list."""
    assert len(age(timestamp_ms)) < 16
    assert len(duration(timestamp_ms)) < 16


def test_a_time_that_no_calendar_has_hides_nothing_beside_it(shell: Shell) -> None:
    """The id of its chain above all."""
    shell.store(entry(correlation_id="of any clock", timestamp=1e300))
    assert "of any clock" in shell.run("list", "--grep", "clock").stdout
