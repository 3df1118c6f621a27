"""The turns of bodies to become entries: few at a time, in the order in which they came."""

import asyncio
from typing import Any

import pytest
from conftest import until
from test_intake import QUEUE, Start, connect, head, start, status

from ingest_svc import intake as room
from ingest_svc.intake import Intake

__all__ = ["start"]  # a fixture


async def test_bodies_become_entries_in_turn(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bodies are decoded at a time, in the order in which they came, and one that gave up is passed over."""
    monkeypatch.setattr(room, "DECODED_BYTES", 10)
    monkeypatch.setattr(room, "SMALL_BYTES", 9)
    go_on, used = asyncio.Event(), []

    async def use(body: bytes) -> None:
        used.append(body)
        await go_on.wait()

    client, intake = await start(use, cancel=True)
    connections = []
    for letter in (b"a", b"b", b"c"):
        reader, writer = await connect(client)
        writer.write(head(10) + letter * 10)
        connections.append((reader, writer))
        await until(lambda: intake.held == 10 * len(connections))
    connections[1][1].close()
    await until(lambda: intake.held == 20)
    assert used == [b"a" * 10]
    go_on.set()
    assert [await status(connections[n][0]) for n in (0, 2)] == [200, 200]
    assert used == [b"a" * 10, b"c" * 10]
    for _, writer in connections:
        writer.close()


async def test_no_body_overtakes_a_larger_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would fit beside those that become entries waits behind what does not, which else might wait for ever."""
    monkeypatch.setattr(room, "DECODED_BYTES", 10)
    monkeypatch.setattr(room, "SMALL_BYTES", 2)
    go_on, used = asyncio.Event(), []

    async def use(body: bytes) -> None:
        used.append(len(body))
        await go_on.wait()

    client, intake = await start(use)
    posts = []
    for size, held in ((6, 6), (9, 15), (3, 18)):
        posts.append(asyncio.create_task(client.post("/", data=bytes(size))))
        await until(lambda held=held: intake.held == held)
    go_on.set()
    assert [(await post).status for post in posts] == [200] * 3
    assert used == [6, 9, 3]


async def test_a_turn_that_comes_as_its_sender_leaves_is_passed_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both happen in one turn of the event loop: the next body becomes entries."""
    monkeypatch.setattr(room, "DECODED_BYTES", 10)
    monkeypatch.setattr(room, "SMALL_BYTES", 9)
    go_on = asyncio.Event()

    async def use(body: bytes) -> None:
        if body[:1] == b"a":
            await go_on.wait()
            leaving.transport.abort()  # its handler hears of that when this turn has ended

    client, intake = await start(use, cancel=True)
    connections = []
    for letter in (b"a", b"b", b"c"):
        connections.append(await connect(client))
        connections[-1][1].write(head(10) + letter * 10)
        await until(lambda: intake.held == 10 * len(connections))
    server: Any = client.server.runner.server  # type: ignore[union-attr]
    name = connections[1][1].get_extra_info("sockname")
    (leaving,) = (one for one in server.connections if one.transport.get_extra_info("peername") == name)
    go_on.set()
    assert [await status(connections[n][0]) for n in (0, 2)] == [200, 200]
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize(("passing", "queue"), [(6, QUEUE), (QUEUE, 6)])
def test_few_bodies_need_not_wait_at_a_time(monkeypatch: pytest.MonkeyPatch, passing: int, queue: int) -> None:
    """More of them come in at once when others are done."""
    monkeypatch.setattr(room, "PASSING_BYTES", passing)
    intake = Intake(queue, queue, 5.0)
    for _ in range(3):
        give_back = intake.at_once(6)
        assert give_back is not None and intake.at_once(6) is None
        give_back()
    assert intake.held == 0


def test_a_large_body_leaves_room_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are any: what it holds itself keeps it from nothing, and a small one may have all of the room."""
    monkeypatch.setattr(room, "SMALL_BYTES", 10)
    intake = Intake(300, 300, 5.0)
    assert intake.limit(250) == 300
    intake.held = 100
    assert [intake.limit(250, taken) for taken in (100, 90)] == [300, 200]
    assert [intake.limit(size) for size in (10, 11)] == [300, 200]
