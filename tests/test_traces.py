"""`GET /traces/{id}`: whole chains and parts of them, in order, under whatever id."""

import asyncio
import http.client
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from conftest import Client, entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_query import chain, expire, get, post


async def raw(
    query: Client, path: str, read: Callable[[http.client.HTTPResponse], bytes] = http.client.HTTPResponse.read
) -> bytes:
    """What is read of the answer to a path that no client library touches."""

    def ask() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", query.port)
        connection.request("GET", path)
        body = read(connection.getresponse())
        connection.close()
        return body

    return await asyncio.to_thread(ask)


def first(stream: http.client.HTTPResponse) -> bytes:
    """The data of the first event."""
    return next(line.removeprefix(b"data: ") for line in stream if line.startswith(b"data: "))


async def test_a_chain_is_ordered_by_timestamp_then_arrival(ingest: Client, query: Client) -> None:
    """Late entries find their place; of one instant, the first to arrive comes first."""
    stamps = [5.5, 1.25, 5.5, 0, 1e12 + 0.125, 5.5]
    for number, stamp in enumerate(stamps):
        await post(ingest, entry(timestamp=stamp, suffix=str(9 - number)))
    answer = await chain(query, "chain")
    places = [(trace["timestamp"], 9 - int(trace["suffix"])) for trace in answer["traces"]]
    assert places == sorted((stamp, number) for number, stamp in enumerate(stamps))
    assert (answer["count"], answer["complete"], answer["expired"], answer["next"]) == (6, False, 0, None)


async def test_an_entry_comes_back_as_it_was_sent(ingest: Client, query: Client) -> None:
    """Every field, null and empty data, key order and odd characters included."""
    sent = [
        entry(data={"z": 1, "a": [None, 1.50, {"\u2028": "\r\n"}]}, hostname="h", raw_line="line\nbreak \U0001f600"),
        entry(data={}),
        entry(data=None, direction="<-", endpoint="", operation="", suffix=""),
    ]
    await post(ingest, *sent)
    answer = await chain(query, "chain")
    assert answer["traces"] == [{"data": None, "hostname": "unknown", "raw_line": None, **one} for one in sent]
    assert list(answer["traces"][0]["data"]) == ["z", "a"]


async def test_an_unknown_id_is_an_empty_answer(query: Client) -> None:
    """Asking for a chain that nobody has seen is no error."""
    assert await chain(query, "nobody") == {
        "correlation_id": "nobody", "traces": [], "count": 0, "complete": False, "expired": 0, "next": None,
    }  # fmt: skip


async def test_source_is_exact_and_complete_speaks_of_the_chain(ingest: Client, query: Client) -> None:
    """Filtered by source, the entries and their count are its own; completeness is everybody's."""
    await post(ingest, entry(source_id="MA"), entry(source_id="MAX"), entry(source_id="ma"))
    answer = await chain(query, "chain", source="MA")
    assert [trace["source_id"] for trace in answer["traces"]] == ["MA"]
    assert (answer["count"], answer["complete"]) == (1, False)
    await post(ingest, *(entry(source_id=source, direction="<-") for source in ("MA", "MAX", "ma")))
    assert (await chain(query, "chain", source="nobody"))["complete"] is True


async def test_complete_needs_each_entry_to_have_its_own_exit(ingest: Client, query: Client) -> None:
    """An extra exit of one step does not hide the missing exit of another."""
    await post(ingest, entry(endpoint="/a"), entry(endpoint="/b"))
    await post(ingest, entry(endpoint="/a", direction="<-"), entry(endpoint="/a", direction="<-"))
    assert (await chain(query, "chain"))["complete"] is False


async def test_since_ts_is_exclusive(ingest: Client, query: Client) -> None:
    """Entries of that very instant are left out, those a bit later are not."""
    await post(ingest, *(entry(timestamp=stamp) for stamp in (0, 10, 10.000000000000002, 11)))
    for since, stamps in (("10", [10.000000000000002, 11]), ("-1e300", [0, 10, 10.000000000000002, 11]), ("0", None)):
        answer = await chain(query, "chain", since_ts=since)
        assert [trace["timestamp"] for trace in answer["traces"]] == (stamps or [10, 10.000000000000002, 11])
        assert answer["count"] == len(answer["traces"])
    assert (await chain(query, "chain", since_ts="1e308"))["count"] == 0


async def test_pages_follow_every_time_that_a_double_can_say(ingest: Client, query: Client) -> None:
    """From 0 to the largest, one entry after the other, each equal to what was sent."""
    stamps = [0.0, 5e-324, 1e-310, 1.0, 1.0000000000000002, 2.0**53, 2.0**53 + 2, 2.0**64, 1e308, sys.float_info.max]
    await post(ingest, *(entry(timestamp=stamp) for stamp in reversed(stamps)))
    pages = [await chain(query, "chain", limit=1)]
    while pages[-1]["next"]:
        pages.append(await chain(query, "chain", limit=1, after=pages[-1]["next"]))
    assert [page["traces"][0]["timestamp"] for page in pages] == stamps
    for place, stamp in enumerate(stamps, start=1):
        assert (await chain(query, "chain", since_ts=repr(stamp)))["count"] == len(stamps) - place


async def test_pages_of_any_size_make_up_the_chain(ingest: Client, query: Client, monkeypatch: Any) -> None:
    """Followed from page to page, a chain is the same as in one answer, filtered or not."""
    await post(ingest, *(entry(timestamp=n // 3, source_id="AB"[n % 2]) for n in range(50)))
    monkeypatch.setattr("query_svc.trace_page.FIRST_ENTRIES", 3)
    monkeypatch.setattr("query_svc.trace_page.READ_ENTRIES", 7)
    monkeypatch.setattr("query_svc.trace_page.PAIR_ENTRIES", 5)  # reads of as many as that go side by side

    @settings(max_examples=25, deadline=None)
    @given(
        limit=st.integers(1, 60),
        source=st.sampled_from(["", "A"]),
        since=st.sampled_from(["", "3", "99"]),
        step=st.data(),
    )
    def page_through(limit: int, source: str, since: str, step: Any) -> None:
        tried.append({"limit": limit, "source": source, "since_ts": since})

    tried: list[dict[str, Any]] = []
    page_through()
    for parameters in tried:
        whole = await chain(query, "chain", **{**parameters, "limit": 50_000})
        pages = [await chain(query, "chain", **parameters)]
        while pages[-1]["next"]:
            pages.append(await chain(query, "chain", **parameters, after=pages[-1]["next"]))
        assert [trace for page in pages for trace in page["traces"]] == whole["traces"], parameters
        assert {page["count"] for page in pages} == {whole["count"]} == {len(whole["traces"])}
        assert all(len(page["traces"]) <= parameters["limit"] for page in pages)


ODD_IDS = [
    "a/b", "/", "//", "100%", "%2F", "%2f", "%252F", "%", ".", "..", "a/../b", "a b", "+", "a+b", "?", "#", "a?b#c",
    "&=;", "stream", "a/stream", "\u00fc\u4e2d", "\U0001f600", "x" * 512, "\U0001f600" * 512, "\u2028", "\r\n", "\x01",
    '"\\', "{id}", ":",
]  # fmt: skip


async def test_any_id_can_be_asked_for(ingest: Client, query: Client) -> None:
    """Quoted in the URL, any id finds its chain, and its stream."""
    await post(ingest, *(entry(correlation_id=odd, data={"is": odd}) for odd in ODD_IDS))
    for odd in ODD_IDS:
        answer = json.loads(await raw(query, f"/traces/{quote(odd, safe='')}"))
        assert [trace["data"] for trace in answer.get("traces", [])] == [{"is": odd}], (odd, answer)
        assert answer["correlation_id"] == odd
        streamed = await raw(query, f"/traces/{quote(odd, safe='')}/stream", first)
        assert json.loads(streamed)["data"] == {"is": odd}


async def test_dots_need_no_quoting(ingest: Client, query: Client) -> None:
    """The ids `.` and `..` are ids, for a client that sends the path as it is."""
    await post(ingest, entry(correlation_id="."), entry(correlation_id=".."))
    for path, odd in (("/traces/.", "."), ("/traces/..", ".."), ("/traces/%2E%2e", "..")):
        answer = json.loads(await raw(query, path))
        assert (answer["correlation_id"], answer["count"]) == (odd, 1)


async def test_random_ids_come_back(ingest: Client, query: Client) -> None:
    """Whatever text an id is, it names its own chain and no other."""
    ids: set[str] = set()
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text)
    def collect(id: str) -> None:
        ids.add(id)

    collect()
    await post(ingest, *(entry(correlation_id=id) for id in ids))
    for id in ids:
        answer = json.loads(await raw(query, f"/traces/{quote(id, safe='')}"))
        assert (answer["correlation_id"], answer["count"]) == (id, 1)


async def test_expired_entries_are_counted(ingest: Client, query: Client) -> None:
    """A chain that lost entries says how many, and nothing of its completeness."""
    await post(ingest, entry(), entry(source_id="gone"))
    await post(ingest, entry(timestamp=3), entry(timestamp=5, direction="<-"))
    await expire(ingest, 2)
    answer = await chain(query, "chain")
    assert (answer["count"], answer["complete"]) == (2, None)
    (summary,) = (await get(query, "/correlations"))["correlations"]
    left = {"trace_count": 2, "first_ts": 3, "last_ts": 5, "duration_ms": 2, "sources": ["MA"], "complete": None}
    assert summary.items() >= {"correlation_id": "chain", "expired": 2, "last_id": 4, **left}.items()
    assert (await get(query, "/correlations", complete="false"))["count"] == 0
