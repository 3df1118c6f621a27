"""What one subscriber is handed: frames, gathered until it takes them, in bounded bytes."""

import asyncio
from typing import Any

import msgspec
import pytest

from query_svc.subscription import PENDING_BYTES, Frames, Subscription, frame
from shared.wire import StoredEntry

FRAME = frame(7, StoredEntry("MA", "c", 1.0, "s", "->", "REST", "/", msgspec.Raw(b'{"a":1}'), "h", None))


def subscription(had: int = 0) -> Subscription:
    """A subscription of nobody's."""
    reader: Any = None
    return Subscription(reader, 0, had)


def one(row_id: int, frame: bytes) -> Frames:
    """The frame of one entry."""
    return Frames([(row_id, frame)])


async def test_a_frame_has_the_id_and_one_line() -> None:
    """The row id first, then the entry as JSON."""
    id, data, *rest = FRAME.split(b"\n")
    assert (id, rest) == (b"id: 7", [b"", b""])
    assert msgspec.json.decode(data.removeprefix(b"data: "))["data"] == {"a": 1}


async def test_frames_come_together_and_once() -> None:
    """What has gathered is taken at once; then there is nothing until more comes."""
    pending = subscription()
    pending.push(one(1, b"a"))
    pending.push(one(2, b"b"))
    assert await pending.frames() == b"ab"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pending.frames(), 0.01)
    pending.push(one(3, b"c"))
    assert await pending.frames() == b"c"
    for row_id in (4, 5):
        pending.push(one(row_id, bytes(PENDING_BYTES)))  # what was taken waits no more
        assert len(pending.take()) == PENDING_BYTES


async def test_what_was_had_is_not_handed_out_again() -> None:
    """Up to the row id that the subscriber had, also where it falls behind before the tail has got there."""
    pending = subscription(had=10)
    for row_id in range(8, 12):
        pending.push(one(row_id, b"%d" % row_id))
    assert await pending.frames() == b"11"
    pending.push(one(11, b"11"))  # as where the tail was interrupted
    assert pending.take() == b""
    pending.push(Frames([(11, b"11"), (12, b"12")]))
    assert pending.take() == b"12"
    ahead = subscription(had=10)
    ahead.fall_behind(6)
    assert ahead.behind == 10


async def test_frames_are_poured_until_it_is_over() -> None:
    """Nobody is woken for them, and whoever takes no more has no more to come."""
    pending, poured = subscription(), list[bytes]()

    def outlet(frames: Frames) -> bool:
        if takes_more := len(poured) < 2:
            poured.append(frames.body)
        return takes_more

    pouring = asyncio.create_task(pending.pour(outlet))
    await asyncio.sleep(0)
    for row_id in (1, 2):
        pending.push(one(row_id, b"%d" % row_id))
        await asyncio.sleep(0)
        assert not pouring.done()
    for row_id in (3, 4):
        pending.push(one(row_id, b"%d" % row_id))
    await pouring
    assert (poured, pending.behind, pending.take()) == ([b"1", b"2"], 2, b"")


async def test_a_slow_subscriber_falls_behind_with_bounded_bytes() -> None:
    """It keeps what it had gathered, and the place to go on from; falling behind again changes nothing."""
    pending = subscription()
    for row_id in range(1, 100):
        pending.push(one(row_id, b"x" * 10_000))
    assert pending.behind == PENDING_BYTES // 10_000
    pending.fall_behind(50)
    assert len(await pending.frames()) == pending.behind * 10_000
    pending.push(one(100, b"late"))
    assert await pending.frames() == await pending.frames() == b""


async def test_an_entry_beyond_the_bound_is_for_the_file() -> None:
    """It is handed to nobody, ready or not, for each would hold it; what came before it is."""
    for outlet in (None, lambda _: True):
        pending = subscription()
        pending._outlet = outlet
        pending.push(one(1, b"x"))
        pending.push(one(2, b"x" * (PENDING_BYTES + 1)))
        assert pending.behind == 1


async def test_a_replaced_file_ends_a_subscription() -> None:
    """Nothing of the new file is handed to who counts in ids of the old one."""
    pending = subscription()
    pending.end()
    pending.push(one(1, b"new"))
    assert (await pending.frames(), pending.behind) == (b"", None)
