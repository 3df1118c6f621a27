"""What goes in comes out equal, by real HTTP, in both formats."""

import asyncio
import itertools
import json
from typing import Any

import aiohttp
import msgspec
from conftest import Services
from hypothesis import given, settings
from hypothesis import strategies as st

_chains = itertools.count()
characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")


def text(most: int, least: int = 0) -> st.SearchStrategy[str]:
    """Any text that a field may hold."""
    return st.text(characters, min_size=least, max_size=min(most, 40))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
entries = st.fixed_dictionaries(
    {
        "source_id": text(128, 1),
        "timestamp": st.floats(min_value=0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**53),
        "suffix": text(128),
        "direction": st.sampled_from(["->", "<-"]),
        "operation": text(256),
        "endpoint": text(2048),
    },
    optional={
        "data": st.none() | st.dictionaries(st.text(characters), values, max_size=6),
        "hostname": text(300),
        "raw_line": st.none() | st.text(characters, max_size=100),
    },
)
absent = {"data": None, "hostname": "unknown", "raw_line": None}


def test_entries_come_back_equal(services: Services) -> None:
    """Every field, each double to its last bit, and `data` with the order of its keys, whichever format it came in."""
    services.start("ingest_svc")
    services.start("query_svc")

    async def there_and_back(rows: list[dict[str, Any]], packed: bool) -> list[dict[str, Any]]:
        encode = msgspec.msgpack.encode if packed else msgspec.json.encode
        kind = {"Content-Type": "application/msgpack" if packed else "application/json"}
        chain = rows[0]["correlation_id"]
        async with aiohttp.ClientSession() as http:
            sent = http.post(f"{services.ingest_url}/ingest", data=encode({"traces": rows}), headers=kind)
            async with sent as response:
                assert (response.status, (await response.json())["accepted"]) == (200, len(rows))
            async with http.get(f"{services.query_url}/traces/{chain}") as response:
                told: list[dict[str, Any]] = json.loads(await response.read())["traces"]
                return told

    with asyncio.Runner() as runner:

        @settings(max_examples=60)
        @given(st.lists(entries, min_size=1, max_size=4, unique_by=lambda row: row["suffix"]), st.booleans())
        def comes_back(rows: list[dict[str, Any]], packed: bool) -> None:
            chain = f"chain-{next(_chains)}"
            rows = [{**row, "correlation_id": chain} for row in rows]
            told = runner.run(there_and_back(rows, packed))
            by_suffix = {row["suffix"]: row for row in told}
            assert [row["timestamp"] for row in told] == sorted(row["timestamp"] for row in rows)
            for row in rows:
                expected = {**absent, **row}
                back = by_suffix[row["suffix"]]
                assert {name: back[name] for name in expected} == expected
                assert json.dumps(back["data"]) == json.dumps(expected["data"])  # order, and -0.0

        comes_back()
