"""What leaves the file: the oldest by arrival, one by one, with the room they took."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from test_writer import HOUR_MS, NOW_MS, checkpoint, no_commit_of, rows

from shared.storage import chains, eras
from shared.storage.columns import columns
from shared.storage.expiry import SHORT
from shared.storage.writer import Writer
from shared.wire import Entry

SECOND_MS = 1_000


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer of a new file."""
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        yield writer


def arrive(writer: Writer, *at_ms: int) -> None:
    """One entry for each time of arrival."""
    for now_ms in at_ms:
        writer.write([[checkpoint(writer.newest + 1)]], now_ms)


def expired(writer: Writer, now_ms: int) -> int:
    """How many entries are past an hour's retention at that time."""
    return max(0, writer.find_horizon(now_ms - HOUR_MS, now_ms) - writer.oldest)


def test_entries_expire_by_arrival(writer: Writer) -> None:
    """Nothing goes before its hour is over, everything soon after."""
    arrive(writer, *(NOW_MS + n * 10 * SECOND_MS for n in range(6)))
    assert expired(writer, NOW_MS + HOUR_MS) == 0
    for count in range(1, 7):
        due_ms = NOW_MS + HOUR_MS + (count - 1) * 10 * SECOND_MS
        assert expired(writer, due_ms + 2 * SECOND_MS) == count


def test_a_mark_that_was_undone_is_made_again(writer: Writer) -> None:
    """What arrives right after a commit that failed has a time of arrival of its own."""
    arrive(writer, NOW_MS)
    with no_commit_of(writer, "arrival"):
        arrive(writer, NOW_MS + HOUR_MS)
    arrive(writer, NOW_MS + HOUR_MS)
    assert expired(writer, NOW_MS + HOUR_MS + 2 * SECOND_MS) == 1


def test_the_senders_clock_does_not_matter(writer: Writer) -> None:
    """Entries with times of long ago or far ahead stay for their hour."""
    writer.write([[checkpoint(0), checkpoint(2**53)]], NOW_MS)
    assert expired(writer, NOW_MS + HOUR_MS - SECOND_MS) == 0


def test_a_clock_that_was_wrong_into_the_past_deletes_nothing_young(writer: Writer) -> None:
    """Arrivals marked 1970, as by a machine that boots without a clock, do not drag what came before them along."""
    arrive(writer, NOW_MS, 5_000, 6_000, NOW_MS + 60 * SECOND_MS)
    assert expired(writer, NOW_MS + 90 * SECOND_MS) == 0
    assert expired(writer, NOW_MS + HOUR_MS + 70 * SECOND_MS) == 4


def test_a_clock_that_was_wrong_into_the_future_keeps_nothing_for_ever(writer: Writer) -> None:
    """Arrivals marked years ahead go with those around them, but not while nothing tells when they came."""
    ahead_ms = NOW_MS + 10_000 * HOUR_MS
    arrive(writer, NOW_MS, ahead_ms)
    assert expired(writer, NOW_MS + 2 * HOUR_MS) == 1
    arrive(writer, NOW_MS + 60 * SECOND_MS, NOW_MS + 120 * SECOND_MS)
    assert expired(writer, NOW_MS + HOUR_MS + 70 * SECOND_MS) == 3
    assert expired(writer, NOW_MS + HOUR_MS + 130 * SECOND_MS) == 4


def test_an_entry_set_back_a_little_is_kept_its_full_time(writer: Writer) -> None:
    """A clock that is set back by minutes lets nothing go early."""
    arrive(writer, NOW_MS, NOW_MS + 600 * SECOND_MS, NOW_MS + 5 * SECOND_MS)
    assert expired(writer, NOW_MS + HOUR_MS + 10 * SECOND_MS) <= 1


def test_a_chain_shrinks_to_what_is_left(writer: Writer) -> None:
    """The summary describes the entries that are left, and counts those that went."""
    writer.write(
        [
            [
                checkpoint(5, source_id="MA"),
                checkpoint(1, source_id="WS", raw_line="one"),
                checkpoint(9, source_id="MA", direction="<-", raw_line="two"),
                checkpoint(3, source_id="MA", correlation_id="other"),
            ]
        ],
        NOW_MS,
    )
    summary = "SELECT correlation_id, entries, expired, trim(sources) FROM chain ORDER BY id"
    times = "SELECT min(timestamp), max(timestamp) FROM traces WHERE correlation_id = 'chain'"
    assert writer.expire(3, 500) == 2
    assert rows(writer.path, summary) == [("chain", 1, 2, '{"MA":1}'), ("other", 1, 0, '{"MA":1}')]
    assert rows(writer.path, times) == [(9, 9)]
    assert rows(writer.path, "SELECT line FROM raw_line") == [("two",)]
    assert writer.expire(100, 500) == 2
    assert rows(writer.path, summary) == []


@pytest.mark.parametrize("size", [40, 3 * SHORT])
def test_some_of_those_that_share_an_instant(writer: Writer, size: int) -> None:
    """A slice takes its own entries and no other of the same chain and moment, whether the chain is short or long."""
    writer.write([[checkpoint(1, suffix=f"{number % 7} {number}") for number in range(size)]], NOW_MS)
    assert writer.expire(26, 500) == 25
    assert rows(writer.path, "SELECT entry FROM entry_once ORDER BY entry") == [(id,) for id in range(26, size + 1)]
    assert writer.write([[checkpoint(1, suffix="2 30"), checkpoint(1, suffix="5 5")]], NOW_MS) == [1]
    assert rows(writer.path, "SELECT max(id), count(*) FROM traces") == [(size + 1, size - 24)]


@pytest.mark.parametrize("known", [0, 10])
def test_a_chain_that_has_gone_begins_anew(writer: Writer, monkeypatch: pytest.MonkeyPatch, known: int) -> None:
    """Its id may come again while memory still has what it was, among the chains in use or among those let go next."""
    monkeypatch.setattr(chains, "MAX_KNOWN", known)
    for batch in ([checkpoint(1)], [checkpoint(2), checkpoint(3, correlation_id="other")]):
        writer.write([batch], NOW_MS)
    assert ("chain" in writer._chains.known) == (known > 0)
    assert writer.expire(3, 500) == 2
    again = [checkpoint(2), checkpoint(7, direction="<-")]
    assert writer.write([again], NOW_MS) == [2]  # a duplicate beside would have it forgotten
    summary = "SELECT id, entries, expired, first_at, last_at > 0 FROM chain WHERE correlation_id = 'chain'"
    assert rows(writer.path, summary) == [(3, 2, 0, 0, 1)]


def test_errors_leave_the_summary_with_their_entries(writer: Writer) -> None:
    """A chain counts the errors of the entries that are left, also when it is read from the file again."""
    failed = '{"error":"timeout"}'
    writer.write([[checkpoint(1, data=failed), checkpoint(2, data=failed), checkpoint(3)]], NOW_MS)
    errors = "SELECT errors, entries FROM chain"
    assert rows(writer.path, errors) == [(2, 3)]
    assert writer.expire(2, 500) == 1
    assert rows(writer.path, errors) == [(1, 2)]
    writer.write([[checkpoint(4, data=failed)]], NOW_MS)
    assert rows(writer.path, errors) == [(2, 3)]


def test_a_slice_is_no_larger_than_asked(writer: Writer) -> None:
    """Entries go in slices, oldest first, and not beyond the horizon."""
    writer.write([[checkpoint(number) for number in range(30)]], NOW_MS)
    assert [writer.expire(26, 10) for _ in range(4)] == [10, 10, 5, 0]
    assert rows(writer.path, "SELECT min(id), count(*) FROM entry") == [(26, 5)]


def test_marks_eras_and_sites_go_with_their_entries(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years of turnover leave no more behind than the entries that are there need."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 20)
    monkeypatch.setattr(eras, "LEAST", 50)

    def leftovers() -> list[Any]:
        return [
            rows(writer.path, f"SELECT count(*) FROM {table}")[0][0]
            for table in ("arrival", "era", "site", "chain_key")
        ]

    for turn in range(60):
        fresh = [checkpoint(number, correlation_id=f"{turn}", endpoint=f"/{turn}/{number}") for number in range(20)]
        writer.write([fresh], NOW_MS + turn * SECOND_MS)
        writer.expire(writer.newest - 40, 500)
    marks, periods, sites, keys = leftovers()
    assert marks <= 4
    assert periods <= 6
    assert sites <= 120
    assert keys <= 6


def test_what_entries_need_leaves_room_for_entries_where_the_file_has_a_size(writer: Writer) -> None:
    """However many chains and endpoints have come and gone, they take a part of the room and not all of it."""
    kept = []
    for turn in range(20):
        fresh = [checkpoint(n, correlation_id=f"{turn}-{n}", endpoint=f"/{turn}/{n}/{'x' * 200}") for n in range(1_000)]
        writer.write([fresh], NOW_MS + turn * SECOND_MS)
        while writer.expire_while_larger(2**20, 1_000):
            pass
        assert writer.used_bytes() <= 2**20
        kept.append(writer.newest - writer.oldest + 1)
    assert min(kept[10:]) > max(kept) / 3


def test_large_entries_make_room_one_by_one(writer: Writer) -> None:
    """Of entries that are large few have to go, and no more do."""
    for number in range(30):
        writer.write([[checkpoint(number, data=f'{{"a":"{"x" * 100_000}"}}')]], NOW_MS)
    while writer.expire_while_larger(2 * 2**20, 1_000):
        pass
    assert 1.8 * 2**20 < writer.used_bytes() <= 2 * 2**20


def test_entries_are_synced_whatever_was_deleted_before(tmp_path: Path) -> None:
    """A deletion leaves its sync to the next commit; that of entries always has one."""
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS)) as writer:
        for turn in range(3):
            writer.write([[checkpoint(turn)]], NOW_MS)
            assert writer._db.execute("PRAGMA synchronous").fetchone() == (2,)
            assert writer.expire(turn + 2, 1) == 1
            assert writer._db.execute("PRAGMA synchronous").fetchone() == (1,)


def test_pages_are_given_back(writer: Writer) -> None:
    """What deleting freed goes back to the file system, but for the part that is to be spared."""
    writer.write([[checkpoint(number, data=f'{{"a":"{"x" * 500}"}}') for number in range(5_000)]], NOW_MS)
    (full,) = rows(writer.path, "PRAGMA page_count")[0]
    while writer.expire(4_900, 500):
        pass
    while writer.give_back(8, 64):
        pass
    (pages,), (unused,) = rows(writer.path, "PRAGMA page_count")[0], rows(writer.path, "PRAGMA freelist_count")[0]
    assert pages < full / 5
    assert pages // 8 <= unused <= pages / 8 + 1
    while writer.give_back(None, 64):
        pass
    assert rows(writer.path, "PRAGMA freelist_count") == [(0,)]


def test_a_file_that_keeps_its_pages_ends_the_giving(tmp_path: Path) -> None:
    """A file rebuilt without incremental vacuum, as recovery tools do, has nothing to give back."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(number) for number in range(5_000)]], NOW_MS)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("PRAGMA auto_vacuum=NONE")
        db.execute("VACUUM")
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert writer.expire(5_000, 5_000) == 4_999
        assert writer.give_back(None, 64) == 0


@pytest.mark.parametrize("seed", range(20))
def test_turning_over_is_to_expire_and_to_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """In one transaction or in two, the same entries stay, come, and are told to be duplicates; so do all summaries."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 50)
    monkeypatch.setattr(chains, "KEYS_TOGETHER", 7)
    random = Random(seed)
    with (
        closing(Writer(tmp_path / "one.db", HOUR_MS, synced=False)) as one,
        closing(Writer(tmp_path / "two.db", HOUR_MS, synced=False)) as two,
    ):
        for turn in range(60):
            entries = columns(*(_some(random, turn) for _ in range(random.randrange(4))))
            horizon, limit = random.randrange(turn * 10 + 1), random.randrange(30)
            now_ms = NOW_MS + turn * SECOND_MS
            came, went, _ = one.turn_over(entries, now_ms, {"sender": turn}, one.due(horizon, limit))
            assert went == two.expire(horizon, limit)
            assert came == two.store(entries, now_ms, {"sender": turn})
            assert (one.oldest, one.newest) == (two.oldest, two.newest)
    for query in (
        "SELECT * FROM traces ORDER BY id",
        "SELECT correlation_id, base, first_at, last_at, newest, entries, expired, errors, balance, sources FROM chain",
        "SELECT count(*) FROM entry_once",
        "SELECT * FROM sender",
        "PRAGMA integrity_check",
    ):
        assert rows(tmp_path / "one.db", query) == rows(tmp_path / "two.db", query)
    keyless = (
        "SELECT id FROM chain WHERE id <= (SELECT max(keyed) FROM era) AND id NOT IN (SELECT chain FROM chain_key)"
    )
    assert rows(tmp_path / "one.db", keyless) == []


def test_keys_that_a_duplicate_took_back_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chains that were new with one that goes are found later, also where what came with it had to be undone."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 4)
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(1, correlation_id="goes"), checkpoint(2, correlation_id="stays")]], NOW_MS)
        again = [checkpoint(2, correlation_id="stays"), checkpoint(3, correlation_id="comes")]
        came, went, _ = writer.turn_over(columns(again), NOW_MS, {}, writer.due(2, 1))
        assert (came, went) == ([1], 1)
        for number in range(4, 12):
            writer.write([[checkpoint(number)]], NOW_MS)
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        assert writer.write([again], NOW_MS) == [0]


def _some(random: Random, turn: int) -> list[Entry]:
    """Entries of old chains and new ones, some of which came before, perhaps long ago."""
    numbers = [random.randrange(max(0, turn - 8) * 10, turn * 10 + 10) for _ in range(random.randrange(12))]
    return [checkpoint(number, correlation_id=f"{number // random.choice((1, 4))}") for number in numbers]
