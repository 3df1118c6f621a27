"""What a sequence knows of its columns, in the browser that will run it."""

from typing import Any

import pytest
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
