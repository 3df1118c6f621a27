"""The query port over HTTP and a real file: what it refuses, what is recent, its counts, files it cannot read yet."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S

from ingest_svc.handlers import DESK
from query_svc.handlers import SOURCE_RATES, TAIL
from shared.env import Settings
from shared.storage import reader as reading
from shared.storage.writer import Writer
from shared.wire import Entry


async def post(ingest: Client, *entries: dict[str, Any]) -> None:
    """Store entries."""
    async with ingest.post("/ingest", json={"traces": entries}) as response:
        assert response.status == 200, await response.text()


async def expire(ingest: Client, count: int) -> None:
    """Have retention take so many entries, as if their time were over."""
    later_ms = (time.time() + 60) * 1000
    await ingest.app[DESK].call("find_horizon", later_ms, later_ms)
    assert (await ingest.app[DESK].call("expire", count)).value == count


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


UNREADABLE = [
    ("/traces/x", "since_ts", ["nan", "inf", "-inf", "soon", "0x10", "1e999"]),
    ("/traces/x", "since_ts", ["1_0", " 1", "1\n", "\u0661", ".", "e5", "9" * 5000 + "x"]),
    ("/traces/x", "limit", ["0", "-1", "abc", "1.5", "NaN"]),
    ("/traces/x", "after", ["abc", "1", ".", "1.", "1_0.1", "nan.1", "1.99999999999999999999", "9" * 5000 + ".1"]),
    ("/traces/x", "after", [f"{2**63}.1", f"-{2**63 + 1}.1"]),
    ("/correlations", "limit", ["0", "-1", "abc", "1.5", "\u0661"]),
    ("/correlations", "before", ["abc", "-1"]),
    ("/correlations", "complete", ["maybe", "2"]),
    ("/correlations", "errors", ["maybe", "2"]),
    ("/correlations", "active_after", ["nan", "inf", "soon"]),
    ("/correlations", "active_before", ["-inf", "1_0"]),
    ("/recent", "limit", ["0", "-1", "abc"]),
    ("/recent", "since_id", ["abc", "-1", "1.0"]),
    ("/stream", "timeout", ["abc", "nan", "1_0"]),
    ("/stream", "last_event_id", ["abc", "-1"]),
    ("/traces/x/stream", "timeout", ["inf"]),
]


async def test_a_parameter_that_cannot_be_read_is_named(ingest: Client, query: Client) -> None:
    """A bad value is a 400 that says which one, and nothing worse."""
    await post(ingest, entry(correlation_id="x"))
    for path, parameter, values in UNREADABLE:
        for value in values:
            detail = await refusal(query, path, **{parameter: value})
            assert parameter.lower().replace("_", "-") in detail.lower().replace("_", "-"), (path, value)
            assert parameter != "limit" or "from 1 up" in detail, (path, value)


async def test_a_number_in_any_form(ingest: Client, query: Client) -> None:
    """Whole or not, with a sign or an exponent."""
    await post(ingest, entry(correlation_id="x", timestamp=1))
    for value in ("0", "-1", "+1.5", ".5", "5.", "1e3", "1.5E-3", "9" * 300):
        assert (await chain(query, "x", since_ts=value))["count"] == (float(value) < 1), value


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/traces/x", ["source", "since_ts", "limit", "after"]),
        ("/correlations", ["limit", "before", "source", "q", "complete", "errors", "active_after", "active_before"]),
        ("/recent", ["limit", "since_id", "source"]),
    ],
)
async def test_an_empty_parameter_counts_as_absent(
    ingest: Client, query: Client, path: str, parameters: list[str]
) -> None:
    """As a form sends the fields that were left empty; one that nobody knows is ignored."""
    await post(ingest, *(entry(correlation_id=name) for name in "xyx"))
    whole = await get(query, path)
    assert whole["count"] == 3 - (path != "/recent")
    for parameter in parameters:
        assert await get(query, path, **{parameter: ""}) == whole, parameter
    assert await get(query, path, unknown="1") == whole


async def test_of_a_repeated_parameter_the_first_counts(ingest: Client, query: Client) -> None:
    """Whatever the later ones say."""
    await post(ingest, *(entry(correlation_id="x") for _ in range(3)))
    for path in ("/traces/x", "/recent"):
        assert len((await get(query, f"{path}?limit=2&limit=1&limit=none"))["traces"]) == 2


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
    assert stats["ingesting"] is True
    assert stats["db_bytes"] == settings.path.stat().st_size
    assert stats["wal_bytes"] > 0
    assert 10 * 2**20 < stats["memory_bytes"] < 4 * 2**30
    monkeypatch.setattr(query.app[SOURCE_RATES], "_stale_at", 0)  # else the answer of a moment ago may be given
    sources = await get(query, "/stats/sources")
    assert sources["sources"] == [
        {"source_id": "MA", "entries": 40, "rate": 0.667},
        {"source_id": "WS", "entries": 20, "rate": 0.333},
    ]
    assert (sources["count"], sources["window_entries"], sources["window_s"]) == (2, 60, 60)


async def test_stats_tell_whether_anything_is_taken_in(ingest: Client, query: Client, settings: Settings) -> None:
    """Nobody has claimed the file any more, or it cannot be seen whether somebody has."""
    await ingest.close()
    assert (await get(query, "/stats"))["ingesting"] is False
    lock = settings.path.with_name(f"{settings.path.name}.lock")
    lock.unlink()
    lock.mkdir()
    assert (await get(query, "/stats"))["ingesting"] is None


async def test_rates_are_of_the_time_that_is_left(start_query: Any, settings: Settings) -> None:
    """Where less than a minute is kept, sources have their entries over that time and no longer one."""
    now_ms = int(time.time() * 1000)
    with closing(Writer(settings.path, settings.retention_ms)) as writer:
        for ago_s in (40, 10):
            writer.write([[Entry("MA", f"{ago_s}", float(n), "", "->", "REST", "/") for n in range(50)]],
                         now_ms - 1000 * ago_s)  # fmt: skip
        writer.expire(51, 100)
    sources = await get(await start_query(settings), "/stats/sources")
    assert sources["window_entries"] == 50
    assert 10 <= sources["window_s"] < 40
    assert sources["sources"][0]["rate"] == pytest.approx(50 / sources["window_s"], rel=0.1)


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
    async with asyncio.timeout(PATIENCE_S):
        query: Client = await start_query(settings)
        for _ in range(10):
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
