"""The dashboard between two moments: what is left while it is under way, what comes too late."""

import asyncio
from typing import Any

import pytest
from browser import LIVE, send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")
FAILED = "Failed to load resource"  # what the browser says of an answer that is an error


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
    go.set()
    await page.wait_for_timeout(300)
    send(hub, [entry(source_id="early", endpoint="/while-held")])
    await page.wait_for_timeout(300)
    await page.keyboard.press("p")
    await page.wait_for_selector(".tail .row:has-text('/while-held')")


async def test_a_pause_right_after_the_newest(page: Any, hub: Services) -> None:
    """What was passed over is not counted anew by the next pause, and does not come again after it."""
    send(hub, [entry(source_id="anew", endpoint=f"/anew/{each}") for each in range(3)])
    await page.goto(f"{hub.query_url}/#/tail?source=anew")
    await page.wait_for_selector(".tail .row:has-text('/anew/2')")
    await page.wait_for_function(LIVE)
    for key in "pnpp":
        await page.keyboard.press(key)
    await page.wait_for_function(LIVE)
    send(hub, [entry(source_id="anew", endpoint="/anew/3")])
    await page.wait_for_selector(".tail .row:has-text('/anew/3')")
    assert await page.locator(".tail .row:has-text('/anew/0'):not([hidden])").count() == 1


async def test_escape_never_leaves_the_page(page: Any, hub: Services) -> None:
    """Who came by a link, saw the list and went back, gets to the list by Escape, not to where the link was."""
    send(hub, [entry(correlation_id="by-link")])
    await page.goto("about:blank")
    await page.goto(f"{hub.query_url}/#/traces/by-link")
    await page.wait_for_selector(".facts:not([hidden])")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".chains-view")
    await page.go_back()
    await page.wait_for_selector(".chain-view .facts:not([hidden])")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".chains-view")


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


async def look_at(page: Any) -> None:
    """Tell a page that was opened behind others that it is in sight."""
    await page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', {value: false, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )


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
    await page.evaluate("list = document.querySelector('.scroll'), setInterval(() => list.scrollTop = 1e6, 30)")
    await page.wait_for_selector(".foot:has-text('all that are stored')")
    shown = await page.locator("a.id").all_text_contents()
    assert shown == [f"busy/{each}" for each in reversed(range(125))]


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


async def test_what_came_during_a_cut_is_old(services: Services, page: Any) -> None:
    """An entry that was stored while the connection was lost counts from its arrival, not from when the page had it."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR", FAILED]
    send(services, [entry(endpoint="/one")])
    await page.goto(f"{services.query_url}/#/traces/chain")
    await page.wait_for_function(LIVE)
    services.kill("query_svc")
    send(services, [entry(endpoint="/two")])
    await asyncio.sleep(4)
    services.start("query_svc")
    await page.wait_for_selector(".numbers:has-text('2 entries')")
    await page.wait_for_timeout(1_500)
    where = await page.locator(".fact").first.inner_text()
    assert int(where.rsplit(" for ", 1)[1].split(".")[0].split()[0]) >= 5, where


@pytest.mark.parametrize("width", [1280, 2560])
async def test_as_close_as_it_gets_within_a_century(page: Any, hub: Services, width: int) -> None:
    """A chain from 1970 to 2100 can be looked at as closely as any other."""
    await page.set_viewport_size({"width": width, "height": 800})
    send(hub, [entry(correlation_id="century", timestamp=at) for at in (0, 4_102_444_800_000.5)])
    await page.goto(f"{hub.query_url}/#/traces/century")
    await page.wait_for_selector(".facts:not([hidden])")
    box = await page.locator(".stage:not(.map)").bounding_box()
    await page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    await page.evaluate(
        """() => {
            const stage = document.querySelector('.stage:not(.map)');
            const box = stage.getBoundingClientRect();
            const place = { clientX: box.left + box.width * 0.9, clientY: box.top + 60 };
            for (let at = 0; at < 60; at += 1) {
                stage.dispatchEvent(new WheelEvent('wheel', { deltaY: -400, ctrlKey: true, ...place }));
            }
        }"""
    )
    await page.wait_for_timeout(200)
    assert await page.evaluate("1 + 1") == 2


async def test_who_falls_silent_is_told(services: Services, page: Any) -> None:
    """The figures of the sources are looked at again when nothing comes any more."""
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, [entry(source_id="SI")])
    await page.goto(f"{services.query_url}/#/sources")
    await page.wait_for_selector(".talkers li")
    await page.route(
        "**/stats/sources", lambda route: route.fulfill(json={"sources": [{"source_id": "SI", "rate": 0}]})
    )
    await page.wait_for_selector(".talkers li:has-text('0/s')")


async def test_steps_that_took_no_time(page: Any, hub: Services) -> None:
    """A step that began and ended at one time has ended."""
    send(hub, [entry(correlation_id="instant", timestamp=1.0, direction=each) for each in ("->", "<-")])
    await page.goto(f"{hub.query_url}/#/traces/instant")
    await page.wait_for_selector(".fact:has-text('no step took time of its own')")


async def test_no_letter_is_cut_in_two(page: Any, hub: Services) -> None:
    """Text that is too long is cut between letters, also those that take two units."""
    for start in ("", "x"):
        wide = {"endpoint": start + chr(0x1F600) * 500, "source_id": start + chr(0x20000) * 9}
        send(hub, [entry(correlation_id=f"{start}letters-{chr(0x1F600) * 200}", **wide)])
    await page.goto(f"{hub.query_url}/#/?q=letters-")
    await page.wait_for_function("() => document.querySelectorAll('[data-id]').length === 2")
    whole = "() => [...document.querySelectorAll('a.id, .mark, .facts')].every(each => each.textContent.isWellFormed())"
    assert await page.evaluate(whole)
    await page.locator("a.id").first.click()
    await page.wait_for_selector(".facts:not([hidden])")
    assert await page.evaluate(whole)


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


async def test_an_id_that_many_others_hold(page: Any, hub: Services) -> None:
    """How long a step is open goes by its arrival, whatever its sender's clock, however many ids are like this one."""
    send(hub, [entry(correlation_id="within", timestamp=1_000.0), *chains(120, "within")])
    await page.goto(f"{hub.query_url}/#/traces/within")
    await page.wait_for_selector(".fact:has-text('in MA /api for'):not(:has-text(' d'))")


async def test_a_chain_that_outgrows_the_page(page: Any, hub: Services) -> None:
    """What comes beyond 200,000 entries is not taken in, and the page knows that there is more."""
    await page.goto(hub.query_url)
    grown = await page.evaluate(
        """async () => {
            const record = document.querySelector('script[type=module]').src.replace('main.js', 'record.js');
            const chain = new (await import(record)).ChainRecord('grows');
            for (let at = 0; at < 200_001; at += 1) chain.add({ timestamp: at, suffix: '' });
            return [chain.entries.length, chain.cut];
        }"""
    )
    assert grown == [200_000, True]


async def look_away(page: Any) -> None:
    """Hide the tab for as long as it takes until it has no stream any more."""
    await page.evaluate(
        """() => {
            Object.defineProperty(document, 'hidden', {value: true, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    await page.wait_for_function("() => document.body.dataset.live === 'asleep'")


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
