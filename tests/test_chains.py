"""The summaries of chains: what they list, and what of them is in memory."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from test_writer import HOUR_MS, NOW_MS, Model, checkpoint, rows

from shared.storage import chains
from shared.storage.chains import decode_sources
from shared.storage.writer import Writer


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """A writer of a new file."""
    with closing(Writer(tmp_path / "tracehub.db", HOUR_MS, synced=False)) as writer:
        yield writer


def test_a_chain_that_goes_on_has_room_for_its_sources(writer: Writer) -> None:
    """The row of a new chain that is open is written longer than it is, and as it is when it is written again."""
    done = [checkpoint(1, correlation_id="done"), checkpoint(2, correlation_id="done", direction="<-")]
    writer.write([[checkpoint(1), *done]], NOW_MS)
    lengths = "SELECT correlation_id, length(sources) FROM chain ORDER BY id"
    assert rows(writer.path, lengths) == [("chain", chains.SOURCES_ROOM), ("done", len('{"MA":2}'))]
    writer.write([[checkpoint(2, source_id="WS")]], NOW_MS)
    assert rows(writer.path, lengths)[0] == ("chain", len('{"MA":1,"WS":1}'))


def test_a_chain_lists_a_thousand_sources(writer: Writer) -> None:
    """More are stored and counted like all others, and are listed when those that were have gone."""
    summary = "SELECT entries, balance = 0, sources FROM chain"
    for turn, direction in enumerate(("->", "<-")):
        writer.write([[checkpoint(n, source_id=f"{n % 1_100}", direction=direction) for n in
                       range(1_100 * turn, 1_100 * (turn + 1))]], NOW_MS)  # fmt: skip
    ((entries, complete, sources),) = rows(writer.path, summary)
    assert (entries, complete) == (2_200, True)
    assert decode_sources(sources) == {f"{n}": 2 for n in range(1_000)}
    assert writer.expire(2_190, 10_000) == 2_189
    writer.write([[checkpoint(3_000, source_id="1099")]], NOW_MS)
    ((entries, complete, sources),) = rows(writer.path, summary)
    assert (entries, complete, decode_sources(sources)) == (12, False, {"1099": 1})
    assert writer.expire(2_202, 10_000) == 12
    assert rows(writer.path, summary) == []


def test_chains_in_memory_are_not_many(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come: half of those that are allowed, and those of a transaction, before the older half goes."""
    monkeypatch.setattr(chains, "MAX_KNOWN", 20)
    for turn in range(10):
        writer.write([[checkpoint(number, correlation_id=f"{turn} {number}") for number in range(5)]], NOW_MS)
        assert len(writer._chains.known) + len(writer._chains._resting) <= 20 + 5


def test_chains_that_have_gone_leave_memory_as_well(writer: Writer) -> None:
    """Also where they are far fewer than there is room for."""
    for turn in range(10):
        writer.write([[checkpoint(number, correlation_id=f"{turn} {number}") for number in range(100)]], NOW_MS)
        writer.expire(writer.newest - 99, 1_000)
        assert len(writer._chains.known) + len(writer._chains._resting) <= 300


def test_chains_of_many_sources_are_not_many_in_memory(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are known have no more sources together than is allowed, whether they are new, read again or go on."""
    monkeypatch.setattr(chains, "SOURCES", 40)
    model = Model()
    for number in range(60):
        fresh = [checkpoint(number, correlation_id=f"{number % 30}", source_id=f"{number} {n}") for n in range(10)]
        batch = [*(msgspec.structs.replace(one, suffix=f"{n}") for n, one in enumerate(fresh)), checkpoint(number % 40)]
        assert writer.write([batch], NOW_MS) == model.write([batch])
        in_memory = [*writer._chains.known.values(), *writer._chains._resting.values()]
        assert sum(len(chain.sources) for chain in in_memory) <= 40 + 2 * 20
    model.compare(writer)
