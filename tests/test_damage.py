"""What a damaged file comes to: one clear error that says what to do, wherever it shows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.errors import BadFile
from shared.storage.found import Chosen
from shared.storage.reader import MAX_INT64, Reader, start_of
from shared.storage.sqlite import PAGE_BYTES, translated
from shared.storage.tail_reader import TailReader
from shared.storage.writer import Writer
from shared.wire import Entry

HOUR_MS = 3_600_000
ENTRY = Entry("MA", "chain", 1.0, "a", "->", "REST", "/a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with an entry in it."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS)) as writer:
        writer.write([[ENTRY]], HOUR_MS)
    return path


def _change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


async def _read_all(path: Path) -> None:
    reader = await Reader.open(path, 1)
    try:
        for call in (
            reader.chain("chain", 10, None, start_of(None)),
            reader.correlations(10, None, Chosen()),
            reader.recent(10, None, "", 10**6),
            reader.entries_after(0, MAX_INT64, 10, 10**6),
            reader.checkpoints([1]),
        ):
            with pytest.raises(BadFile, match="restore a snapshot"):
                await call
    finally:
        await reader.close()


async def test_values_of_the_wrong_type(path: Path) -> None:
    """Where a number should be stands something else: every way to read it says so, that of a stream, too."""
    _change(path, "UPDATE chain SET base = 1e300", "UPDATE arrival SET at = 'x'")
    await _read_all(path)
    with closing(TailReader(path)) as tail_reader:
        with pytest.raises(BadFile, match="restore a snapshot"):
            tail_reader.entries_after(0)
        _change(path, "DELETE FROM entry", "INSERT INTO last_expired VALUES ('x')")
        with pytest.raises(BadFile, match="restore a snapshot"):
            tail_reader.newest()
    reader = await Reader.open(path, 1)
    with pytest.raises(BadFile, match="restore a snapshot"):
        await reader.newest()
    await reader.close()
    with pytest.raises(BadFile, match="restore a snapshot"):
        Writer(path, HOUR_MS)


def test_a_fault_of_ours_is_no_damage(path: Path) -> None:
    """What fails while a sound row is made sense of stays what it is: nobody is sent for a snapshot."""
    for fault in (TypeError, ValueError):
        with pytest.raises(fault), translated(path):
            raise fault


async def test_an_entry_of_no_site(path: Path) -> None:
    """A chain whose entry names a site that is not there is not a failure of the service."""
    _change(path, "DELETE FROM site")
    reader = await Reader.open(path, 1)
    with pytest.raises(BadFile, match="restore a snapshot"):
        await reader.chain("chain", 10, None, start_of(None))
    await reader.close()


def test_damage_that_looks_like_a_full_disk(path: Path) -> None:
    """A page number beyond all pages is a lack of room to SQLite; where the disk has room, it is damage to us."""
    with closing(Writer(path, HOUR_MS)) as writer:
        for number in range(20):
            writer.write([[replace(ENTRY, suffix=f"{number} {place}") for place in range(200)]], HOUR_MS)
        writer.expire(writer.newest, 3_500)
    content = bytearray(path.read_bytes())
    for place in range(PAGE_BYTES, 2 * PAGE_BYTES, 5):  # what refers to each page: its kind, and where that is
        if content[place] == 5:
            content[place + 1 : place + 5] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with closing(Writer(path, HOUR_MS)) as writer, pytest.raises(BadFile, match=r"room for more.*restore a snapshot"):
        writer.give_back(None, 1_000)


def test_a_file_of_a_development_version(path: Path) -> None:
    """A layout that never was released is refused in one sentence that says what to do."""
    _change(path, "ALTER TABLE era DROP COLUMN sieve")
    with pytest.raises(BadFile, match=r"no such column: sieve.*development version.*move it away"):
        Writer(path, HOUR_MS)


@pytest.mark.parametrize("name", [b"chain_key", b"ch\xa8in_key"])
def test_a_damaged_layout_is_told_in_one_line(path: Path, name: bytes) -> None:
    """SQLite quotes the layout that it cannot read, line breaks and what is no text included; a log line stays one."""
    content = path.read_bytes()
    content = content.replace(b"tablechain_key", b"table" + name)
    path.write_bytes(content.replace(b"key   INTEGER NOT NULL, ", b'key   "NTEGER NOT NULL, '))
    for opened in (lambda: Writer(path, HOUR_MS), lambda: TailReader(path)):
        with pytest.raises(BadFile, match="restore a snapshot") as caught:
            opened()
        assert "\n" not in str(caught.value)
