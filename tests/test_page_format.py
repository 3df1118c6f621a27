"""How foreign text looks, in the browser that will run it."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry
from test_page_pairing import pairing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_invisible_is_spelled_out(page: Any, hub: Services) -> None:
    """Two names that differ only in what nobody sees look different; letters and emoji are left as they are."""
    seen = ["a\u0301", "\u0437\u0430\u043a\u0430\u0437", "\u26a0\ufe0f", "\U0001f600", "a b"]
    hidden = [
        "\x00",
        "\x7f",
        "\xad",
        "\u034f",
        "\u061c",
        "\u115f",
        "\u180e",
        "\u200b",
        "\u202e",
        "\u2028",
        "\u3164",
        "\ufeff",
    ]
    hidden += ["\uffa0", "\ufffb", "\U000e0061"]
    told = await page.evaluate(
        """async ([path, texts]) => {
            const { visible } = await import(path.replace('pairing.js', 'format.js'));
            return texts.map(visible);
        }""",
        [await pairing(page, hub), [*seen, *hidden]],
    )
    assert told[: len(seen)] == seen
    assert told[len(seen) :] == [f"\\u{ord(c):04x}" for c in hidden[:-1]] + ["\\u{e0061}"]


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


async def test_a_rate_has_as_many_digits_as_its_neighbours(page: Any, hub: Services) -> None:
    """A rate that is ten when it is rounded is written like those above it."""
    told = await page.evaluate(
        """async ([path, rates]) => {
            const { rate } = await import(path.replace('pairing.js', 'format.js'));
            return rates.map(rate);
        }""",
        [await pairing(page, hub), [0, 0.04, 9.94, 9.96, 10.4]],
    )
    assert told == ["0/s", "<0.1/s", "9.9/s", "10/s", "10/s"]
