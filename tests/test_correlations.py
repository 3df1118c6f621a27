"""`GET /correlations`: which chains there are, newest activity first; by filter, and page by page."""

import contextlib
import sqlite3
import time
from typing import Any

from conftest import Client, entry
from test_query import get, post

from shared.env import Settings
from shared.storage import reader as reading


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


async def test_a_source_that_reads_like_what_is_stored(ingest: Client, query: Client) -> None:
    """A name spelled like two others with a number in between finds its own chains only, page by page."""
    await post(ingest, entry(correlation_id="its own", source_id=":1,"))
    await post(ingest, *(entry(correlation_id="others", source_id=source) for source in ("x,", ":y")))
    found, before = [], {"before": ""}
    while before["before"] is not None:
        page = await get(query, "/correlations", source=":1,", limit=1, **before)
        found += [chain["correlation_id"] for chain in page["correlations"]]
        before = {"before": page["next"]}
    assert found == ["its own"]


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
