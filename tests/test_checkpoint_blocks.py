"""A block as a pair of checkpoints: `with`, and decorated functions; what it raises, and which id it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from checkpoint_logger import get_checkpoint_logger, get_correlation_id, set_correlation_id
from traced import Traced, tracing


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as traced:
        yield traced


def test_a_block_is_entered_and_left(traced: Traced) -> None:
    """`checkpoint` writes both, an error goes with the exit and passes on, and its own id ends with it."""
    log = get_checkpoint_logger("MA")
    with log.checkpoint("RPC", "/pay", {"n": 1}) as point:
        point.exit_data = {"status": "ok"}
    with pytest.raises(KeyError), log.checkpoint("RPC", "/pay"):
        raise KeyError("gone")
    entry, exit_, _, failed = traced.entries
    assert (entry["data"], exit_["data"], failed["data"]) == ({"n": 1}, {"status": "ok"}, {"error": "KeyError: 'gone'"})
    assert entry["correlation_id"] == exit_["correlation_id"] != failed["correlation_id"]
    assert get_correlation_id() is None


@pytest.mark.parametrize("other", ["other", None])
async def test_a_block_is_left_under_the_id_it_was_entered_with(traced: Traced, other: str | None) -> None:
    """The block may put another id in force; a generator that was left half-way ends in whoever collects it."""
    log = get_checkpoint_logger("MA")
    left: list[AsyncIterator[int]] = []

    async def rows() -> AsyncIterator[int]:
        with log.checkpoint("DB", "/rows"):
            yield 1

    async def leaves() -> None:
        set_correlation_id("mine")
        left.append(rows())
        await anext(left[0])
        with log.checkpoint("REST", "/renamed"):
            set_correlation_id("another")

    async def collects() -> str | None:
        set_correlation_id(other)
        left.clear()
        await asyncio.sleep(0.01)
        return get_correlation_id()

    await asyncio.create_task(leaves())
    assert await asyncio.create_task(collects()) == other
    entries = await asyncio.to_thread(lambda: traced.entries)
    assert [entry["direction"] for entry in entries] == ["->", "->", "<-", "<-"]
    assert {entry["correlation_id"] for entry in entries} == {"mine"}


async def test_functions_and_coroutines_are_decorated(traced: Traced) -> None:
    """Results, names and errors are those of the function, recursion included."""
    log = get_checkpoint_logger("MA")

    @log.checkpoint("CALL", "sum")
    def added(n: int) -> int:
        """Adds."""
        return n + added(n - 1) if n else 0

    @log.checkpoint("CALL", "slow")
    async def slow(fail: bool) -> str:
        await asyncio.sleep(0)
        if fail:
            raise ValueError("no")
        return "done"

    assert (added(3), added.__name__, added.__doc__) == (6, "added", "Adds.")
    assert await slow(False) == "done"
    with pytest.raises(ValueError, match="no"):
        await slow(True)
    entries = await asyncio.to_thread(lambda: traced.entries)
    assert [entry["direction"] for entry in entries] == ["->"] * 4 + ["<-"] * 4 + ["->", "<-"] * 2
    assert entries[-1]["data"] == {"error": "ValueError: no"}


@pytest.mark.parametrize("given", [["a", "list"], "text", 7])
def test_odd_exit_data_does_not_take_the_place_of_the_error(traced: Traced, given: Any) -> None:
    """What the block raised passes on, and goes with the exit beside whatever it was given."""
    log = get_checkpoint_logger("MA")
    with pytest.raises(KeyError, match="mine"), log.checkpoint("RPC", "/pay") as point:
        point.exit_data = given
        raise KeyError("mine")
    assert traced.entries[1]["data"] == {"value": given, "error": "KeyError: 'mine'"}
