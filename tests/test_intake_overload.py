"""The way in under overload: what small bodies, and senders who come back when told, have room for."""

import asyncio
import gzip
import threading
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from conftest import Client, Services, entry, until
from patience import PATIENCE_S
from test_inflate import gzip_bomb
from test_intake import LIMIT, QUEUE, Start, connect, head, start, status
from test_timetable import Clock, stop_the_clock

from ingest_svc import intake as room
from ingest_svc.inflate import inflate
from ingest_svc.intake import Intake

__all__ = ["start"]  # a fixture

LARGE = 30_000
Overloaded = Callable[[int], Awaitable[tuple[Client, Intake, Callable[[], Awaitable[None]]]]]


@pytest.fixture
def overloaded(start: Start, monkeypatch: pytest.MonkeyPatch) -> Overloaded:  # the fixture
    """A service that two large bodies keep busy until they are released; up to so many bytes, others are small."""

    async def overloaded(small_bytes: int) -> tuple[Client, Intake, Callable[[], Awaitable[None]]]:
        monkeypatch.setattr(room, "SMALL_BYTES", small_bytes)
        go_on = asyncio.Event()

        async def use(body: bytes) -> None:
            if len(body) == LARGE:
                await go_on.wait()

        async def release() -> None:
            go_on.set()
            assert [(await response).status for response in large] == [200, 200]

        client, intake = await start(use)
        large = [asyncio.create_task(client.post("/", data=bytes(LARGE))) for _ in range(2)]
        await until(lambda: intake.held == 2 * LARGE)
        return client, intake, release

    return overloaded


async def test_small_bodies_pass_by_large_ones(overloaded: Overloaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of the queue is for small bodies alone, and they become entries while large ones wait for their turn."""
    monkeypatch.setattr(room, "DECODED_BYTES", 10)
    client, intake, release = await overloaded(10)
    clock = stop_the_clock(intake, monkeypatch)
    for pause_s in (0, 1):  # also from the one that has an appointment for more, before and when it is due
        async with client.post("/", data=bytes(LARGE)) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        clock.at_s += pause_s
        async with client.post("/", data=bytes(10)) as response:
            assert response.status == 200
    await release()


async def test_a_small_body_in_two_pieces_passes_as_well(
    overloaded: Overloaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head comes first with most clients; that all room is promised to large ones does not matter to it either."""
    client, intake, release = await overloaded(10)
    refused = await asyncio.gather(*(client.post("/", data=bytes(LARGE)) for _ in range(4)))
    assert {response.status for response in refused} == {503}
    monkeypatch.setattr(intake.pace, "bytes_per_s", lambda: 0.0)
    reader, writer = await connect(client)
    writer.write(head(10))
    await asyncio.sleep(0.1)
    writer.write(bytes(10))
    assert await status(reader) == 200
    writer.close()
    await release()
    assert intake.held == 0


async def test_a_small_body_that_becomes_large_keeps_its_appointment(
    overloaded: Overloaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room that was promised to a compressed body is not promised on when the body comes for it."""
    client, intake, release = await overloaded(100)
    clock = stop_the_clock(intake, monkeypatch)
    packed = gzip.compress(bytes(33_000))

    async def send(held: int) -> int:
        reader, writer = await connect(client)
        writer.write(head(len(packed)).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        await until(lambda: intake.held == held)
        writer.write(packed)
        code = await status(reader)
        writer.close()
        return code

    assert await send(2 * LARGE) == 503
    assert len(intake.timetable) == 1
    await release()
    clock.at_s += 1
    assert await send(33_000) == 200  # its room is taken as soon as it comes for it
    assert len(intake.timetable) == 0


async def test_who_was_refused_comes_before_who_is_new(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that comes back when told finds the room that others wanted meanwhile, before its body is read."""
    monkeypatch.setattr(room, "SMALL_BYTES", 10)
    monkeypatch.setattr(room, "DECODED_BYTES", QUEUE)
    doors = [asyncio.Event() for _ in range(3)]
    waiting = iter(doors)

    async def use(body: bytes) -> None:
        if body[:1] == b"w":
            await next(waiting).wait()

    client, intake = await start(use)
    clock = stop_the_clock(intake, monkeypatch)
    first = [asyncio.create_task(client.post("/", data=b"w" * 33_000)) for _ in range(2)]
    await until(lambda: intake.held == 66_000)
    reader, writer = await connect(client)
    writer.write(head(33_000))
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    assert b" 503 " in answer and b"Retry-After: 1\r\n" in answer
    await reader.readuntil(b"}")
    writer.write(b"x" * 33_000)
    clock.at_s += 1
    doors[0].set()
    await until(lambda: intake.held == 33_000)
    async with client.post("/", data=b"x" * 33_000) as response:
        assert response.status == 503  # room there is, for another
    writer.write(head(33_000) + b"x" * 33_000)
    assert await status(reader) == 200
    for door in doors:
        door.set()
    assert [(await response).status for response in first] == [200, 200]
    writer.close()


async def test_a_body_that_dawdled_is_promised_room_for_all_of_it(
    overloaded: Overloaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When others have taken the room that it did not use it is refused, and sends everything again."""
    monkeypatch.setattr(room, "PROMISE_S", 0.1)
    client, intake, release = await overloaded(10)
    reader, writer = await connect(client)
    writer.write(head(6_000) + b"x")
    await until(lambda: intake.held == 2 * LARGE + 1)
    _, other = await connect(client)
    other.write(head(6_000) + bytes(5_999))
    await until(lambda: intake.held == 2 * LARGE + 6_000)
    writer.write(bytes(1_000))
    assert await status(reader) == 503
    assert sum(intake.timetable._bytes.values()) == 6_000
    for connection in (writer, other):
        connection.close()
    await release()


async def test_what_is_refused_is_not_in_its_own_way(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The appointment is for when others leave room: what had come of the body itself is held no more."""
    go_on = asyncio.Event()

    async def use(_: bytes) -> None:
        await go_on.wait()

    client, intake = await start(use)
    waiting = [asyncio.create_task(client.post("/", data=bytes(LIMIT))) for _ in range(2)]
    await until(lambda: intake.held == 2 * LIMIT)
    stop_the_clock(intake, monkeypatch)
    intake.pace._measured = 10_000
    reader, writer = await connect(client)
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for size in (15_000, 10_000):
        writer.write(b"%x\r\n%b\r\n" % (size, bytes(size)))
        await until(lambda: intake.held == 2 * LIMIT + 15_000 or intake.refused)
    told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    assert b" 503 " in told and b"Retry-After: 1\r\n" in told
    writer.close()
    go_on.set()
    assert [(await response).status for response in waiting] == [200, 200]


@pytest.mark.parametrize("at_once", [False, True])
async def test_all_bodies_set_the_pace(start: Start, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    """Whichever way they come; a time in which nobody sends is not one in which nothing gets done."""
    clock = Clock()

    async def use(_: bytes) -> None:
        clock.at_s += 1

    client, intake = await start(use)
    monkeypatch.setattr(intake.pace, "_now", clock)
    for _ in range(20):
        clock.at_s += 3_600
        if at_once:
            give_back = intake.at_once(5_000)
            assert give_back is not None
            await use(b"")
            give_back()
        else:
            assert (await client.post("/", data=bytes(5_000))).status == 200
    assert 4_900 < intake.pace.bytes_per_s() < 5_200


async def test_who_comes_early_is_new(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that does not wait as long as it was told leaves the room to one that does."""
    monkeypatch.setattr(room, "SMALL_BYTES", 10)
    monkeypatch.setattr(room, "DECODED_BYTES", QUEUE)
    doors = [asyncio.Event() for _ in range(2)]
    waiting, clock = iter(doors), Clock()

    async def use(body: bytes) -> None:
        if body[:1] == b"w":
            await next(waiting).wait()

    async def send(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        reader, writer = connection
        writer.write(head(33_000) + b"x" * 33_000)
        return await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)

    client, intake = await start(use)
    monkeypatch.setattr(intake.timetable, "_now", clock)
    monkeypatch.setattr(intake.pace, "bytes_per_s", lambda: 33_000.0)
    first = [asyncio.create_task(client.post("/", data=b"w" * 33_000)) for _ in range(2)]
    await until(lambda: intake.held == 66_000)
    patient, hasty = await connect(client), await connect(client)
    assert b"Retry-After: 1\r\n" in await send(patient)
    assert b"Retry-After: 2\r\n" in await send(hasty)
    clock.at_s += 1
    doors[0].set()
    await until(lambda: intake.held == 33_000)
    assert b" 503 " in await send(hasty)
    assert b" 200 " in await send(patient)
    doors[1].set()
    assert [(await response).status for response in first] == [200, 200]
    for _, writer in (patient, hasty):
        writer.close()


async def test_a_flood_takes_no_more_than_the_queue(services: Services, http: aiohttp.ClientSession) -> None:
    """Bodies that never end fill the queue and no more: 503 for the rest, and room again when their senders leave."""
    services.environ["TRACEHUB_QUEUE_MB"] = "4"
    services.start("ingest_svc")

    async def metric(name: str) -> float:
        async with http.get(f"{services.ingest_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"tracehub_{name} ")))

    async def flood() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", services.ingest_port)
        writer.write(b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b" " * 900_000)
        answers.append(asyncio.create_task(reader.readline()))
        return writer

    before = await metric("memory_bytes")
    answers: list[asyncio.Task[bytes]] = []
    writers = await asyncio.gather(*(flood() for _ in range(60)))
    await until(lambda: sum(answer.done() for answer in answers) >= 60 - 4)
    assert {answer.result() for answer in answers if answer.done()} == {b"HTTP/1.1 503 Service Unavailable\r\n"}
    assert 0 < await metric("queue_bytes") <= 4 * 2**20
    assert await metric("memory_bytes") - before < 40 * 2**20
    for writer in writers:
        writer.close()
    await asyncio.wait(answers)

    async def is_free() -> bool:
        return await metric("queue_bytes") == 0

    await until(is_free)
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 200


async def test_bodies_that_become_large_are_inflated_a_few_at_a_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait as they came: what all of them become together would be no matter of the queue."""
    begun: list[int] = []
    go_on = threading.Event()

    def counted(body: bytes, encoding: str, limit: int) -> bytes:
        if threading.current_thread() is not threading.main_thread():
            begun.append(len(body))
            go_on.wait(PATIENCE_S)
        return inflate(body, encoding, limit)

    monkeypatch.setattr(room, "inflate", counted)
    client, intake = await start()
    bomb = gzip_bomb(1)
    posts = [asyncio.create_task(client.post("/", data=bomb, headers={"Content-Encoding": "gzip"})) for _ in range(5)]
    await until(lambda: intake.held == len(posts) * len(bomb))
    await until(lambda: len(begun) >= room.INFLATED_AT_ONCE)
    assert len(begun) == room.INFLATED_AT_ONCE
    go_on.set()
    assert [(await post).status for post in posts] == [413] * len(posts)
    assert len(begun) == len(posts)
    assert intake.held == 0
