"""When there will be room: whoever is refused gets an appointment, and its room is kept for it.

Otherwise the next body of a sender that was just served would take the room which that one left, and those who went
away as they were told would find the queue full for ever. Retry-After speaks of whole seconds, so the timetable does.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

MAX_RETRY_S: Final = 60  # seconds that are planned; beyond them a sender is told this, and gets no appointment
LATE_S: Final = 2  # after its second an appointment is forgotten
MAX_APPOINTMENTS: Final = 10_000
EARLY_S: Final = 0.1  # that the timer of a sender may be ahead
MEASURE_S: Final = 1.0
FIRST_PACE: Final = 16 * 2**20  # bytes a second, until there is a measure


class Sender(NamedTuple):
    """Who sends a body: the same connection, or the same address with a body of the same length, is the same one."""

    connection: asyncio.BaseTransport
    address: str
    length: int | None


class Appointment(NamedTuple):
    """When a sender was told to come back, and the room that is kept for it."""

    at_s: float
    size: int
    sender: Sender

    @property
    def second(self) -> int:
        """That it is in."""
        return int(self.at_s)


class Pace:
    """How many bytes a second become entries, measured while there are any to be had."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._measured = float(FIRST_PACE)
        self.begin()

    def begin(self) -> None:
        """Something has come after there was nothing to do."""
        self._since = self._now()
        self._done = 0

    def count(self, size: int) -> None:
        """So many bytes have become entries."""
        self._done += size
        if (passed_s := self._now() - self._since) >= MEASURE_S:
            self._measured = (self._measured + self._done / passed_s) / 2
            self.begin()

    def bytes_per_s(self) -> float:
        """The pace at present, which is less than what was measured where nothing moves any more."""
        passed_s = self._now() - self._since
        return self._measured if passed_s < 2 * MEASURE_S else min(self._measured, self._done / passed_s)


class Timetable:
    """The bytes that will come back, by the second. Who comes new is let in if all of them will still find room."""

    def __init__(self, pace: Pace, now: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._now = now
        self._by_connection: dict[asyncio.BaseTransport, Appointment] = {}
        self._by_body: dict[tuple[str, int | None], Appointment] = {}
        self._bytes: defaultdict[int, int] = defaultdict(int)
        self._cleared_at = 0

    def __len__(self) -> int:
        return len(self._by_connection)

    def keep(self, sender: Sender) -> Appointment | None:
        """The appointment that the sender comes for, if it has one; it is over then."""
        self._forget_late()
        found = self._by_connection.get(sender.connection)
        if found is None:
            found = self._by_body.get((sender.address, sender.length))
            if found is None or not found.sender.connection.is_closing():  # somebody else's, who is still there
                return None
        self._strike(found)
        return found

    def is_due(self, appointment: Appointment) -> bool:
        """Whether the sender has waited as long as it was told."""
        return appointment.at_s <= self._now() + EARLY_S

    def is_free(self, size: int, held: int, limit: int) -> bool:
        """Whether so many bytes fit in now, beside what is held, and all who will come back still fit in after that."""
        return all(level <= limit for level in self._levels(held + size)) if self._bytes else held + size <= limit

    def appoint(self, sender: Sender, size: int, held: int, limit: int) -> int:
        """Keep room for the sender as soon as there will be some; gives the seconds until then."""
        self._forget_late()
        if own := self._by_connection.get(sender.connection):
            self._strike(own)
        levels = list(self._levels(held))
        last_full = max((number for number, level in enumerate(levels) if level + size > limit), default=0)
        wait_s = last_full + 1
        if wait_s > MAX_RETRY_S or len(self) >= MAX_APPOINTMENTS:
            return MAX_RETRY_S
        appointment = Appointment(self._now() + wait_s, size, sender)
        self._by_connection[sender.connection] = self._by_body[sender.address, sender.length] = appointment
        self._bytes[appointment.second] += size
        return wait_s

    def _levels(self, held: int) -> Iterator[float]:
        """What will be held now, and when each of the next seconds begins with all that are to come in it."""
        pace, now = self._pace.bytes_per_s(), self._now()
        level = float(held + sum(size for second, size in self._bytes.items() if second <= now))
        yield level
        for second in range(int(now) + 1, int(now) + MAX_RETRY_S + 1):
            level = max(0.0, level - pace * (second - now)) + self._bytes.get(second, 0)
            now = second
            yield level

    def _strike(self, appointment: Appointment) -> None:
        del self._by_connection[appointment.sender.connection]
        body = (appointment.sender.address, appointment.sender.length)
        if self._by_body.get(body) is appointment:
            del self._by_body[body]
        self._bytes[appointment.second] -= appointment.size
        if not self._bytes[appointment.second]:
            del self._bytes[appointment.second]

    def _forget_late(self) -> None:
        second = int(self._now())
        if second == self._cleared_at:
            return
        self._cleared_at = second
        for appointment in [one for one in self._by_connection.values() if one.second + LATE_S < second]:
            self._strike(appointment)
