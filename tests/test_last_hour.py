"""How long calls took and who follows whom, over HTTP and a real file."""

import asyncio
import math
import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from conftest import Client, entry, until
from test_correlations import mark
from test_query import get, post

from query_svc import last_hour, pairs
from query_svc.handlers import LAST_HOUR, TAIL
from shared.env import Settings
from shared.storage import queries
from shared.storage.reader import Reader


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are computed for each question."""
    monkeypatch.setattr(last_hour, "FRESH_S", 0)
    monkeypatch.setattr(last_hour, "FRESH_PART", 0)


def step(at: float, source: str, direction: str = "->", **fields: Any) -> dict[str, Any]:
    """A checkpoint of one chain unless the fields say another."""
    return entry(timestamp=1_700_000_000_000 + at, source_id=source, direction=direction, **fields)


async def test_an_exit_closes_the_latest_open_entry_of_its_step(ingest: Client, query: Client) -> None:
    """In order of time, whatever the order of arrival; an exit too many closes nothing, an entry too many is open."""
    await post(
        ingest,
        step(9, "MA", "<-"), step(1, "MA", "<-"), step(2, "MA"), step(4.5, "MA"), step(6, "MA", "<-"),
        step(20, "MA", data={"error": True}), step(5, "MA", "<-", endpoint="/other"),
        step(7, "MA", "<-", operation="RPC"), step(8, "MA", correlation_id="another"),
    )  # fmt: skip
    answer = await get(query, "/stats/endpoints")
    by_place = {(one.pop("source_id"), one.pop("operation"), one.pop("endpoint")): one for one in answer["endpoints"]}
    durations = {"p50_ms": 1.5, "p95_ms": 7, "p99_ms": 7, "max_ms": 7}
    nothing = dict.fromkeys(durations)
    assert by_place == {
        ("MA", "REST", "/api"): {"calls": 4, "open": 2, "errors": 1, **durations},
        ("MA", "REST", "/other"): {"calls": 0, "open": 0, "errors": 0, **nothing},
        ("MA", "RPC", "/api"): {"calls": 0, "open": 0, "errors": 0, **nothing},
    }
    assert (answer["count"], answer["pairs"], answer["limited_by"], answer["window_s"]) == (3, 2, "time", 3600)


async def test_follows_are_entries_directly_behind_another_source(ingest: Client, query: Client) -> None:
    """An exit follows nobody, nor does the first entry of a chain or one of the same source; equals stand by name."""
    await post(
        ingest,
        step(1, "MA"), step(2, "WS"), step(3, "WS"), step(4, "WS", "<-"), step(5, "MA", "<-"), step(6, "WS"),
        step(7, "XX"), step(2.5, "VM", correlation_id="another"), step(2.6, "WS", correlation_id="another"),
    )  # fmt: skip
    answer = await get(query, "/stats/follows")
    assert answer["follows"] == [
        {"from": "MA", "to": "WS", "count": 2},
        {"from": "VM", "to": "WS", "count": 1},
        {"from": "WS", "to": "XX", "count": 1},
    ]
    assert (answer["count"], answer["pairs"], answer["limited_by"]) == (3, 2, "time")


def model(entries: list[dict[str, Any]]) -> tuple[dict[tuple[str, str], list[float]], Counter[tuple[str, str]]]:
    """Durations by step, and follows, of entries in order of arrival."""
    chains: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in entries:
        chains[one["correlation_id"]].append(one)
    durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    follows: Counter[tuple[str, str]] = Counter()
    for chain in chains.values():
        chain.sort(key=lambda one: one["timestamp"])
        open_at: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for place, one in enumerate(chain):
            key = (one["source_id"], one["endpoint"])
            if one["direction"] == "->":
                open_at[key].append(one["timestamp"])
                if place and chain[place - 1]["source_id"] != one["source_id"]:
                    follows[chain[place - 1]["source_id"], one["source_id"]] += 1
            elif open_at[key]:
                durations[key].append(one["timestamp"] - open_at[key].pop())
    return durations, follows


async def test_any_chains_amount_to_what_a_plain_model_says(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chains short and long, also when a long one takes several steps."""
    monkeypatch.setattr(last_hour, "STEP_ENTRIES", 20)
    monkeypatch.setattr(last_hour, "STEP_CHAINS", 4)
    rng = random.Random(7)
    sent = [
        step(
            float(rng.randrange(300)), rng.choice("ABC"), rng.choice(["->", "<-"]), endpoint=rng.choice("xy"),
            correlation_id=rng.choice(["long", *"abcdefgh"]),
        )
        for _ in range(600)
    ]  # fmt: skip
    await post(ingest, *sent)
    durations, follows = model(sent)
    for one in (await get(query, "/stats/endpoints"))["endpoints"]:
        ordered = sorted(durations[one["source_id"], one["endpoint"]])
        ranks = [ordered[math.ceil(part * len(ordered)) - 1] for part in (0.5, 0.95, 0.99, 1)]
        assert [one["p50_ms"], one["p95_ms"], one["p99_ms"], one["max_ms"]] == ranks
        assert one["calls"] - one["open"] == len(ordered)
    found = {(one["from"], one["to"]): one["count"] for one in (await get(query, "/stats/follows"))["follows"]}
    assert found == follows


async def test_what_ends_the_window_is_said(
    ingest: Client, query: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chains not active within the hour are out of it; so is what is beyond the pairs, the entries or their names."""
    await post(ingest, step(1, "OLD", correlation_id="old"))
    mark(settings.db, 1, 3_700)
    mark(settings.db, 2, 1)
    for n in range(5):
        await post(ingest, step(1, f"S{n}", correlation_id=f"{n}"), step(2, f"S{n}", "<-", correlation_id=f"{n}"))

    async def sources() -> tuple[list[str], str]:
        answer = await get(query, "/stats/endpoints")
        assert 0 < answer["window_s"] <= 3600
        return [one["source_id"] for one in answer["endpoints"]], answer["limited_by"]

    assert await sources() == (["S0", "S1", "S2", "S3", "S4"], "time")
    monkeypatch.setattr(last_hour, "STEP_CHAINS", 1)
    monkeypatch.setattr(last_hour, "PAIRS", 2)
    assert await sources() == (["S3", "S4"], "pairs")
    monkeypatch.setattr(last_hour, "PAIRS", 100)
    monkeypatch.setattr(last_hour, "ENTRIES", 6)
    assert await sources() == (["S2", "S3", "S4"], "entries")
    monkeypatch.setattr(pairs, "MOST_ROWS", 2)
    assert await sources() == (["S2", "S3"], "entries")
    monkeypatch.setattr(last_hour, "NAMES_BYTES", 1)
    assert await sources() == (["S4"], "entries")


async def test_a_single_chain_is_bounded_as_all_are(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on for ever is read up to the most entries, or the most of their names."""
    await post(ingest, *(step(n, "MA", endpoint=f"/{n}") for n in range(20)))
    monkeypatch.setattr(last_hour, "STEP_ENTRIES", 2)
    for limit, most, calls in (("ENTRIES", 6, 6), ("NAMES_BYTES", 1, 2)):
        monkeypatch.setattr(last_hour, limit, most)
        answer = await get(query, "/stats/endpoints")
        assert (answer["count"], answer["limited_by"]) == (calls, "entries")


async def test_it_is_computed_once_for_all_who_ask(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions at the same time, and those of the next seconds, get one and the same look at the file."""
    monkeypatch.setattr(last_hour, "FRESH_S", 60)
    await post(ingest, step(1, "MA"))
    answers = await asyncio.gather(*(get(query, path) for path in 5 * ["/stats/endpoints", "/stats/follows"]))
    await post(ingest, step(2, "WS"))
    assert await get(query, "/stats/endpoints") == answers[0]
    assert (await get(query, "/stats/follows"))["follows"] == []


async def test_it_is_computed_again_when_it_is_old(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is given again for some times as long as it took, and not longer."""
    monkeypatch.setattr(last_hour, "FRESH_PART", 1.0)
    await post(ingest, step(1, "MA"))
    assert (await get(query, "/stats/endpoints"))["count"] == 1
    await post(ingest, step(2, "WS"))

    async def is_new() -> bool:
        return bool((await get(query, "/stats/endpoints"))["count"] == 2)

    await until(is_new)


async def test_a_failed_look_is_not_kept(ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the next question is answered."""
    monkeypatch.setattr(last_hour, "FRESH_S", 60)
    await post(ingest, step(1, "MA"))
    with monkeypatch.context() as broken:
        broken.setattr(queries, "ACTIVE", "SELECT nothing")
        async with query.get("/stats/endpoints") as response:
            assert response.status == 503
    assert (await get(query, "/stats/endpoints"))["count"] == 1


async def test_a_look_that_is_given_up_is_an_answer(
    ingest: Client, query: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked when the service ends, or when the file turns out to be another one, is told to come back."""
    monkeypatch.setattr(last_hour, "STEP_CHAINS", 1)
    await post(ingest, *(step(n, "MA", correlation_id=f"{n}") for n in range(2_000)))
    look = query.app[LAST_HOUR]

    async def another() -> None:
        other = await Reader.open(settings.path)
        assert (await look.found(other)).endpoints.count == 1
        await other.close()

    async def end() -> None:
        look.close()

    for give_up in (another, end):
        asked = [asyncio.create_task(status(query, path)) for path in ("/stats/endpoints", "/stats/follows")]
        await until(lambda: look._reader is query.app[TAIL].reader and not look._looking.done())
        await give_up()
        assert await asyncio.gather(*asked) == [503, 503]


async def status(query: Client, path: str) -> int:
    """Of an answer."""
    async with query.get(path) as response:
        return response.status
