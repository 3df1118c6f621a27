"""What a sequence knows of its columns, in the browser that will run it."""

from typing import Any

import pytest
from browser import send
from conftest import Services
from test_page_chain import step
from test_page_pairing import pairing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_how_deep_a_source_is(page: Any, hub: Services) -> None:
    """At each line of a sequence a source is as deep as it has steps open, the one that the line ends among them."""
    ways = [("A", "->"), ("A", "->"), ("B", "->"), ("B", "<-"), ("A", "<-"), ("A", "<-"), ("B", "<-")]
    depths = await page.evaluate(
        """async ([path, entries]) => {
            const { model } = await import(path);
            const { Sequence } = await import(path.replace('pairing.js', 'sequence.js'));
            const sequence = new Sequence({});
            sequence.show(model(entries));
            const lines = [...sequence.lines.keys()].filter((line) => sequence.lines[line].entry);
            return lines.map((line) => [0, 1].map((column) => sequence._depth(column, line)));
        }""",
        [await pairing(page, hub), [step("deep", at, way, source) for at, (source, way) in enumerate(ways)]],
    )
    assert depths == [[1, 0], [2, 0], [2, 1], [2, 1], [2, 0], [1, 0], [0, 0]]


async def test_an_arrow_is_no_part_of_the_words(page: Any, hub: Services) -> None:
    """What an entry says begins behind the head of its arrow, which would be read as `<`."""
    ways = [("A", "->"), ("B", "->"), ("B", "<-"), ("A", "<-")]
    send(hub, [step("arrows", at, way, source) for at, (source, way) in enumerate(ways)])
    await page.add_init_script("""
        const { moveTo, fillText } = CanvasRenderingContext2D.prototype;
        window.heads = [];
        window.words = [];
        CanvasRenderingContext2D.prototype.moveTo = function (x, y) { heads.push([x, y]); moveTo.call(this, x, y); };
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            words.push([text, x, y]);
            fillText.call(this, text, x, y);
        };
    """)
    await page.goto(f"{hub.query_url}/#/traces/arrows?view=sequence")
    await page.wait_for_function("() => words.some(([text]) => text === '3 ms')")
    [_, left, y] = await page.evaluate("words.findLast(([text]) => text === '3 ms')")
    assert left > await page.evaluate("y => heads.findLast((head) => head[1] === y - 3.5)[0]", y)
