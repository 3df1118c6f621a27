"""The dashboard's sources: durations, rates and the map of who follows whom, in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from browser import barriers, send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "<svg onload=window.hit=1>\u202e"


@pytest.fixture
def own_hub(services: Services) -> Iterator[Services]:
    """Services with a file of the test's own, since this view tells of everything in it."""
    services.start("ingest_svc")
    services.start("query_svc")
    yield services


def call(chain: str, source: str, start: float, took: float, **fields: Any) -> list[dict[str, Any]]:
    """A step of a chain: entry and exit."""
    common = {"correlation_id": chain, "source_id": source, "endpoint": "/step", **fields}
    return [
        entry(**common, timestamp=1_700_000_000_000 + start),
        entry(**{**common, "direction": "<-"}, timestamp=1_700_000_000_000 + start + took),
    ]


async def open_sources(page: Any, hub: Services) -> None:
    """Open the view and wait until it has counted."""
    await page.goto(f"{hub.query_url}/#/sources")
    await page.wait_for_function(
        "() => { const said = document.querySelector('.windowed'); return said && said.textContent !== 'Counting …'; }"
    )


async def cells(page: Any, source: str) -> list[str]:
    """The row of a source in the table of durations."""
    row = page.locator(".steps .virtual .row:not([hidden])", has_text=source)
    await row.wait_for()
    return [text.strip() for text in await row.locator(".cell").all_inner_texts()]


async def test_durations_of_steps(own_hub: Services, page: Any) -> None:
    """Calls, errors, open ones and percentiles of each step, and the window they are of; a click leads to chains."""
    for took in range(1, 101):
        entries = call(f"chain/{took}", "slowpoke", 0, took)
        entries[1]["data"] = {"error": "no"} if took <= 3 else None
        send(own_hub, entries)
    send(own_hub, [entry(correlation_id="hung", source_id="slowpoke", endpoint="/step")])
    await open_sources(page, own_hub)
    assert await page.locator(".windowed").inner_text() == "The last hour: 100 pairs of entry and exit."
    row = await cells(page, "slowpoke")
    assert row[1] == "REST /step"
    assert row[2:5] == ["101", "3", "1"]
    p50, p95, p99 = (float(text.removesuffix(" ms")) for text in row[5:8])
    assert 45 <= p50 <= 55
    assert 90 <= p95 < p99 <= 100
    await page.locator(".steps .virtual .row").first.click()
    await page.wait_for_selector(".chains-view [data-id]")
    assert page.url.endswith("#/?source=slowpoke")


async def test_the_map_shows_who_follows_whom(own_hub: Services, page: Any) -> None:
    """An arrow from each source to those after it, with how often; the same as a table; nodes lead to chains."""
    for number in range(3):
        chain = f"map/{number}"
        send(own_hub, [*call(chain, "front", 0, 30), *call(chain, "middle", 5, 20), *call(chain, "back", 10, 5)])
    await open_sources(page, own_hub)
    arrows = await page.locator(".follows .edge title").all_text_contents()
    assert sorted(arrows) == ["front → middle: 3 times", "middle → back: 3 times"]
    assert "3 sources, 2 arrows" in str(await page.get_attribute(".follows", "aria-label"))
    places = [
        await page.locator(f".follows a[aria-label^='{name}']").bounding_box() for name in ("front", "middle", "back")
    ]
    assert places[0]["x"] < places[1]["x"] < places[2]["x"]
    await page.locator(".as-table summary").click()
    rows = await page.locator(".followers [role=row]").all_inner_texts()
    assert [row.split() for row in rows[1:]] == [["front", "middle", "3"], ["middle", "back", "3"]]
    await page.locator(".follows a").first.click()
    await page.wait_for_selector(".chains-view")


async def test_names_stay_within_their_nodes(own_hub: Services, page: Any) -> None:
    """Whatever letters a name has, it ends within its node, and in a large map it can still be read."""
    names = ["m" * 40, "\u8a3b" * 40, "i" * 40, "payment-gateway-west", *(f"source-{number}" for number in range(9))]
    send(own_hub, [each for at, name in enumerate(names) for each in call("wide", name, at * 9, 5)])
    await open_sources(page, own_hub)
    over = await page.eval_on_selector_all(
        ".follows .node",
        """nodes => nodes.map(node => {
            const [text, rect] = ['text', 'rect'].map(each => node.querySelector(each).getBBox());
            return text.x + text.width - rect.x - rect.width;
        })""",
    )
    assert len(over) == len(names) and max(over) <= -4
    box = await page.locator(".follows .node").first.bounding_box()
    assert box["height"] > 0.8 * 32


async def in_order(page: Any, *sources: str) -> None:
    """Wait until the rows of the table of durations are these, from top to bottom."""
    await page.wait_for_function(
        """sources => [...document.querySelectorAll('.steps .virtual .row:not([hidden])')].map(
            row => row.querySelector('.name').textContent).join() === sources.join()""",
        arg=sources,
    )


async def test_sorting_and_finding(own_hub: Services, page: Any) -> None:
    """A head sorts, twice the other way round; the search narrows; both are in the address."""
    for source, took in (("quick", 1), ("lame", 900), ("fair", 30)):
        send(own_hub, call(f"sort/{source}", source, 0, took))
    await open_sources(page, own_hub)
    await page.get_by_role("button", name="p95").click()
    await page.wait_for_selector("[aria-sort=descending] >> text=p95")
    await in_order(page, "lame", "fair", "quick")
    await page.get_by_role("button", name="p95").click()
    await page.wait_for_selector("[aria-sort=ascending] >> text=p95")
    await in_order(page, "quick", "fair", "lame")
    await page.keyboard.press("/")
    await page.keyboard.type("fai")
    await page.wait_for_url("**q=fai**")
    await in_order(page, "fair")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_hostile_names_stay_text(own_hub: Services, page: Any, scheme: Any) -> None:
    """Markup in names is shown as it is and runs nothing, in the table and in the picture, also on a small screen."""
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": 400, "height": 800})
    send(own_hub, [*call("evil", EVIL, 0, 9, endpoint=EVIL), *call("evil", "MA", 3, 4, operation=EVIL)])
    await open_sources(page, own_hub)
    assert any("<svg onload" in text for text in await cells(page, "REST"))
    assert await page.evaluate("window.hit") is None
    assert await page.evaluate("document.documentElement.scrollWidth") == 400
    assert not await barriers(page)


async def test_nobody_talks_yet(own_hub: Services, page: Any) -> None:
    """Without entries the view says how to send one, and shows the first source when it comes."""
    await page.goto(f"{own_hub.query_url}/#/sources")
    await page.wait_for_selector(".nothing pre")
    send(own_hub, call("first", "early", 0, 9))
    await page.wait_for_selector(".talkers a")
    assert "early" in await page.locator(".talkers").inner_text()


async def test_who_talks_keeps_the_focus(own_hub: Services, page: Any) -> None:
    """The figures change beneath a source that has the focus, which stays where it is."""
    send(own_hub, [entry(source_id="talker")])
    await open_sources(page, own_hub)
    talker = page.locator(".talkers a")
    await talker.focus()
    before = await talker.text_content()
    send(own_hub, [entry(source_id="talker") for _ in range(100)])
    await page.wait_for_function("was => document.querySelector('.talkers a').textContent !== was", arg=before)
    assert await page.evaluate("document.activeElement.matches('.talkers a')")


async def test_a_step_in_focus_stays_where_it_is(own_hub: Services, page: Any) -> None:
    """While a step has the focus no other one takes its place, whoever calls more by now; its figures count on."""
    send(own_hub, [*call("focus", "often", 0, 9), *call("focus", "often", 20, 9), *call("focus", "seldom", 40, 9)])
    await open_sources(page, own_hub)
    await page.keyboard.press("j")
    row = "document.activeElement.closest('.row').textContent"
    assert "often" in await page.evaluate(row)
    send(own_hub, [each for number in range(9) for each in call("focus", "seldom", 60 + number, 1)])
    await page.locator(".steps .virtual .row:has-text('seldom') .s2:text-is('10')").wait_for()
    assert "often" in await page.evaluate(row)
    await page.evaluate("document.activeElement.blur()")
    await page.wait_for_function("() => document.querySelector('.steps .virtual .row').textContent.includes('seldom')")


async def test_who_falls_silent_is_told(own_hub: Services, page: Any) -> None:
    """The figures of the sources are looked at again when nothing comes any more."""
    send(own_hub, [entry(source_id="SI")])
    await open_sources(page, own_hub)
    await page.wait_for_selector(".talkers li")
    await page.route(
        "**/stats/sources", lambda route: route.fulfill(json={"sources": [{"source_id": "SI", "rate": 0}]})
    )
    await page.wait_for_selector(".talkers li:has-text('0/s')")
