"""The dashboard's tail, in a real browser over both real services."""

import re
import time
from typing import Any

import pytest
from browser import barriers, painted, send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = ".tail .row:has(a[href]):not([hidden])"
LENGTH = "list => parseInt(list.style.height) / list.querySelector('.row:not([hidden])').offsetHeight"
OWN_FILE_ROOM = 11_000  # entries that the tab keeps, with slack


def some(number: int, source: str, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Entries of a source, told apart by their endpoint."""
    return [
        entry(source_id=source, correlation_id=f"{source}/{each}", endpoint=f"/{source}/{each}", **fields)
        for each in range(start, start + number)
    ]


async def open_tail(page: Any, hub: Services, query: str = "") -> None:
    """Open the view and wait until it is live."""
    await page.goto(f"{hub.query_url}/#/tail?{query}")
    await page.wait_for_selector("body[data-live=open] .tail-view")


async def endpoints(page: Any) -> list[str]:
    """What is on the screen at one moment, from top to bottom."""
    rows = await page.evaluate(
        """rows => [...document.querySelectorAll(rows)].map(
            row => [row.getBoundingClientRect().top, row.querySelector('.t4').textContent])""",
        ROWS,
    )
    return [text for _, text in sorted(rows)]


async def shows(page: Any, endpoint: str) -> None:
    """Wait until an endpoint is on the screen."""
    await page.wait_for_function(
        """([rows, text]) => [...document.querySelectorAll(rows)].some(
            row => row.querySelector('.t4').textContent === text)""",
        arg=[ROWS, endpoint],
    )


async def length(page: Any) -> int:
    """How many rows the list has, on the screen or not."""
    return int(await page.eval_on_selector(".tail .virtual", LENGTH))


async def test_what_is_committed_shows_in_order(page: Any, hub: Services) -> None:
    """Stored entries are there at once, new ones come without a reload, the newest last; the filter is the server's."""
    send(hub, some(2, "tail-order"))
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/stream?" in request.url else None)
    await open_tail(page, hub, "source=tail-order")
    await shows(page, "/tail-order/1")
    send(hub, [*some(1, "tail-other"), *some(2, "tail-order", start=2)])
    await shows(page, "/tail-order/3")
    assert await endpoints(page) == [f"/tail-order/{each}" for each in range(4)]
    (stream,) = streams
    assert "source=tail-order" in stream


async def test_filters_are_typed_and_kept_in_the_address(page: Any, hub: Services) -> None:
    """An endpoint with a star finds what is stored and what comes; the address says it, so it can be shared."""
    await open_tail(page, hub)
    await page.keyboard.press("/")
    await page.get_by_label("Endpoint, with * and ?").fill("/tail-glob/*")
    await page.wait_for_url("**endpoint=**")
    send(hub, some(3, "tail-glob"))
    await shows(page, "/tail-glob/2")
    others = "rows => [...document.querySelectorAll(rows)].every(row => row.textContent.includes('/tail-glob/'))"
    await page.wait_for_function(others, arg=ROWS)  # what was there before the filter leaves with the next paint
    assert "endpoint=%2Ftail-glob%2F*" in page.url


async def test_a_new_filter_holds_from_the_first_row_on(page: Any, hub: Services) -> None:
    """What the stream before brings while the new one is looked for is not in the list."""
    send(hub, some(1, "tail-before"))
    await open_tail(page, hub)
    await shows(page, "/tail-before/0")

    async def late(route: Any) -> None:
        send(hub, some(5, "tail-before", start=1))
        await page.wait_for_timeout(300)
        await route.continue_()

    await page.route(re.compile(r"/recent\?"), late)
    await page.get_by_label("Source, the whole name").fill("tail-narrow")
    await page.wait_for_selector(".nothing")
    send(hub, some(1, "tail-narrow"))
    await shows(page, "/tail-narrow/0")
    assert await endpoints(page) == ["/tail-narrow/0"]


async def test_a_pause_loses_nothing(page: Any, hub: Services) -> None:
    """Paused, nothing moves; going on, everything that came meanwhile is there, from where it was paused."""
    send(hub, some(2, "tail-pause"))
    await open_tail(page, hub, "source=tail-pause")
    await shows(page, "/tail-pause/1")
    await page.keyboard.press("p")
    await page.wait_for_selector(".pace.held")
    send(hub, [*some(300, "tail-pause", start=2), *some(50, "tail-others")])
    await page.wait_for_selector(".pace:has-text('paused · 300 arrived meanwhile')")  # the filtered ones
    assert await length(page) == 2
    await page.keyboard.press("p")
    await page.wait_for_function(f"() => ({LENGTH})(document.querySelector('.tail .virtual')) === 302")
    await page.keyboard.press("n")
    await shows(page, "/tail-pause/301")


async def test_who_reads_further_up_is_not_moved(page: Any, hub: Services) -> None:
    """New entries leave what is on the screen where it is, and are counted on a button that leads to them."""
    send(hub, some(200, "tail-scroll"))
    await open_tail(page, hub, "source=tail-scroll")
    await shows(page, "/tail-scroll/199")
    await page.mouse.move(600, 400)
    await page.evaluate(
        "() => { rests = new Promise(end => { document.querySelector('.scroll').onscrollend = () => end(); }); }"
    )
    await page.mouse.wheel(0, -2000)
    await page.evaluate("rests")
    await painted(page)
    before = await endpoints(page)
    send(hub, some(20, "tail-scroll", start=200))
    await page.wait_for_function("() => parseInt(document.querySelector('.tail .virtual').style.height) >= 220 * 28")
    assert await endpoints(page) == before
    await page.locator(".pill").click()
    await shows(page, "/tail-scroll/219")


async def test_a_flood_is_bounded(page: Any, hub: Services) -> None:
    """Of 15,000 entries at once a bounded number is kept, few rows exist, the newest is on the screen in the end."""
    await open_tail(page, hub, "source=tail-flood")
    send(hub, some(15_000, "tail-flood"))
    await shows(page, "/tail-flood/14999")
    assert await length(page) <= OWN_FILE_ROOM
    assert await page.locator(".tail .virtual .row").count() < 100


async def test_a_full_list_holds_the_stream_for_who_reads(page: Any, hub: Services) -> None:
    """Whoever reads further up while the room is used up loses nothing: the stream waits, and goes on when they do."""
    send(hub, some(60, "tail-full"))
    await open_tail(page, hub, "source=tail-full")
    await shows(page, "/tail-full/59")
    await page.keyboard.press("g")
    await shows(page, "/tail-full/0")
    send(hub, some(12_000, "tail-full", start=60))
    await page.wait_for_selector(".pace.held")
    assert (await endpoints(page))[0] == "/tail-full/0"
    await page.evaluate("document.querySelector('.tail-view .scroll').scrollTop = 9_990 * 28")
    await page.wait_for_function("() => !document.querySelector('.pace').classList.contains('held')")
    await page.evaluate(
        "setInterval(() => { const list = document.querySelector('.tail-view .scroll'); list.scrollTop += 1_200; }, 20)"
    )
    await shows(page, "/tail-full/12059")


async def test_a_full_list_goes_on_when_its_row_is_left(page: Any, hub: Services) -> None:
    """A row in focus holds the stream of a list without room; it goes on by itself when the focus has gone."""
    await open_tail(page, hub, "source=tail-left")
    send(hub, some(10_500, "tail-left"))
    await shows(page, "/tail-left/10499")
    await page.locator(".pace").evaluate("pace => { pace.textContent = ''; }")  # it may not have counted these yet
    await page.wait_for_selector(".pace:text-is('0/s')")  # nothing scrolls any more
    await page.keyboard.press("j")
    await page.wait_for_function("() => document.activeElement.closest('.row')")
    send(hub, some(1, "tail-left", start=10_500))
    await page.wait_for_selector(".pace.held")
    await page.wait_for_timeout(500)
    await page.evaluate("document.activeElement.blur()")
    send(hub, some(9, "tail-left", start=10_501))
    await shows(page, "/tail-left/10509")


async def test_keys_move_and_open(page: Any, hub: Services) -> None:
    """k goes up from the end, Enter opens the chain of the row."""
    send(hub, some(5, "tail-keys"))
    await open_tail(page, hub, "source=tail-keys")
    await shows(page, "/tail-keys/4")
    await page.keyboard.press("k")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".chain-view")
    assert page.url.endswith("#/traces/tail-keys%2F3")


async def test_hostile_entries_stay_text(page: Any, hub: Services) -> None:
    """Markup in every field is shown as it is and runs nothing; the view stays accessible."""
    evil = "<img src=x onerror=window.hit=1><script>window.hit=1</script>\u202e"
    fields = {"operation": evil, "endpoint": evil, "hostname": evil, "raw_line": evil, "data": {evil: evil}}
    send(hub, [entry(source_id=evil[:80], correlation_id=f"tail/{evil}", **fields)])
    await open_tail(page, hub, "correlation_id=tail/*")
    row = page.locator(ROWS)
    await row.wait_for()
    assert "<img src=x onerror" in await row.locator(".t4").inner_text()
    assert "\\u202e" in await row.locator(".t4").inner_text()
    assert await page.locator(".tail img, .tail script").count() == 0
    assert await page.evaluate("window.hit") is None
    assert not await barriers(page)


async def test_entries_of_another_day(page: Any, hub: Services) -> None:
    """An entry from days ago shows its day; one of just now its time, also right after midnight."""
    now = time.time() * 1000
    send(hub, [entry(source_id="days", timestamp=now - days * 86_400_000, endpoint=f"/{days}") for days in (0, 3)])
    await page.goto(f"{hub.query_url}/#/tail?source=days")
    await page.wait_for_selector(".tail .row:has-text('/3')")
    shown = [await page.locator(f".tail .row:has-text('/{days}') .t0").inner_text() for days in (0, 3)]
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", shown[0])
    assert shown[1] == time.strftime("%m-%d %H:%M", time.localtime(now / 1000 - 3 * 86_400))


async def test_empty_says_what_to_do(page: Any, hub: Services) -> None:
    """A filter that finds nothing says so, and the first entry that fits takes its place."""
    await open_tail(page, hub, "source=tail-later")
    await page.wait_for_selector(".nothing")
    send(hub, some(1, "tail-later"))
    await shows(page, "/tail-later/0")
    assert await page.locator(".nothing").count() == 0


async def test_a_row_in_focus_is_not_moved(page: Any, hub: Services) -> None:
    """While a row has the focus the list stays, what comes is counted, and no other entry takes the row's place."""
    send(hub, some(60, "tail-focus"))
    await open_tail(page, hub, "source=tail-focus")
    await shows(page, "/tail-focus/59")
    await page.keyboard.press("j")
    chosen = "document.activeElement.closest('.row').querySelector('.t4').textContent"
    before = await page.evaluate(chosen)
    send(hub, some(200, "tail-focus", start=60))
    await page.wait_for_selector(".pill:has-text('200 newer')")
    assert await page.evaluate(chosen) == before
    await page.keyboard.press("n")
    await shows(page, "/tail-focus/259")
    assert await page.evaluate("document.activeElement.className") == "scroll"


async def test_rows_are_read_in_their_order(page: Any, hub: Services) -> None:
    """Who goes through the rows one by one meets them from the oldest to the newest, and how many there are."""
    send(hub, some(500, "tail-read"))
    await open_tail(page, hub, "source=tail-read")
    await shows(page, "/tail-read/499")
    for top in (7_000, 7_200, 6_900, 0, 3_000):
        await page.evaluate("top => { document.querySelector('.tail-view .scroll').scrollTop = top; }", top)
        await painted(page)
        order = await page.eval_on_selector_all(ROWS, "rows => rows.map(row => Number(row.ariaRowIndex))")
        assert order == sorted(order), (top, order)
    assert await page.locator(".table.tail").get_attribute("aria-rowcount") == "501"


async def test_the_first_of_its_kind_on_a_busy_server(page: Any, hub: Services) -> None:
    """Where none of the newest thousand entries is like what is asked for, the first one that comes is shown."""
    send(hub, some(1_000, "tail-many"))
    await open_tail(page, hub, "endpoint=/tail-scarce/*")
    await page.wait_for_selector(".nothing")
    send(hub, some(1, "tail-scarce"))
    await shows(page, "/tail-scarce/0")
