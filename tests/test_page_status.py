"""What the header of the dashboard says of the service, in the browser that will run it."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry
from test_page_pairing import pairing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_rate_is_of_the_seconds_that_are_known(page: Any, hub: Services) -> None:
    """Before the first second has passed there is no rate, and seconds before the page was there do not lower it."""
    said = await page.evaluate(
        """async (path) => {
            const { statusBar } = await import(path.replace('pairing.js', 'status.js'));
            const live = {
                isWhole: true, get newest() { return performance.now() * 0.3; }, doubt() {}, onrefusal() {},
            };
            const speed = statusBar(live, () => {}).node.querySelector('.speed');
            const said = [speed.textContent];
            await new Promise((resolve) => { new MutationObserver(resolve).observe(speed, { childList: true }); });
            return [...said, speed.textContent];
        }""",
        await pairing(page, hub),
    )
    assert said[0] == "…"
    assert int(said[1].removesuffix("/s")) > 200  # 300 a second, and not a third of it


async def test_the_rate_where_not_all_comes_by(page: Any, hub: Services) -> None:
    """A view without a stream shares out what came since the service was asked last among the seconds since then."""
    said, least, most = await page.evaluate(
        """async (path) => {
            const { statusBar } = await import(path.replace('pairing.js', 'status.js'));
            const live = { isWhole: false, newest: 1e12, doubt() {}, onrefusal() {} };
            window.setInterval = () => {}; // it is asked here alone
            const bar = statusBar(live, () => {});
            const asked = async () => {
                const begins = performance.now();
                await bar.look();
                return [begins, performance.now()];
            };
            const [first, second] = await asked();
            await new Promise((resolve) => { setTimeout(resolve, 2_000); });
            live.newest += 2_000;
            const [third, last] = await asked();
            const speed = bar.node.querySelector('.speed').textContent;
            return [speed, 2e6 / (last - first), 2e6 / (third - second)];
        }""",
        await pairing(page, hub),
    )
    assert least - 1 < int(said.removesuffix("/s").replace(",", "")) < most + 1


async def test_nothing_is_made_up_while_nobody_answers(services: Services, page: Any) -> None:
    """Without an answer there is no rate, and what did not load says so in words of ours."""
    services.start("ingest_svc")
    services.start("query_svc")
    page.forgiven += ["net::ERR"]
    send(services, [entry()])
    await page.goto(f"{services.query_url}/#/sources")
    await page.wait_for_selector(".speed:text-matches('^[0-9]')")
    await page.wait_for_selector(".health.well:has-text('healthy')")
    services.kill("ingest_svc")
    await page.wait_for_selector(".health.warn:has-text('nothing is taken in')")
    await page.wait_for_selector(f".banner:has-text('Nothing is taken in: no ingest service has {services.db}')")
    services.start("ingest_svc")
    await page.wait_for_selector(".health.well:has-text('healthy')")
    await page.wait_for_selector(".banner", state="hidden")
    services.kill("query_svc")
    await page.wait_for_selector(".health.ill:has-text('no answer')")
    assert await page.locator(".speed").inner_text() == "…"
    await page.wait_for_selector(".windowed:text-is('no answer from the service')")
    await page.keyboard.press("1")
    await page.wait_for_selector(".foot:text-is('no answer from the service')")
    services.start("query_svc")
    await page.wait_for_selector(".speed:text-matches('^[0-9]')")
