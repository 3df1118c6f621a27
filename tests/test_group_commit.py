"""Group commit: whoever asks is answered in order, each with its own count, in one transaction where possible."""

import asyncio
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from patience import PATIENCE_S
from test_writer import HOUR_MS, checkpoint, rows

from ingest_svc import group_commit
from ingest_svc.group_commit import GAP_ENTRIES, GroupCommit
from ingest_svc.keeper import Keeper
from ingest_svc.line import Gone, Line
from ingest_svc.messages import (
    Answer,
    Ask,
    Batch,
    Batches,
    Call,
    Done,
    Failed,
    Messages,
    Report,
    Written,
    framed,
)
from shared.doorbell import Doorbell, Listener
from shared.errors import DiskFull, FileFault, Unavailable
from shared.storage.columns import columns
from shared.storage.writer import Writer
from shared.wire import Entry

ON_THEIR_WAY = 65_536  # bytes that the pair of sockets holds for certain
ALL_IS_DUE = Call("find_horizon", (1e15, 1e15))  # long after any arrival


class Service:
    """The other end of a writer that runs in a thread of the test."""

    def __init__(self, path: Path) -> None:
        self._socket, self._theirs = socket.socketpair()
        self._socket.settimeout(PATIENCE_S)
        self._answers = Messages(Answer)
        self.keeper = Keeper(path, 24 * HOUR_MS)
        self.keeper.open(lambda _: None, lambda: True)
        self._doorbell = Doorbell(path)
        self._commits = GroupCommit(Line(self._theirs), self.keeper, self._doorbell)
        self._thread = threading.Thread(target=self._run)

    def ask(self, *asks: Ask) -> list[Any]:
        """Ask for all of it at once, if that is little; gives the answers."""
        messages = b"".join(map(framed, asks))
        self._socket.sendall(messages[:ON_THEIR_WAY])
        if not self._thread.is_alive():
            self._thread.start()
        self._socket.sendall(messages[ON_THEIR_WAY:])
        answers: list[Any] = []
        while sum(map(_answered, answers)) < len(asks):
            answers += self._answers.feed(self._socket.recv(65_536))
        return answers

    def close(self) -> None:
        """Hang up and see the writer end."""
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._theirs.close()
        self._doorbell.close()
        self.keeper.close()

    def _run(self) -> None:
        with pytest.raises(Gone):
            self._commits.run()


def _answered(answer: Any) -> int:
    """How much of what was asked it answers."""
    if isinstance(answer, Written):
        return len(answer.counts)
    return max(1, answer.batches) if isinstance(answer, Failed) else 1


@contextmanager
def writing(path: Path) -> Iterator[Service]:
    """A writer of the file."""
    with closing(Service(path)) as service:
        yield service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A writer of the test's file."""
    with writing(tmp_path / "tracehub.db") as service:
        yield service


def batch(*numbers: int, **fields: Any) -> Batch:
    """Entries by their numbers, to a writer that knows no traits yet."""
    return sent(Batches(), [checkpoint(number, **fields) for number in numbers])


def sent(batches: Batches, entries: list[Entry], report: Report | None = None) -> Batch:
    """The message as it arrives."""
    (message,) = Messages(Ask).feed(batches.framed(columns(entries), report))
    assert isinstance(message, Batch)
    return message


def in_the_file_itself(path: Path) -> int:
    """How many entries a reader finds that does not look into the WAL."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])
        except sqlite3.DatabaseError:  # read while it was written
            return 0


async def test_a_gap_folds_the_wal_into_the_file(service: Service, tmp_path: Path) -> None:
    """When enough was written and nobody waits, what the WAL holds is in the file itself."""
    path = tmp_path / "tracehub.db"
    service.ask(batch(*range(GAP_ENTRIES - 1)))
    assert in_the_file_itself(path) < GAP_ENTRIES - 1
    service.ask(batch(GAP_ENTRIES))
    await until(lambda: in_the_file_itself(path) == GAP_ENTRIES)


@pytest.mark.parametrize("beside", [0, 1])
async def test_a_gap_folds_what_deleting_wrote(service: Service, tmp_path: Path, beside: int) -> None:
    """Deletions do not leave the WAL to the commits beside them: it is in the file itself when nobody waits."""
    path, entries = tmp_path / "tracehub.db", GAP_ENTRIES // 2
    service.ask(batch(*range(entries)))
    service.keeper.call(Writer.checkpoint)
    assert in_the_file_itself(path) == entries
    (horizon,) = service.ask(ALL_IS_DUE)
    done, *_ = service.ask(Call("expire", (entries,)), *(batch(entries + number) for number in range(beside)))
    assert (horizon.value, done.value) == (entries + 1, entries)
    await until(lambda: in_the_file_itself(path) == beside)


def test_what_waits_is_one_transaction_and_each_has_its_count(service: Service, tmp_path: Path) -> None:
    """Batches that arrived together share a transaction and get the counts of their own entries."""
    asks = [batch(0), batch(0, 1, 1), batch(2, 1, 0), batch(2), batch()]
    (written,) = service.ask(*asks)
    assert written.counts == [1, 1, 1, 0, 0]
    assert rows(tmp_path / "tracehub.db", "SELECT count(*) FROM traces") == [(3,)]


def test_a_batch_that_comes_in_pieces_is_one_commit(service: Service) -> None:
    """While it comes nothing else is written."""
    service.ask(batch(0))
    statements: list[str] = []
    service.keeper.call(lambda writer: writer._db.set_trace_callback(statements.append))
    service.ask(batch(1, data=f'"{"x" * 4 * 2**20}"'))
    assert statements.count("COMMIT") == 1


def test_of_the_reports_of_a_sender_the_largest_counts(service: Service) -> None:
    """Whichever batch of a group it came with."""
    reports = [sent(Batches(), [checkpoint(total)], ("sender", total)) for total in (6, 7, 5)]
    (written,) = service.ask(*reports)
    assert written.counts == [1, 1, 1]
    assert service.ask(Call("dropped", ()))[0].value == 7


def test_calls_split_no_group(service: Service) -> None:
    """Calls that stand between batches are answered one by one, in their order, and see what was asked before them."""
    answers = service.ask(batch(0), batch(1), Call("probe", ()), batch(2), Call("dropped", ()))
    assert [type(answer) for answer in answers] == [Written, Done, Done]
    assert answers[0].counts == [1, 1, 1]
    assert [answer.value for answer in answers[1:]] == [3, 0]


@pytest.mark.parametrize("deletion", [Call("expire", (100,)), Call("expire_while_larger", (1, 100))])
def test_a_deletion_goes_with_the_batches_beside_it(service: Service, tmp_path: Path, deletion: Call) -> None:
    """Both are one transaction, in which as many go as were asked for, or six times as many as come."""
    service.ask(batch(*range(1_000)))
    service.ask(ALL_IS_DUE)
    statements: list[str] = []
    service.keeper.call(lambda writer: writer._db.set_trace_callback(statements.append))
    done, written = service.ask(batch(*range(1_000, 1_050)), deletion, batch(900, 1_050))
    assert (done.value, written.counts) == (6 * 52, [50, 1])
    done, written = service.ask(deletion, batch(1_051))
    assert (done.value, written.counts) == (100, [1])
    told = re.findall("^(DELETE(?= FROM entry )|INSERT(?= INTO entry )|COMMIT)", "\n".join(statements), re.MULTILINE)
    assert " ".join(told).count("DELETE INSERT COMMIT") == told.count("INSERT") == 2
    found = rows(tmp_path / "tracehub.db", "SELECT min(id), max(id), count(*) FROM traces")
    assert found == [(413, 1_052, 640)]


async def test_each_commit_rings(service: Service, tmp_path: Path) -> None:
    """That of a batch alone, and of one that a deletion goes with."""
    heard = asyncio.Event()
    listener = Listener(tmp_path / "tracehub.db", heard.set)
    for asks in ([batch(1)], [Call("expire", (1,)), batch(2)]):
        await asyncio.to_thread(service.ask, ALL_IS_DUE)
        await asyncio.to_thread(service.ask, *asks)
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
        heard.clear()
    listener.close()


def test_a_deletion_that_fails_takes_no_batch_with_it(service: Service, tmp_path: Path) -> None:
    """Where old pages are damaged what comes is stored all the same; whoever asks for the deletion is told."""
    service.ask(batch(1), batch(2))
    with closing(sqlite3.connect(tmp_path / "tracehub.db")) as other:
        other.execute("UPDATE chain SET sources = 'no JSON', newest = 1000")
        other.commit()
    service.ask(ALL_IS_DUE)
    written, failed = service.ask(Call("expire", (1,)), batch(3, correlation_id="another"))
    assert written.counts == [1]
    assert "opened anew" in str(failed.fault.error())
    _, failed = service.ask(ALL_IS_DUE, Call("expire", (1,)))
    assert "damaged" in str(failed.fault.error())


def test_an_unforeseen_error_is_told_and_passes(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A call that fails by a fault of ours is answered as one; the log has it, and the next call works."""
    failed, done = service.ask(Call("expire_while_larger", (None, 1)), Call("probe", ()))
    assert isinstance(failed.fault.error(), RuntimeError)
    assert done.value == 0
    assert "Traceback" in caplog.text


def test_a_failure_is_told_to_all_of_its_group_and_passes(scarce: None, service: Service, tmp_path: Path) -> None:
    """A transaction that fails stores nothing of its group; the next one works."""
    asks = [batch(number, data=f'{{"a":"{"x" * 2000}"}}') for number in range(25)]

    def limit(pages: int) -> None:
        service.keeper.call(lambda writer: writer._db.execute(f"PRAGMA max_page_count={pages}").fetchone())

    limit(16)
    (failed,) = service.ask(*asks)
    assert (type(failed.fault.error()), failed.batches) == (DiskFull, 25)
    assert rows(tmp_path / "tracehub.db", "SELECT count(*) FROM traces") == [(0,)]
    limit(1_000_000)
    assert service.ask(*asks)[0].counts == [1] * 25


def test_a_group_has_a_size(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a transaction takes is left to the next one."""
    half = 10
    monkeypatch.setattr(group_commit, "GROUP_ENTRIES", 2 * half)
    answers = service.ask(*(batch(*range(n * half, (n + 1) * half)) for n in range(3)))
    assert [written.counts for written in answers] == [[half, half], [half]]


async def test_a_file_that_failed_is_opened_anew(service: Service, tmp_path: Path) -> None:
    """After a fault below SQLite the file is closed, refused for a moment and opened again, nothing acked lost."""
    assert service.ask(batch(1))[0].counts == [1]

    def fail(writer: object) -> None:
        raise FileFault("the disk is on fire", retry_after=5)

    for _ in range(2):  # the second time it was opened a moment ago
        with pytest.raises(FileFault):
            service.keeper.call(fail)
    with pytest.raises(FileFault, match="on fire"):
        service.keeper.call(lambda writer: writer.probe())
    await until(lambda: _works(service))
    assert rows(tmp_path / "tracehub.db", "SELECT count(*) FROM traces") == [(2,)]


async def test_a_directory_that_has_gone_is_told_and_may_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a disk that is unmounted: a refusal that says why, no fault of ours, and it goes on by itself."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    with writing(data / "tracehub.db") as service:
        assert service.ask(batch(1))[0].counts == [1]
        data.rename(elsewhere)
        (failed,) = service.ask(batch(2))
        assert isinstance(failed.fault.error(), Unavailable)
        assert f"the directory {data} does not exist" in str(failed.fault.error())
        assert "Traceback" not in caplog.text
        elsewhere.rename(data)
        await until(lambda: _works(service))


async def test_a_directory_that_goes_while_there_is_no_reserve(tmp_path: Path) -> None:
    """After a full disk, what is asked of the file system for the reserve is no reason to stay closed."""
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    with writing(data / "tracehub.db") as service:
        assert service.ask(batch(1))[0].counts == [1]
        service.keeper.call(lambda writer: writer._reserve.let_go())
        data.rename(elsewhere)
        for number in (2, 3):
            (failed,) = service.ask(batch(number))
            assert isinstance(failed.fault.error(), Unavailable)
            assert f"the directory {data} does not exist" in str(failed.fault.error())
        elsewhere.rename(data)
        await until(lambda: _works(service))


def _works(service: Service) -> bool:
    (answer,) = service.ask(batch(1, 2))
    if isinstance(answer, Failed):
        assert isinstance(answer.fault.error(), Unavailable)
        return False
    return bool(answer.counts == [1])
