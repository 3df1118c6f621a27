"""One chain in the dashboard, in a real browser over both real services."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from browser import painted, send, store_partly_expired, visit
from conftest import Services, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOSTILE = '<img src=x onerror="window.hacked=1">\u202egnp.exe\n"\'</script><script>window.hacked=1</script>'


def step(chain: str, at: float, direction: str, source: str = "MA", **fields: Any) -> dict[str, Any]:
    """An entry so many milliseconds into its chain."""
    return entry(
        correlation_id=chain, timestamp=1_700_000_000_000.0 + at, direction=direction, source_id=source, **fields
    )


def order(chain: str) -> list[dict[str, Any]]:
    """A chain of three sources: one call done, one that reports an error, one still open, one exit too many."""
    return [
        step(
            chain,
            0,
            "->",
            endpoint="/orders",
            data={"items": [{"sku": "A1", "n": 2}], "note": None},
            raw_line="a raw line",
        ),
        step(chain, 10, "->", "WS", endpoint="reserve", hostname="ws-1"),
        step(chain, 90, "<-", "WS", endpoint="reserve", hostname="ws-1", data={"error": "out of stock"}),
        step(chain, 95, "<-", "JW", endpoint="notify"),
        step(chain, 100, "->", "WK", endpoint="charge"),
    ]


def send_text(hub: Services, text: str) -> None:
    """Store an entry as it is written."""
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{hub.ingest_url}/ingest/single", text.encode(), headers)).close()


async def open_chain(page: Any, hub: Services, chain: str, query: str = "") -> None:
    """Go to the chain and wait until it is drawn."""
    await visit(page, f"{hub.query_url}/#/traces/{chain}{query}")
    await page.wait_for_selector(".facts:not([hidden])")


async def test_a_step_is_selected_by_key_and_by_click(page: Any, hub: Services) -> None:
    """j walks through the steps; a click on a bar selects it; Escape lets go."""
    send(hub, order("select-me"))
    await open_chain(page, hub, "select-me")
    await page.keyboard.press("j")
    panel = page.locator(".details")
    assert "/orders" in await panel.inner_text()
    assert "has not arrived" in await panel.inner_text()
    assert "a raw line" in await panel.inner_text()
    assert "A1" in await panel.inner_text()
    await page.keyboard.press("j")
    assert "out of stock" in await panel.inner_text()
    await page.keyboard.press("Escape")
    await panel.wait_for(state="detached")
    box = await page.locator(".stage:not(.map)").bounding_box()
    await page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 38)
    assert "/orders" in await panel.inner_text()


async def test_timeline_and_sequence_are_one_key_apart(page: Any, hub: Services) -> None:
    """v switches, the selection stays, the address tells."""
    send(hub, order("two-views"))
    await open_chain(page, hub, "two-views")
    await page.keyboard.press("j")
    await page.keyboard.press("v")
    await page.wait_for_selector(".sequence canvas")
    await page.wait_for_url("**?view=sequence&step=**")
    assert "/orders" in await page.locator(".details").inner_text()
    await page.reload()
    await page.wait_for_selector(".sequence canvas")


async def test_what_comes_is_shown(page: Any, hub: Services) -> None:
    """An entry is there without a reload, and the step that it ends is no longer open."""
    send(hub, order("growing"))
    await open_chain(page, hub, "growing")
    await page.wait_for_function("() => document.body.dataset.live === 'open'")
    send(hub, [step("growing", 150, "<-", "WK", endpoint="charge")])
    await page.wait_for_function("() => document.querySelector('.fact').textContent.includes('MA /orders')")
    send(hub, [step("growing", 160, "<-", endpoint="/orders")])
    await page.wait_for_function("() => document.querySelector('.fact').textContent.includes('nothing is open')")
    assert "7 entries" in await page.locator(".numbers").inner_text()


async def test_a_chain_that_is_not_there_yet(page: Any, hub: Services) -> None:
    """Its page waits, says how to send an entry, and shows the first one when it comes."""
    await page.goto(f"{hub.query_url}/#/traces/not-there-yet")
    await page.wait_for_selector(".nothing h2:has-text('No entries of this chain yet')")
    assert "curl" in await page.locator(".nothing pre").inner_text()
    await page.wait_for_function("() => document.body.dataset.live === 'open'")
    send(hub, [step("not-there-yet", 0, "->")])
    await page.wait_for_selector(".facts:not([hidden])")


async def test_entries_may_hold_anything(page: Any, hub: Services) -> None:
    """Markup, quotes, breaks and marks that turn text around are text, in every field and every view."""
    fields = {
        "source_id": HOSTILE[:128], "operation": HOSTILE, "endpoint": HOSTILE * 3, "hostname": HOSTILE,
        "suffix": HOSTILE[:100], "raw_line": HOSTILE,
        "data": {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}], "__proto__": {"a": 1}, "constructor": "b"},
    }  # fmt: skip
    chain = f"hostile/{HOSTILE}#?%"
    send(hub, [entry(correlation_id=chain, timestamp=1_700_000_000_000, **fields)])
    await page.goto(f"{hub.query_url}/#/?q=hostile")
    await page.locator("[data-id]", has_text="hostile/").click()
    await page.wait_for_selector(".facts:not([hidden])")
    await page.keyboard.press("j")
    text = await page.locator(".details").inner_text()
    assert "onerror" in text and "\\u202e" in text and "constructor" in text
    await page.keyboard.press("v")
    await painted(page)
    assert await page.evaluate("[window.hacked, document.querySelectorAll('main img, main script').length]") == [
        None,
        0,
    ]


async def test_a_large_chain(page: Any, hub: Services) -> None:
    """20,000 entries are paired, drawn, searched and walked through; a frame looks at a few of them only."""
    entries = []
    for call in range(10_000):
        entries += [
            step("large", call * 2, "->", f"S{call % 7}", endpoint=f"/call/{call}"),
            step("large", call * 2 + 1.5, "<-", f"S{call % 7}", endpoint=f"/call/{call}"),
        ]
    send(hub, entries)
    await open_chain(page, hub, "large")
    assert "20,000 entries" in await page.locator(".numbers").inner_text()
    await page.keyboard.press("/")
    await page.keyboard.type("/call/7777")
    await page.keyboard.press("Enter")
    assert "/call/7777" in await page.locator(".details").inner_text()
    await page.keyboard.press("Escape")
    for key in ("Enter", "+", "+", "ArrowRight", "-", "0", "v"):
        await page.keyboard.press(key)
    await page.wait_for_selector(".sequence canvas")


async def test_a_chain_of_many_sources(page: Any, hub: Services) -> None:
    """10,000 sources have a column each; what a tab holds of them grows with the entries, not with both multiplied."""
    send(hub, [step("crowd", number, "->", f"s{number}") for number in range(10_000)])
    await open_chain(page, hub, "crowd", "?view=sequence")
    tab = await page.context.new_cdp_session(page)
    await tab.send("HeapProfiler.collectGarbage")
    assert (await tab.send("Runtime.getHeapUsage"))["usedSize"] < 200e6


async def test_keep_as_lines_and_as_a_file(page: Any, hub: Services, tmp_path: Path) -> None:
    """NDJSON is what was sent; the file shows the chain without a server, its steps and all."""
    sent = order("keep-me")
    sent[0]["data"]["hostile"] = HOSTILE
    send(hub, sent)
    await open_chain(page, hub, "keep-me")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="NDJSON").click()
    await (await waiting.value).save_as(tmp_path / "chain.ndjson")
    lines = (tmp_path / "chain.ndjson").read_text().splitlines()  # a small file of the test's own
    assert [json.loads(line)["suffix"] for line in lines] == [each["suffix"] for each in sent]
    assert json.loads(lines[0])["data"] == sent[0]["data"]
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="HTML").click()
    file = tmp_path / "chain.html"
    await (await waiting.value).save_as(file)
    await page.goto("about:blank")  # the page that was left would complain that nobody answers
    await page.context.set_offline(True)
    await page.goto(file.as_uri())
    await page.wait_for_selector(".facts:not([hidden])")
    await page.keyboard.press("j")
    assert "onerror" in await page.locator(".details").inner_text()
    await page.keyboard.press("v")
    await page.wait_for_selector(".sequence canvas")
    assert await page.evaluate("window.hacked") is None
    await page.keyboard.press("?")
    told = await page.locator("dialog").inner_text()
    assert "find a step" in told and "compare" not in told
    assert await page.locator("dialog a").count() == 0  # there is no server


async def test_whole_numbers_are_exact(page: Any, hub: Services, tmp_path: Path) -> None:
    """An id of nineteen digits is the one that was sent: in the step, in what is downloaded, and in the tail."""
    ids = [1234567890123456789, 1234567890123456791]
    first, second = (step("exact", at, "->", data={"order": [id, -id, 12]}) for at, id in enumerate(ids))
    send(hub, [first])
    await open_chain(page, hub, "exact")
    send(hub, [second])
    await page.wait_for_selector(".numbers:has-text('2 entries')")
    await page.keyboard.press("j")
    for id in ids:
        await page.wait_for_selector(f".details .leaf.number:text-is('-{id}')")
        await page.keyboard.press("j")
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="NDJSON").click()
    await (await waiting.value).save_as(tmp_path / "exact.ndjson")
    lines = (tmp_path / "exact.ndjson").read_text().splitlines()  # a small file of the test's own
    assert [json.loads(line)["data"] for line in lines] == [first["data"], second["data"]]
    await page.goto(f"{hub.query_url}/#/tail?correlation_id=exact")
    await page.wait_for_selector(f".tail .row:has-text('{{\"order\":[{ids[1]},-{ids[1]},12]}}')")


async def test_a_number_beyond_all_numbers(page: Any, hub: Services) -> None:
    """What no number of the browser holds is shown as it was sent, and not as if nothing had been."""
    send_text(hub, json.dumps(step("beyond", 0, "->", data={"n": 1})).replace('"n": 1', '"n": [1e400, -2.5E+999]'))
    await open_chain(page, hub, "beyond")
    await page.keyboard.press("j")
    assert await page.locator(".details .leaf.number").all_text_contents() == ["1e400", "-2.5E+999"]


async def test_a_partly_expired_chain_says_what_is_gone(services: Services, page: Any) -> None:
    """What retention took is told first, and what is said of the rest is said of the rest."""
    store_partly_expired(
        services,
        [step("partly", 0, "->", endpoint="/order"), step("partly", 5, "->", "WS", endpoint="cart")],
        [step("partly", 40, "<-", "WS", endpoint="cart"), step("partly", 420, "<-", endpoint="/order")],
    )
    services.start("ingest_svc")
    services.start("query_svc")
    await page.goto(f"{services.query_url}/#/traces/partly")
    await page.wait_for_selector(".facts:not([hidden])")
    assert "2 of 4 entries" in await page.locator(".numbers").inner_text()
    told = await page.locator(".facts").inner_text()
    assert "none of what is left is open" in told
    assert "the first 2 entries, which have expired; 2 entries of WS cart, MA /order" in told


async def test_what_is_pressed_is_not_taken_away(page: Any, hub: Services) -> None:
    """A step in the answers may be pressed, or have the focus, while they count on; selected, it counts on as well."""
    send(hub, [entry(correlation_id="pressed", endpoint="/held")])
    await open_chain(page, hub, "pressed")
    await page.wait_for_selector(".chain-state:has-text('running')")  # the words before the step stay from now on
    changes = "([selector, was]) => document.querySelector(selector).textContent !== was"
    answers = page.locator(".facts")
    step = answers.locator("button").first
    box = await step.bounding_box()
    await page.mouse.move(box["x"] + 4, box["y"] + 4)
    await page.mouse.down()
    await page.wait_for_function(changes, arg=[".facts", await answers.text_content()])
    await page.mouse.up()
    took = page.locator(".details .took strong")
    await page.wait_for_function(changes, arg=[".details .took strong", await took.text_content()])
    await step.focus()
    await page.wait_for_function(changes, arg=[".facts", await answers.text_content()])
    assert await page.evaluate("document.activeElement.textContent") == "MA /held"


async def test_a_step_is_told_anew_when_more_is_known(page: Any, hub: Services) -> None:
    """An entry before the first moves what is told of the selected step; the search stays at the step it was at."""
    send(hub, [step("anew", at, "->", endpoint=f"/look/{at}") for at in range(3)])
    await open_chain(page, hub, "anew")
    await page.keyboard.press("/")
    await page.keyboard.type("/look")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".details dd:has-text('+1 ms')")
    send(hub, [step("anew", -1_000, "->", "WK", endpoint="/early")])
    await page.wait_for_selector(".details dd:has-text('+1 s')")
    assert await page.locator(".found").inner_text() == "2 of 3"
    await page.keyboard.press("Enter")
    assert "/look/2" in await page.locator(".details h2").inner_text()


async def test_a_chain_that_outgrows_the_page(page: Any, hub: Services) -> None:
    """What comes beyond 200,000 entries is not taken in, and the page knows that there is more."""
    await page.goto(hub.query_url)
    grown = await page.evaluate(
        """async () => {
            const record = document.querySelector('script[type=module]').src.replace('main.js', 'record.js');
            const chain = new (await import(record)).ChainRecord('grows');
            for (let at = 0; at < 200_001; at += 1) chain.add({ timestamp: at, suffix: '' });
            return [chain.entries.length, chain.cut];
        }"""
    )
    assert grown == [200_000, True]
