"""Rows of the dashboard's lists, in a real browser: their text can be marked to copy a part, and a click opens them."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry
from test_page_chains import call
from test_page_tail import ROWS, open_tail, shows, some

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_text_of_a_row_can_be_marked(page: Any, hub: Services) -> None:
    """Who drags over a row marks what is written there, to copy a part of it; a click anywhere opens the chain."""
    send(hub, call("marked/17", source_id="payments"))
    await page.goto(f"{hub.query_url}/#/?q=marked%2F")
    await page.wait_for_selector("[data-id='marked/17']")
    for cell, words in ((".words", "complete"), (".id", "marked/17")):
        box = await page.locator(f".rows {cell}").bounding_box()
        await page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
        await page.mouse.up()
        assert await page.evaluate("getSelection().toString()") == words
    assert await page.locator(".chains-view").count() == 1
    for cell in (".id", ".mark", ".k3"):
        for button, modifiers in (("middle", []), ("left", ["ControlOrMeta"])):
            async with page.context.expect_page() as opened:
                await page.locator(f".rows {cell}").click(button=button, modifiers=modifiers)
            assert (await opened.value).url.endswith("#/traces/marked%2F17")
            await (await opened.value).close()
        await page.locator(f".rows {cell}").click()
        await page.wait_for_selector(".chain-view")
        await page.go_back()
        await page.wait_for_function("() => document.activeElement.textContent === 'marked/17'")


async def test_data_of_a_row_can_be_marked(page: Any, hub: Services) -> None:
    """Who drags over the data of an entry marks a part of it to copy; a click leads to the chain of the entry."""
    send(hub, some(1, "tail-marked", data={"order": 17}))
    await open_tail(page, hub, "source=tail-marked")
    await shows(page, "/tail-marked/0")
    box = await page.locator(f"{ROWS} >> .t6").bounding_box()
    await page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 200, box["y"] + box["height"] / 2)
    await page.mouse.up()
    assert await page.evaluate("getSelection().toString()") == '{"order":17}'
    assert await page.locator(".tail-view").count() == 1
    await page.locator(f"{ROWS} >> .t6").click()
    await page.wait_for_selector(".chain-view")


async def test_spaces_in_an_id(page: Any, hub: Services) -> None:
    """They are shown as they are, so that what is copied from the list, the chain or the tail is the id."""
    send(hub, [entry(correlation_id="two  spaces", source_id="spaces")])
    await page.goto(f"{hub.query_url}/#/?q=two%20%20spaces")
    assert await page.locator(".id").inner_text() == "two  spaces"
    await page.locator(".id").click()
    assert await page.locator(".chain-head h1").inner_text() == "two  spaces"
    await page.goto(f"{hub.query_url}/#/tail?source=spaces")
    assert await page.locator(".tail .t5 a[href]").inner_text() == "two  spaces"
