"""The facts at the top of a chain in the dashboard: where it is and for how long, what was slow, what is missing."""

import asyncio
import re
import time
from typing import Any

import pytest
from browser import FAILED, LIVE, send
from conftest import Services, entry, until
from patience import PATIENCE_S
from test_page_chain import open_chain, order, step
from test_page_moments import chains

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_three_answers(page: Any, hub: Services) -> None:
    """Where it is, what was slow and what is missing stand at the top."""
    send(hub, order("three-answers"))
    await open_chain(page, hub, "three-answers")
    where, slow, missing = await page.locator(".fact").all_inner_texts()
    assert "WK charge" in where
    assert "WS reserve" in slow and "80 ms" in slow
    assert "2 exits of WK charge, MA /orders" in missing
    assert "1 entry of JW notify, though its exit arrived" in missing and "1 error in WS reserve" in missing


async def test_one_of_many_hosts(page: Any, hub: Services) -> None:
    """Of a call to fifty hosts the one is named that has not answered; of a source with one host none is."""
    calls = [step("fifty", at, "->", "WS", hostname=f"ws-{at}") for at in range(1, 51)]
    answers = [{**each, "direction": "<-", "timestamp": each["timestamp"] + 60} for each in calls]
    send(hub, [step("fifty", 0, "->"), *calls, *(each for each in answers if each["hostname"] != "ws-33")])
    await open_chain(page, hub, "fifty")
    await page.wait_for_selector(".fact:has-text('in WS /api on ws-33 for')")
    send(hub, [answers[32]])
    await page.wait_for_selector(".fact:has-text('in MA /api for')")


async def test_an_error_that_was_passed_on(page: Any, hub: Services) -> None:
    """Of the steps that report an error the innermost are named, however many passed it on; else the earliest."""
    services = ["GW", "MA", "WS", "WK", "VM"]
    way = [*((source, "->") for source in services), *((source, "<-") for source in reversed(services))]
    send(
        hub,
        [step("passed-on", at, direction, source, data={"status": 502}) for at, (source, direction) in enumerate(way)],
    )
    await open_chain(page, hub, "passed-on")
    assert "5 errors in VM /api, WK /api, WS /api and 2 more" in await page.locator(".fact").last.inner_text()
    send(hub, [step("by-turns", at, "->", source, data={"status": 502}) for at, source in enumerate(services)])
    send(hub, [step("by-turns", at + 0.5, "<-", source) for at, source in enumerate(services)])
    await open_chain(page, hub, "by-turns")
    assert "5 errors in GW /api, MA /api, WS /api and 2 more" in await page.locator(".fact").last.inner_text()


async def test_a_step_whose_caller_has_gone_on(page: Any, hub: Services) -> None:
    """Its exit may have been lost, or nobody waits for it any more: the step around it is said to have ended."""
    call = [("->", 10, "MA"), ("->", 12, "WS"), ("<-", 50, "MA")]
    send(hub, [step("gone-on", at, way, source, endpoint="/stock") for way, at, source in call])
    send(hub, [step("gone-on", at, way, endpoint="/order") for way, at in (("->", 0), ("<-", 60))])
    await open_chain(page, hub, "gone-on")
    where = await page.locator(".fact").first.inner_text()
    assert "WS /stock" in where and where.endswith(", though MA /stock has ended")


async def test_a_storm_of_retries(page: Any, hub: Services) -> None:
    """It is in the last attempt and in those given up, each within its own call; steps alike are named once."""
    send(hub, [step("storm", 0, "->", endpoint="/pay")])
    for at in range(10, 3_000, 1_000):
        send(hub, [step("storm", at, "->", operation="HTTP", endpoint="POST http://py/charge")])
        send(hub, [step("storm", at + 5, "->", "PY", endpoint="POST /charge")])
        if at < 2_000:
            lost = {"operation": "HTTP", "endpoint": "POST http://py/charge", "data": {"error": "timeout"}}
            send(hub, [step("storm", at + 900, "<-", **lost)])
    await open_chain(page, hub, "storm")
    where, slow, missing = await page.locator(".fact").all_inner_texts()
    assert "PY POST /charge, waited for 895 ms" in slow
    assert where.count("PY POST /charge") == 3 and where.count("though MA POST http://py/charge has ended") == 2
    assert "5 exits of PY POST /charge \u00d73, MA POST http://py/charge, MA /pay" in missing
    assert "2 errors in MA POST http://py/charge \u00d72" in missing


async def test_steps_that_took_no_time(page: Any, hub: Services) -> None:
    """A step that began and ended at one time has ended."""
    send(hub, [entry(correlation_id="instant", timestamp=1.0, direction=each) for each in ("->", "<-")])
    await page.goto(f"{hub.query_url}/#/traces/instant")
    await page.wait_for_selector(".fact:has-text('no step took time of its own')")


async def test_an_id_that_many_others_hold(page: Any, hub: Services) -> None:
    """How long a step is open goes by its arrival, whatever its sender's clock, however many ids are like this one."""
    send(hub, [entry(correlation_id="within", timestamp=1_000.0), *chains(120, "within")])
    await page.goto(f"{hub.query_url}/#/traces/within")
    await page.wait_for_selector(".fact:has-text('in MA /api for'):not(:has-text(' d'))")


async def test_a_head_that_tells_how_long_a_chain_is_open(page: Any, hub: Services) -> None:
    """As the list does: since its first entry, and not what is recorded."""
    now = time.time() * 1000
    send(
        hub,
        [
            {**step("hangs", 0, "->"), "timestamp": now - 600_000},
            {**step("hangs", 0, "->", "WS"), "timestamp": now - 599_990},
        ],
    )
    await open_chain(page, hub, "hangs")
    head = page.locator(".numbers > :first-child")
    assert (await head.inner_text()).startswith("open ")
    send(hub, [{**step("hangs", 0, "<-", each), "timestamp": now - 599_980} for each in ("WS", "MA")])
    await page.wait_for_selector(".numbers > :first-child:text-is('20 ms')")


async def test_a_chain_that_expires_while_it_is_looked_at(services: Services, page: Any) -> None:
    """It says so, and where it was open until then, and stands still; with the next entry it begins anew."""
    services.environ["TRACEHUB_RETENTION_HOURS"] = "0.003"
    services.start("ingest_svc")
    services.start("query_svc")
    await page.goto(f"{services.query_url}/#/traces/chain")
    await page.wait_for_function(LIVE)
    send(services, [entry(), entry(source_id="WK", endpoint="charge")])  # shown at once, and kept for ten seconds
    gone = ".fact:has-text('its entries have expired; until then it was open in WK charge')"
    await page.wait_for_selector(gone, timeout=60_000)
    told = await page.locator(".chain-view").inner_text()
    assert "expired meanwhile" in told and "open for" not in told and "open 1" not in told
    send(services, [entry(endpoint="/again")])
    await page.wait_for_selector(".numbers:has-text('1 entry')")


async def test_a_chain_that_goes_on_while_it_is_looked_for(page: Any, hub: Services) -> None:
    """That nothing of it is stored is no news of a chain that got an entry before the answer came."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(route: Any) -> None:
        asked.set()
        await go.wait()
        await route.fulfill(json={"count": 0})

    await page.route("**/traces/goes-on?limit=1", late)
    send(hub, [entry(correlation_id="goes-on")])
    await open_chain(page, hub, "goes-on")
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
    send(hub, [entry(correlation_id="goes-on")])
    await page.wait_for_selector(".numbers:has-text('2 entries')")
    async with page.expect_response("**/traces/goes-on?limit=1") as answer:
        go.set()
    await (await answer.value).finished()
    told = await page.locator(".facts").text_content()
    await page.wait_for_function("told => document.querySelector('.facts').textContent !== told", arg=told)
    assert "expired" not in await page.locator(".numbers").inner_text()


async def test_what_came_during_a_cut_is_old(services: Services, page: Any) -> None:
    """An entry that was stored while the connection was lost counts from its arrival, not from when the page had it."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR", FAILED]
    send(services, [entry(endpoint="/one")])
    await page.goto(f"{services.query_url}/#/traces/chain")
    await page.wait_for_function(LIVE)
    await page.wait_for_selector(".chain-state:has-text('running')")  # it has asked when the first arrived
    services.kill("query_svc")
    send(services, [entry(endpoint="/two")])
    await asyncio.sleep(4)
    back = time.monotonic()
    services.start("query_svc")
    await page.wait_for_selector(".numbers:has-text('2 entries')")

    async def is_old() -> bool:
        """It is told to be older than what the page can have had, by half of the seconds between."""
        told = re.search(r"/two for ([\d.]+) s", await page.locator(".fact").first.inner_text())
        return told is not None and float(told[1]) > time.monotonic() - back + 2

    await until(is_old)
