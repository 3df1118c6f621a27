"""Two chains side by side, in a real browser."""

from typing import Any
from urllib.parse import quote

import pytest
from browser import barriers, send, store_partly_expired, visit
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")

START = 1_700_000_000_000
Step = tuple[str, str, float, float]  # source, endpoint, start, end


def chain(correlation_id: str, *steps: Step) -> list[dict[str, Any]]:
    """The entries of a chain."""
    made = []
    for source, endpoint, start, end in steps:
        common = {"correlation_id": correlation_id, "source_id": source, "endpoint": endpoint}
        made.append(entry(**common, timestamp=START + start))
        made.append(entry(**common, timestamp=START + end, direction="<-"))
    return sorted(made, key=lambda each: float(each["timestamp"]))


async def compare(page: Any, hub: Services, *ids: str) -> None:
    """Open the comparison."""
    await visit(page, f"{hub.query_url}/#/compare/{'/'.join(quote(each, safe='') for each in ids)}")
    await page.wait_for_selector(".compared .virtual .row")


async def rows(page: Any) -> list[list[str]]:
    """The rows from top to bottom: endpoint, duration in A, in B, difference."""
    found = await page.eval_on_selector_all(
        ".compared .virtual .row:not([hidden])",
        """rows => rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(row => [
            '.name', '.d1 .number', '.d2 .number', '.d3'].map(each => row.querySelector(each).textContent))""",
    )
    return [list(row) for row in found]


async def test_steps_are_aligned_and_differences_marked(page: Any, hub: Services) -> None:
    """Steps stand beside each other whatever their order, with the difference; what one lacks is marked."""
    send(
        hub,
        chain("cmp/a", ("MA", "/all", 0, 100), ("WS", "/one", 10, 30), ("WS", "/two", 12, 20), ("VM", "/gone", 50, 60)),
    )
    send(
        hub,
        chain(
            "cmp/b", ("MA", "/all", 0, 180), ("WS", "/two", 10, 18), ("WS", "/one", 11, 111), ("VM", "/new", 120, 130)
        ),
    )
    await compare(page, hub, "cmp/a", "cmp/b")
    assert await rows(page) == [
        ["/all", "100 ms", "180 ms", "+80 ms  \u00d71.8"],
        ["/one", "20 ms", "100 ms", "+80 ms  \u00d75.0"],
        ["/new", "\u2013", "10 ms", "only in B"],
        ["/two", "8 ms", "8 ms", "="],
        ["/gone", "10 ms", "\u2013", "missing in B"],
    ]
    said = await page.locator(".verdict p").inner_text()
    assert all(
        part in said for part in ("B took 80 ms longer", "1 step missing in B", "1 step only in B", "2 steps differ")
    )
    await page.keyboard.press("l")
    assert "/one" in await page.evaluate("document.activeElement.closest('.row').textContent")
    await page.keyboard.press("d")
    assert "/new" in await page.evaluate("document.activeElement.closest('.row').textContent")
    await page.keyboard.press("s")
    await page.wait_for_url("**/compare/cmp%2Fb/cmp%2Fa")


async def test_steps_that_differ_by_a_number(page: Any, hub: Services) -> None:
    """Those of another version, or with another id in their path, stand beside each other once no step is the same."""
    send(hub, chain("cmp/v1", ("MA", "/v1/order/17", 0, 100), ("WS", "/v1/stock", 10, 60), ("WS", "/ping", 70, 80)))
    send(hub, chain("cmp/v2", ("MA", "/v2/order/18", 0, 500), ("WS", "/v2/stock", 10, 460), ("WS", "/pong", 470, 480)))
    await compare(page, hub, "cmp/v1", "cmp/v2")
    assert [row[0::3] for row in await rows(page)] == [
        ["/v1/order/17", "+400 ms  \u00d75.0"],
        ["/v1/stock", "+400 ms  \u00d79.0"],
        ["/pong", "only in B"],
        ["/ping", "missing in B"],
    ]


async def test_chains_are_picked_from_the_list(page: Any, hub: Services) -> None:
    """x picks the row in focus, c compares the two picked."""
    send(hub, [*chain("pick/a", ("MA", "/p", 0, 10)), *chain("pick/b", ("MA", "/p", 0, 10))])
    await page.goto(f"{hub.query_url}/#/?q=pick%2F")
    await page.locator("[data-id]").nth(1).wait_for()
    for key in "jxjxc":
        await page.keyboard.press(key)
    await page.wait_for_selector(".compared .virtual .row")
    assert await rows(page) == [["/p", "10 ms", "10 ms", "="]]


async def test_ids_are_typed(page: Any, hub: Services) -> None:
    """Without two ids the view asks for them; an id that nothing is kept of is told."""
    send(hub, chain("typed/a", ("MA", "/t", 0, 10)))
    await page.goto(f"{hub.query_url}/#/compare")
    await page.wait_for_selector(".nothing")
    await page.get_by_label("Correlation id of A").fill("typed/a")
    await page.get_by_label("Correlation id of B").fill("typed/none")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=No such chain")


async def test_an_open_step_against_a_finished_one(page: Any, hub: Services) -> None:
    """Where one chain hangs the step says so, and nothing is said of how long the whole took."""
    send(hub, chain("open/a", ("MA", "/wait", 0, 10)))
    send(hub, chain("open/b", ("MA", "/wait", 0, 10))[:1])
    await compare(page, hub, "open/a", "open/b")
    said = await page.locator(".verdict p").inner_text()
    assert "B is open, as of" in said
    assert "took" not in said
    assert await rows(page) == [["/wait", "10 ms", "open", "open in B"]]


async def test_the_step_that_hangs_is_the_largest_difference(page: Any, hub: Services) -> None:
    """What never ended explains more than any duration: it itself, and not the steps that wait for it."""
    steps = [("MA", "/all", 0, 900), ("WS", "/slower", 10, 20), ("WS", "/wait", 30, 40), ("WS", "/more", 50, 60)]
    send(hub, chain("hangs/a", *steps))
    hung = chain("hangs/b", steps[0], ("WS", "/slower", 10, 25), *steps[2:])
    ends = [each for each in hung if each["direction"] == "<-"]
    for kept, name in (
        (hung[:4], "b"),
        ([each for each in hung if each not in ends or each["endpoint"] != "/wait"], "c"),
    ):
        send(hub, [{**each, "correlation_id": f"hangs/{name}"} for each in kept])
        await compare(page, hub, "hangs/a", f"hangs/{name}")
        await page.keyboard.press("l")
        assert "/wait" in await page.evaluate("document.activeElement.closest('.row').textContent")


async def test_a_chain_that_is_partly_gone(services: Services, page: Any) -> None:
    """What retention took of one is no difference between the two: it is told beside it, and no time is compared."""
    store_partly_expired(services, chain("part/a", ("MA", "/early", 0, 10)), chain("part/a", ("MA", "/late", 20, 30)))
    services.start("ingest_svc")
    services.start("query_svc")
    send(services, chain("part/b", ("MA", "/early", 0, 10), ("MA", "/late", 20, 30)))
    await compare(page, services, "part/a", "part/b")
    assert "2 earlier entries expired" in await page.locator(".gist").first.inner_text()
    said = await page.locator(".verdict p").inner_text()
    assert "Only a part of A is compared" in said
    assert "took" not in said


async def test_large_chains(page: Any, hub: Services) -> None:
    """20,000 entries a side: few rows exist, and the last difference is found by a key."""
    steps = [("MA", f"/{number % 50}", number * 10.0, number * 10.0 + 5) for number in range(10_000)]
    send(hub, chain("large/a", *steps))
    send(hub, chain("large/b", *steps[:-1], ("MA", "/other", 99_990, 99_995)))
    await compare(page, hub, "large/a", "large/b")
    assert await page.locator(".compared .virtual .row").count() < 100
    await page.keyboard.press("D")
    await page.keyboard.press("D")
    assert "/other" in await page.evaluate("document.activeElement.closest('.row').textContent")


async def test_hostile_fields_stay_text(page: Any, hub: Services) -> None:
    """Markup in every field is shown as it is and runs nothing; nothing keeps people out; 400 pixels suffice."""
    evil = "<img src=x onerror=window.hit=1>\u202e"
    await page.set_viewport_size({"width": 400, "height": 800})
    send(hub, [*chain(f"{evil}/a", (evil, evil, 0, 10)), *chain(f"{evil}/b", (evil, evil, 0, 20))])
    await compare(page, hub, f"{evil}/a", f"{evil}/b")
    assert (await rows(page))[0][0] == "<img src=x onerror=window.hit=1>\\u202e"
    assert await page.evaluate("window.hit") is None
    assert await page.evaluate("document.documentElement.scrollWidth") == 400
    assert not await barriers(page)
