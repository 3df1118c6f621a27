"""Moving about in a chain's timeline, in a real browser: zoom, pan, the small picture, the ruler, silences."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from browser import painted, send
from conftest import Services, entry, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCREEN = ".timeline .stage:not(.map)"
SAID = "div.offscreen[role=status]"
RESTS_MS = 200  # what is in sight is said when it has been for so long
UNITS = {"µs": 0.001, "ms": 1.0, "s": 1000.0}
PIXEL = """([x, y]) => {
    const canvas = document.querySelector('.timeline .stage:not(.map) canvas');
    return [...canvas.getContext('2d', { alpha: false }).getImageData(x, y, 1, 1).data].slice(0, 3).join();
}"""
COLOUR = """(name) => {
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color.match(/\\d+/g).join();
}"""


def ms(words: str) -> list[float]:
    """The times that words speak of, in milliseconds."""
    found = re.findall(r"(\u2212?)([\d.]+) (µs|ms|s)\b", words)
    return [(-1 if sign else 1) * float(number) * UNITS[unit] for sign, number, unit in found]


class Timeline:
    """A timeline on the screen, and a hand on it."""

    def __init__(self, page: Any, box: Any) -> None:
        self.page = page
        self.left, self.right = box["x"] + min(208, round(box["width"] * 0.17)), box["x"] + box["width"] - 8
        self.top, self.map = box["y"] + 120, box["y"] - 20

    def x(self, share: float) -> float:
        """A place between the left and the right edge of what is in sight."""
        return float(self.left + share * (self.right - self.left))

    async def after(self, begins: str = "In sight") -> list[float]:
        """What is painted and said once it rests, for which the clock goes on."""
        said = self.page.locator(SAID)

        async def rests() -> bool:
            await self.page.clock.run_for(RESTS_MS)
            return begins in await said.inner_text()

        await until(rests)
        words = await said.inner_text()
        await said.evaluate("(node) => { node.textContent = ''; }")
        return ms(words)

    async def drag(self, y: float, start: float, end: float) -> None:
        """From one place to another."""
        await self.page.mouse.move(self.x(start), y)
        await self.page.mouse.down()
        await self.page.mouse.move(self.x((start + end) / 2), y)
        await self.page.mouse.move(self.x(end), y)
        await self.page.mouse.up()


@pytest_asyncio.fixture(loop_scope="session")
async def timeline(page: Any, hub: Services) -> Timeline:
    """One of 10 s: steps within its first and last second, silence between; the clock of the page stands still."""
    steps = ((0, "->", 1), (900, "<-", 1), (9_100, "->", 2), (10_000, "<-", 2))
    send(hub, [
        entry(
            correlation_id="moved", timestamp=1_700_000_000_000.0 + at, direction=direction, suffix=f"{at}",
            endpoint=f"/{endpoint}",
        )
        for at, direction, endpoint in steps
    ])  # fmt: skip
    page.forgiven += ["willReadFrequently"]  # of a canvas whose pixels a test looks at
    await page.clock.install()
    await page.goto(f"{hub.query_url}/#/traces/moved")
    await page.wait_for_selector(f"{SCREEN} canvas[style]")  # it knows its size
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))
    return Timeline(page, await page.locator(SCREEN).bounding_box())


async def test_zoom_holds_the_place_under_the_pointer(page: Any, timeline: Timeline) -> None:
    """Ctrl and the wheel show less or more around where the pointer is."""
    await page.keyboard.press("0")
    start, end = await timeline.after()
    await page.mouse.move(timeline.x(0.25), timeline.top)
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, -160)
    await page.keyboard.up("Control")
    nearer, further = await timeline.after()
    assert further - nearer < 0.6 * (end - start)
    assert nearer + 0.25 * (further - nearer) == pytest.approx(start + 0.25 * (end - start), abs=20)


async def test_keys_pan_and_zoom(page: Any, timeline: Timeline) -> None:
    """Plus shows less, the arrows move what is in sight, 0 shows all."""
    await page.keyboard.press("0")
    start, end = await timeline.after()
    await page.keyboard.press("+")
    near, far = await timeline.after()
    assert far - near == pytest.approx((end - start) / 1.6, rel=0.01)
    await page.keyboard.press("ArrowRight")
    moved = await timeline.after()
    assert moved == pytest.approx([near + 0.15 * (far - near), far + 0.15 * (far - near)], abs=20)
    await page.keyboard.press("0")
    assert await timeline.after() == [start, end]


async def test_a_drag_pans(page: Any, timeline: Timeline) -> None:
    """What the hand holds stays under it."""
    await page.keyboard.press("+")
    start, end = await timeline.after()
    await timeline.drag(timeline.top, 0.6, 0.4)
    assert await timeline.after() == pytest.approx([each + 0.2 * (end - start) for each in (start, end)], abs=20)


async def test_two_fingers_zoom_and_select_nothing(page: Any, timeline: Timeline) -> None:
    """Fingers that move apart show less; a step that lies under one of them is not selected when it leaves."""
    fingers = await page.context.new_cdp_session(page)
    for kind, apart in (("Start", 0.03), ("Move", 0.05), ("Move", 0.08), ("Move", 0.1)):
        points = [{"x": timeline.x(0.05), "y": timeline.top - 80, "id": 0}]
        points.append({"x": timeline.x(0.05 + apart), "y": timeline.top - 80, "id": 1})
        await fingers.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    await fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    closer = await timeline.after()
    assert closer[1] - closer[0] < 5_000
    assert not await page.locator(".details").count()


async def test_the_small_picture_pans(page: Any, timeline: Timeline) -> None:
    """Its frame is dragged over the whole chain."""
    for _ in range(4):
        await page.keyboard.press("+")
    start, end = await timeline.after()
    await timeline.drag(timeline.map, 0.5, 0.8)
    assert await timeline.after() == pytest.approx([each + 0.3 * 10_000 for each in (start, end)], abs=60)


async def test_the_small_picture_is_dragged_by_the_first_button_alone(page: Any, timeline: Timeline) -> None:
    """The second one brings up a menu, and what is in sight stays."""
    await page.keyboard.press("+")
    start, end = await timeline.after()
    await page.mouse.move(timeline.x(0.5), timeline.map)
    await page.mouse.down(button="right")
    await page.mouse.move(timeline.x(0.9), timeline.map)
    await page.mouse.up(button="right")
    await page.keyboard.press("ArrowRight")
    assert await timeline.after() == pytest.approx([each + 0.15 * (end - start) for each in (start, end)], abs=20)


async def test_the_ruler_measures(page: Any, timeline: Timeline) -> None:
    """r, then from one point to the other: their distance, by the axis; Escape puts it away."""
    await page.keyboard.press("0")
    start, end = await timeline.after()
    await page.keyboard.press("r")
    await timeline.drag(timeline.top, 0.2, 0.7)
    distance, first, last = await timeline.after("Ruler")
    assert distance == pytest.approx(0.5 * (end - start), rel=0.01)
    assert [first, last] == pytest.approx([start + share * (end - start) for share in (0.2, 0.7)], abs=30)
    inside = [timeline.x(0.45) - timeline.left + 208, 150]
    before = await page.evaluate(PIXEL, inside)
    await page.keyboard.press("Escape")
    await page.clock.run_for(RESTS_MS)
    assert await page.evaluate(PIXEL, inside) != before


async def test_a_silence_is_marked(page: Any, timeline: Timeline) -> None:
    """Where nothing was recorded the ground has another colour than beside it."""
    await page.keyboard.press("0")
    start, end = await timeline.after()
    gap, ground = [await page.evaluate(COLOUR, name) for name in ("--gap", "--ground")]
    for at, colour in ((5_300, gap), (450, ground), (9_500, ground)):
        x = 208 + (at - start) / (end - start) * (timeline.right - timeline.left)
        assert await page.evaluate(PIXEL, [round(x), 150]) == colour, at


async def test_the_words_of_a_silence_hide_no_bar(page: Any, hub: Services) -> None:
    """At the foot of more rows than the window holds they stand on ground of their own, and the last row above them."""
    page.forgiven += ["willReadFrequently"]
    await page.add_init_script(
        """
        const plain = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            if (text.startsWith('nothing recorded')) queueMicrotask(() => { // once all is painted
                const { data } = this.getImageData(x + this.measureText(text).width / 2 + 2, y - 7, 1, 15);
                window.colours = new Set(new Uint32Array(data.buffer)).size;
            });
            return plain.call(this, text, x, y);
        };
        """
    )
    send(hub, [entry(correlation_id="foot", endpoint=f"/{at}", hostname=f"ma-{at}") for at in range(60)])
    await page.goto(f"{hub.query_url}/#/traces/foot")
    beside = await (await page.wait_for_function("() => window.colours")).json_value()
    assert beside == 1
    stage = page.locator(SCREEN)
    await stage.evaluate("(node) => { node.scrollTop = node.scrollHeight; }")
    box = await stage.bounding_box()
    step = Timeline(page, box).x(0.92)  # on it while what is in sight ends with the record, and while it goes on to now
    await page.mouse.move(step, box["y"] + box["height"] - 20 - 14)
    await page.wait_for_selector(".tip:has-text('/59')")


async def test_a_link_is_copied(page: Any, timeline: Timeline, hub: Services) -> None:
    """The link leads whoever opens it to the same view of the same chain."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.keyboard.press("v")
    await page.get_by_role("button", name="Copy link").click()
    await page.wait_for_selector("button:has-text('Copied')")
    link = await page.evaluate("navigator.clipboard.readText()")
    assert link == f"{hub.query_url}/#/traces/moved?view=sequence"


async def test_names_from_the_right(page: Any, hub: Services) -> None:
    """A name in Arabic or Hebrew letters is set apart from the duration behind it, which would stand within it."""
    await page.add_init_script(
        """
        window.painted = new Set();
        const plain = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
            window.painted.add(text);
            return plain.call(this, text, ...place);
        };
        """
    )
    name = "/" + chr(0x5E9) + chr(0x5DC)
    common = {"correlation_id": "from-the-right", "endpoint": name}
    for start, end in ((0, 1), (25, 110)):
        send(hub, [entry(**common, timestamp=1e12 + start), entry(**common, timestamp=1e12 + end, direction="<-")])
    await page.goto(f"{hub.query_url}/#/traces/from-the-right")
    for took, words in (("85 ms", f"REST {name}"), ("1 ms", name)):
        text = f"{chr(0x2068)}{words}{chr(0x2069)}  {took}"
        await page.wait_for_function("text => window.painted.has(text)", arg=text)


@pytest.mark.parametrize("width", [1280, 2560])
async def test_as_close_as_it_gets_within_a_century(page: Any, hub: Services, width: int) -> None:
    """A chain from 1970 to 2100 can be looked at as closely as any other."""
    await page.set_viewport_size({"width": width, "height": 800})
    send(hub, [entry(correlation_id="century", timestamp=at) for at in (0, 4_102_444_800_000.5)])
    await page.goto(f"{hub.query_url}/#/traces/century")
    await page.wait_for_selector(".facts:not([hidden])")
    box = await page.locator(".stage:not(.map)").bounding_box()
    await page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    await page.evaluate(
        """() => {
            const stage = document.querySelector('.stage:not(.map)');
            const box = stage.getBoundingClientRect();
            const place = { clientX: box.left + box.width * 0.9, clientY: box.top + 60 };
            for (let at = 0; at < 60; at += 1) {
                stage.dispatchEvent(new WheelEvent('wheel', { deltaY: -400, ctrlKey: true, ...place }));
            }
        }"""
    )
    await painted(page)


async def test_a_picture_that_changes_its_size_is_never_empty(page: Any, timeline: Timeline) -> None:
    """Where a panel opens beside it or a window grows, no frame is shown in which it is black."""
    light = await page.evaluate(
        """(selector) => new Promise((done) => {
        const stage = document.querySelector(selector);
        const canvas = stage.querySelector('canvas');
        let had = canvas.width;
        new ResizeObserver(() => {  // called behind that of the page, in the same frame
            if (canvas.width === had) stage.style.width = `${had - 100}px`;
            else done(Math.max(...canvas.getContext('2d').getImageData(had / 2, 60, 1, 1).data.slice(0, 3)));
        }).observe(stage);
    })""",
        SCREEN,
    )
    assert light > 0
