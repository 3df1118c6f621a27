"""The dashboard on paper, printed by a real browser."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")

START = 1_700_000_000_000
VIEWS = ["", "tail", "sources", "compare/paper/paper-2", "traces/paper"]


def steps(chain: str, number: int) -> list[dict[str, Any]]:
    """Calls one behind the other, each 10 ms long."""
    return [
        entry(correlation_id=chain, endpoint=f"/step/{at}", direction=way, timestamp=START + 20 * at + later)
        for at in range(number)
        for way, later in (("->", 0), ("<-", 10))
    ]


async def printed(page: Any) -> str:
    """What stands on the paper beneath the answers."""
    note = "() => { printed = document.querySelector('.paper').textContent; }"
    await page.evaluate(f"addEventListener('beforeprint', {note}, {{ once: true }})")
    await page.pdf()
    return str(await page.evaluate("printed"))


async def test_a_chain_on_paper(page: Any, hub: Services) -> None:
    """Every step with its time, those off the screen too; zoomed, those in sight; nothing of it stays in the page."""
    send(hub, steps("on-paper", 90))
    await page.goto(f"{hub.query_url}/#/traces/on-paper")
    await page.wait_for_selector(".facts:not([hidden])")
    text = await printed(page)
    assert text.startswith("90 steps. Times are from 2023-11-14 22:13:20.000 UTC on.")
    assert "+1.78 sMAREST /step/8910 ms" in text
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    text = await printed(page)
    assert text.startswith("1 step of 90, from 0 on.")
    assert await page.locator(".paper").text_content() == ""


async def test_a_very_long_chain_on_paper(page: Any, hub: Services) -> None:
    """It is cut off, and says so."""
    send(hub, steps("long-paper", 2_100))
    await page.goto(f"{hub.query_url}/#/traces/long-paper")
    await page.wait_for_selector(".facts:not([hidden])")
    assert (await printed(page)).startswith("2,000 steps of 2,100, from 0 on.")


async def test_a_chain_that_is_open_on_paper(page: Any, hub: Services) -> None:
    """How long it has been open is told with when that was; a chain without entries has no steps to tell of."""
    send(hub, steps("open-paper", 2)[:-1])
    await page.goto(f"{hub.query_url}/#/traces/open-paper")
    await page.wait_for_selector(".chain-state:has-text('running')")  # it has asked when that arrived
    assert " What is open is so as of 2023-11-14 22:1" in await printed(page)
    await page.goto(f"{hub.query_url}/#/traces/no-paper")
    await page.wait_for_selector(".nothing:has-text('No entries')")
    assert await printed(page) == ""


@pytest.mark.parametrize("view", VIEWS)
async def test_black_on_white(page: Any, hub: Services, view: str) -> None:
    """From a dark screen, too; without the header and what is to be clicked, and never wider than the paper."""
    for chain in ("paper", "paper-2"):
        send(hub, steps(chain, 3))
    send(hub, [entry(correlation_id="paper-3", source_id=f"P{number}") for number in range(12)])  # a map wider than it
    await page.emulate_media(color_scheme="dark")
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(".virtual .row, .rows .row, .facts:not([hidden])")
    await page.keyboard.press("t")
    await page.keyboard.press("t")
    await page.set_viewport_size({"width": 718, "height": 1000})
    await page.emulate_media(media="print")
    colours = "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
    assert await page.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(26, 30, 34)"]
    for each in ("header", "button:not(.link, .sort)", "input", "canvas"):
        assert not await page.locator(f"{each}:visible").count(), each
    assert await page.evaluate("document.documentElement.scrollWidth") <= 718
