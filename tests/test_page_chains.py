"""The dashboard's list of chains, in a real browser over both real services."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from browser import LIVE, painted, send, visit
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


def call(chain: str, **fields: Any) -> list[dict[str, Any]]:
    """An entry and its exit."""
    return [entry(correlation_id=chain, **fields), entry(correlation_id=chain, **{**fields, "direction": "<-"})]


async def ids(page: Any) -> list[str]:
    """What the list shows, from the top."""
    return list(await page.locator("a.id").all_text_contents())


@asynccontextmanager
async def scrolling(page: Any) -> AsyncIterator[None]:
    """Meanwhile somebody scrolls to the end of the list, which gets longer."""
    await page.evaluate("moving = setInterval(() => { document.querySelector('.scroll').scrollTop = 1e6; }, 30)")
    yield
    await page.evaluate("clearInterval(moving)")


async def test_the_list_shows_what_is_stored(page: Any, hub: Services) -> None:
    """Each chain is a row with its id, state, sources and number of entries, and leads to its own page."""
    send(hub, [*call("list/one", source_id="MA"), *call("list/one", source_id="WS"), entry(correlation_id="list/two")])
    await page.goto(f"{hub.query_url}/#/?q=list%2F")
    row = page.locator("[data-id]", has_text="list/one")
    await row.wait_for()
    assert await row.locator(".mark .letters").all_inner_texts() == ["MA", "WS"]
    assert await row.locator(".k3").inner_text() == "4"
    assert "complete" in await row.locator(".state").inner_text()
    assert "running" in await page.locator("[data-id]", has_text="list/two").locator(".state").inner_text()
    await page.wait_for_selector(".foot:text-is('2 chains: all that match')")
    await row.click()
    await page.wait_for_selector(".chain-view canvas")
    assert page.url.endswith("#/traces/list%2Fone")


async def test_filters(page: Any, hub: Services) -> None:
    """By a part of the id, by source, by state and time; the address holds them, so a filtered list is a link."""
    send(hub, [*call("filter-done", source_id="F1"), entry(correlation_id="filter-open", source_id="F2")])
    send(hub, call("filter-bad", source_id="F1", data={"status": 503}))
    send(hub, [*call("filter-exit", source_id="F3"), entry(correlation_id="filter-exit", direction="<-")])
    await page.goto(f"{hub.query_url}/")
    await page.keyboard.press("/")
    await page.keyboard.type("filter-")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 4")
    for name, value, left in (
        ("State", "complete", ["filter-bad", "filter-done"]),
        ("State", "running", ["filter-open"]), ("State", "error", ["filter-bad"]),
        ("State", "stuck", []), ("State", "alone", ["filter-exit"]),
        ("State", "", ["filter-exit", "filter-bad", "filter-open", "filter-done"]),
        ("Active within", "5", ["filter-exit", "filter-bad", "filter-open", "filter-done"]),
    ):  # fmt: skip
        await page.get_by_label(name, exact=True).select_option(value)
        shown = "left => [...document.querySelectorAll('a.id')].map(each => each.textContent).join() === left.join()"
        await page.wait_for_function(shown, arg=left)
    await page.get_by_label("Source, the whole name").fill("F2")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 1")
    await page.reload()
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 1")
    assert await ids(page) == ["filter-open"]


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("asked", ["minutes=5", "state=running"])
async def test_a_browser_whose_clock_is_wrong(page: Any, hub: Services, hours: int, asked: str) -> None:
    """A link to what came lately goes by the server's clock from the first look on."""
    name = f"clock{hours}/{asked}"
    send(hub, [entry(correlation_id=name)])
    await page.add_init_script(f"const now = Date.now; Date.now = () => now() + {hours * 3_600_000}")
    await page.goto(f"{hub.query_url}/#/?{asked}")
    await page.wait_for_selector(f"[data-id='{name}']")


async def test_new_chains_do_not_move_rows_under_the_pointer(page: Any, hub: Services) -> None:
    """While somebody points at the list new chains are counted; away from it they move in by themselves."""
    send(hub, [entry(correlation_id=f"pill-{number}") for number in range(3)])
    await page.goto(f"{hub.query_url}/#/?q=pill-")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 3")
    await page.wait_for_function(LIVE)
    await page.hover("[data-id] >> nth=1")
    send(hub, [entry(correlation_id=f"pill-{number}") for number in range(3, 15)])
    await page.wait_for_selector(".pill:has-text('12 new')")
    assert await ids(page) == ["pill-2", "pill-1", "pill-0"]
    await page.keyboard.press("n")
    assert (await ids(page))[:2] == ["pill-14", "pill-13"]
    await page.mouse.move(5, 5)
    send(hub, [entry(correlation_id="pill-15")])
    await page.wait_for_function("() => document.querySelector('a.id').textContent === 'pill-15'")
    await page.keyboard.press("p")
    send(hub, [entry(correlation_id="pill-16")])
    await page.wait_for_selector(".pill:has-text('1 new')")
    await page.keyboard.press("p")
    await page.wait_for_function("() => document.querySelector('a.id').textContent === 'pill-16'")


async def test_only_new_chains_are_counted_as_new(page: Any, hub: Services) -> None:
    """What scrolling brought into the list is there already: it is not counted with what came meanwhile."""
    send(hub, [entry(correlation_id=f"deep/{number:03}") for number in range(120)])
    await page.goto(f"{hub.query_url}/#/?q=deep%2F")
    await page.wait_for_function(LIVE)
    async with scrolling(page):
        await page.wait_for_selector("[data-id='deep/000']")
    send(hub, [entry(correlation_id="deep/new")])
    await page.wait_for_selector(".pill:not([hidden])")
    assert await page.locator(".pill").text_content() == "1 new"


async def test_a_chain_that_comes_while_the_list_is_read(page: Any, hub: Services) -> None:
    """The newest chains are looked at again once a page is there that is older than what came."""
    send(hub, [entry(correlation_id="meanwhile/0")])
    first = True

    async def late(route: Any) -> None:
        nonlocal first
        answer = await route.fetch()
        if first:
            first = False
            await page.wait_for_function(LIVE)
            send(hub, [entry(correlation_id="meanwhile/1")])
            await page.wait_for_timeout(500)
        await route.fulfill(response=answer)

    await page.route(re.compile(r"/correlations\?"), late)
    await page.goto(f"{hub.query_url}/#/?q=meanwhile%2F")
    await page.wait_for_selector("[data-id='meanwhile/1']")


async def test_rows_change_in_place(page: Any, hub: Services) -> None:
    """The exit that comes makes the row complete, where it stands."""
    send(hub, [entry(correlation_id="place-1"), entry(correlation_id="place-2")])
    await page.goto(f"{hub.query_url}/#/?q=place-")
    await page.wait_for_function(LIVE)
    await page.hover("[data-id] >> nth=0")
    send(hub, [entry(correlation_id="place-1", direction="<-")])
    await page.wait_for_selector("[data-id]:nth-child(2):has-text('complete')")
    assert await ids(page) == ["place-2", "place-1"]


async def test_back_to_the_first(page: Any, hub: Services) -> None:
    """Scrolling goes back, page by page, to the oldest chain that is kept, and says that it is the last."""
    send(hub, [entry(correlation_id=f"old-{number:03}") for number in range(200)])
    await page.goto(f"{hub.query_url}/#/?q=old-")
    await page.wait_for_selector("[data-id]")
    async with scrolling(page):
        await page.wait_for_selector(".foot:has-text('200 chains')")
    assert await ids(page) == [f"old-{number:03}" for number in reversed(range(200))]


async def test_by_keyboard(page: Any, hub: Services) -> None:
    """j and k move, Enter opens, Escape comes back."""
    send(hub, [entry(correlation_id=f"keys-{number}") for number in range(3)])
    await page.goto(f"{hub.query_url}/#/?q=keys-")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 3")
    for key in "jjk":
        await page.keyboard.press(key)
    assert await page.evaluate("document.activeElement.closest('[data-id]').dataset.id") == "keys-2"
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".chain-view .facts:not([hidden])")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("[data-id]")
    assert page.url.endswith("q=keys-")


async def test_nothing_yet(services: Services, page: Any) -> None:
    """An empty file says how to send a first entry, and shows it when it comes."""
    services.start("ingest_svc")
    services.start("query_svc")
    await page.goto(services.query_url)
    await page.wait_for_selector("h2:has-text('No chains yet')")
    await page.wait_for_selector(".speed:text-is('0/s')")
    assert "ingest/single" in await page.locator("pre").inner_text()
    await page.wait_for_function(LIVE)
    send(services, [entry(correlation_id="the first")])
    await page.wait_for_selector("[data-id]:has-text('the first')")


async def test_looking_further_back_waits_for_a_click(services: Services, page: Any) -> None:
    """The button stays the same one while entries come, so that it can be pressed and keeps the focus."""
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, [entry(correlation_id=f"open/{number}") for number in range(2_200)])
    await page.goto(f"{services.query_url}/#/?state=alone")
    older = page.get_by_role("button", name="Look further back")
    await older.focus()
    async with page.expect_response("**/correlations?*"):
        send(services, [entry(correlation_id="open/late")])
    await painted(page)
    assert await page.evaluate("document.activeElement.textContent") == "Look further back"


async def test_each_cell_has_room(page: Any, hub: Services) -> None:
    """No state, number, duration or age covers its neighbour or is cut off, on a small screen or a wide one."""
    twelve = [entry(correlation_id="room/sources", source_id=f"S{number}") for number in range(12)]
    far = [entry(correlation_id="room/time", timestamp=at, direction=way) for at, way in ((1, "->"), (1e300, "<-"))]
    send(hub, [*twelve, *far, entry(correlation_id="room/alone", direction="<-")])
    await page.goto(f"{hub.query_url}/#/?q=room/")
    await page.wait_for_selector("[data-id='room/sources']")
    for width in (360, 1280, 1920):
        await page.set_viewport_size({"width": width, "height": 800})
        cut = "[...document.querySelectorAll('.rows .cell')].filter(each => each.scrollWidth > each.clientWidth)"
        assert await page.evaluate(f"{cut}.map(each => each.textContent)") == []
        for age in await page.locator(".rows .k5").all():
            box = await age.bounding_box()
            assert box["x"] + box["width"] <= width


async def test_who_comes_back_is_where_they_were(page: Any, hub: Services) -> None:
    """The link back and Escape lead to the list as it was filtered, and to the row by which it was left."""
    send(hub, [each for number in range(90) for each in call(f"return/{number}")])
    await page.goto(f"{hub.query_url}/#/?q=return%2F&state=complete")
    await page.wait_for_function(LIVE)
    row = page.locator("[data-id='return/7'] a")
    async with scrolling(page):
        await row.wait_for()
    await row.focus()
    await page.keyboard.press("Enter")
    for way in ("click", "Escape", None):
        await page.wait_for_selector(".facts:not([hidden])")
        await (page.locator(".back").click() if way == "click" else page.keyboard.press("Escape"))
        await page.wait_for_function("() => document.activeElement.textContent === 'return/7'")
        assert page.url.endswith("?q=return%2F&state=complete")
        box = await row.bounding_box()
        assert 0 < box["y"] < 800
        if way:
            await row.click()


async def test_an_address_may_say_anything(page: Any, hub: Services) -> None:
    """A state that there is none of, or no number of minutes, asks for all; any number of minutes is taken as such."""
    send(hub, call("stale/0"))
    for query, minutes in (("state=gone", ""), ("minutes=none", ""), ("minutes=30", "30"), ("limit=0", "")):
        await visit(page, f"{hub.query_url}/#/?q=stale%2F&{query}")
        await page.wait_for_selector("[data-id='stale/0']")
        shown = await page.eval_on_selector_all("select", "all => all.map(each => each.value)")
        assert shown == ["", minutes]
    assert await page.locator("select").last.locator("option").count() == 5


async def test_sources_by_name(page: Any, hub: Services) -> None:
    """Where there is room for two letters of a source only, who listens to the page hears its name."""
    send(hub, [entry(correlation_id="by-name", source_id="payments")])
    await page.goto(f"{hub.query_url}/#/?q=by-name")
    row = page.locator("[data-id='by-name']")
    await row.wait_for()
    assert 'cell "payments"' in await row.aria_snapshot()


async def test_new_rows_leave_the_focus(page: Any, hub: Services) -> None:
    """Who asks for the new ones by keyboard goes on from the row in focus, wherever that stands by then."""
    send(hub, [entry(correlation_id=f"focused/{number}") for number in range(4)])
    await page.goto(f"{hub.query_url}/#/?q=focused%2F")
    await page.wait_for_function(LIVE)
    await page.locator("[data-id='focused/1'] a").focus()
    send(hub, [entry(correlation_id="focused/1"), entry(correlation_id="focused/4")])
    await page.wait_for_selector(".pill:not([hidden])")
    await page.keyboard.press("n")
    await page.wait_for_function("() => document.querySelector('[data-id]').dataset.id === 'focused/4'")
    assert await page.evaluate("document.activeElement.textContent") == "focused/1"
    await page.keyboard.press("j")
    assert await page.evaluate("document.activeElement.textContent") == "focused/3"
