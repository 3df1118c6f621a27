"""The dashboard's list of chains, in a real browser over both real services."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


def call(chain: str, **fields: Any) -> list[dict[str, Any]]:
    """An entry and its exit."""
    return [entry(correlation_id=chain, **fields), entry(correlation_id=chain, **{**fields, "direction": "<-"})]


async def test_the_list_shows_what_is_stored(page: Any, hub: Services) -> None:
    """Each chain is a row with its id, state, sources and number of entries, and leads to its own page."""
    send(hub, [*call("list/one", source_id="MA"), *call("list/one", source_id="WS"), entry(correlation_id="list/two")])
    await page.goto(f"{hub.query_url}/#/?q=list%2F")
    row = page.locator("a.row", has_text="list/one")
    assert await row.locator(".mark").all_inner_texts() == ["MA", "WS"]
    assert await row.locator(".k3").inner_text() == "4"
    assert "complete" in await row.locator(".state").inner_text()
    assert "running" in await page.locator("a.row", has_text="list/two").locator(".state").inner_text()
    await row.click()
    await page.wait_for_selector(".chain-view canvas")
    assert page.url.endswith("#/traces/list%2Fone")
