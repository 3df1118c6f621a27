"""Where the keys of chains are, and how few of the eras a new chain is looked for in."""

from contextlib import closing
from pathlib import Path

import pytest
from test_writer import HOUR_MS, NOW_MS, checkpoint, no_commit_of, rows

from shared.errors import FileFault
from shared.storage import chains, eras
from shared.storage.chains import hash48
from shared.storage.sieve import SLOTS
from shared.storage.writer import Writer


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 25 chains in three eras of ten."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 10)
    monkeypatch.setattr(eras, "KEYS_AT_A_TIME", 3)
    monkeypatch.setattr(chains, "KEYS_TOGETHER", 1)
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        for number in range(25):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS)
    return path


def test_a_chain_is_looked_for_where_it_is_and_hardly_elsewhere(path: Path) -> None:
    """A sieve in the file leads to the era of a chain; a new one is looked for in the newest era at most."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        ended = [era for (era,) in rows(path, "SELECT id FROM era WHERE sieve IS NOT NULL")]
        assert ended == [1, 2]
        for turn in range(3):
            for number in range(20):
                assert 1 + number // 10 in writer._eras.may_hold(hash48(f"{number}"))
            writer.write([[checkpoint(turn, correlation_id="a sieve is read with each write")]], NOW_MS)
        looks = sum(era in ended for number in range(500) for era in writer._eras.may_hold(hash48(f"new-{number}")))
        assert looks < 200


def test_the_newest_era_is_read_again_after_a_start(path: Path) -> None:
    """After a few writes its sieve is whole again, knows what was there before and since, and goes to the file."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert all(3 in writer._eras.may_hold(hash48(f"new-{number}")) for number in range(20))
        for number in range(3):
            writer.write([[checkpoint(number + 1, correlation_id="24")]], NOW_MS)
            assert all(3 in writer._eras.may_hold(hash48(f"{there}")) for there in range(20, 25))
        assert not all(3 in writer._eras.may_hold(hash48(f"new-{number}")) for number in range(20))
        for number in range(25, 30):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS)
        assert rows(path, "SELECT id FROM era WHERE sieve IS NULL") == [(4,)]


def test_a_chain_is_known_in_every_era(path: Path) -> None:
    """Also when it is not in memory any more: whether its era has ended before this start, since then, or not yet.

    And where there are more of them than have their sieves side by side.
    """
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        for number in range(25, 45):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS)
        for number in range(45, 45 + SLOTS):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS + number * HOUR_MS)
        assert rows(path, "SELECT count(*) > ? FROM era", SLOTS) == [(1,)]
        writer._chains.recall()
        assert writer.write([[checkpoint(correlation_id=f"{number}") for number in range(45 + SLOTS)]], NOW_MS) == [0]


def test_an_era_that_goes_before_its_sieve_was_read_takes_no_other_with_it(path: Path) -> None:
    """The chains of those that are left are still known."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert writer.expire(11, 100) == 10
        assert rows(path, "SELECT id FROM era") == [(2,), (3,)]
        for _ in range(3):
            assert writer.write([[checkpoint(correlation_id=f"{number}") for number in range(10, 25)]], NOW_MS) == [0]


def test_an_era_that_ends_before_it_was_read_is_looked_into(path: Path) -> None:
    """Without a sieve an era is asked itself: duplicates of its chains are known as well."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(number, correlation_id="more") for number in range(40)]], NOW_MS)
        writer.write([[checkpoint(correlation_id="next")]], NOW_MS)
        assert rows(path, "SELECT id FROM era WHERE sieve IS NULL") == [(3,), (4,)]
        writer._chains.recall()
        assert writer.write([[checkpoint(correlation_id=f"{number}") for number in range(20, 25)]], NOW_MS) == [0]


def test_an_era_whose_sieve_could_not_be_read_is_looked_into(path: Path) -> None:
    """A write that fails while it reads a sieve leaves the era's chains known, as any failure does."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        again = [checkpoint(correlation_id=f"{number}") for number in range(20)]
        for _ in range(2):
            writer._db.set_progress_handler(lambda: True, 1)
            with pytest.raises(FileFault, match="interrupted"):
                writer.write([again], NOW_MS)
        writer._db.set_progress_handler(None, 1)
        assert [writer.write([again], NOW_MS) for _ in range(3)] == [[0]] * 3


def test_eras_leave_together_when_their_entries_do(path: Path) -> None:
    """A slice of entries takes all eras with it that are small enough, so that none are left behind."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert writer.expire(26, 100) == 25
    assert rows(path, "SELECT id FROM era") == [(3,)]
    assert rows(path, "SELECT DISTINCT era FROM chain_key") == [(3,)]


def test_a_chain_that_returns_after_it_has_gone_has_one_key(path: Path) -> None:
    """The key that it left behind is no obstacle, also when its number is given again."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert writer.expire(26, 100) == 25
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        assert writer.write([[checkpoint(correlation_id=f"{number}") for number in range(20, 30)]], NOW_MS) == [10]
    assert rows(path, "SELECT count(*), sum(entries) FROM chain") == [(10, 10)]


def test_keys_are_written_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there are enough new chains they are known without their keys, also after a start; then all get theirs."""
    monkeypatch.setattr(chains, "KEYS_TOGETHER", 4)
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 1_000)
    of_last = "SELECT count(*) FROM chain_key WHERE era = (SELECT max(id) FROM era)"
    there = rows(path, of_last)[0][0]
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        for number in range(25, 28):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS)
    assert rows(path, of_last) == [(there,)]
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        again = [checkpoint(correlation_id=f"{number}") for number in range(25, 28)]
        assert writer.write([again], NOW_MS) == [0]
        writer.write([[checkpoint(correlation_id="28")]], NOW_MS)
        writer._chains.recall()
        assert writer.write([again], NOW_MS) == [0]
    assert rows(path, of_last) == [(there + 4,)]


def test_keys_are_written_before_their_era_ends_or_their_chain_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An era has all its keys when the next begins; a chain that goes before its key was written leaves it."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        monkeypatch.setattr(chains, "KEYS_TOGETHER", 1_000)
        for number in range(25, 33):
            writer.write([[checkpoint(correlation_id=f"{number}")]], NOW_MS)
        of_last = "SELECT count(*) FROM chain_key WHERE era = (SELECT max(id) FROM era)"
        assert rows(path, of_last) == [(0,)]
        assert rows(path, "SELECT count(*) FROM chain_key") == [(30,)]
        writer.expire(writer.newest, 100)
        assert rows(path, "SELECT chain FROM chain_key ORDER BY chain DESC LIMIT 2") == [(33,), (32,)]


def test_an_era_lasts_a_minute_however_short_the_retention(tmp_path: Path) -> None:
    """Sites are not begun anew every other moment."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, 4_000, synced=False)) as writer:
        for seconds in (0, 1, 59):
            writer.write([[checkpoint(seconds)]], NOW_MS + seconds * 1_000)
        assert rows(path, "SELECT count(*) FROM era") == [(1,)]
        writer.write([[checkpoint(61)]], NOW_MS + 61_000)
        assert rows(path, "SELECT count(*) FROM era") == [(2,)]


def test_an_era_whose_begin_failed_begins_with_the_next_write(tmp_path: Path) -> None:
    """No chain is stored into an era that is not there."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        with no_commit_of(writer, "era"):
            writer.write([[checkpoint()]], NOW_MS)
        writer.write([[checkpoint()]], NOW_MS)
        assert rows(path, "SELECT first_entry FROM era") == [(1,)]


def test_a_chain_whose_commit_failed_leaves_no_key(tmp_path: Path) -> None:
    """Also where entries expire before anything else is written."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(correlation_id="there")]], NOW_MS)
        with no_commit_of(writer, "chain"):
            writer.write([[checkpoint(correlation_id="never")]], NOW_MS)
        assert writer.expire(2, 1) == 1
        assert rows(path, "SELECT key FROM chain_key") == [(hash48("there"),)]


def test_what_is_left_of_an_era_can_be_read(path: Path) -> None:
    """No site goes before its last entry, wherever a slice ends."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        for left in range(24, -1, -1):
            assert writer.expire(26, 1) == 1
            assert rows(path, "SELECT count(*) FROM traces") == [(left,)]


@pytest.mark.parametrize(
    ("size", "pace", "keys", "sites"), [(1, 10, 40, 40), (8, 16, 40, 40), (1, 10, 5, 40), (1, 10, 40, 5)]
)
def test_an_era_leaves_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, pace: int, keys: int, sites: int
) -> None:
    """No slice of entries takes more of an era's keys and sites along than it may; the next ones take the rest."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 40)
    monkeypatch.setattr(eras, "LEAST", 10)
    path = tmp_path / "tracehub.db"
    old = [checkpoint(number, correlation_id=f"{number % keys}", endpoint=f"/{number % sites}") for number in range(40)]
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        writer.write([old], NOW_MS)
        writer.write([[checkpoint(number, correlation_id="next", endpoint="/next") for number in range(40)]], NOW_MS)
        writer.expire(40, 39)
        left = [keys, sites]
        while any(left):
            writer.expire(81, size)
            left = [max(0, number - pace) for number in left]
            assert rows(path, "SELECT count(*) FROM chain_key WHERE era = 1") == [(left[0],)]
            assert rows(path, "SELECT count(*) FROM site WHERE endpoint <> '/next'") == [(left[1],)]
        writer.expire(81, size)
        assert rows(path, "SELECT id FROM era") == [(2,)]


def test_an_era_that_has_gone_is_looked_into_no_more(path: Path) -> None:
    """Whether it had a sieve or not."""
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:

        def looked_into() -> set[int]:
            return {era for number in range(25) for era in writer._eras.may_hold(hash48(f"{number}"))}

        writer.write([[checkpoint(number, correlation_id="more") for number in range(40)]], NOW_MS)
        for number in range(3):
            writer.write([[checkpoint(number, correlation_id="next")]], NOW_MS)
        assert rows(path, "SELECT id FROM era WHERE sieve IS NULL") == [(3,), (4,)]
        assert looked_into() >= {1, 2, 3}
        assert writer.expire(66, 100) == 65
        assert looked_into() <= {4}


def test_a_sieve_is_as_large_as_its_keys_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the era before it had, and also where some of them were read again after a start."""
    monkeypatch.setattr(eras, "MIN_ERA_ENTRIES", 1_000)
    monkeypatch.setattr(chains, "KEYS_TOGETHER", 1)
    path = tmp_path / "tracehub.db"
    for numbers in (range(5), range(5, 7)):  # the third era is begun before the second start, and ended after it
        with closing(Writer(path, HOUR_MS, synced=False)) as writer:
            for number in numbers:
                some = [
                    checkpoint(500 * number + entry, correlation_id=f"{entry % 50} of {number // 2}")
                    for entry in range(500)
                ]
                writer.write([some], NOW_MS)
    assert rows(path, "SELECT length(sieve) FROM era WHERE sieve IS NOT NULL") == [(128,)] * 3


def test_an_era_ends_where_the_clock_was_ahead(tmp_path: Path) -> None:
    """What comes after it was set back does not belong to it; one that nothing came into goes on."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        for hours in (10, 0, 1, 2):
            writer.write([[checkpoint(1 if hours else 0)]], NOW_MS + hours * HOUR_MS)
        assert rows(path, "SELECT started FROM era") == [(NOW_MS + hours * HOUR_MS,) for hours in (10, 0, 1)]
