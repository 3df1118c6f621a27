"""How the dashboard looks: colours that mean something, lines that things stand on, room for words."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry
from test_page_chain import open_chain, order
from test_page_compare import chain, compare
from test_page_reach import opened_by_keys
from test_page_sources import open_sources

pytestmark = pytest.mark.asyncio(loop_scope="session")
COLOUR = "node => getComputedStyle(node).color"


async def test_red_is_only_what_is_bad(page: Any, hub: Services) -> None:
    """Of what a chain lacks its errors are red, and not its open steps; of a comparison what only one of them has."""
    send(hub, order("red"))
    await open_chain(page, hub, "red")
    answers = page.locator(".fact p")
    where, missing = [await answers.nth(at).evaluate(COLOUR) for at in (0, 2)]
    bad = await page.locator(".fact .bad").evaluate(COLOUR)
    assert missing == where != bad
    send(hub, [*chain("red/a", ("MA", "/all", 0, 9)), *chain("red/b", ("MA", "/all", 0, 9), ("WS", "/new", 2, 4))])
    await compare(page, hub, "red/a", "red/b")
    assert await page.locator(".only-b .d3").evaluate(COLOUR) == bad


async def test_what_the_colours_of_the_system_leave(page: Any, hub: Services) -> None:
    """Where the system chooses the colours, a row that failed or is picked can still be told, and the mark is there."""
    send(hub, [entry(correlation_id="left", source_id="left", data=data) for data in ({"error": "no"}, None)])
    await page.emulate_media(forced_colors="active")
    edge = "node => getComputedStyle(node).borderLeftStyle"
    await page.goto(f"{hub.query_url}/#/tail?source=left")
    await page.wait_for_selector(".tail .row.failed")
    assert "gradient" in await page.locator(".logo").evaluate("node => getComputedStyle(node).backgroundImage")
    rows = page.locator(".tail .virtual .row:not([hidden])")
    assert sorted([await rows.nth(at).evaluate(edge) for at in (0, 1)]) == ["none", "solid"]
    await page.goto(f"{hub.query_url}/#/?q=left")
    await page.locator("[data-id='left'] a").focus()
    await page.keyboard.press("x")
    assert await page.locator("[data-id='left']").evaluate(edge) == "solid"


async def test_what_leads_to_a_step_where_the_system_chooses_the_colours(page: Any, hub: Services) -> None:
    """Without a colour of its own, a step in the answers can still be told from the words around it."""
    send(hub, order("leads"))
    await page.emulate_media(forced_colors="active")
    await open_chain(page, hub, "leads")
    line = "node => getComputedStyle(node).textDecorationLine"
    assert await page.locator(".fact button").first.evaluate(line) == "underline"


@pytest.mark.parametrize("view", ["", "tail", "sources", "compare", "traces/bars"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_what_stands_in_a_bar_is_of_one_height(page: Any, hub: Services, view: str, width: int) -> None:
    """Fields and buttons beside each other are as high as each other, in each view."""
    send(hub, [entry(correlation_id="bars")])
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(".bar")
    found = ".bar :is(input, select, button, .button)"
    high = await page.eval_on_selector_all(found, "all => all.map(each => each.offsetHeight)")
    assert high and set(high) == {28}


async def test_names_stand_on_one_line(services: Services, page: Any) -> None:
    """All names of sources begin on one line, and steps of two chains where their heading does."""
    services.start("ingest_svc")
    services.start("query_svc")
    for source in ("W", "IL", "WM", "payment-service"):
        send(services, chain(f"line/{source}", (source, "/all", 0, 9)))
    await open_sources(page, services)
    await page.wait_for_selector(".steps .virtual .row")
    for names in (".talkers .name", ".steps .row:not([hidden]) .s0 .name"):
        left = "all => all.map(each => each.getBoundingClientRect().left)"
        found = await page.eval_on_selector_all(names, left)
        assert len(found) == 4 and len(set(found)) == 1, (names, found)
    await compare(page, services, "line/W", "line/WM")
    heading = await page.locator(".compared .head .d0").evaluate("node => getComputedStyle(node).paddingLeft")
    first = await page.locator(".compared .virtual .row:not([hidden]) .d0").first.evaluate(
        "node => getComputedStyle(node).paddingLeft"
    )
    assert first == heading


async def test_a_difference_has_room(page: Any, hub: Services) -> None:
    """On a small screen the longest difference of two chains is not cut off."""
    send(hub, [*chain("room/a", ("MA", "/all", 0, 999.4)), *chain("room/b", ("MA", "/all", 0, 110.2))])
    await page.set_viewport_size({"width": 390, "height": 800})
    await compare(page, hub, "room/a", "room/b")
    difference = page.locator(".compared .virtual .row:not([hidden]) .d3")
    assert "\u00d70.11" in await difference.inner_text()
    assert not await difference.evaluate("cell => cell.scrollWidth > cell.clientWidth")


async def test_words_begin_on_one_line(page: Any, hub: Services) -> None:
    """What keys do begins on one line in the help; beside a search that has found nothing yet is no empty room."""
    send(hub, [entry(correlation_id="lines")])
    await page.goto(f"{hub.query_url}/#/traces/lines")
    await page.wait_for_selector(".facts:not([hidden])")
    search, pause = [
        await page.locator(each).bounding_box() for each in (".finder input", ".bar button:text-is('Pause')")
    ]
    assert pause["x"] - search["x"] - search["width"] == 8
    await page.keyboard.press("?")
    left = "all => new Set(all.map(each => each.offsetLeft)).size"
    for keys in await page.locator(".keys").all():
        columns = await keys.evaluate("node => getComputedStyle(node).gridTemplateColumns.split(' ').length")
        assert await keys.locator("dd").evaluate_all(left) == columns


async def test_tabs_stay_where_they_are(page: Any, hub: Services) -> None:
    """Whichever view is shown, no tab moves."""
    places = []
    for view in ("", "tail", "sources", "compare"):
        await page.goto(f"{hub.query_url}/#/{view}")
        await page.wait_for_selector(f".{view or 'chains'}-view")
        places.append(await page.eval_on_selector_all("nav a", "all => all.map(each => each.offsetLeft)"))
    assert places.count(places[0]) == 4, places


async def test_a_heading_has_no_frame(page: Any, hub: Services) -> None:
    """The heading that has the focus when a view is opened by keys is not framed: nothing can be done with it."""
    send(hub, [entry(correlation_id="framed")])
    await opened_by_keys(page, hub, "framed")
    assert await page.locator("h1:focus-visible").evaluate("node => getComputedStyle(node).outlineStyle") == "none"
