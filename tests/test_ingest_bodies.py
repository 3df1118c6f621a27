"""Bodies that the ingest port takes: of which types, how packed, how large; and what it says to those it refuses."""

import asyncio
import io
import json
from typing import Any

import msgspec
import pytest
import test_inflate
from conftest import Client, entry
from test_ingest import JSON, batch, count, post, refused

from shared.env import Settings
from shared.wire import LIMITS

MIB = 2**20
PACK = {
    "json": lambda body: json.dumps(body).encode(),
    "msgpack": msgspec.msgpack.encode,
    "x-msgpack": msgspec.msgpack.encode,
}
COMPRESS: dict[str, Any] = {"": bytes, "identity": bytes, **test_inflate.PACK}


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("kind", PACK)
async def test_every_kind_of_body_is_the_same_entries(ingest: Client, query: Client, kind: str, encoding: str) -> None:
    """JSON and msgpack, plain and compressed, store the same."""
    sent = entry(data={"b": [1, 2.5, None], "a": "ü"}, hostname="h", raw_line="line")
    headers = {"Content-Type": f"application/{kind}; charset=utf-8", "Content-Encoding": encoding}
    async with ingest.post(
        "/ingest", data=COMPRESS[encoding](PACK[kind]({"traces": [sent]})), headers=headers
    ) as response:
        assert (response.status, (await response.json())["inserted"]) == (200, 1)
    async with query.get("/traces/chain") as response:
        assert (await response.json())["traces"] == [sent]


async def test_a_body_without_a_type_is_json(ingest: Client) -> None:
    """The header may be absent."""
    body = json.dumps({"traces": [entry()]}).encode()
    async with ingest.post("/ingest", data=body, skip_auto_headers=["Content-Type"]) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip, gzip"},
    ],
)
async def test_other_types_and_encodings_are_unsupported(ingest: Client, headers: dict[str, str]) -> None:
    """What nobody here reads is a 415."""
    async with ingest.post("/ingest", data=b"{}", headers=headers) as response:
        await refused(response, 415)


@pytest.mark.parametrize("path", ["/ingest", "/ingest/single"])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_garbage_that_claims_to_be_compressed_is_refused(ingest: Client, path: str, encoding: str) -> None:
    """A body that is not what its encoding says, or stops early, is a 400."""
    for body in (b"garbage", b"", COMPRESS[encoding](b'{"traces": []}')[:-3]):
        async with ingest.post(
            path, data=body, headers={"Content-Encoding": encoding, "Content-Type": "application/json"}
        ) as response:
            await refused(response, 400)


async def test_a_wrong_entry_spoils_its_batch_alone(ingest: Client, settings: Settings) -> None:
    """A batch is stored whole or not at all, and its neighbours in time are stored."""

    async def bad() -> dict[str, Any]:
        body = {"traces": [entry(), entry(), entry(suffix=7)]}
        async with ingest.post("/ingest", json=body) as response:
            return await refused(response, 400)

    problem, receipt, _ = await asyncio.gather(bad(), post(ingest, entry()), bad())
    assert problem["detail"] == "Expected `str`, got `int` - at `$.traces[2].suffix`"
    assert problem["path"] == "$.traces[2].suffix"
    assert receipt["inserted"] == 1
    assert count(settings) == 1


async def test_a_body_that_cannot_be_parsed_has_no_path(ingest: Client) -> None:
    """Where there is no structure there is no place in it."""
    async with ingest.post("/ingest", data=b'{"traces": [', headers=JSON) as response:
        assert "path" not in await refused(response, 400)


async def test_ten_thousand_entries_and_no_more(ingest: Client, settings: Settings) -> None:
    """A batch of 10,000 is stored, one of 10,001 is a 413 and stores nothing."""
    entries = [entry() for _ in range(LIMITS.entries + 1)]
    async with ingest.post("/ingest", data=batch(*entries), headers=JSON) as response:
        await refused(response, 413)
    assert count(settings) == 0
    assert (await post(ingest, *entries[1:]))["inserted"] == LIMITS.entries


async def test_a_body_of_exactly_the_limit_is_taken(start_ingest: Any, settings: Settings) -> None:
    """Sixteen megabytes or what is set, one byte more is a 413, packed or not."""
    client = await start_ingest(msgspec.structs.replace(settings, max_body_mb=1))
    smallest = json.dumps({"traces": [entry(raw_line="")]}).encode()
    for extra, status in ((0, 200), (1, 413)):
        body = smallest[:-4] + b"x" * (MIB - len(smallest) + extra) + smallest[-4:]
        for encoding in COMPRESS:
            headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
            async with client.post("/ingest", data=io.BytesIO(COMPRESS[encoding](body)), headers=headers) as response:
                assert response.status == status, await response.text()
    assert count(settings) == 1


async def test_the_limits_of_a_body_are_settings(start_ingest: Any, settings: Settings) -> None:
    """Entries in a batch and levels of nesting are refused past what the operator allows."""
    client = await start_ingest(msgspec.structs.replace(settings, max_entries=2, max_depth=3))
    for traces, status in (
        ([entry(), entry()], 200),
        ([entry(), entry(), entry()], 413),
        ([entry(data={"a": [[]]})], 200),
        ([entry(data={"a": [[[]]]})], 400),
    ):
        async with client.post("/ingest", json={"traces": traces}) as response:
            assert response.status == status, await response.text()
