"""One look at the file for all who ask: what becomes of those who ask while it fails or is given up."""

import asyncio
from typing import Any

import pytest

from query_svc.single_flight import SingleFlight
from shared.errors import Unavailable


async def test_a_failed_look_at_another_file_is_not_kept() -> None:
    """What was found in the file before is good for a while; that the next one could not be read is not."""
    found = iter([1, Unavailable("not yet"), 2])

    async def find(_: Any) -> int:
        if isinstance(one := next(found), Unavailable):
            raise one
        return one

    flight = SingleFlight(find, lambda _: 60.0)
    file, another = (object() for _ in range(2))
    assert [await flight.found(file), await flight.found(file)] == [1, 1]
    with pytest.raises(Unavailable):
        await flight.found(another)
    assert [await flight.found(another), await flight.found(another)] == [2, 2]


async def test_who_leaves_ends_it_for_nobody() -> None:
    """One that is cancelled is cancelled, and the others have what is found."""
    looking = asyncio.Event()

    async def find(_: Any) -> int:
        await looking.wait()
        return 1

    flight = SingleFlight(find, lambda _: 60.0)
    leaves, stays = (asyncio.create_task(flight.found(None)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    looking.set()
    assert await stays == 1
