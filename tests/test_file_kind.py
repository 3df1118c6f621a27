"""Which files the writer takes: its own, none and empty ones; others are refused and left as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from test_writer import HOUR_MS, NOW_MS, checkpoint

from shared.errors import BadFile
from shared.storage.sqlite import VERSION
from shared.storage.writer import Writer


def refusal(path: Path) -> str:
    """What a writer says instead of opening the file."""
    with pytest.raises(BadFile) as caught:
        Writer(path, HOUR_MS)
    return str(caught.value)


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    """Noise, a database of another program and one of a newer version are each refused, and left as they are."""
    noise, foreign, newer = (tmp_path / name for name in ("noise.db", "foreign.db", "newer.db"))
    noise.write_bytes(b"This is no database at all. " * 100)
    assert "no database" in refusal(noise)
    assert noise.read_bytes().startswith(b"This is no")
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE customers (id)")
    assert "another program" in refusal(foreign)
    with closing(Writer(newer, HOUR_MS)) as writer:
        writer._db.execute(f"PRAGMA user_version={VERSION + 1}")
    assert f"version {VERSION + 1}" in refusal(newer)


def test_an_empty_file_is_laid_out(tmp_path: Path) -> None:
    """A file of no bytes, such as a crash at the very start leaves, becomes a database."""
    path = tmp_path / "empty.db"
    path.touch()
    with closing(Writer(path, HOUR_MS)) as writer:
        assert writer.write([[checkpoint()]], NOW_MS) == [1]
