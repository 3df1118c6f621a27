"""What the reader gives for what the writer was given."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.storage import chains
from shared.storage.found import Chosen, Position
from shared.storage.reader import MAX_INT64, Reader, start_of
from shared.storage.tail_reader import TailReader
from shared.storage.writer import Writer
from shared.wire import Entry, StoredEntry

STEPS = [("MA", "/a"), ("MA", "/b"), ("WS", "/a")]
entries = st.lists(
    st.builds(
        lambda chain, step, direction, at, suffix: Entry(step[0], chain, at, suffix, direction, "REST", step[1]),
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from(STEPS),
        st.sampled_from(["->", "<-"]),
        st.floats(0, 1e300) | st.integers(0, 5).map(float),
        st.sampled_from("abc"),
    ),
    max_size=25,
)


def newest_of(batches: list[list[Entry]]) -> list[Entry]:
    """The entries that are new, in order of arrival."""
    stored: dict[tuple[str, float, str], Entry] = {}
    for entry in (entry for batch in batches for entry in batch):
        stored.setdefault((entry.correlation_id, entry.timestamp, entry.suffix), entry)
    return list(stored.values())


def is_complete(chain: list[Entry]) -> bool:
    """The contract's word for it."""
    steps = {"->": Counter[tuple[str, str]](), "<-": Counter[tuple[str, str]]()}
    for entry in chain:
        steps[entry.direction][entry.source_id, entry.endpoint] += 1
    return steps["->"] == steps["<-"]


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """A reader of an empty file."""
    Writer(tmp_path / "tracehub.db", 3_600_000).close()
    reader = await Reader.open(tmp_path / "tracehub.db")
    yield reader
    await reader.close()


async def test_an_empty_file(reader: Reader) -> None:
    """There is nothing, and no error."""
    assert (await reader.newest(), await reader.oldest(), await reader.chains()) == (0, 1, 0)
    assert await reader.chain("x", 10, None, start_of(None)) is None
    assert await reader.entries_after(0, MAX_INT64, 10, 1) == ([], False)
    assert await reader.recent(10, None, "", 1) == []
    assert (await reader.correlations(10, None, Chosen())).correlations == []
    assert await reader.by_source(0) == []


@pytest.mark.parametrize("keys_together", [1, 2, chains.KEYS_TOGETHER])
async def test_chains_are_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys_together: int) -> None:
    """For any batches, duplicates among them: order, summaries, completeness and row ids are those of a plain model."""
    monkeypatch.setattr(chains, "KEYS_TOGETHER", keys_together)
    runs: list[list[list[Entry]]] = []

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.lists(entries, max_size=3))
    def collect(batches: list[list[Entry]]) -> None:
        runs.append(batches)

    collect()
    for number, batches in enumerate(runs):
        writer = Writer(tmp_path / f"{number}.db", 3_600_000)
        for batch in batches:
            writer.write([batch], 1_000)
        stored = newest_of(batches)
        reader = await Reader.open(writer.path, connections=1)
        everything, _ = await reader.entries_after(0, MAX_INT64, 1_000, 10**9)
        assert [row_id for row_id, _ in everything] == list(range(1, len(stored) + 1))
        assert [(e.correlation_id, e.timestamp, e.suffix) for _, e in everything] == [
            (e.correlation_id, e.timestamp, e.suffix) for e in stored
        ]
        summaries = {one.correlation_id: one for one in (await reader.correlations(10, None, Chosen())).correlations}
        for id in ("one", "two", "three"):
            chain = [entry for entry in stored if entry.correlation_id == id]
            opened = await reader.chain(id, 1_000, None, start_of(None))
            assert (opened is None) == (not chain)
            if opened is None:
                continue
            found, stretch = opened
            assert await reader.in_time(found, 1_000, None, start_of(None)) == stretch
            in_time = msgspec.json.decode(b"[%b]" % stretch.text, type=list[StoredEntry])
            assert [(e.timestamp, e.suffix) for e in in_time] == [
                (e.timestamp, e.suffix) for e in sorted(chain, key=lambda entry: entry.timestamp)
            ]
            assert (found.entries, found.complete) == (len(chain), is_complete(chain))
            stamps = [entry.timestamp for entry in chain]
            assert (summaries[id].first_ts, summaries[id].last_ts) == (min(stamps), max(stamps))
            assert set(summaries[id].sources) == {entry.source_id for entry in chain}
        await reader.close()
        writer.close()


async def test_entries_that_share_an_instant(reader: Reader, tmp_path: Path) -> None:
    """A crowd of one chain at one moment: whichever of them are read, each has its own suffix."""
    crowd = [Entry("MA", "chain", 5.0, f"{7 * number % 100:02}", "->", "REST", "/") for number in range(100)]
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        writer.write([crowd, [Entry("WS", "chain", 6.0, "x", "->", "REST", "/")]], 1_000)

    def suffixes(found: Iterable[StoredEntry]) -> list[str]:
        return [one.suffix for one in found]

    expected = [*suffixes(crowd), "x"]
    with closing(TailReader(writer.path)) as tail_reader:
        assert suffixes(one for _, one in tail_reader.entries_after(0)[0]) == expected
        assert suffixes(one for _, one in tail_reader.entries_after(60)[0]) == expected[60:]
    after, _ = await reader.entries_after(10, 40, 20, 10**9)
    assert suffixes(one for _, one in after) == expected[10:30]
    these, _ = await reader.entries([3, 50, 99, 101], 10**9)
    assert suffixes(one for _, one in these) == [expected[id - 1] for id in (3, 50, 99, 101)]
    assert suffixes(await reader.recent(30, None, "", 10**9) or ()) == expected[-30:]
    assert suffixes(await reader.recent(30, None, "M", 10**9) or ()) == expected[-31:-1]
    opened = await reader.chain("chain", 1_000, None, start_of(None))
    assert opened is not None
    for stretch in (opened[1], await reader.one_by_one(opened[0], 1_000, None, start_of(None), 10**9)):
        assert suffixes(msgspec.json.decode(b"[%b]" % stretch.text, type=list[StoredEntry])) == expected


async def test_sites_are_let_go_between_two_that_a_chain_needs(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of a site that is known and one that is not, when there is no room for both, is read all the same."""
    monkeypatch.setattr("shared.storage.rendering.MAX_BYTES", 1)
    both = [Entry("MA", "both", 1.0, suffix, "->", "REST", f"/{suffix}") for suffix in "ab"]
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        writer.write([[Entry("MA", "one", 1.0, "", "->", "REST", "/a"), *both]], 1_000)
    for id, endpoints in (("one", ["/a"]), ("both", ["/a", "/b"]), ("one", ["/a"])):
        opened = await reader.chain(id, 10, None, start_of(None))
        assert opened is not None
        read = msgspec.json.decode(b"[%b]" % opened[1].text, type=list[StoredEntry])
        assert [one.endpoint for one in read] == endpoints


async def test_sites_that_leave_while_their_chain_is_read(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain whose era goes between its entries and their sites is read as it was, and is gone the next time."""
    monkeypatch.setattr("shared.storage.eras.MIN_ERA_ENTRIES", 2)
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        for id in ("old", "new"):
            writer.write([[Entry("MA", id, 1.0, suffix, "->", "REST", f"/{suffix}") for suffix in "ab"]], 1_000)
        await before_statement(reader, "FROM site", lambda: writer.expire(3, 10))
        opened = await reader.chain("old", 10, None, start_of(None))
        assert opened is not None and opened[1].found == 2
        assert (writer.oldest, await reader.chain("old", 10, None, start_of(None))) == (3, None)


async def test_what_a_chain_lost_with_an_era_is_not_known(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the keys of then have gone a chain may have had entries there; behind it, it is known to have had none."""
    monkeypatch.setattr("shared.storage.eras.MIN_ERA_ENTRIES", 2)
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        for id in ("old", "young", "other"):
            writer.write([[Entry("MA", id, 1.0, suffix, "->", "REST", "/a") for suffix in "ab"]], 1_000)
        assert not await reader.may_have_lost("young", 1, 1)
        writer.expire(3, 10)
        assert await reader.may_have_lost("young", 1, 3)
        assert not await reader.may_have_lost("young", 2, 3)


async def test_no_chain_is_passed_over_that_others_move_away_from(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that come between the look at chains and the end of a filtered page make no chain fall between pages."""
    monkeypatch.setattr("shared.storage.reader.SCAN_CHAINS", 3)
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        writer.write([[Entry("MA", f"c{n}", 1.0, "", "->", "REST", "/a") for n in range(10)]], 1_000)
        moved = [[Entry("MA", f"c{n}", 2.0, "", "->", "REST", "/a") for n in (5, 6)]]
        await before_statement(reader, "OFFSET", lambda: writer.write(moved, 1_000))
        page = await reader.correlations(9, 8, Chosen(q="c"))
        rest = await reader.correlations(9, page.next, Chosen(q="c"))
    found = [[one.correlation_id for one in part.correlations] for part in (page, rest)]
    assert found == [["c6", "c5", "c4"], ["c3", "c2", "c1"]]


async def test_the_age_of_an_entry_that_has_gone(reader: Reader, tmp_path: Path) -> None:
    """It is at least that of the oldest that is left, however soon retention took it."""
    now_ms = int(time.time() * 1000)
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        for ago_s in (3_000, 1_000):
            writer.write([[Entry("MA", f"{ago_s}", 1.0, "", "->", "REST", "/a")]], now_ms - 1000 * ago_s)
        assert 3_000 <= await reader.age_s(1) < 3_500
        writer.expire(2, 10)
    assert 1_000 <= await reader.age_s(1) < 1_500


async def before_statement(reader: Reader, text: str, act: Callable[[], object]) -> None:
    """Have something done once, before any of the reader's connections runs a statement that has this text."""
    acts = [act]

    def look(statement: str) -> None:
        if text in statement and acts:
            acts.pop()()

    for connection in reader._pool._connections:
        await connection.set_trace_callback(look)


async def test_ids_of_any_spelling(reader: Reader, tmp_path: Path) -> None:
    """Ids that the file packs and ids that look nearly so are found, listed and looked through as what they are."""
    ids = ["0123456789abcdef" * 2, "0123456789ABCDEF" * 2, "0123456789abcdef" * 2 + "0", "ab " * 10 + "ab", "x" * 32]
    with closing(Writer(tmp_path / "tracehub.db", 3_600_000)) as writer:
        writer.write([[Entry("MA", id, 1.0, "", "->", "REST", "/") for id in ids]], 1_000)
    everything, _ = await reader.entries_after(0, MAX_INT64, 10, 10**9)
    for id in ids:
        opened = await reader.chain(id, 10, None, start_of(None))
        assert opened is not None
        assert [row_id for row_id, one in everything if one.correlation_id == id] == [opened[0].newest]
    for part in ("abc", "ABC", "aBc", "f0", "b a", "x", "\ufb00", "0123456789abcdef" * 2):
        page = await reader.correlations(10, None, Chosen(q=part))
        assert [one.correlation_id for one in page.correlations] == [id for id in reversed(ids) if part in id]


async def test_positions_beyond_any_number(reader: Reader, tmp_path: Path) -> None:
    """Bounds that no entry reaches are no error."""
    writer = Writer(tmp_path / "tracehub.db", 3_600_000)
    writer.write(
        [[Entry("MA", "chain", 1e308, "a", "->", "REST", "/"), Entry("MA", "chain", 0.0, "a", "->", "R", "/")]], 0
    )
    writer.close()
    opened = await reader.chain("chain", 10, None, start_of(None))
    assert opened is not None
    chain, _ = opened
    for position, count in ((start_of(None), 2), (Position(MAX_INT64, MAX_INT64), 0), (Position(-MAX_INT64, 0), 2)):
        assert (await reader.in_time(chain, 10, None, position)).found == count
        again = await reader.chain("chain", 10, None, position)
        assert again is not None
        assert (again[0], again[1].found) == (chain, count)
    for since, count in ((-1.0, 2), (0.0, 1), (1e307, 1), (1e308, 0)):
        assert await reader.count(chain, None, start_of(since).instant) == count


async def test_what_a_chain_may_have_lost(reader: Reader, tmp_path: Path) -> None:
    """Some of its entries, or all of them even if it has begun again; not what others lost."""

    def some(*chains: str) -> list[Entry]:
        return [Entry("MA", chain, number, "s", "->", "REST", "/") for number, chain in enumerate(chains)]

    writer = Writer(tmp_path / "tracehub.db", 3_600_000)
    writer.write([some("whole", "part", "gone", "young")], 0)
    writer.write([[Entry("MA", "part", 9.0, "s", "->", "REST", "/")]], 0)
    writer.expire(4, 100)
    writer.write([[Entry("MA", "whole", 9.0, "s", "->", "REST", "/")]], 0)
    writer.close()
    lost = {chain: await reader.may_have_lost(chain, 1, 4) for chain in ("whole", "part", "gone", "young", "nobody")}
    assert lost == {"whole": True, "part": True, "gone": True, "young": False, "nobody": True}
