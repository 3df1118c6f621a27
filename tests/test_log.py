"""What a loop that never ends says of its turns."""

import logging

import pytest

from shared.errors import Unavailable
from shared.log import Endless


def test_what_a_loop_waits_for_is_said_once_and_again_after_a_good_turn(caplog: pytest.LogCaptureFixture) -> None:
    """A reason that stays the same is one line, however many turns it lasts."""
    endless = Endless(logging.getLogger("tracehub"), "the loop")

    def turn(error: str = "") -> None:
        with endless.turn():
            if error:
                raise Unavailable(error)

    for error in ("no file", "no file", "locked", "no file", "", "no file"):
        turn(error)
    said = ["the loop waits: no file", "the loop waits: locked", "the loop waits: no file", "the loop waits: no file"]
    assert caplog.messages == said


def test_a_loop_goes_on_after_what_nobody_foresaw_and_says_where_it_happened(caplog: pytest.LogCaptureFixture) -> None:
    """Each time, with the traceback."""
    endless = Endless(logging.getLogger("tracehub"), "the loop")
    for _ in range(2):
        with endless.turn():
            _ = {}["gone"]  # type: ignore[var-annotated]
    assert caplog.messages == ["the loop stumbled"] * 2
    assert "KeyError: 'gone'" in caplog.text
