"""Appointments: whoever was refused finds room when it comes back, and nobody who comes new takes it away."""

from typing import Any

import pytest

from ingest_svc import timetable as plan
from ingest_svc.intake import Intake
from ingest_svc.timetable import Pace, Sender, Timetable

PACE = 1_000  # bytes a second
LIMIT = 3_000


class Connection:
    """As much of a connection as the timetable looks at."""

    def __init__(self) -> None:
        self.closing = False

    def is_closing(self) -> bool:
        """Whether the sender has gone."""
        return self.closing


class Clock:
    """The time, as the test says."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


def stop_the_clock(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """From now on the time goes for appointments when it is told to."""
    clock = Clock()
    for part in (intake.pace, intake.timetable):
        monkeypatch.setattr(part, "_now", clock)
    intake.pace.begin()
    return clock


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def table(clock: Clock) -> Timetable:
    """A timetable for PACE."""
    pace = Pace(clock)
    pace._measured = PACE
    return Timetable(pace, clock)


def sender(address: str = "a", length: int = 10) -> Sender:
    """One that is like no other."""
    connection: Any = Connection()
    return Sender(connection, address, length)


def test_each_second_has_its_senders(table: Timetable) -> None:
    """Senders are told to come back at the pace at which room becomes free, one after the other."""
    waits = [table.appoint(sender(), 1_000, LIMIT, LIMIT) for _ in range(6)]
    assert waits == [1, 2, 3, 4, 5, 6]
    assert table.appoint(sender(), 1_000, 0, LIMIT) == 1  # there is room before the others come


def test_room_that_nobody_takes_is_not_saved_up(table: Timetable) -> None:
    """Nothing becomes free while nothing is held: who comes later does not find more than all of the room."""
    assert table.appoint(sender(), LIMIT, LIMIT + 2 * PACE, LIMIT) == 5
    assert table.appoint(sender(), LIMIT, 0, LIMIT) == 8


def test_who_comes_new_leaves_the_room_of_others(table: Timetable, clock: Clock) -> None:
    """A newcomer is let in only beside those who have an appointment, and beyond theirs."""
    expected = sender()
    table.appoint(expected, 1_000, LIMIT, LIMIT)
    clock.at_s += 1
    assert not table.is_free(1_500, LIMIT - 2_000, LIMIT)
    assert table.is_free(1_000, LIMIT - 2_000, LIMIT)
    kept = table.keep(expected)
    assert kept is not None and table.is_due(kept)
    assert table.is_free(1_500, LIMIT - 2_000, LIMIT)
    assert table.is_free(1_500, LIMIT - 1_500, LIMIT) and not table.is_free(1_501, LIMIT - 1_500, LIMIT)
    assert len(table) == 0


def test_who_comes_early_is_not_expected_yet(table: Timetable, clock: Clock) -> None:
    """A sender that does not wait has no claim, and its room is there for others."""
    hasty = sender()
    assert table.appoint(hasty, 1_000, 5_000, LIMIT) == 3
    clock.at_s += 1
    kept = table.keep(hasty)
    assert kept is not None and not table.is_due(kept)
    assert table.keep(hasty) is None


@pytest.mark.parametrize(("early_s", "is_due"), [(0.9 * plan.EARLY_S, True), (1.1 * plan.EARLY_S, False)])
def test_the_timer_of_a_sender_may_be_a_little_ahead(
    table: Timetable, clock: Clock, early_s: float, is_due: bool
) -> None:
    """Who comes a moment early has waited as it was told."""
    punctual = sender()
    clock.at_s += table.appoint(punctual, 1_000, LIMIT, LIMIT) - early_s
    kept = table.keep(punctual)
    assert kept is not None and table.is_due(kept) is is_due


def test_one_sender_has_one_appointment(table: Timetable) -> None:
    """A connection that is refused again loses its earlier appointment."""
    one = sender()
    for _ in range(10):
        assert table.appoint(one, 1_000, LIMIT, LIMIT) == 1
    assert (len(table), sum(table._bytes.values())) == (1, 1_000)


def test_a_sender_may_come_back_on_another_connection(table: Timetable, clock: Clock) -> None:
    """It is told by its address and the length of its body, once its connection has gone."""
    one = sender(length=77)
    table.appoint(one, 1_000, LIMIT, LIMIT)
    clock.at_s += 1
    assert table.keep(sender(length=77)) is None
    one.connection.closing = True  # type: ignore[attr-defined]
    assert table.keep(sender(length=78)) is None
    assert table.keep(sender("b", 77)) is None
    assert table.keep(sender(length=77)) is not None
    assert table.keep(sender(length=77)) is None


def test_another_with_the_same_body_takes_no_appointment_along(table: Timetable) -> None:
    """Of two connections alike the one that kept its own leaves that of the other, whichever way it comes back."""
    first, second = sender(), sender()
    for one in (first, second):
        table.appoint(one, 1_000, LIMIT, LIMIT)
    assert table.keep(first) is not None
    second.connection.closing = True  # type: ignore[attr-defined]
    assert table.keep(sender()) is not None


def test_who_does_not_come_is_forgotten(table: Timetable, clock: Clock) -> None:
    """An appointment that nobody keeps leaves nothing behind."""
    lost = sender()
    table.appoint(lost, 1_000, LIMIT, LIMIT)
    clock.at_s += 1 + plan.LATE_S
    assert table.keep(sender("b")) is None
    assert not table.is_free(LIMIT, 0, LIMIT)
    clock.at_s += 1
    assert table.keep(lost) is None
    assert table.is_free(LIMIT, 0, LIMIT)
    assert (dict(table._bytes), table._by_body) == ({}, {})


def test_a_timetable_has_an_end(table: Timetable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the last second, or the number of appointments, senders are told the longest time and not expected."""
    assert table.appoint(sender(), 1_000, (plan.MAX_RETRY_S + 10) * PACE, LIMIT) == plan.MAX_RETRY_S
    assert len(table) == 0
    assert table.appoint(sender(), 1_000, LIMIT + (plan.MAX_RETRY_S - 1) * PACE, LIMIT) == plan.MAX_RETRY_S
    assert len(table) == 1
    monkeypatch.setattr(plan, "MAX_APPOINTMENTS", 1)
    assert table.appoint(sender(), 1_000, LIMIT, LIMIT) == plan.MAX_RETRY_S


@pytest.mark.parametrize("steps", [10, 1_000])
def test_the_pace_is_what_was_done(clock: Clock, steps: int) -> None:
    """The pace follows what is measured, and is nothing where nothing moves."""
    pace = Pace(clock)
    assert pace.bytes_per_s() == plan.FIRST_PACE
    clock.at_s += 1
    pace.count(5_000)
    assert pace.bytes_per_s() == (plan.FIRST_PACE + 5_000) / 2
    for _ in range(steps * 20):
        clock.at_s += 1 / steps
        pace.count(5_000 // steps)
    assert 4_900 < pace.bytes_per_s() < 5_200
    clock.at_s += 3_600
    assert pace.bytes_per_s() < 2
    pace.begin()
    clock.at_s += 1.5
    assert pace.bytes_per_s() > 4_900


def test_all_are_served_in_their_turn(clock: Clock) -> None:
    """Of many more senders than there is room for, each with a next body at once, nobody waits twice or idles."""
    pace = Pace(clock)
    pace._measured = PACE
    table, held = Timetable(pace, clock), 0
    served: dict[Sender, int] = {}
    comes_at = {sender(length=number): (clock.at_s, False) for number in range(40)}
    for _ in range(6_000):
        clock.at_s += 0.01
        if held:
            held -= PACE // 100
            pace.count(PACE // 100)
        for one in [one for one, (at_s, _) in comes_at.items() if at_s <= clock.at_s]:
            kept = table.keep(one)
            if (kept is not None and held + 500 <= LIMIT) or table.is_free(500, held, LIMIT):
                held += 500
                served[one] = served.get(one, 0) + 1
                comes_at[one] = clock.at_s + 0.02, False
            else:
                assert not comes_at[one][1], "it came back when told, and was refused"
                comes_at[one] = clock.at_s + table.appoint(one, 500, held, LIMIT), True
    assert min(served.values()) >= 2
    assert sum(served.values()) * 500 > 0.8 * PACE * 60
