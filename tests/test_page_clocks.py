"""Whose clock differs from whose, as the dashboard tells it, and what is not blamed on it."""

from typing import Any

import pytest
from browser import send
from clocks import CLOCKS, clock_entries
from conftest import Services
from test_page_chain import open_chain, step
from test_page_pairing import pairing

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("case", CLOCKS, ids=lambda case: case["says"])
async def test_clocks(page: Any, hub: Services, case: dict[str, Any]) -> None:
    """The rules by which clocks are compared, which the command line has as well."""
    found = await page.evaluate(
        """async ([path, entries, arrived]) => {
            const { model } = await import(path);
            const { clocks } = model(entries, new Map(arrived.map((place, at) => [entries[place], at + 1])));
            return clocks.map(({ host, other, ms, late }) => [host, other, Math.round(ms), late]);
        }""",
        [await pairing(page, hub), clock_entries(case), case["arrived"]],
    )
    assert found == case["clocks"]


async def test_where_it_is_by_one_clock(page: Any, hub: Services) -> None:
    """It is in the step that was called, though its host dates it before the call; for as long as the call is open."""
    send(
        hub, [step("behind", 0, "->", hostname="ma-1"), step("behind", 100, "->", hostname="ma-1", endpoint="/charge")]
    )
    send(hub, [step("behind", -4_800, "->", "WK", endpoint="/charge", hostname="wk-1")])
    await open_chain(page, hub, "behind")
    where, _, _, clocks = await page.locator(".fact").all_inner_texts()
    assert "WK /charge" in where and "MA" not in where
    assert "the clock of wk-1 is about 4.9 s behind that of ma-1, as far as this chain shows it" in clocks


async def test_where_it_is_by_the_order_of_arrival(page: Any, hub: Services) -> None:
    """A step that nobody is seen to call is not taken for the caller of what had arrived long before its time."""
    send(hub, [step("came", 0, "->", hostname="ma-1")])
    send(hub, [step("came", -4_800, "->", "WK", endpoint="charge", hostname="wk-1")])
    await open_chain(page, hub, "came")
    await page.wait_for_selector(".fact:has-text('or entries of wk-1 came late')")
    assert "WK charge" in await page.locator(".fact").first.inner_text()
    assert "4.8 s behind" in await page.locator(".fact").last.inner_text()


async def test_how_long_it_took_by_one_clock(page: Any, hub: Services) -> None:
    """Neither the whole nor the own time of a caller is what two clocks differ."""
    made = [(0, "->", "MA", "/orders"), (100, "->", "MA", "/charge"), (400, "<-", "MA", "/charge")]
    made += [(450, "<-", "MA", "/orders"), (-4_800, "->", "WK", "/charge"), (-4_600, "<-", "WK", "/charge")]
    hosts = {"MA": "ma-1", "WK": "wk-1"}
    send(hub, [step("took", at, way, source, endpoint=name, hostname=hosts[source]) for at, way, source, name in made])
    await open_chain(page, hub, "took")
    where, slow, *_ = await page.locator(".fact").all_inner_texts()
    assert "done, after 450 ms by one clock" in where
    assert "WK /charge itself 200 ms, 44 % of the whole" in slow
