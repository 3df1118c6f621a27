"""A page that nobody looks at, or that was cut off: what it costs, and what it shows when it is back."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import FAILED, LIVE, send
from conftest import Services, entry
from test_page_moments import chains

import query_svc

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def look_away(page: Any) -> None:
    """Hide the tab for as long as it takes until it has no stream any more."""
    await page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', {value: true, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    await page.wait_for_function("() => document.body.dataset.live === 'asleep'")


async def look_at(page: Any) -> None:
    """Tell a page that was opened behind others that it is in sight."""
    await page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', {value: false, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )


async def test_a_page_that_comes_back_from_the_cache(page: Any, hub: Services) -> None:
    """Left and shown again as it was, the page goes on with its stream."""
    await page.goto(f"{hub.query_url}/#/?q=cached-page")
    await page.wait_for_function(LIVE)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    send(hub, chains(1, "cached-page"))
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await page.wait_for_selector("[data-id='cached-page/0']")


async def test_tabs_behind_others(page: Any, hub: Services) -> None:
    """Ten tabs that nobody looked at yet keep no connection from the one in sight; looked at, each catches up."""
    send(hub, [entry(correlation_id=f"behind-{each}") for each in range(10)])
    await page.context.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    behind = [await page.context.new_page() for _ in range(10)]
    for each, tab in enumerate(behind):
        await tab.goto(f"{hub.query_url}/#/traces/behind-{each}")
        await tab.wait_for_selector(".numbers:has-text('1 entry')")
    await page.goto(f"{hub.query_url}/#/")
    await look_at(page)
    await page.wait_for_function(LIVE)
    send(hub, [entry(correlation_id="behind-9")])
    await look_at(behind[9])
    await behind[9].wait_for_selector(".numbers:has-text('2 entries')")
    await behind[9].wait_for_function(LIVE)


async def test_a_list_that_was_away_while_much_came(page: Any, hub: Services) -> None:
    """Who looks at the list again finds it where it was, with what is new on the button, however much that is."""
    send(hub, chains(60, "was-away"))
    await page.goto(hub.query_url)
    await page.wait_for_function(LIVE)
    await page.locator("[data-id='was-away/30'] a").focus()
    await look_away(page)
    send(hub, chains(20_100, "came-meanwhile"))
    await look_at(page)
    await page.wait_for_function(LIVE)
    await page.wait_for_selector(".pill:has-text('+ new')")
    assert await page.evaluate("document.activeElement.textContent") == "was-away/30"
    await page.locator(".pill").click()
    await page.wait_for_selector("[data-id='came-meanwhile/20099']")


async def test_a_list_of_one_state_after_much_that_nobody_read(page: Any, hub: Services) -> None:
    """Chains that left the state while the tab was away are not in it, although no entry told so."""
    running = entry(correlation_id="state-away")
    send(hub, [running])
    await page.goto(f"{hub.query_url}/#/?state=running&q=state-away")
    await page.wait_for_selector("[data-id='state-away']")
    await page.wait_for_function(LIVE)
    await look_away(page)
    send(hub, [entry(**{**running, "suffix": "exit", "direction": "<-"})])
    send(hub, chains(20_100, "unread"))
    await look_at(page)
    await page.wait_for_function("() => !document.querySelector('[data-id=state-away]')")


async def test_compare_waits_for_no_stream(services: Services, page: Any) -> None:
    """A view without a stream does not say that one is being tried for."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR", FAILED]
    await page.goto(services.query_url)
    await page.wait_for_function(LIVE)
    await page.evaluate("import(document.querySelector('script[type=module]').src.replace('main', 'compare'))")
    services.kill("query_svc")
    await page.wait_for_selector(".banner.lost")
    await page.evaluate("location.hash = '#/compare'")
    await page.wait_for_selector(".compare-view")
    await page.wait_for_selector(".banner", state="hidden")


async def test_a_file_that_is_replaced(services: Services, page: Any) -> None:
    """A chain is shown as the new file has it, from the start."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR", FAILED]
    send(services, [entry(correlation_id="replaced", endpoint=f"/old/{each}") for each in range(9)])
    await page.goto(f"{services.query_url}/#/traces/replaced")
    await page.wait_for_selector(".numbers:has-text('9 entries')")
    await page.wait_for_function(LIVE)
    for name in ("query_svc", "ingest_svc"):
        services.kill(name)
    for file in services.db.parent.glob("tracehub.db*"):
        file.unlink()
    services.start("ingest_svc")
    send(services, [entry(correlation_id="replaced", endpoint=f"/new/{each}") for each in range(2)])
    services.start("query_svc")
    await page.wait_for_selector(".numbers:has-text('2 entries')")
    send(services, [entry(correlation_id="replaced")])
    await page.wait_for_selector(".numbers:has-text('3 entries')")


async def test_an_upgrade_is_told(
    services: Services, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of the version before says so when it reaches the service, also where it never did before."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR"]
    await page.route("**/stats", lambda route: route.abort())
    await page.goto(services.query_url)
    await page.wait_for_selector(".banner.lost")
    services.kill("query_svc")
    shutil.copytree(Path(query_svc.__file__).parent, tmp_path / "upgraded" / "query_svc")
    with (tmp_path / "upgraded" / "query_svc" / "dashboard" / "style.css").open("a") as sheet:
        sheet.write("h1 { color: red; }\n")
    monkeypatch.chdir(tmp_path / "upgraded")
    services.start("query_svc")
    await page.unroute("**/stats")
    await page.wait_for_selector(".banner.back:has-text('TraceHub was upgraded')")
    async with page.expect_navigation():
        await page.get_by_text("Reload").click()
    await page.wait_for_function(LIVE)
    assert await page.locator(".banner").is_hidden()
