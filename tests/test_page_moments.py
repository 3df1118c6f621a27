"""The dashboard between two moments: what is left while it is under way, what comes too late."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser import LIVE, send, visit
from conftest import Services, entry
from test_page_chain import open_chain, order, step
from test_page_chains import scrolling
from test_page_tail import length, open_tail, some

pytestmark = pytest.mark.asyncio(loop_scope="session")
CAME = """window.came = 0; EventSource = class extends EventSource {
    set onmessage(act) { super.onmessage = (event) => { act(event); came += 1; }; }
}"""


def chains(number: int, prefix: str, start: int = 0) -> list[dict[str, Any]]:
    """So many chains of an entry each."""
    return [entry(correlation_id=f"{prefix}/{each}") for each in range(start, start + number)]


@pytest.mark.parametrize("view", ["", "tail"])
async def test_a_filter_that_is_typed_and_left(page: Any, hub: Services, view: str) -> None:
    """What was typed right before the view is left changes neither the address nor the stream of the next one."""
    send(hub, [entry(correlation_id=f"left-{view}")])
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_function(LIVE)
    await page.evaluate(
        """chain => {
            const field = document.querySelector('input[type=search]');
            field.value = 'left';
            field.dispatchEvent(new Event('input'));
            location.hash = `#/traces/${chain}`;
        }""",
        f"left-{view}",
    )
    await page.wait_for_selector(".facts:not([hidden])")
    await page.wait_for_timeout(400)  # longer than a pause in typing
    assert page.url.endswith(f"#/traces/left-{view}")
    send(hub, [entry(correlation_id=f"left-{view}")])
    await page.wait_for_selector(".numbers:has-text('2 entries')")


async def test_two_fields_are_typed_at_once(page: Any, hub: Services) -> None:
    """Each field is taken up, however soon the next one is typed in."""
    await page.goto(f"{hub.query_url}/#/")
    await page.wait_for_function(LIVE)
    await page.evaluate(
        """() => [...document.querySelectorAll('input[type=search]')].forEach(field => {
            field.value = 'twice';
            field.dispatchEvent(new Event('input'));
        })"""
    )
    await page.wait_for_url("**q=twice&source=twice**")


async def test_a_pause_before_the_stream_is_there(page: Any, hub: Services) -> None:
    """Held while it connects, the stream stays held: what comes is shown when it goes on."""
    send(hub, [entry(source_id="early")])
    await page.goto(f"{hub.query_url}/#/tail")
    await page.wait_for_function(LIVE)
    go = asyncio.Event()

    async def late(route: Any) -> None:
        await go.wait()
        await route.continue_()

    await page.route("**/stats", late)
    await page.keyboard.press("p")
    await page.keyboard.press("p")
    await page.keyboard.press("p")
    await page.wait_for_selector(".pace.held")
    async with page.expect_response("**/stats"):
        go.set()
    send(hub, [entry(source_id="early", endpoint="/while-held")])
    await page.wait_for_timeout(300)
    await page.keyboard.press("p")
    await page.wait_for_selector(".tail .row:has-text('/while-held')")


async def test_a_pause_holds_what_is_shown(page: Any, hub: Services) -> None:
    """p holds the picture and counts what comes; p again shows it, nothing lost."""
    send(hub, order("paused"))
    await open_chain(page, hub, "paused")
    await page.wait_for_function("() => document.body.dataset.live === 'open'")
    await page.keyboard.press("p")
    send(hub, [step("paused", 150, "<-", "WK", endpoint="charge"), step("paused", 160, "<-", endpoint="/orders")])
    await page.wait_for_selector("button:has-text('2 new')")
    assert "5 entries" in await page.locator(".numbers").inner_text()
    await page.keyboard.press("p")
    await page.wait_for_selector(".numbers:has-text('7 entries')")


async def test_a_pause_holds_also_what_was_about_to_be_drawn(page: Any, hub: Services) -> None:
    """What had come before p is in the picture, and what comes behind it waits, however soon."""
    await page.add_init_script(CAME)
    send(hub, order("held"))
    await page.clock.install()
    await open_chain(page, hub, "held")
    await page.wait_for_function("() => came === 5")
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))
    for number in (1, 2):  # the second is drawn 30 ms after the first, and time stands still
        send(hub, [step("held", 100 + number, "->", "WK", endpoint=f"late {number}")])
        await page.wait_for_function(f"() => came === {5 + number}")
    await page.keyboard.press("p")
    send(hub, [step("held", 110, "->", "WK", endpoint="later")])
    await page.wait_for_selector("button:has-text('1 new')")
    await page.clock.run_for(1_000)
    assert "7 entries" in await page.locator(".numbers").inner_text()


async def test_a_pause_of_a_tail_that_is_fast(page: Any, hub: Services) -> None:
    """What had come before p is shown by then, also where a paint takes turns with reading: nothing moves after it."""
    await page.add_init_script(CAME)
    await page.clock.install()
    await open_tail(page, hub, "source=fast")
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))
    send(hub, some(600, "fast"))
    await page.wait_for_function("() => came === 600")
    await page.clock.run_for(1_000)  # so many in a second
    for number in (600, 601):  # the second has its turn later, and time stands still
        send(hub, some(1, "fast", start=number))
        await page.wait_for_function(f"() => came === {number + 1}")
    await page.keyboard.press("p")
    assert await length(page) == 602


async def held_before_it_is_read(page: Any, hub: Services) -> asyncio.Event:
    """The tail, paused while what it begins with is on its way; the event lets that come."""
    go = asyncio.Event()

    async def late(route: Any) -> None:
        await go.wait()
        await route.continue_()

    await page.route("**/recent?*", late)
    await page.goto(f"{hub.query_url}/#/tail")
    await page.wait_for_selector(".tail-view")
    await page.keyboard.press("p")
    return go


async def test_a_pause_while_the_tail_is_read(page: Any, hub: Services) -> None:
    """Held before what is stored was there, the tail begins no stream: what comes is shown when it goes on."""
    send(hub, [entry(source_id="sooner", endpoint="/stored")])
    go = await held_before_it_is_read(page, hub)
    go.set()
    await page.wait_for_selector(".tail .row:has-text('/stored')")
    send(hub, [entry(source_id="sooner", endpoint="/while-held")])
    await page.wait_for_selector(".pace:text-is('paused · 1 arrived meanwhile')")
    await page.keyboard.press("p")
    await page.wait_for_selector(".tail .row:has-text('/while-held')")


@pytest.mark.parametrize("key", ["p", "n"])
async def test_a_pause_that_ends_while_the_tail_is_read(page: Any, hub: Services, key: str) -> None:
    """The stream goes on behind what was read, and not from the first entry that there is."""
    send(hub, [entry(source_id="ends", endpoint="/stored")])
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/stream?" in request.url else None)
    go = await held_before_it_is_read(page, hub)
    async with page.expect_response("**/stats"):  # the status bar's: whatever the keys asked for has its answer
        await page.keyboard.press(key)
    go.set()
    await page.wait_for_function(LIVE)
    send(hub, [entry(source_id="ends", endpoint="/later")])
    await page.wait_for_selector(".tail .row:has-text('/later')")
    assert len(streams) == 1 and "last_event_id=0" not in streams[0]


async def test_figures_that_come_when_the_sources_were_left(page: Any, hub: Services) -> None:
    """What is counted for a view that was left, while the next one loads, leaves that one its address."""
    counted, loaded = asyncio.Event(), asyncio.Event()

    async def late(route: Any) -> None:
        await (loaded if route.request.url.endswith("tail.js") else counted).wait()
        await route.continue_()

    await page.route(re.compile(r"/tail\.js$|/stats/follows$"), late)
    send(hub, [entry(source_id="counted")])
    await page.goto(f"{hub.query_url}/#/sources")
    await page.wait_for_selector(".sources-view")
    await page.keyboard.press("2")
    await page.wait_for_url("**/#/tail")
    counted.set()
    await page.wait_for_selector(".steps .row [href]")
    loaded.set()
    await page.wait_for_selector(".tail-view")
    assert page.url.endswith("#/tail")


async def test_a_pause_right_after_the_newest(page: Any, hub: Services) -> None:
    """What was passed over is not counted anew by the next pause, and does not come again after it."""
    send(hub, [entry(source_id="anew", endpoint=f"/anew/{each}") for each in range(3)])
    await page.goto(f"{hub.query_url}/#/tail?source=anew")
    await page.wait_for_selector(".tail .row:has-text('/anew/2')")
    await page.wait_for_function(LIVE)
    for key in "pnpp":
        await page.keyboard.press(key)
    send(hub, [entry(source_id="anew", endpoint="/anew/3")])
    await page.wait_for_selector(".tail .row:has-text('/anew/3')")
    assert await page.locator(".tail .row:has-text('/anew/0'):not([hidden])").count() == 1


async def test_escape_never_leaves_the_page(page: Any, hub: Services) -> None:
    """Who came by a link, saw the list and went back, gets to the list by Escape, not to where the link was."""
    send(hub, [entry(correlation_id="by-link")])
    await visit(page, f"{hub.query_url}/#/traces/by-link")
    await page.wait_for_selector(".facts:not([hidden])")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".chains-view")
    await page.go_back()
    await page.wait_for_selector(".chain-view .facts:not([hidden])")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".chains-view")


async def test_picks_outlive_a_search(page: Any, hub: Services) -> None:
    """A chain that is picked shows it after the list was read anew, and x lets go of it."""
    send(hub, chains(2, "picks"))
    await page.goto(f"{hub.query_url}/#/?q=picks")
    await page.locator("[data-id='picks/1'] a").focus()
    await page.keyboard.press("x")
    await page.get_by_label("Part of a correlation id").fill("picks/1")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 1")
    await page.wait_for_selector("[data-id='picks/1'].picked")
    await page.locator("[data-id='picks/1'] a").focus()
    await page.keyboard.press("x")
    assert await page.locator(".picked").count() == 0


async def test_a_list_on_a_busy_server(page: Any, hub: Services) -> None:
    """More new chains than a page has leave no hole: who scrolls comes by each of them."""
    send(hub, chains(5, "busy"))
    await page.goto(f"{hub.query_url}/#/?q=busy/")
    await page.wait_for_selector("[data-id='busy/0']")
    await page.wait_for_function(LIVE)
    send(hub, chains(120, "busy", 5))
    await page.wait_for_selector("[data-id='busy/124']")
    async with scrolling(page):
        await page.wait_for_selector(".foot:has-text('125 chains: all that match')")
    shown = await page.locator("a.id").all_text_contents()
    assert shown == [f"busy/{each}" for each in reversed(range(125))]


async def test_a_chain_that_leaves_its_state(page: Any, hub: Services) -> None:
    """In a list of running chains one that completes says so, and goes as soon as nobody points at the list."""
    send(hub, chains(2, "leaves"))
    await page.goto(f"{hub.query_url}/#/?q=leaves/&state=running")
    await page.wait_for_function(LIVE)
    await page.wait_for_selector("[data-id='leaves/0']")
    await page.mouse.move(600, 400)
    send(hub, [entry(correlation_id="leaves/0", direction="<-")])
    await page.wait_for_selector("[data-id='leaves/0']:has-text('state changed')")
    await page.mouse.move(600, 20)
    send(hub, [entry(correlation_id="leaves/1", source_id="WS")])
    await page.wait_for_selector("[data-id='leaves/0']", state="detached")
    assert await page.locator("[data-id]").count() == 1


async def test_a_chain_that_comes_between_list_and_stream(page: Any, hub: Services) -> None:
    """What was committed after the list was read and before the stream began is shown."""
    send(hub, [entry(correlation_id="between/0")])
    sent = False

    async def late(route: Any) -> None:
        nonlocal sent
        await page.wait_for_selector("[data-id='between/0']")
        if not sent:
            sent = True
            send(hub, [entry(correlation_id="between/1")])
        await route.continue_()

    await page.route("**/stats", late)
    await page.goto(f"{hub.query_url}/#/?q=between%2F")
    await page.wait_for_function(LIVE)
    await page.wait_for_selector("[data-id='between/1']")
