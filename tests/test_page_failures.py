"""The dashboard and calls that fail: what it says, and that it asks again."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from browser import FAILED, LIVE, noted, send
from conftest import Services, entry
from patience import PATIENCE_S
from test_page_moments import chains

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def fail(page: Any, pattern: str, times: int | None = 1) -> None:
    """Answer 503 to so many requests, or until it is unrouted."""
    page.forgiven += [FAILED]
    await page.route(
        pattern, lambda route: route.fulfill(status=503, json={"detail": "busy for a moment"}), times=times
    )


async def test_a_tail_that_fails_after_it_was_left(page: Any, hub: Services) -> None:
    """An error that comes when another view is shown leaves that one its stream."""
    send(hub, [entry(correlation_id="late-failure")])
    asked, go = asyncio.Event(), asyncio.Event()
    page.forgiven += [FAILED]

    async def late(route: Any) -> None:
        asked.set()
        await go.wait()
        await route.fulfill(status=503, json={"detail": "late"})

    await page.route("**/recent?*", late)
    await page.goto(f"{hub.query_url}/#/tail")
    await page.wait_for_selector(".tail-view")
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
    await page.evaluate("location.hash = '#/traces/late-failure'")
    await page.wait_for_function(LIVE)
    async with page.expect_response("**/recent?*"):
        go.set()
    send(hub, [entry(correlation_id="late-failure")])
    await page.wait_for_selector(".numbers:has-text('2 entries')")


async def test_a_tail_that_fails_once(page: Any, hub: Services) -> None:
    """It is loaded again, and does not read all that is stored meanwhile."""
    send(hub, [entry(source_id="tail-once", endpoint="/stored")])
    await fail(page, "**/recent?*")
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/stream?" in request.url else None)
    await page.goto(f"{hub.query_url}/#/tail?source=tail-once")
    await page.wait_for_selector(".tail .row:has-text('/stored')")
    await page.wait_for_function(LIVE)
    assert not [url for url in streams if url.endswith("last_event_id=0")], streams


async def test_a_list_that_fails_once(page: Any, hub: Services) -> None:
    """The list is asked for again, until it is there; what came meanwhile is not taken for all that there is."""
    send(hub, chains(80, "list-once"))
    await fail(page, "**/correlations?*", times=None)
    await page.goto(f"{hub.query_url}/#/?q=list-once")
    await page.wait_for_selector(".foot:has-text('busy for a moment')")
    await page.wait_for_function(LIVE)
    await noted(page, ".foot")
    await page.unroute("**/correlations?*")
    send(hub, chains(1, "list-once", 80))
    await page.wait_for_selector("[data-id='list-once/60']")
    assert not [each for each in await page.evaluate("said") if "all that" in each]


async def test_a_chain_whose_second_page_fails(page: Any, hub: Services) -> None:
    """A chain is read to its end, also when a page of it failed."""
    chain = [entry(correlation_id="paged", direction=each) for each in ("->", "<-", "->", "<-")]
    send(hub, chain)

    failed = []

    async def paged(route: Any) -> None:
        second = "after=2" in route.request.url
        if second and not failed:
            failed.append(route)
            await route.fulfill(status=503, json={"detail": "busy for a moment"})
        else:
            rest = {"traces": chain[2:], "next": None} if second else {"traces": chain[:2], "next": 2}
            await route.fulfill(json={**rest, "expired": 0})

    page.forgiven += [FAILED]
    await page.route(re.compile(f"{hub.query_url}/traces/paged(\\?after=2)?$"), paged)
    await page.goto(f"{hub.query_url}/#/traces/paged")
    await page.wait_for_selector(".numbers:has-text('4 entries')")


def lines_of(file: Path) -> int:
    """How many lines a file has."""
    return len(file.read_text().splitlines())


async def test_a_chain_that_is_half_read(page: Any, hub: Services) -> None:
    """Until all of a chain is there the page says so, and gives away no half of it."""
    send(hub, [entry(correlation_id="half-read") for _ in range(50_001)])
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(route: Any) -> None:
        asked.set()
        await go.wait()
        await route.continue_()

    await page.route("**/traces/half-read?after=*", late)
    await page.goto(f"{hub.query_url}/#/traces/half-read")
    await page.wait_for_selector(".numbers:has-text('50,000 entries')")
    await asyncio.wait_for(asked.wait(), PATIENCE_S)
    assert "loading more" in await page.locator(".numbers").inner_text()
    await noted(page, ".group:has(> :text-is('NDJSON'))")
    await page.click("button:has-text('NDJSON')")
    await page.wait_for_function("() => said.some(each => each.includes('still loading'))")
    go.set()
    await page.wait_for_selector(".numbers:has-text('50,001 entries'):not(:has-text('loading more'))")
    async with page.expect_download() as download:
        await page.click("button:has-text('NDJSON')")
    assert lines_of(await (await download.value).path()) == 50_001


async def test_an_older_page_that_fails_once(page: Any, hub: Services) -> None:
    """What is further back is asked for again, though nobody scrolls any more."""
    send(hub, chains(80, "list-older"))
    await fail(page, "**/correlations?*before=*")
    await page.goto(f"{hub.query_url}/#/?q=list-older")
    await page.wait_for_selector("[data-id='list-older/79']")
    await page.evaluate("document.querySelector('.scroll').scrollTop = 1e6")
    await page.wait_for_selector("[data-id='list-older/30']")


async def test_a_comparison_that_fails_once(page: Any, hub: Services) -> None:
    """Both chains are asked for again, until they are there."""
    send(hub, [entry(correlation_id=each) for each in ("cmp-once-a", "cmp-once-b")])
    await fail(page, "**/traces/cmp-once-b", times=None)
    await page.goto(f"{hub.query_url}/#/compare/cmp-once-a/cmp-once-b")
    await page.wait_for_selector(".compare-room:has-text('busy for a moment')")
    await page.unroute("**/traces/cmp-once-b")
    await page.wait_for_selector(".compared .virtual .row")


async def test_a_log_in_opens_all_tabs(services: Services, page: Any) -> None:
    """The secret is asked for once, in however many tabs a login has ended."""
    services.environ["TRACEHUB_QUERY_SECRET"] = "a reader's secret"
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += [FAILED]
    await page.goto(f"{services.query_url}/#/tail")
    await page.wait_for_selector("form.login")
    other = await page.context.new_page()
    await other.goto(services.query_url)
    await other.get_by_label("Secret").fill("a reader's secret")
    await other.keyboard.press("Enter")
    await other.wait_for_selector(".chains-view")
    await other.close()
    await page.wait_for_selector(".tail-view")


async def test_a_log_in_that_does_not_last(services: Services, page: Any) -> None:
    """Who showed the right secret, and whose browser or proxy does not keep the cookie, is told so."""
    services.environ = {"TRACEHUB_QUERY_SECRET": "right"}
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += [FAILED]
    await page.route("**/login", lambda route: route.fulfill(json={"expires_s": 1}))  # and no cookie
    await page.goto(services.query_url)
    await page.fill("#secret", "right")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".problem:has-text('cookie')")


async def test_a_log_out_that_fails(services: Services, page: Any) -> None:
    """Who is still logged in is told so."""
    services.environ["TRACEHUB_QUERY_SECRET"] = "a reader's secret"
    services.start("ingest_svc")
    services.start("query_svc")
    await page.goto(services.query_url)
    page.forgiven += [FAILED]
    await page.get_by_label("Secret").fill("a reader's secret")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".chains-view")
    await fail(page, "**/logout")
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_selector(".banner:has-text('Still logged in: busy for a moment')")


async def test_a_view_that_is_opened_while_the_connection_is_lost(services: Services, page: Any) -> None:
    """It is not told that nothing was missed: what came before it began it does not know."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR", "Failed to load resource"]
    await page.goto(f"{services.query_url}/#/compare")
    await page.wait_for_selector(".health.well")
    await page.wait_for_function("() => document.head.querySelector('[href$=\"/tail.js\"]')")  # the views are there
    await page.wait_for_load_state("networkidle")
    services.kill("query_svc")
    send(services, [entry(correlation_id="meanwhile")])
    await page.keyboard.press("1")
    await page.wait_for_selector(".banner.lost")
    services.start("query_svc")
    await page.wait_for_selector(".banner.back")
    assert re.fullmatch(r"Back after [\d.]+ m?s\.", await page.locator(".banner span").inner_text())
    await page.wait_for_selector("[data-id=meanwhile]")
