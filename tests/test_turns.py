"""Turns of long answers: few are made at a time, and who waits for one holds up nobody else."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from conftest import Client, entry, until
from test_query import chain, post

from query_svc import trace_page, turns
from query_svc.handlers import READY
from query_svc.turns import AT_ONCE, Turns
from shared.errors import Unavailable


async def test_few_have_a_turn_at_a_time() -> None:
    """The next one has it when one of them has ended, also where another that waited has gone."""
    line, begun, end = Turns(), [], asyncio.Event()

    async def take(number: int) -> None:
        async with line.turn():
            begun.append(number)
            await end.wait()

    first, *others = [asyncio.create_task(take(number)) for number in range(AT_ONCE)]
    await until(lambda: len(begun) == AT_ONCE)
    assert line.are_taken
    gone, last = [asyncio.create_task(take(number)) for number in (AT_ONCE, AT_ONCE + 1)]
    await asyncio.sleep(0.05)
    assert begun == [*range(AT_ONCE)]
    gone.cancel()
    first.cancel()
    await until(lambda: begun == [*range(AT_ONCE), AT_ONCE + 1])
    end.set()
    await asyncio.gather(*others, last)
    assert not line.are_taken


async def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits too long is told so, and takes no turn of the next."""
    monkeypatch.setattr(turns, "PATIENCE_S", 0.01)
    line = Turns()
    async with AsyncExitStack() as taken:
        for _ in range(AT_ONCE):
            await taken.enter_async_context(line.turn())
        with pytest.raises(Unavailable):
            await line.turn().__aenter__()
    async with AsyncExitStack() as taken:
        for _ in range(AT_ONCE):
            await taken.enter_async_context(line.turn())


@pytest.mark.parametrize("waiting_bytes", [1, trace_page.WAITING_BYTES])
async def test_only_long_answers_take_turns(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch, waiting_bytes: int
) -> None:
    """Short ones pass, a long one waits and is whole, whether it holds its first entries meanwhile or not."""
    monkeypatch.setattr(trace_page, "WAITING_BYTES", waiting_bytes)
    await post(ingest, *(entry(timestamp=number) for number in range(200)), entry(correlation_id="short"))
    async with AsyncExitStack() as taken:
        for _ in range(AT_ONCE):
            await taken.enter_async_context(query.app[READY].turns.turn())
        long = asyncio.create_task(chain(query, "chain"))
        assert (await chain(query, "short"))["count"] == 1
        assert (await chain(query, "chain", limit=50))["count"] == 200
        assert not long.done()
    assert [one["timestamp"] for one in (await long)["traces"]] == [*range(200)]


async def test_who_asked_for_the_same_gets_it_made_once(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in line have the answer that the first of them made, unless the chain has grown since."""
    await post(ingest, *(entry(data={"filler": "x" * 1_000}) for _ in range(100)))
    made: list[Any] = []
    read_on = trace_page._read_on
    monkeypatch.setattr(trace_page, "_read_on", lambda *asked: (made.append(asked), read_on(*asked))[1])
    async with AsyncExitStack() as taken:
        for _ in range(AT_ONCE - 1):
            await taken.enter_async_context(query.app[READY].turns.turn())
        answers = await asyncio.gather(*(chain(query, "chain") for _ in range(5)))
    assert [len(answer["traces"]) for answer in answers] == [100] * 5
    assert len(made) == 1
    await post(ingest, entry())
    assert len((await chain(query, "chain"))["traces"]) == 101
