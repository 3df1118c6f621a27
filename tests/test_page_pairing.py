"""How the dashboard pairs entries with exits, in the browser that will run it."""

from typing import Any

import pytest
from browser import send
from conftest import Services, entry
from pairing import PAIRING, in_order, paired_entries
from test_page_chain import step

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def pairing(page: Any, hub: Services) -> str:
    """The address of the module."""
    await page.goto(hub.query_url)
    main: str = await page.get_attribute("script[type=module]", "src")
    return f"./{main.replace('main.js', 'pairing.js')}"


@pytest.mark.parametrize("case", PAIRING, ids=lambda case: case["rule"])
async def test_pairs(page: Any, hub: Services, case: dict[str, Any]) -> None:
    """The rules of pairing, which the command line has as well: none is lost, whatever the exits are."""
    pairs = await page.evaluate(
        """async ([path, entries]) => {
            const { model } = await import(path);
            const place = (entry) => (entry ? entries.indexOf(entry) : null);
            return model(entries).bars.map((bar) => [place(bar.entry), place(bar.exit)]);
        }""",
        [await pairing(page, hub), paired_entries(case)],
    )
    assert in_order(pairs) == in_order(case["steps"])


async def test_rows(page: Any, hub: Services) -> None:
    """Steps of one source that overlap lie in rows of their own."""
    entries = [step("p", 0, "->"), step("p", 1, "->"), step("p", 5, "<-"), step("p", 9, "<-"), step("p", 10, "->")]
    rows = await page.evaluate(
        """async ([path, entries]) => {
            const { model } = await import(path);
            return model(entries).bars.map((bar) => [bar.kind, bar.start, bar.row]);
        }""",
        [await pairing(page, hub), entries],
    )
    assert rows == [["pair", 0, 0], ["pair", 1, 1], ["open", 10, 0]]


async def test_own_time(page: Any, hub: Services) -> None:
    """What a step did itself is its time less what the steps within it cover, counted once where they overlap."""
    entries = [
        step("s", 0, "->"),
        step("s", 10, "->", "WS"),
        step("s", 20, "->", "WK"),
        step("s", 40, "<-", "WS"),
        step("s", 60, "<-", "WK"),
        step("s", 100, "<-"),
    ]
    own = await page.evaluate(
        """async ([path, entries]) => {
            const { model } = await import(path);
            return model(entries).bars.map((bar) => [bar.source, bar.self]);
        }""",
        [await pairing(page, hub), entries],
    )
    assert own == [["MA", 50], ["WS", 30], ["WK", 40]]


async def nesting(page: Any, hub: Services, entries: list[dict[str, Any]]) -> list[list[Any]]:
    """Of each step by its start: its endpoint, its own time, and the endpoint of the step that it lies in."""
    made: list[list[Any]] = await page.evaluate(
        """async ([path, entries]) => {
            const { first, model } = await import(path);
            const name = (bar) => (bar ? first(bar).endpoint : null);
            const own = (bar) => (bar.kind === 'open' ? null : bar.self);
            return model(entries).bars.map((bar) => [name(bar), own(bar), name(bar.parent)]);
        }""",
        [await pairing(page, hub), entries],
    )
    return made


async def test_a_step_that_was_waited_for_in_vain(page: Any, hub: Services) -> None:
    """It takes from the own time of who waited, whatever ran beside it, and holds nothing that came behind it."""
    late = [
        step("v", 0, "->", endpoint="root"),
        step("v", 1, "->", endpoint="caller"),
        step("v", 10, "->", endpoint="beside"),
        step("v", 20, "->", endpoint="never"),
        step("v", 30, "<-", endpoint="beside"),
        step("v", 40, "->", endpoint="never"),
        step("v", 50, "->", endpoint="behind"),
        step("v", 60, "<-", endpoint="behind"),
        step("v", 100, "<-", endpoint="caller"),
        step("v", 101, "<-", endpoint="root"),
    ]
    assert await nesting(page, hub, late) == [
        ["root", 2, None],
        ["caller", 9, "root"],
        ["beside", 20, "caller"],
        ["never", None, "caller"],
        ["never", None, "caller"],
        ["behind", 10, "caller"],
    ]


async def test_a_service_that_died(page: Any, hub: Services) -> None:
    """Who called it has given up; what it was in when it died lies in its own step, and what ended later does not."""
    entries = [
        step("d", 0, "->", endpoint="caller"),
        step("d", 10, "->", endpoint="died"),
        step("d", 20, "->", endpoint="inner"),
        step("d", 60, "->", endpoint="later"),
        step("d", 70, "<-", endpoint="later"),
        step("d", 100, "<-", endpoint="caller"),
    ]
    parents = {name: parent for name, _, parent in await nesting(page, hub, entries)}
    assert parents == {"caller": None, "died": "caller", "inner": "died", "later": "caller"}


async def test_calls_of_one_step_lie_beside_each_other(page: Any, hub: Services) -> None:
    """None of them lies in another that happened to begin before and to end after it: each has all of its time."""
    calls = [("->", 0, "root"), ("->", 1, "part"), ("->", 2, "part"), ("->", 3, "part")]
    calls += [("<-", 40, "part"), ("<-", 60, "part"), ("<-", 91, "part"), ("<-", 92, "root")]
    entries = [step("b", at, way, endpoint=name) for way, at, name in calls]
    spans = {1: 1, 2: 2, 3: 3, 40: 2, 60: 3, 91: 1}
    entries = [
        {**each, "data": {"span_id": str(spans.get(at))}} for (_, at, _), each in zip(calls, entries, strict=True)
    ]
    beside = [["part", 90, "root"], ["part", 38, "root"], ["part", 57, "root"]]
    assert await nesting(page, hub, entries) == [["root", 2, None], *beside]
    still = [each for each in entries if each["direction"] == "->"]
    assert [each[2] for each in await nesting(page, hub, still)] == [None, "root", "root", "root"]


async def test_what_is_open_waits_for_what_is_open(page: Any, hub: Services) -> None:
    """While all around a step is open, it lies in the innermost of these, and not in what ended beside it."""
    entries = [
        step("w", 0, "->", endpoint="root"),
        step("w", 1, "->", endpoint="caller"),
        step("w", 2, "->", endpoint="beside"),
        step("w", 3, "->", endpoint="inner"),
        step("w", 9, "<-", endpoint="beside"),
    ]
    assert [each[2] for each in await nesting(page, hub, entries)] == [None, "root", "caller", "caller"]


async def where(page: Any, hub: Services, entries: list[dict[str, Any]]) -> list[str]:
    """The steps that it is in: source and endpoint of each."""
    found: list[str] = await page.evaluate(
        """async ([path, entries]) => {
            const { model, whereItIs } = await import(path);
            return whereItIs(model(entries)).map(({ entry }) => `${entry.source_id} ${entry.endpoint}`);
        }""",
        [await pairing(page, hub), entries],
    )
    return found


async def test_calls_side_by_side_that_are_all_open(page: Any, hub: Services) -> None:
    """None waits for another: it is in all of them, recorded where they are made or also where they are served."""
    made = [step("o", at, "->", operation="RPC", endpoint=f"/{at}") for at in (1, 2, 3)]
    served = [step("o", at + 10, "->", f"W{at}", endpoint=f"/{at}") for at in (1, 2, 3)]
    root = step("o", 0, "->", endpoint="/orders")
    assert sorted(await where(page, hub, [root, *made, *served])) == ["W1 /1", "W2 /2", "W3 /3"]
    assert sorted(await where(page, hub, [root, *made])) == ["MA /1", "MA /2", "MA /3"]
    addressed = [
        {**each, "operation": f"HTTP{at}", "endpoint": f"GET http://w{at}/{at}"} for at, each in enumerate(made, 1)
    ]
    assert sorted(await where(page, hub, [root, *addressed, *served])) == ["W1 /1", "W2 /2", "W3 /3"]
    assert await where(page, hub, [root, made[0], served[0], step("o", 20, "->", "DB", endpoint="SELECT")]) == [
        "DB SELECT"
    ]


async def test_calls_side_by_side_hold_those_that_serve_them(page: Any, hub: Services) -> None:
    """Each lies in the call of its name, and takes from its time, rather than in one that happens to begin last."""
    times = {"/a": (1, 100), "/b": (2, 90)}
    entries = [step("h", 0, "->", endpoint="/orders"), step("h", 101, "<-", endpoint="/orders")]
    for name, (begin, end) in times.items():
        entries += [step("h", begin, "->", endpoint=name), step("h", end, "<-", endpoint=name)]
        entries += [
            step("h", begin + 2, "->", "W" + name, endpoint=name),
            step("h", end - 20, "<-", "W" + name, endpoint=name),
        ]
    nested = await nesting(page, hub, sorted(entries, key=lambda entry: float(entry["timestamp"])))
    assert [[name, own, parent] for name, own, parent in nested[1:]] == [
        ["/a", 22, "/orders"], ["/b", 22, "/orders"], ["/a", 77, "/a"], ["/b", 66, "/b"],
    ]  # fmt: skip


async def test_a_child_may_end_a_little_late(page: Any, hub: Services) -> None:
    """A call that ends just after the step that made it is still within it; one that ends much later is not."""
    entries = [
        step("l", 0, "->"),
        step("l", 1, "->", "WS"),
        step("l", 100, "<-"),
        step("l", 101, "<-", "WS"),
        step("l", 200, "->"),
        step("l", 250, "->", "WS"),
        step("l", 260, "<-"),
        step("l", 300, "<-", "WS"),
    ]
    own = await page.evaluate(
        """async ([path, entries]) => {
            const { model } = await import(path);
            return model(entries).bars.map((bar) => [bar.self, bar.parent !== null]);
        }""",
        [await pairing(page, hub), entries],
    )
    assert own == [[1, False], [100, True], [60, False], [50, False]]


async def test_pairing_is_quick_whatever_comes(page: Any, hub: Services) -> None:
    """One chain costs about what twenty of a twentieth cost, and not twenty times as much, whatever pairs in it."""
    ratios = await page.evaluate(
        """async (path) => {
            const { model } = await import(path);
            const way = { open: () => '->', exits: () => '<-', nested: (at, n) => (at < n / 2 ? '->' : '<-') };
            const make = (n, kind) => Array.from({ length: n }, (_, at) => ({
                source_id: 'A', operation: 'o', endpoint: 'e', hostname: 'h', suffix: String(at), data: null,
                timestamp: at, direction: way[kind](at, n) }));
            const took = (chains) => {
                const at = performance.now();
                for (const chain of chains) model(chain);
                return performance.now() - at;
            };
            return Object.keys(way).map((kind) => {
                const one = [make(40_000, kind)];
                const many = Array.from({ length: 20 }, () => make(2_000, kind));
                const turns = Array.from({ length: 5 }, () => [took(one), took(many)]);
                return Math.min(...turns.map(([long]) => long)) / Math.min(...turns.map(([, short]) => short));
            });
        }""",
        await pairing(page, hub),
    )
    assert max(ratios) < 5, ratios


async def test_what_reports_an_error(page: Any, hub: Services) -> None:
    """The page takes for an error what the server counts as one, whatever the value."""
    values = [None, False, True, 0, 1, "", "0", "x", [], [0], {}, {"a": None}, 499.9, 500, "500", "Error", "FAILED"]
    datas = [{name: value} for name in ("error", "exception", "status", "status_code") for value in values]
    send(hub, [entry(correlation_id=f"reports/{number}", data=data) for number, data in enumerate(datas)])
    answer = await page.request.get(f"{hub.query_url}/correlations?q=reports/&errors=true&limit=1000")
    counted = {chain["correlation_id"] for chain in (await answer.json())["correlations"]}
    told = await page.evaluate(
        """async ([path, datas]) => {
            const { reportsError } = await import(path);
            return datas.map((data) => reportsError({ data }));
        }""",
        [await pairing(page, hub), datas],
    )
    assert told == [f"reports/{number}" in counted for number in range(len(datas))]


async def test_a_chain_is_what_the_list_says(page: Any, hub: Services) -> None:
    """An exit that lies before its entry by another clock ends it all the same; more exits than entries are told."""
    send(hub, [step("told/skewed", 0, "->", "WS"), step("told/skewed", 5, "<-", hostname="another")])
    send(hub, [step("told/skewed", 8, "->"), step("told/skewed", 9, "<-", "WS"), step("told/more", 0, "->")])
    send(hub, [step("told/more", number, "<-", "WS") for number in (1, 2)])
    for chain, state in (("skewed", "complete"), ("more", "exit without entry")):
        await page.goto(f"{hub.query_url}/#/?q=told/{chain}")
        await page.wait_for_selector(f".rows .state:has-text('{state}')")
        await page.goto(f"{hub.query_url}/#/traces/told%2F{chain}")
        await page.wait_for_selector(f".chain-state:has-text('{state}')")
