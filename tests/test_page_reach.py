"""Who does not see the dashboard, sees little of it or does not type: what is said, is in sight, and acts."""

from typing import Any

import pytest
from browser import LIVE, painted, send
from conftest import Services, entry
from test_page_shell import DRAWN

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def opened_by_keys(page: Any, hub: Services, id: str) -> None:
    """The chain, opened from the list without a mouse."""
    await page.goto(f"{hub.query_url}/#/?q={id}")
    await page.locator(f"[data-id='{id}'] a").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_function(f"() => document.activeElement.matches('h1[title={id}]')")


async def test_a_view_that_is_shown_is_told(page: Any, hub: Services) -> None:
    """Where what had the focus went with the view before, the heading of the next one has it; else it is said."""
    send(hub, [entry(correlation_id="told")])
    await opened_by_keys(page, hub, "told")
    await page.locator("nav a:has-text('Sources')").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector("div.offscreen[role=status]:has-text('Sources')", state="attached")
    assert await page.evaluate("document.activeElement.textContent") == "Sources"


@pytest.mark.parametrize(
    ("view", "whole"),
    [("?q=quiet", ".foot:has-text('all that match')"), ("tail", ".tail [href]"), ("sources", ".steps [href]")],
)
async def test_what_comes_is_not_read_aloud(page: Any, hub: Services, view: str, whole: str) -> None:
    """Numbers that change by themselves interrupt nobody who listens: no live region speaks while entries come."""
    send(hub, [entry(correlation_id="quiet/0")])
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(whole)
    await page.wait_for_selector(".health.well")
    await page.wait_for_function(LIVE)
    await page.evaluate(
        """() => {
            spoken = [];
            const all = { childList: true, characterData: true, subtree: true };
            for (const each of document.querySelectorAll('[role=status], [role=alert], [aria-live]')) {
                new MutationObserver(() => spoken.push(each.textContent)).observe(each, all);
            }
        }"""
    )
    for number in range(1, 13):
        send(hub, [entry(correlation_id=f"quiet/{number}"), entry(correlation_id=f"quiet/{number}", direction="<-")])
        await page.wait_for_timeout(500)
    assert await page.evaluate("spoken") == []


@pytest.mark.parametrize("view", ["?q=low", "tail?source=low", "sources", "compare/low-0/low-1"])
async def test_little_height(page: Any, hub: Services, view: str) -> None:
    """At 400 % of a laptop's screen there is room for the rows, and a key brings the one in focus into sight."""
    send(
        hub, [entry(source_id="low", correlation_id=f"low-{number % 9}", endpoint=f"/{number}") for number in range(99)]
    )
    await page.set_viewport_size({"width": 320, "height": 200})
    await page.goto(f"{hub.query_url}/#/{view}")
    await page.wait_for_selector(DRAWN, state="attached")
    await page.keyboard.press("j")
    await page.wait_for_function("() => document.activeElement.closest('.row')")
    await painted(page)
    box = await page.evaluate(
        "(({ top, bottom }) => [top, bottom])(document.activeElement.closest('.row').getBoundingClientRect())"
    )
    assert -1 <= box[0] < box[1] <= 201, box
    assert await page.evaluate("document.querySelector('.scroll').clientHeight") >= 200
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320


CONTRAST = """
    () => {
        const pixel = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const probe = document.body.appendChild(document.createElement('i'));
        const light = (property, name) => {
            probe.className = name;
            probe.style.color = `var(${property})`;
            pixel.fillStyle = getComputedStyle(probe).color;
            pixel.fillRect(0, 0, 1, 1);
            const [red, green, blue] = [...pixel.getImageData(0, 0, 1, 1).data].map(each => each / 255)
                .map(each => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
            return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        };
        const faint = [];
        const look = (least, ink, ground, name = '') => {
            const [dark, bright] = [light(ink, name), light(ground, name)].sort((a, b) => a - b);
            const ratio = (bright + 0.05) / (dark + 0.05);
            if (ratio < least) faint.push(`${ink} on ${ground} ${name}: ${ratio.toFixed(2)}`);
        };
        const grounds = ['--ground', '--raised', '--gap', '--hang', '--chosen'];
        for (const ink of ['--ink', '--quiet', '--bad', '--warn']) for (const ground of grounds) look(4.5, ink, ground);
        look(4.5, '--ground', '--focus');
        for (const line of ['--edge', '--focus', '--arrow']) look(3, line, '--ground');
        for (let at = 0; at < 12; at += 1) for (const tone of ['', ' mid']) {
            look(4.5, '--ink', '--soft', `hue h${at}${tone}`);
            look(3, '--c', '--ground', `hue h${at}${tone}`);
            look(3, '--c', '--gap', `hue h${at}${tone}`);
        }
        probe.remove();
        return faint;
    }
"""


async def test_contrast_of_what_is_painted(page: Any, hub: Services) -> None:
    """Words on a canvas have the contrast that WCAG asks of text, lines and bars what it asks of pictures."""
    await page.goto(hub.query_url)
    await page.wait_for_selector(".bar")
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate(CONTRAST) == [], scheme


async def test_letters_that_are_no_keys(page: Any, hub: Services) -> None:
    """Who dictates can switch off keys that are letters, for ever; others, and those of a picture in focus, go on."""
    send(hub, [entry(correlation_id="letters")])
    await page.goto(f"{hub.query_url}/#/traces/letters")
    await page.wait_for_selector(".facts:not([hidden])")
    await page.keyboard.press("?")
    await page.get_by_label("Single-character keys").uncheck()
    await page.keyboard.press("Escape")
    await page.reload()
    await page.wait_for_selector(".facts:not([hidden])")
    for key in "2vjc?":
        await page.keyboard.press(key)
    assert await page.locator("dialog, .details, .sequence, .tail-view, .compare-view").count() == 0
    await page.keyboard.press("ArrowDown")
    await page.wait_for_selector(".details")
    await page.locator(".stage:not(.map)").focus()
    await page.keyboard.press("v")
    await page.wait_for_selector(".sequence")
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_label("Single-character keys").check()
    await page.keyboard.press("Escape")
    await page.keyboard.press("2")
    await page.wait_for_selector(".tail-view")
