"""`/recent` where its entries are long: read and sent one after the other, each while it is still there."""

import asyncio

import pytest
from conftest import Client, entry, until
from test_query import expire, get, post

from query_svc import recent
from query_svc.long_entries import HELD_BYTES, LONG_ENTRIES


async def test_a_long_entry_that_expires_in_line_is_left_out(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has begun by then, and counts what is in it."""
    monkeypatch.setattr(recent, "AT_ONCE_BYTES", 1)
    long = query.app[LONG_ENTRIES]
    await long._room(HELD_BYTES)
    await post(ingest, entry(), entry(data={"x": "x" * 300_000}), entry())
    asked = asyncio.create_task(get(query, "/recent"))
    await until(lambda: long._line)
    await expire(ingest, 3)
    long._give_back(HELD_BYTES)
    answer = await asked
    assert ([one["id"] for one in answer["traces"]], answer["count"]) == ([1], 1)
    assert long.held == 0


async def test_short_entries_are_sent_at_once(ingest: Client, query: Client) -> None:
    """The answer says its length, to HEAD as well."""
    await post(ingest, entry())
    for ask in (query.get, query.head):
        async with ask("/recent") as response:
            assert int(response.headers["Content-Length"]) > 100
