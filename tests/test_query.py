"""The query port, call by call, over HTTP and a real file."""

import asyncio
import contextlib
import http.client
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from conftest import Client, entry, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query_svc.handlers import TAIL, TALKERS
from shared.env import Settings
from shared.storage import reader as reading


async def post(ingest: Client, *entries: dict[str, Any]) -> None:
    """Store entries."""
    async with ingest.post("/ingest", json={"traces": entries}) as response:
        assert response.status == 200, await response.text()


async def get(query: Client, path: str, **parameters: Any) -> Any:
    """The answer of a call, which has to be a 200."""
    async with query.get(path, params=parameters) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/json"
        return await response.json()


async def chain(query: Client, correlation_id: str, **parameters: Any) -> Any:
    """The answer for one chain."""
    return await get(query, f"/traces/{quote(correlation_id, safe='')}", **parameters)


async def refusal(query: Client, path: str, **parameters: Any) -> str:
    """What a call says with its 400."""
    async with query.get(path, params=parameters) as response:
        assert response.status == 400, await response.text()
        detail: str = (await response.json())["detail"]
        return detail


async def raw(query: Client, path: str) -> bytes:
    """The body of an answer to a path that no client library touches."""

    def ask() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", query.port)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return body

    return await asyncio.to_thread(ask)


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


@pytest.mark.parametrize(
    ("path", "parameter", "values"),
    [
        ("/traces/x", "since_ts", ["nan", "inf", "-inf", "soon", "0x10"]),
        ("/traces/x", "limit", ["0", "-1", "abc", "1.5", "NaN"]),
        ("/traces/x", "after", ["abc", "1", ".", "1.", "1_0.1", "nan.1", "1.99999999999999999999", "9" * 5000 + ".1"]),
        ("/correlations", "limit", ["0", "-1", "abc", "1.5", "\u0661"]),
        ("/correlations", "before", ["abc", "-1"]),
        ("/correlations", "complete", ["maybe", "2"]),
        ("/correlations", "errors", ["maybe", "2"]),
        ("/correlations", "active_after", ["nan", "inf", "soon"]),
        ("/correlations", "active_before", ["-inf", "1_0.x"]),
        ("/recent", "limit", ["0", "-1", "abc"]),
        ("/recent", "since_id", ["abc", "-1", "1.0"]),
        ("/stream", "timeout", ["abc", "nan"]),
        ("/stream", "last_event_id", ["abc", "-1"]),
        ("/traces/x/stream", "timeout", ["inf"]),
    ],
)
async def test_a_parameter_that_cannot_be_read_is_named(
    ingest: Client, query: Client, path: str, parameter: str, values: list[str]
) -> None:
    """A bad value is a 400 that says which one, and nothing worse."""
    await post(ingest, entry(correlation_id="x"))
    for value in values:
        detail = await refusal(query, path, **{parameter: value})
        assert parameter.lower().replace("_", "-") in detail.lower().replace("_", "-")


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
    streams = await asyncio.gather(*(raw(query, f"/traces/{quote(odd, safe='')}/stream?timeout=1") for odd in ODD_IDS))
    for odd, stream in zip(ODD_IDS, streams, strict=True):
        (data,) = re.findall(rb"^id: \d+\ndata: (.*)$", stream, re.MULTILINE)
        assert json.loads(data)["data"] == {"is": odd}


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


async def test_correlations_newest_activity_first(ingest: Client, query: Client) -> None:
    """A chain moves to the top with each new entry, and its summary is true."""
    await post(ingest, entry(correlation_id="a", timestamp=100), entry(correlation_id="b", timestamp=50))
    await post(ingest, entry(correlation_id="a", timestamp=40.5, source_id="WS", direction="<-"))
    answer = await get(query, "/correlations")
    for one in answer["correlations"]:
        assert abs(one.pop("arrived_ts") / 1000 - time.time()) < 30
    assert answer == {
        "correlations": [
            {"correlation_id": "a", "trace_count": 2, "first_ts": 40.5, "last_ts": 100, "duration_ms": 59.5,
             "sources": ["MA", "WS"], "complete": False, "open": 0, "errors": 0, "expired": 0, "last_id": 3},
            {"correlation_id": "b", "trace_count": 1, "first_ts": 50, "last_ts": 50, "duration_ms": 0,
             "sources": ["MA"], "complete": False, "open": 1, "errors": 0, "expired": 0, "last_id": 2},
        ],
        "count": 2,
        "next": None,
    }  # fmt: skip


async def test_correlations_page_to_the_end_while_entries_arrive(ingest: Client, query: Client) -> None:
    """Chains that stay as they are come once, new activity in between makes none come twice."""
    await post(ingest, *(entry(correlation_id=f"old-{n}") for n in range(40)))
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = await get(query, "/correlations", limit=7, **before)
        seen += [chain["correlation_id"] for chain in page["correlations"]]
        await post(ingest, entry(correlation_id=f"new-{len(seen)}"), entry(correlation_id="old-39"))
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == [f"old-{n}" for n in reversed(range(40))]


async def test_correlations_filters(ingest: Client, query: Client) -> None:
    """By source, exactly; by part of the id; by completeness; and all at once."""
    await post(ingest, entry(correlation_id="done", source_id="MA"), entry(correlation_id="done", direction="<-"))
    await post(ingest, entry(correlation_id="open-1", source_id="M"), entry(correlation_id="open-2", source_id='x"MA'))
    await post(ingest, entry(correlation_id="open-3", source_id='a,"MA'), entry(correlation_id="50%_*", source_id="{"))

    async def ids(**filters: Any) -> list[str]:
        return [one["correlation_id"] for one in (await get(query, "/correlations", **filters))["correlations"]]

    assert await ids(source="MA") == ["done"]
    assert await ids(source="M") == ["open-1"]
    assert await ids(source='x"MA') == ["open-2"]
    assert await ids(source="{") == ["50%_*"]
    assert await ids(q="open") == ["open-3", "open-2", "open-1"]
    assert await ids(q="OPEN") == []
    assert await ids(q="%_*") == ["50%_*"]
    assert await ids(complete="true") == ["done"]
    assert await ids(complete="false") == ["50%_*", "open-3", "open-2", "open-1"]
    assert await ids(q="open", source="M", complete="0") == ["open-1"]
    assert await ids(q="open", complete="1") == []


async def test_correlations_with_errors(ingest: Client, query: Client) -> None:
    """Entries whose data reports an error are counted, and chains with any or without are found."""
    await post(ingest, entry(correlation_id="a", data={"error": "x"}), entry(correlation_id="a", data={"status": 503}))
    await post(ingest, entry(correlation_id="b", data={"status": 200}))
    for errors, found in (("true", [("a", 2)]), ("false", [("b", 0)]), ("", [("b", 0), ("a", 2)])):
        page = await get(query, "/correlations", errors=errors)
        assert [(one["correlation_id"], one["errors"]) for one in page["correlations"]] == found


def mark(db: str, first_entry: int, ago_s: float) -> None:
    """Let the entries from a row id on have arrived so long ago, up to the next mark."""
    with contextlib.closing(sqlite3.connect(db)) as file:
        arrived = int((time.time() - ago_s) * 1000)
        file.execute("INSERT OR REPLACE INTO arrival VALUES (?, ?)", (first_entry, arrived))
        file.commit()


async def test_correlations_by_time_of_activity(ingest: Client, query: Client, settings: Settings) -> None:
    """The bounds are those of `arrived_ts`, the lower one included; they page, and join with other filters."""
    for turn in range(3):
        await post(ingest, *(entry(correlation_id=f"{turn}-{n}") for n in range(4)))
        mark(settings.db, 4 * turn + 1, 5000 - 1000 * turn)
    marks = {one["arrived_ts"] for one in (await get(query, "/correlations"))["correlations"]}
    assert len(marks) == 3
    oldest, middle, newest = sorted(marks)

    async def turns(**filters: Any) -> str:
        found: list[str] = []
        page = {"next": None}
        while page["next"] or not found:
            before = {"before": page["next"]} if page["next"] else {}
            page = await get(query, "/correlations", limit=3, **filters, **before)
            found += [one["correlation_id"] for one in page["correlations"]]
            if not page["next"]:
                break
        return "".join(id[0] for id in found)

    assert await turns(active_after=middle) == "22221111"
    assert await turns(active_after=middle + 1) == "2222"
    assert await turns(active_before=middle) == "0000"
    assert await turns(active_after=oldest, active_before=newest) == "11110000"
    assert await turns(active_after=oldest, active_before=newest, q="-2") == "10"
    assert await turns(active_after=newest + 1e9) == await turns(active_before=0) == ""
    assert await turns(active_after=-1e300, active_before=1e300) == "222211110000"


async def test_a_filtered_page_may_be_short(ingest: Client, query: Client, monkeypatch: Any) -> None:
    """When its scan budget is used, a page ends early with a `next`; the pages together hold every match once."""
    monkeypatch.setattr(reading, "SCAN_CHAINS", 10)
    await post(ingest, *(entry(correlation_id=f"{'hit' if n % 13 == 0 else 'miss'}-{n}") for n in range(60)))
    pages = [await get(query, "/correlations", q="hit", limit=3)]
    while pages[-1]["next"]:
        pages.append(await get(query, "/correlations", q="hit", limit=3, before=pages[-1]["next"]))
    assert len(pages) >= 6
    assert [one["correlation_id"] for page in pages for one in page["correlations"]] == [
        f"hit-{n}" for n in (52, 39, 26, 13, 0)
    ]


async def test_a_large_limit_is_clamped(ingest: Client, query: Client) -> None:
    """A limit beyond the most is the most, however large."""
    await post(ingest, *(entry(correlation_id=f"c{n}") for n in range(1005)))
    for limit in ("1000", "1001", "9" * 30):
        assert (await get(query, "/correlations", limit=limit))["count"] == 1000
        assert (await get(query, "/recent", limit=limit))["count"] == 1000
        assert (await chain(query, "c1", limit=limit))["count"] == 1
    assert (await get(query, "/correlations"))["count"] == 50
    assert (await get(query, "/recent"))["count"] == 200


async def test_recent(ingest: Client, query: Client, monkeypatch: Any) -> None:
    """The newest entries oldest first; from `since_id` on the next ones; `source` is a prefix."""
    monkeypatch.setattr(reading, "SCAN_ENTRIES", 8)
    await post(ingest, *(entry(source_id=f"{'MA' if n % 5 == 0 else 'WS'}{n}") for n in range(1, 31)))

    async def ids(**parameters: Any) -> list[int]:
        return [trace["id"] for trace in (await get(query, "/recent", **parameters))["traces"]]

    assert await ids(limit=3) == [28, 29, 30]
    assert await ids(limit=3, since_id=0) == [1, 2, 3]
    assert await ids(limit=3, since_id=28) == [29, 30]
    assert await ids(since_id=30) == []
    assert await ids(since_id=10**30) == []
    assert await ids(source="MA") == [25, 30]
    assert await ids(source="MA", limit=1) == [30]
    assert await ids(source="MA", since_id=0) == [5, 10, 15, 20, 25, 30]
    assert await ids(source="MA", since_id=5, limit=2) == [10, 15]
    assert await ids(source="ma") == []
    assert await ids(source="M%") == []


async def test_stats_are_true(ingest: Client, query: Client, settings: Settings, monkeypatch: Any) -> None:
    """Counts, ids, rates, sizes and subscribers are what they say."""
    empty = await get(query, "/stats")
    assert (empty["entries"], empty["chains"], empty["newest_id"], empty["rate"]) == (0, 0, 0, 0)
    assert (await get(query, "/stats/sources"))["sources"] == []
    await post(ingest, *(entry(correlation_id=f"c{n % 4}", source_id="MA" if n % 3 else "WS") for n in range(60)))
    query.app[TAIL].reader._census = None
    stats = await get(query, "/stats")
    assert (stats["entries"], stats["chains"], stats["oldest_id"], stats["newest_id"]) == (60, 4, 1, 60)
    assert (stats["rate"], stats["subscribers"], stats["retention_hours"]) == (1.0, 0, 24.0)
    assert stats["tail_lag"] == {"entries": 0, "seconds": 0}
    assert stats["db_bytes"] == settings.path.stat().st_size
    assert stats["wal_bytes"] > 0
    assert 10 * 2**20 < stats["memory_bytes"] < 4 * 2**30
    monkeypatch.setattr(query.app[TALKERS], "_stale_at", 0)  # else the answer of a moment ago may be given
    sources = await get(query, "/stats/sources")
    assert sources["sources"] == [
        {"source_id": "MA", "entries": 40, "rate": 0.667},
        {"source_id": "WS", "entries": 20, "rate": 0.333},
    ]
    assert (sources["count"], sources["window_entries"], sources["window_s"]) == (2, 60, 60)


async def test_unhealthy_until_there_is_a_file(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """Without a file every call that needs one is a 503 that says why; with it the same process answers."""
    query: Client = await start_query(settings)
    for path in ("/health", "/correlations", "/traces/x", "/traces/x/stream", "/stream", "/recent", "/stats"):
        async with query.get(path) as response:
            assert response.status == 503
            assert "ingest service makes it" in (await response.json())["detail"]
    for path in ("/", "/metrics", "/openapi.json"):
        async with query.get(path) as response:
            assert response.status == 200
    ingest: Client = await start_ingest(settings)
    await post(ingest, entry())
    await until(lambda: healthy(query))
    assert (await chain(query, "chain"))["count"] == 1


async def healthy(query: Client) -> bool:
    """Whether the service says that it is."""
    async with query.get("/health") as response:
        return response.status == 200


def earlier_release(path: Path) -> sqlite3.Connection:
    """A database file of the earlier release."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(
        "CREATE TABLE traces(id INTEGER PRIMARY KEY, source_id TEXT, correlation_id TEXT, timestamp REAL, suffix TEXT,"
        " direction TEXT, operation TEXT, endpoint TEXT, data TEXT, hostname TEXT, raw_line TEXT, created_at REAL,"
        " UNIQUE(correlation_id, timestamp, suffix))"
    )
    db.execute(
        "INSERT INTO traces VALUES (1, 'MA', 'old', 5.5, 'x', '->', 'REST', '/', '{\"a\": NaN}', 'h', NULL, ?)",
        (time.time(),),
    )
    return db


async def test_an_old_file_is_waited_for(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """A file of the earlier release is a 503 until ingest has upgraded it, and then its entries are there."""
    earlier_release(settings.path).close()
    query: Client = await start_query(settings)
    async with query.get("/health") as response:
        assert response.status == 503
        assert "not set up yet" in (await response.json())["detail"]
    await start_ingest(settings)
    await until(lambda: healthy(query))
    assert (await chain(query, "old"))["traces"][0]["data"] == {"_unparsed": '{"a": NaN}'}


async def test_an_upgrade_in_progress_holds_nothing_up(start_query: Any, settings: Settings) -> None:
    """While the old file is locked, the query service goes on answering 503 instead of standing still."""
    old = earlier_release(settings.path)
    old.execute("BEGIN EXCLUSIVE")
    async with asyncio.timeout(4):
        query: Client = await start_query(settings)
        for _ in range(5):
            async with query.get("/health") as response:
                assert response.status == 503
            await asyncio.sleep(0.1)
    old.close()


async def test_a_newer_file_is_refused_politely(start_query: Any, settings: Settings) -> None:
    """A file of a newer version, or of another program, is a 503 with the reason."""
    for application, version, reason in ((0x54726348, 99, "upgrade the program"), (7, 0, "another program")):
        settings.path.unlink(missing_ok=True)
        db = sqlite3.connect(settings.path)
        db.executescript(f"CREATE TABLE t(x); PRAGMA application_id={application}; PRAGMA user_version={version}")
        db.close()
        query: Client = await start_query(settings)
        async with query.get("/correlations") as response:
            assert response.status == 503
            assert reason in (await response.json())["detail"]


async def test_secrets(start_query: Any, start_ingest: Any, settings: Settings) -> None:
    """With reader secrets set, each opens every call; none is 401, a wrong one 403; health tells only its status."""
    guarded = msgspec.structs.replace(settings, query_secret="one, two", secret="sender")
    ingest: Client = await start_ingest(guarded)
    query: Client = await start_query(guarded)
    await until(lambda: healthy(query))
    for path in ("/traces/x", "/stream?timeout=1", "/correlations", "/recent", "/stats", "/stats/sources", "/metrics"):
        for headers, status in (
            ({}, 401),
            ({"X-TraceHub-Secret": "wrong"}, 403),
            ({"X-TraceHub-Secret": "\u00e4"}, 403),
            ({"Authorization": "Basic one"}, 401),
            ({"X-TraceHub-Secret": "one, two"}, 403),
            ({"X-TraceHub-Secret": "sender"}, 403),
            ({"X-TraceHub-Secret": "two"}, 200),
            ({"Authorization": "bearer one"}, 200),
        ):
            async with query.get(path, headers=headers) as response:
                assert response.status == status, (path, headers)
    async with query.get("/stats") as response:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for client in (ingest, query):
        async with client.get("/health") as response:
            assert await response.json() == {"status": "healthy"}
        async with client.get("/health", headers={"X-TraceHub-Secret": "wrong"}) as response:
            assert await response.json() == {"status": "healthy"}
        for path in ("/openapi.json",):
            async with client.get(path) as response:
                assert response.status == 200
    async with query.get("/health", headers={"X-TraceHub-Secret": "one"}) as response:
        assert (await response.json())["db"] == settings.db
    for secret, status in (("sender", 200), ("two", 200), ("wrong", 403)):
        async with ingest.get("/metrics", headers={"X-TraceHub-Secret": secret}) as response:
            assert response.status == status


async def test_a_post_through_the_redirect_is_stored(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """Ingest paths on the query port are a 307 that keeps method and body, so one address is enough."""
    ingest: Client = await start_ingest(settings)
    query: Client = await start_query(msgspec.structs.replace(settings, port=ingest.port))
    await until(lambda: healthy(query))
    async with query.post("/ingest?x=a%26b", json={"traces": [entry()]}, allow_redirects=False) as response:
        assert response.status == 307
        assert response.headers["Location"] == f"http://127.0.0.1:{ingest.port}/ingest?x=a%26b"
        assert "curl -L" in (await response.json())["detail"]
    async with query.post("/ingest", json={"traces": [entry()]}) as response:
        assert (response.status, await response.json()) == (200, {"accepted": 1, "inserted": 1, "duplicates": 0})
    async with query.post("/ingest/single", json=entry()) as response:
        assert await response.json() == {"inserted": True}
    async with query.delete("/cleanup") as response:
        assert await response.json() == {"deleted": 0}
    assert (await chain(query, "chain"))["count"] == 2


async def test_the_public_address_is_where_a_redirect_leads(start_query: Any, settings: Settings) -> None:
    """Behind a proxy, Location is the configured address."""
    query: Client = await start_query(msgspec.structs.replace(settings, ingest_url="https://hub.example/in/"))
    async with query.post("/ingest", allow_redirects=False) as response:
        assert response.headers["Location"] == "https://hub.example/in/ingest"


async def test_wrong_methods_and_paths(query: Client) -> None:
    """A known path with the wrong method is a 405 that names the right ones, anything else a 404, both JSON."""
    async with query.post("/correlations") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert "GET" in (await response.json())["detail"]
    for path in ("/nothing", "/traces", "/traces/", "/traces/a/b"):
        async with query.get(path) as response:
            assert response.status == 404
            assert "No such path" in (await response.json())["detail"]
    async with query.head("/correlations") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_metrics_are_prometheus_text(query: Client) -> None:
    """Each metric has its help, its type and a number."""
    async with query.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    assert len(lines) % 3 == 0
    for purpose, kind, value in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name = value.split()[0]
        assert purpose.startswith(f"# HELP {name} ")
        assert kind in (f"# TYPE {name} gauge", f"# TYPE {name} counter")
        float(value.split()[1])


async def test_what_nobody_foresaw_stays_in_the_log(
    ingest: Client, query: Client, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is a 500 without a word about it, and its traceback is in the log."""
    monkeypatch.setattr("query_svc.handlers.CorrelationPage", None)
    async with query.get("/correlations") as response:
        assert response.status == 500
        assert await response.json() == {"detail": "Internal error: the log of the service says more"}
    assert "NoneType" in caplog.text


async def test_expired_entries_are_counted(
    start_ingest: Any, start_query: Any, settings: Settings, http: aiohttp.ClientSession
) -> None:
    """A chain that lost entries says how many, and nothing of its completeness."""
    short = msgspec.structs.replace(settings, retention_hours=2 / 3600)
    ingest: Client = await start_ingest(short)
    query: Client = await start_query(short)
    await until(lambda: healthy(query))
    await post(ingest, entry(), entry(source_id="gone"))
    await asyncio.sleep(1.2)
    await post(ingest, entry(timestamp=3), entry(timestamp=5, direction="<-"))

    async def expired() -> bool:
        return bool((await chain(query, "chain"))["expired"] == 2)

    await until(expired)
    answer = await chain(query, "chain")
    assert (answer["count"], answer["complete"]) == (2, None)
    (summary,) = (await get(query, "/correlations"))["correlations"]
    left = {"trace_count": 2, "first_ts": 3, "last_ts": 5, "duration_ms": 2, "sources": ["MA"], "complete": None}
    assert summary.items() >= {"correlation_id": "chain", "expired": 2, "last_id": 4, **left}.items()
    assert (await get(query, "/correlations", complete="false"))["count"] == 0


async def test_a_page_that_is_just_full_is_the_last(ingest: Client, query: Client) -> None:
    """`next` is null when nothing follows, also where the page holds as many as it may."""
    await post(ingest, entry(correlation_id="a"), entry(correlation_id="a"), entry(correlation_id="b"))
    for path, limit, follows in (
        ("/traces/a", 2, False),
        ("/traces/a", 1, True),
        ("/correlations", 2, False),
        ("/correlations", 1, True),
    ):
        answer = await get(query, path, limit=limit)
        assert (answer["next"] is not None) == follows, (path, limit)
