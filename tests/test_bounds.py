"""However long entries are, the memory of the query process is bounded, and every answer is whole."""

import asyncio
import io
import itertools
import json
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Client, Services, entry, events, until
from patience import PATIENCE_S
from test_query import chain, get, post
from test_stream import ids, take

from query_svc import trace_page
from query_svc.long_entries import LONG_ENTRIES, LongEntries
from shared.storage import reader as reading
from shared.storage import rendering, stretches
from shared.storage.reader import Reader
from shared.storage.writer import Writer
from shared.wire import Entry

LONG = 8_000_000  # bytes of an entry
COUNT = 12
MOST_MIB = 450  # of which 128 are for long answers on their way, 64 for long entries, 24 for answers that are kept


JSON = {"Content-Type": "application/json"}


def body(*entries: dict[str, Any]) -> io.BytesIO:
    """A long batch as aiohttp takes it."""
    return io.BytesIO(json.dumps({"traces": entries}).encode())


async def post_long(ingest: Client, *entries: dict[str, Any]) -> None:
    """Send a batch of many bytes."""
    async with ingest.post("/ingest", data=body(*entries), headers=JSON) as response:
        assert response.status == 200, await response.text()


def peak_mib(pid: int) -> int:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are told by Linux")
async def test_long_entries_do_not_fill_the_process(services: Services, http: aiohttp.ClientSession) -> None:
    """Many who ask for all of them at once, and many who ask and take nothing, cost less than a few of them."""
    services.start("ingest_svc")
    small = [entry(timestamp=number) for number in range(50)]  # what comes first promises nothing for what follows
    long = [entry(timestamp=1_000 + number, data={"x": "x" * LONG}) for number in range(COUNT)]
    for some in (small, *([one] for one in long)):
        async with http.post(f"{services.ingest_url}/ingest", data=body(*some), headers=JSON) as response:
            assert response.status == 200
    services.start("query_svc")
    with ExitStack() as stack:
        for target in itertools.chain(*itertools.repeat(("/recent", "/traces/chain", "/traces/chain/stream"), 4)):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", services.query_port)))
            silent.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        found = await asyncio.gather(*(_suffixes(http, services.query_url, "/recent") for _ in range(4)))
    assert found == [[one["suffix"] for one in (*small, *long)]] * 4
    assert peak_mib(services.processes["query_svc"].pid) < MOST_MIB


async def _suffixes(http: aiohttp.ClientSession, url: str, path: str) -> list[str]:
    async with http.get(f"{url}{path}") as response:
        assert response.status == 200
        text = bytearray()
        async for piece in response.content.iter_any():  # the test holds no more than it needs
            text += piece.replace(b"x" * 1_000, b"")
    return [one["suffix"] for one in json.loads(text)["traces"]]


async def pages(query: Client) -> list[dict[str, Any]]:
    """The entries of a chain, over as many pages as it takes."""
    found, after = [], ""
    while after is not None:
        page = await chain(query, "chain", after=after)
        found += page["traces"]
        after = page["next"]
    return found


async def mixed(ingest: Client) -> list[dict[str, Any]]:
    """A chain of short and long entries, each long in its own way."""
    ways: list[Callable[[int], dict[str, Any]]] = [
        lambda _: {},
        lambda size: {"data": {"x": "x" * size}},
        lambda size: {"raw_line": "ü" * size},
        lambda size: {"hostname": "h" * size},
        lambda size: {"data": {"x": "\U0001f600" * size}},
    ]
    sizes = (10, 900, 5_000)
    sent = [entry(timestamp=number, **ways[number % 5](sizes[number % 7 % 3])) for number in range(150)]
    await post_long(ingest, *sent)
    return [{"data": None, "hostname": "unknown", "raw_line": None, **one} for one in sent]


async def test_what_is_too_long_at_once_is_read_one_by_one(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever bound a chain meets, in data, lines or hosts, its pages are the chain."""
    sent = await mixed(ingest)
    monkeypatch.setattr(trace_page, "FEW_ENTRIES", 2)
    most = 10**6
    # That of the sites comes first, while none of them is known.
    for first, stretch, sites, repeated in (
        (most, most, 3_000, most), (most, most, most, most), (500, most, most, most), (most, 4_000, most, most),
        (500, 500, most, most), (most, most, most, 3_000),
    ):  # fmt: skip
        monkeypatch.setattr(reading, "FIRST_BYTES", first)
        monkeypatch.setattr(reading, "STRETCH_BYTES", stretch)
        monkeypatch.setattr(stretches, "SITES_BYTES", sites)
        monkeypatch.setattr(rendering, "REPEATED_BYTES", repeated)
        for answer_bytes, read_bytes in ((10**7, 10**6), (9_000, 3_000)):
            monkeypatch.setattr(trace_page, "ANSWER_BYTES", answer_bytes)
            monkeypatch.setattr(trace_page, "READ_BYTES", read_bytes)
            assert await pages(query) == sent
    assert (await chain(query, "chain", source="nobody"))["traces"] == []


async def test_a_value_too_long_for_a_stretch_is_found_at_once(ingest: Client, query: Client) -> None:
    """Data and lines that are long alone make a read end where they stand."""
    sent = [entry(data={"x": "x" * 100_000}), entry(raw_line="l" * 100_000), entry()]
    await post(ingest, *sent)
    assert [one["suffix"] for one in await pages(query)] == [one["suffix"] for one in sent]


async def test_the_newest_entries_are_the_same_in_pieces(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/recent` answers the same whether it reads its entries at once, or each of the long ones by itself."""
    await mixed(ingest)
    asked = ({}, {"limit": 7}, {"since_id": 3, "limit": 60}, {"source": "M"}, {"source": "M", "since_id": 140})
    at_once = [await get(query, "/recent", **parameters) for parameters in asked]
    monkeypatch.setattr("query_svc.recent.AT_ONCE_BYTES", 1)
    monkeypatch.setattr("query_svc.recent.LONG_BYTES", 2_000)
    monkeypatch.setattr("query_svc.long_entries.LONG_BYTES", 2_000)
    assert [await get(query, "/recent", **parameters) for parameters in asked] == at_once
    async with query.head("/recent") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert query.app[LONG_ENTRIES].held == 0


async def test_the_list_of_chains_ends_at_its_bytes(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chains of many sources make shorter pages, which together are all chains."""
    for number in range(12):
        await post(ingest, *(entry(correlation_id=f"{number}", source_id=f"{n:0100}") for n in range(number)), entry())
    monkeypatch.setattr(reading, "SOURCES_BYTES", 1_200)
    found, page = [], {"next": None}
    for _ in range(20):
        page = await get(query, "/correlations", **({"before": page["next"]} if page["next"] else {}))
        found += [one["correlation_id"] for one in page["correlations"]]
        assert page["count"] < 6
        if page["next"] is None:
            break
    assert found == ["chain", *(f"{number}" for number in range(11, 0, -1))]


async def test_a_long_entry_that_comes_is_sent_to_all(ingest: Client, query: Client) -> None:
    """Who follows live gets it once and in its place, and it is held for nobody afterwards."""
    one, other = [await query.get("/stream", read_bufsize=LONG) for _ in range(2)]
    async with one, other:
        await post(ingest, entry())
        await post_long(ingest, entry(data={"x": "x" * 2_000_000}))
        await post_long(ingest, entry(data={"x": "x" * 1_000_000}), entry())
        assert ids(await take(events(one), 4)) == ids(await take(events(other), 4)) == [1, 2, 3, 4]
    assert query.app[LONG_ENTRIES].held == 0


async def test_long_entries_wait_in_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many bytes are held, who sends the same shares it, and one that gives up leaves no room taken."""
    writer = Writer(tmp_path / "tracehub.db", 3_600_000)
    some = [Entry("MA", "chain", float(n), "s", "->", "REST", "/", data=f'{{"x":"{"x" * 1_000}"}}') for n in range(6)]
    writer.write([some], 0)
    writer.close()
    monkeypatch.setattr("query_svc.long_entries.HELD_BYTES", 2_500)
    reader, long = await Reader.open(tmp_path / "tracehub.db"), LongEntries()
    go_on, most = asyncio.Event(), 0

    async def send(row_id: int) -> bytes:
        nonlocal most
        entries, _ = await reader.entries([row_id], 1)
        async with long.sent(reader, entries, lambda id, _: b"%d" % id if entries else b"") as text:
            assert entries == []
            most = max(most, long.held)
            await go_on.wait()
            return text

    tasks = [asyncio.create_task(send(row_id)) for row_id in (1, 2, 3, 4, 5, 6)]
    await until(lambda: most and len(long._line) == 4)
    assert most < 2_500
    for task in tasks[1:4]:
        task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    async with asyncio.timeout(PATIENCE_S):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one for one in found if isinstance(one, bytes)] == [b"1", b"5", b"6"]
    assert (long.held, most < 2_500, long._sent, len(long._line)) == (0, True, {}, 0)
    await reader.close()
