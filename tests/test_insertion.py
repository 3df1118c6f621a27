"""What is inserted, a hundred rows at a time: exactly the duplicates are told."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from test_writer import HOUR_MS, NOW_MS, checkpoint, rows

from shared.storage.insertion import LARGE_ROWS, ROWS
from shared.storage.writer import Writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer of a new file."""
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        yield writer


@pytest.mark.parametrize("size", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_duplicates_wherever_they_stand(writer: Writer, size: int) -> None:
    """In a statement, across two and between calls: those that come again are told, the others get dense row ids."""
    once = [checkpoint(number) for number in range(size)]
    assert writer.write([[*once, once[0]], [once[-1], checkpoint(-1)]], NOW_MS) == [size, 1]
    assert writer.write([once, [checkpoint(-2), checkpoint(-1), checkpoint(-2)]], NOW_MS) == [0, 1]
    assert rows(writer.path, "SELECT id FROM entry") == [(id,) for id in range(1, size + 3)]
    fitting = "SELECT count(*) FROM entry JOIN entry_once AS once ON once.entry = id AND once.at = entry.at"
    assert rows(writer.path, fitting) == rows(writer.path, "SELECT count(*) FROM entry_once") == [(size + 2,)]


def test_large_entries_beside_small_ones(writer: Writer) -> None:
    """Rows that are bound one by one are stored as all others are."""
    large = f'{{"a":"{"x" * LARGE_ROWS}"}}'
    data = [large if number == ROWS + 5 else "{}" for number in range(3 * ROWS)]
    writer.write([[checkpoint(number, data=text) for number, text in enumerate(data)]], NOW_MS)
    assert rows(writer.path, "SELECT data FROM traces ORDER BY id") == [(text,) for text in data]
