"""Waiting for a chain: `Prefer: wait=N`."""

import asyncio
import time
from typing import Any

import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_query import chain, post

from query_svc import trace_page
from query_svc.handlers import TAIL, WINDOWS


async def waiting(query: Client, path: str, wait: str = "wait=60") -> asyncio.Task[Any]:
    """A request that is held by now; gives the answer."""

    async def ask() -> Any:
        async with query.get(path, headers={"Prefer": wait}) as response:
            assert response.status == 200
            return await response.json()

    task = asyncio.create_task(ask())
    await until(lambda: query.app[TAIL].subscribers == 1)
    return task


async def answered(query: Client, task: asyncio.Task[Any]) -> Any:
    """The answer, which does not wait any longer, and nothing left behind."""
    async with asyncio.timeout(PATIENCE_S / 2):
        answer = await task
    assert query.app[TAIL].subscribers == 0
    return answer


async def test_a_first_entry_ends_the_wait(ingest: Client, query: Client) -> None:
    """A client that asks for a chain before it exists has its first entry as soon as it is committed."""
    task = await waiting(query, "/traces/chain")
    await post(ingest, entry(correlation_id="other"))
    await asyncio.sleep(0.1)
    assert not task.done()
    await post(ingest, entry())
    assert (await answered(query, task))["count"] == 1


async def test_only_what_the_query_would_return_ends_the_wait(ingest: Client, query: Client) -> None:
    """With `source` and `since_ts`, entries of others and earlier ones go by; the right one is the answer."""
    await post(ingest, entry(source_id="MA", timestamp=50))
    task = await waiting(query, "/traces/chain?source=WS&since_ts=100")
    await post(ingest, entry(source_id="MA", timestamp=200), entry(source_id="WS", timestamp=100))
    await asyncio.sleep(0.1)
    assert not task.done()
    await post(ingest, entry(source_id="WS", timestamp=100.5))
    answer = await answered(query, task)
    assert [(trace["source_id"], trace["timestamp"]) for trace in answer["traces"]] == [("WS", 100.5)]


async def test_completion_ends_the_wait(ingest: Client, query: Client) -> None:
    """Nothing more will come of a complete chain, so who waits for more is told."""
    await post(ingest, entry())
    task = await waiting(query, "/traces/chain?source=nobody")
    await post(ingest, entry(direction="<-"))
    answer = await answered(query, task)
    assert (answer["traces"], answer["complete"]) == ([], True)


async def test_the_end_of_patience_is_an_empty_answer(ingest: Client, query: Client) -> None:
    """After N seconds the answer says that there is nothing, and how long it waited."""

    async def ask(prefer: str) -> None:
        started = time.monotonic()
        async with query.get("/traces/nobody", headers={"Prefer": prefer}) as response:
            assert (response.status, response.headers["Preference-Applied"]) == (200, "wait=1")
            assert (await response.json())["traces"] == []
        assert time.monotonic() - started >= 1

    await asyncio.gather(*map(ask, ("respond-async, wait=1", "WAIT=1; of=another", 'Wait = "1"')))
    assert query.app[TAIL].subscribers == 0


async def test_a_bad_patience_is_ignored(query: Client) -> None:
    """What is no number of seconds is as if it had not been said."""
    for wait in ("wait=abc", "wait=-1", "wait=1.5", "wait=", "wait", "wait=0", "await=9", "wait=1e3"):
        async with query.get("/traces/nobody", headers={"Prefer": wait}) as response:
            assert response.status == 200, wait
            assert "Preference-Applied" not in response.headers, wait


async def test_more_patience_than_a_minute_is_a_minute(query: Client) -> None:
    """The window that is opened is of 60 seconds, whatever was asked for."""
    now = asyncio.get_running_loop().time
    began = now()
    task = await waiting(query, "/traces/nobody", "wait=999999")
    (window,) = query.app[WINDOWS]._open
    assert began <= window.when() - 60 <= now()
    query.app[WINDOWS].close()
    assert (await answered(query, task))["traces"] == []


async def test_no_wait_where_there_is_something_to_say(ingest: Client, query: Client) -> None:
    """Entries, or a complete chain, are told at once."""
    await post(ingest, entry(), entry(correlation_id="done"), entry(correlation_id="done", direction="<-"))
    async with asyncio.timeout(PATIENCE_S / 2):
        for path in ("/traces/chain", "/traces/done?source=nobody"):
            async with query.get(path, headers={"Prefer": "wait=60"}) as response:
                assert response.status == 200


async def test_a_client_that_goes_away_leaves_nothing(query: Client) -> None:
    """Its subscription ends with its connection."""
    tasks = [asyncio.create_task(query.get("/traces/x", headers={"Prefer": "wait=60"})) for _ in range(20)]
    await until(lambda: query.app[TAIL].subscribers == 20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: query.app[TAIL].subscribers == 0)
    assert query.app[TAIL]._by_chain == {}


async def test_many_wait_for_one_chain(ingest: Client, query: Client) -> None:
    """All are answered by the same commit, none early, none late."""

    async def ask(number: int) -> int:
        async with query.get(f"/traces/chain?source={'AB'[number % 2]}", headers={"Prefer": "wait=60"}) as response:
            count: int = (await response.json())["count"]
            return count

    tasks = [asyncio.create_task(ask(number)) for number in range(60)]
    await until(lambda: query.app[TAIL].subscribers == 60)
    await post(ingest, entry(source_id="A"))
    await until(lambda: sum(task.done() for task in tasks) == 30)
    await post(ingest, entry(source_id="B"))
    assert await asyncio.gather(*tasks) == [1] * 60
    assert (await chain(query, "chain"))["count"] == 2


async def test_a_page_of_many_bytes_ends_early(ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a chain holds an answer is bounded; its pages together are the chain, read in parts of any size."""
    monkeypatch.setattr(trace_page, "ANSWER_BYTES", 4_000)
    monkeypatch.setattr(trace_page, "FIRST_ENTRIES", 3)
    monkeypatch.setattr(trace_page, "READ_BYTES", 1_500)
    sent = [entry(timestamp=1_000 + number // 3, data={"filler": "x" * (37 * number % 900)}) for number in range(60)]
    await post(ingest, *sent)
    found: list[str] = []
    page: dict[str, Any] = {"next": ""}
    pages = 0
    while page["next"] is not None:
        page = await chain(query, "chain", after=page["next"])
        assert page["count"] == 60
        assert sum(len(one["data"]["filler"]) for one in page["traces"]) < 8_000
        found += [one["suffix"] for one in page["traces"]]
        pages += 1
    assert found == [one["suffix"] for one in sent]
    assert pages > 3
