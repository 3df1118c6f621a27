"""The write side of the file: what goes in is there, counted exactly, and nothing half done ever is."""

import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadFile, DiskFull, Unavailable
from shared.storage import chains, eras, insertion, sites
from shared.storage.chains import decode_sources, hash48, open_in
from shared.storage.ids import TEXT, unpacked
from shared.storage.instants import timestamp
from shared.storage.sqlite import read_only_uri
from shared.storage.writer import Writer
from shared.wire import Entry

HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
FAILED = ('{"error":"timeout"}', '{"status": 503}')


def checkpoint(number: int = 0, **fields: Any) -> Entry:
    """An entry; different numbers make different ones."""
    values = {
        "source_id": "MA",
        "correlation_id": "chain",
        "timestamp": float(number),
        "suffix": "",
        "direction": "->",
        "operation": "REST",
        "endpoint": "/api",
    }
    return Entry(**{**values, **fields})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer of a new file."""
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        yield writer


def rows(path: Path, query: str, *parameters: Any) -> list[Any]:
    """What another process reads."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as db:
        return db.execute(query, parameters).fetchall()


@contextmanager
def no_commit_of(writer: Writer, table: str) -> Iterator[None]:
    """A transaction that inserts into this table is undone at its very end, at the commit."""
    writer._db.execute("PRAGMA foreign_keys=ON")
    writer._db.execute("CREATE TABLE loose (sender REFERENCES sender DEFERRABLE INITIALLY DEFERRED)")
    writer._db.execute(f"CREATE TRIGGER fails AFTER INSERT ON {table} BEGIN INSERT INTO loose VALUES ('nobody'); END")
    with pytest.raises(BadFile, match="FOREIGN KEY"):
        yield
    writer._db.execute("DROP TRIGGER fails")
    writer._db.execute("DROP TABLE loose")


def stored(path: Path) -> list[Entry]:
    """All entries of the file in the order of their row ids, which must have no gaps."""
    everything = rows(
        path,
        """SELECT entry.id, source_id, correlation_id, base + entry.at, suffix, direction, operation, endpoint, data,
           hostname, line FROM entry JOIN site ON site.id = site JOIN chain ON chain.id = entry.chain
           LEFT JOIN entry_once AS once ON once.chain = entry.chain AND once.at = entry.at AND once.entry = entry.id
           LEFT JOIN raw_line ON raw_line.entry = entry.id
           ORDER BY entry.id""",
    )
    ids = [row[0] for row in everything]
    assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
    return [Entry(row[1], unpacked(row[2]), timestamp(row[3]), *row[4:]) for row in everything]


def key(entry: Entry) -> tuple[str, float, str]:
    """What makes an entry one."""
    return entry.correlation_id, entry.timestamp, entry.suffix


def is_complete(entries: Sequence[Entry]) -> bool:
    """Each entry has its exit."""
    sides: dict[str, Counter[tuple[str, str, str]]] = {"->": Counter(), "<-": Counter()}
    for one in entries:
        sides[one.direction][one.source_id, one.operation, one.endpoint] += 1
    return sides["->"] == sides["<-"]


@dataclass
class Model:
    """What the file should hold, said the slow way."""

    entries: list[Entry] = field(default_factory=list)
    gone: int = 0
    expired: Counter[str] = field(default_factory=Counter)
    places: dict[int, Any] = field(default_factory=dict)

    def write(self, batches: Sequence[Sequence[Entry]]) -> list[int]:
        known = {key(entry) for entry in self.entries}
        counts = []
        for batch in batches:
            before = len(self.entries)
            for one in batch:
                if key(one) not in known:
                    known.add(key(one))
                    self.entries.append(one)
            counts.append(len(self.entries) - before)
        return counts

    def expire(self, count: int) -> None:
        for one in self.entries[:count]:
            self.expired[one.correlation_id] += 1
        del self.entries[:count]
        self.gone += count
        left = {one.correlation_id for one in self.entries}
        self.expired = Counter({id: count for id, count in self.expired.items() if id in left})

    def compare(self, writer: Writer) -> None:
        path = writer.path
        assert (writer.oldest, writer.newest) == (self.gone + 1, self.gone + len(self.entries))
        assert stored(path) == self.entries
        summaries = rows(
            path,
            f"""SELECT {TEXT.format("correlation_id")}, base + first_at, base + last_at, newest, entries, expired,
               errors, sources, balance, id FROM chain""",
        )
        keys = rows(path, "SELECT key, chain FROM chain_key WHERE era IN (SELECT id FROM era)")
        (keyed,) = rows(path, "SELECT max(keyed) FROM era")[0]
        assert sorted(summary[0] for summary in summaries) == sorted({one.correlation_id for one in self.entries})
        assert rows(path, "SELECT count(*) FROM entry_once") == [(len(self.entries),)]
        for id, first, last, newest, count, expired, errors, sources, balance, number in summaries:
            numbered = [(self.gone + n, one) for n, one in enumerate(self.entries, 1) if one.correlation_id == id]
            of_chain = [one for _, one in numbered]
            times = [one.timestamp for one in of_chain]
            assert (timestamp(first), timestamp(last)) == (min(times), max(times))
            assert (newest, count, expired) == (numbered[-1][0], len(of_chain), self.expired[id])
            assert errors == sum(one.data in FAILED for one in of_chain)
            assert decode_sources(sources) == Counter(one.source_id for one in of_chain)
            assert expired or (balance == 0) == is_complete(of_chain)
            assert expired or open_in(balance) == sum(1 if one.direction == "->" else -1 for one in of_chain)
            assert (hash48(id), number) in keys or number > keyed
        for number, *place in rows(path, "SELECT * FROM site"):
            assert self.places.setdefault(number, place) == place, "a site number was given twice"


places = st.tuples(st.sampled_from(["MA", "WS"]), st.sampled_from(["->", "<-"]), st.sampled_from(["REST", "RPC"]))
entries = st.builds(
    lambda place, id, at, suffix, data, line: checkpoint(
        source_id=place[0],
        direction=place[1],
        operation=place[2],
        correlation_id=id,
        timestamp=at,
        suffix=suffix,
        data=data,
        raw_line=line,
    ),
    places,
    st.sampled_from(["a", "ä/\n", "0" * 32, "A" * 32, "0a" * 16, "0 " * 16]),
    st.sampled_from([0.0, -0.0, 0.1, 1.7e12, 1.7e12 + 0.25, 2.0**53, 1e308]),
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["", "{}", '{"b":1,"a":1e400}', *FAILED]),
    st.none() | st.just("a line"),
)
writes = st.tuples(st.lists(st.lists(entries, max_size=7), max_size=3), st.integers(0, HOUR_MS // 4))
steps = st.one_of(writes, st.integers(0, 12), st.just("reopen"))


@settings(max_examples=80)
@given(st.lists(steps, max_size=14))
def test_the_file_holds_what_was_written_and_not_expired(script: list[Any]) -> None:
    """After any writes with duplicates, slices of expiry and reopening, entries and summaries are exactly right."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(eras, "MIN_ERA_ENTRIES", 6)  # everything that has a size is at its edge soon
        patch.setattr(insertion, "ROWS", 4)
        patch.setattr(eras, "LEAST", 2)
        patch.setattr(eras, "KEYS_AT_A_TIME", 2)
        patch.setattr(chains, "MAX_KNOWN", 3)
        patch.setattr(chains, "SOURCES", 4)
        patch.setattr(chains, "KEYS_TOGETHER", 2)
        patch.setattr(sites, "MAX_KNOWN", 3)
        patch.setattr(sites, "CHARACTERS", 30)
        path, now_ms, model = Path(folder, "t.db"), NOW_MS, Model()
        writer = Writer(path, HOUR_MS, synced=False)
        for step in script:
            if step == "reopen":
                writer.close()
                writer = Writer(path, HOUR_MS, synced=False)
            elif isinstance(step, int):
                expected = min(step, len(model.entries))
                assert writer.expire(writer.newest + 1, step) == expected
                model.expire(expected)
            else:
                batches, later_ms = step
                now_ms += later_ms
                assert writer.write(batches, now_ms) == model.write(batches)
            model.compare(writer)
        writer.close()


@given(st.lists(st.floats(1e-3, 1e34) | st.just(0.0), min_size=1, max_size=20))
@settings(max_examples=50)
def test_the_view_tells_the_same_times(times: list[float]) -> None:
    """The `traces` view gives every timestamp from a thousandth of a millisecond to 10^34 as the double it was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.db")
        with closing(Writer(path, HOUR_MS, synced=False)) as writer:
            writer.write([[checkpoint(timestamp=at, suffix=f"{n}") for n, at in enumerate(times)]], NOW_MS)
            assert [at for (at,) in rows(path, "SELECT timestamp FROM traces ORDER BY id")] == times


def test_the_view_reads_like_the_wire(writer: Writer) -> None:
    """A person with a shell sees the fields of an entry under their names, and when it arrived."""
    id = "0123456789abcdef" * 2
    writer.write([[checkpoint(7, data='{"a":1}', raw_line="line")], [checkpoint(8, correlation_id=id)]], NOW_MS)
    assert rows(writer.path, "SELECT * FROM traces") == [
        (1, "MA", "chain", 7.0, "", "->", "REST", "/api", '{"a":1}', "unknown", "line", NOW_MS / 1000),
        (2, "MA", id, 8.0, "", "->", "REST", "/api", None, "unknown", None, NOW_MS / 1000),
    ]


def test_each_batch_of_a_transaction_has_its_own_count(writer: Writer) -> None:
    """Duplicates are counted where they are: within a batch, between batches, against the file."""
    a, b, c, d = map(checkpoint, range(4))
    assert writer.write([[a, b]], NOW_MS) == [2]
    assert writer.write([[c, a, c], [], [c, d, d, b], [a, b, c, d]], NOW_MS) == [1, 0, 1, 0]
    assert writer.write([[a, b], [c, d]], NOW_MS) == [0, 0]
    assert stored(writer.path) == [a, b, c, d]


def test_a_batch_of_nothing_is_nothing(writer: Writer) -> None:
    """Empty batches, however far apart, leave no trace that a later entry could stumble over."""
    assert writer.write([[]], NOW_MS) == [0]
    assert writer.write([[], []], NOW_MS + HOUR_MS) == [0, 0]
    assert writer.write([[checkpoint()]], NOW_MS + 2 * HOUR_MS) == [1]


def test_what_came_first_stays(writer: Writer) -> None:
    """A duplicate with other contents changes nothing."""
    first = checkpoint(1, data='{"a":1}')
    assert writer.write([[first, checkpoint(1, data='{"a":2}')], [checkpoint(1, endpoint="/other")]], NOW_MS) == [1, 0]
    assert stored(writer.path) == [first]


def test_a_chain_that_outlives_its_era_is_still_found(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Duplicates of a long chain are known after the era it began in has gone."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 10)
    for number in range(100):
        others = [checkpoint(number, correlation_id=f"{number}-{n}", endpoint=f"/{number}") for n in range(9)]
        assert writer.write([[checkpoint(number)], others], NOW_MS) == [1, 9]
    assert writer.expire(951, 10_000) == 950
    assert writer.expire(961, 10_000) == 10
    assert [era for (era,) in rows(writer.path, "SELECT min(id) FROM era")] > [1]
    for writer_again in (writer, Writer(writer.path, HOUR_MS, synced=False)):
        assert writer_again.write([[checkpoint(number) for number in range(96, 101)]], NOW_MS)[0] in (0, 1)
    assert len(stored(writer.path)) == 41
    writer_again.close()


def test_a_full_disk_leaves_all_as_it_was_and_passes(scarce: None, writer: Writer) -> None:
    """Without room a write is DiskFull and nothing; with room again the same write is whole."""
    before = [checkpoint(number) for number in range(50)]
    writer.write([before], NOW_MS)
    many = [checkpoint(number, correlation_id=f"{number % 90}", endpoint=f"/{number}") for number in range(5000)]
    (pages,) = writer._db.execute("PRAGMA page_count").fetchone()
    writer._db.execute(f"PRAGMA max_page_count={pages + 20}")
    for _ in range(3):
        with pytest.raises(DiskFull):
            writer.write([many, before], NOW_MS + HOUR_MS)
    assert stored(writer.path) == before
    writer._db.execute("PRAGMA max_page_count=1000000")
    assert writer.write([many, before], NOW_MS + HOUR_MS) == [5000, 0]
    Model([*before, *many]).compare(writer)


def test_a_site_whose_commit_failed_is_stored_with_the_next(writer: Writer) -> None:
    """No entry is of a site that is not in the file."""
    with no_commit_of(writer, "site"):
        writer.write([[checkpoint(1)]], NOW_MS)
    writer.write([[checkpoint(2)]], NOW_MS)
    assert stored(writer.path) == [checkpoint(2)]


def test_a_locked_file_leaves_all_as_it_was_and_passes(writer: Writer) -> None:
    """While another program holds the lock, writing and expiring are Unavailable and nothing; afterwards they go on."""
    before = [checkpoint(number) for number in range(50)]
    writer.write([before], NOW_MS)
    writer._db.execute("PRAGMA busy_timeout=1")
    with closing(sqlite3.connect(writer.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for attempt in (
            lambda: writer.write([[checkpoint(99)]], NOW_MS),
            lambda: writer.expire(10, 10),
            writer.probe,
        ):
            with pytest.raises(Unavailable, match="lock"):
                attempt()
        other.execute("ROLLBACK")
    model = Model(before)
    model.compare(writer)
    assert writer.write([[checkpoint(99), before[0]]], NOW_MS) == [1]
    assert writer.expire(10, 100) == 9
    model.write([[checkpoint(99)]])
    model.expire(9)
    model.compare(writer)


def test_row_ids_are_never_given_twice(writer: Writer) -> None:
    """Row ids go on where they were, also when the file was emptied and opened anew, again and again."""
    writer.write([[checkpoint(number) for number in range(5)]], NOW_MS)
    assert writer.expire(6, 100) == 5
    for row_id in (6, 7):
        with closing(Writer(writer.path, HOUR_MS, synced=False)) as again:
            again.write([[checkpoint(1)]], NOW_MS)
            assert rows(writer.path, "SELECT id FROM entry") == [(row_id,)]
            assert rows(writer.path, "SELECT expired, entries FROM chain") == [(0, 1)]
            assert again.expire(row_id + 1, 100) == 1


def test_long_places_are_not_many_in_memory(writer: Writer) -> None:
    """Those that are known have no more text together than is allowed, and the latest."""
    for number in range(5):
        writer.write([[checkpoint(number, hostname=f"{number}" * sites.CHARACTERS)]], NOW_MS)
    assert len(writer._sites.known) == 1
    assert rows(writer.path, "SELECT count(DISTINCT hostname) FROM traces") == [(5,)]


def test_only_the_owner_may_read_the_file(writer: Writer) -> None:
    """The file and what SQLite keeps beside it are 0600."""
    writer.write([[checkpoint()]], NOW_MS)
    files = list(writer.path.parent.glob("tracehub.db*"))
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_ten_thousand_entries_of_one_chain_keep_their_order(writer: Writer) -> None:
    """A large batch, out of order in time, has dense ids in the order of arrival."""
    sent = [checkpoint(number * 7919 % 10_000) for number in range(10_000)]
    assert writer.write([sent], NOW_MS) == [10_000]
    assert stored(writer.path) == sent
