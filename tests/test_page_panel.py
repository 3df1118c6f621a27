"""The selected step of a chain in the dashboard: what stays, and what is told, while the chain goes on."""

from typing import Any

import pytest
from browser import barriers, painted, send
from conftest import Services
from test_page_chain import open_chain, step

pytestmark = pytest.mark.asyncio(loop_scope="session")
FOCUS = "document.activeElement.textContent"


async def test_the_selected_step_stays_while_more_comes(page: Any, hub: Services) -> None:
    """What is unfolded, marked or has the focus in the panel of a step that is open stays, whatever comes below it."""
    send(hub, [step("stays", 0, "->", data={"a": {"b": {"c": {"d": 1}}}}), step("stays", 1, "->", "WS")])
    await open_chain(page, hub, "stays")
    await page.keyboard.press("j")
    folded = page.locator(".details .data details details details details summary")
    await folded.click()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.details dd'))")
    send(hub, [step("stays", 2, "->", "VM"), step("stays", 3, "<-", "WS")])
    await page.wait_for_selector(".numbers:has-text('4 entries')")
    took = await page.locator(".details .took").text_content()
    await page.wait_for_function("was => document.querySelector('.details .took').textContent !== was", arg=took)
    assert await page.locator(".details .leaf:has-text('1')").is_visible()
    assert await page.evaluate(FOCUS) == "{1}"
    assert "+0 ms" in await page.evaluate("String(getSelection())")
    send(hub, [step("stays", 4, "<-")])
    await page.wait_for_selector(".details .took:has-text('took 4 ms')")
    assert await page.evaluate(FOCUS) == "{1}"


async def test_a_long_endpoint_leaves_room(page: Any, hub: Services) -> None:
    """What is known of a step is in sight below the longest endpoint, which scrolls, and is whole on paper."""
    send(hub, [step("long-endpoint", 0, "->", endpoint="/find?" + "name=value&" * 185)])
    await open_chain(page, hub, "long-endpoint")
    await page.keyboard.press("j")
    panel = await page.locator(".details").bounding_box()
    host = await page.locator(".details dd:has-text('unknown')").bounding_box()
    assert host["y"] + host["height"] < panel["y"] + panel["height"]
    assert not await barriers(page)
    await page.emulate_media(media="print")
    cut = "node => node.scrollHeight - node.clientHeight"
    assert not await page.locator(".details h2").evaluate(cut)


async def test_an_error_is_a_word_of_its_own(page: Any, hub: Services) -> None:
    """Who has the panel read out hears which of entry and exit reports an error."""
    send(hub, [step("a-word", 0, "->"), step("a-word", 1, "<-", data={"error": "no"})])
    await open_chain(page, hub, "a-word")
    await page.keyboard.press("j")
    for name in ("Entry", "Exit error"):
        await page.get_by_role("heading", name=name, exact=True).wait_for()


async def test_what_is_selected_stays_so_in_a_sequence(page: Any, hub: Services) -> None:
    """The lines of the selected step are marked, also after more came."""
    marked = """() => {
        const canvas = document.querySelector('.stage canvas');
        const context = canvas.getContext('2d', { alpha: false });
        return [...context.getImageData(4 * devicePixelRatio, 52 * devicePixelRatio, 1, 1).data].join();
    }"""
    unlike = f"other => [({marked})()].find((is) => !is.startsWith('0,0,0,') && is !== other)"  # 0: not painted yet
    page.forgiven += ["willReadFrequently"]  # of a canvas whose pixels a test looks at
    send(hub, [step("marked", 0, "->")])
    await open_chain(page, hub, "marked", "?view=sequence")
    plain = await (await page.wait_for_function(unlike, arg="")).json_value()
    await page.keyboard.press("j")
    chosen = await (await page.wait_for_function(unlike, arg=plain)).json_value()
    send(hub, [step("marked", 1, "->", "WS")])
    await page.wait_for_selector(".numbers:has-text('2 entries')")
    await painted(page)
    await page.wait_for_function(f"was => ({marked})() === was", arg=chosen)


async def test_a_panel_that_closes_keeps_the_focus(page: Any, hub: Services) -> None:
    """Who closes the panel by keyboard goes on in the picture; who goes to the step around it stays in the panel."""
    send(hub, [step("closes", 0, "->", endpoint="/outer"), step("closes", 1, "->", "WS", endpoint="/inner")])
    await open_chain(page, hub, "closes")
    for key in ("Enter", "Escape"):
        for each in "jj":
            await page.keyboard.press(each)
        await page.locator(".details .within button").focus()
        await page.keyboard.press("Enter")
        assert "/outer" in await page.evaluate(FOCUS)
        await page.locator(".details").get_by_label("Close").focus()
        await page.keyboard.press(key)
        await page.wait_for_selector(".details", state="detached")
        assert await page.evaluate("document.activeElement.className") == "stage"


async def test_keys_by_the_hundred(page: Any, hub: Services) -> None:
    """Data of many keys is unfolded a hundred at a time, by a button that stays under the finger."""
    send(hub, [step("hundreds", 0, "->", data={f"k{number}": number for number in range(250)})])
    await open_chain(page, hub, "hundreds")
    await page.keyboard.press("j")
    await page.locator(".details .data summary").click()
    more = page.locator(".details .data li button")
    await more.focus()
    assert await page.evaluate(FOCUS) == "150 more \u2026"
    await page.keyboard.press("Enter")
    assert await page.evaluate(FOCUS) == "50 more \u2026"
    await page.keyboard.press("Enter")
    assert await page.locator(".details .data li").last.is_hidden()
    assert await page.locator(".details .data li .key").count() == 250


async def test_a_chain_that_ends_is_told(page: Any, hub: Services) -> None:
    """Who waits for a chain without seeing it hears that it is complete, and nothing of each entry before."""
    send(hub, [step("ends", 0, "->")])
    await open_chain(page, hub, "ends")
    await page.wait_for_selector(".chain-state:has-text('running')")
    said = page.locator("div.offscreen[role=status]")
    before = await said.text_content()
    send(hub, [step("ends", 1, "->", "WS"), step("ends", 2, "<-", "WS")])
    await page.wait_for_selector(".numbers:has-text('3 entries')")
    assert await said.text_content() == before
    send(hub, [step("ends", 3, "<-")])
    await page.wait_for_selector(".chain-state:has-text('complete')")
    assert await said.text_content() == "complete, 3 ms"


async def test_an_answer_in_focus_stays_so(page: Any, hub: Services) -> None:
    """A step in the answers that has the focus keeps it when others come before it."""
    send(hub, [step("answers", 0, "->", endpoint="/held")])
    await open_chain(page, hub, "answers")
    await page.locator(".fact:has-text('Missing') button").focus()
    send(hub, [step("answers", 1, "->", "WS", endpoint="/next")])
    await page.wait_for_selector(".fact:has-text('Missing') button:has-text('/next')")
    assert await page.evaluate(FOCUS) == "MA /held"


async def test_a_link_leads_to_a_step(page: Any, hub: Services) -> None:
    """The address tells which step is selected: whoever opens it, or loads it anew, has the same step."""
    send(hub, [step("linked", at, "->", endpoint=f"/{at}") for at in range(3)])
    await open_chain(page, hub, "linked")
    for _ in range(2):
        await page.keyboard.press("j")
    await page.wait_for_url("**?step=1700000000001**")
    await page.reload()
    await page.wait_for_selector(".details h2:has-text('/1')")
    await page.keyboard.press("j")
    await page.wait_for_selector(".details h2:has-text('/2')")
    await page.keyboard.press("Escape")
    await page.wait_for_url("**/linked")


async def test_a_step_that_a_link_leads_to_is_in_sight(page: Any, hub: Services) -> None:
    """Far down in a chain it is scrolled to, also in the other view, whose size nobody knows before it is shown."""
    send(hub, [step("in-sight", at, "->", endpoint=f"/{at}", hostname=f"h{at}", suffix=f"{at}") for at in range(200)])
    await open_chain(page, hub, "in-sight", "?step=1700000000099%2099")
    places = {"timeline": 30 + 99 * 20, "sequence": 40 + 99 * 22}  # by the height of their rows
    for view, place in places.items():
        await page.wait_for_function(
            """([view, place]) => {
                const stage = document.querySelector(`.${view} .stage:not(.map)`);
                return stage && stage.scrollTop < place && place < stage.scrollTop + stage.clientHeight;
            }""",
            arg=[view, place],
        )
        await page.keyboard.press("v")


async def test_a_long_name_leaves_the_panel_its_button(page: Any, hub: Services) -> None:
    """A source with as long a name as there may be does not push out of sight what closes the panel."""
    send(hub, [step("long-name", 0, "->", "S" * 128)])
    await open_chain(page, hub, "long-name")
    for width in (400, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.keyboard.press("j")
        close = page.locator(".details").get_by_label("Close")
        box = await close.bounding_box()
        assert box["x"] + box["width"] <= width
        await close.click()
        await page.wait_for_selector(".details", state="detached")


async def test_an_exit_dated_before_its_entry(page: Any, hub: Services) -> None:
    """Where one clock is behind another the panel says so, and not only that the step took no time."""
    send(hub, [step("dated", 500, "->", hostname="a"), step("dated", 95, "<-", hostname="b")])
    await open_chain(page, hub, "dated")
    await page.keyboard.press("j")
    await page.wait_for_selector(".took:has-text('took 0 ms: its exit is dated 405 ms before its entry')")


async def test_what_is_around_a_step_takes_little_room(page: Any, hub: Services) -> None:
    """A long address of the enclosing step is shortened, so that the step's own data stays in sight."""
    send(hub, [step("around", 0, "->", endpoint="/path" * 400), step("around", 1, "->", "WS", endpoint="/inner")])
    await open_chain(page, hub, "around")
    await page.keyboard.press("k")
    await page.wait_for_selector(".details h2:has-text('/inner')")
    assert len(await page.locator(".within").inner_text()) < 140
