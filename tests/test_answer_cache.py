"""Answers that are kept."""

from typing import Any

import pytest
from conftest import Client, entry
from test_query import chain, post

from query_svc import answer_cache as keeping
from query_svc.answer_cache import LEAST_BYTES, MOST_BYTES, AnswerCache


def test_the_latest_used_are_kept_within_the_bound() -> None:
    """Small and over-large ones are not kept; the one used longest ago goes first."""
    kept: AnswerCache[str] = AnswerCache()
    kept.put("small", "s", LEAST_BYTES - 1)
    kept.put("large", "l", MOST_BYTES + 1)
    for name in "abc":
        kept.put(name, name, MOST_BYTES // 3)
    assert [kept.get(name) for name in ("small", "large", "b", "c", "a")] == [None, None, "b", "c", "a"]
    kept.put("d", "d", MOST_BYTES // 3)
    kept.put("d", "again", MOST_BYTES // 3)
    assert [kept.get(name) for name in "abcd"] == ["a", None, "c", "again"]


async def test_a_kept_answer_is_true(ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that has changed is read anew, and so is another page or filter of it."""
    monkeypatch.setattr(keeping, "LEAST_BYTES", 0)

    async def found(**filters: Any) -> list[str]:
        return [one["suffix"] for one in (await chain(query, "chain", **filters))["traces"]]

    for number in range(4):
        await post(ingest, entry(suffix=f"{number}", source_id="AB"[number % 2]))
        for _ in range(2):
            assert await found() == [f"{n}" for n in range(number + 1)]
            assert await found(source="A") == [f"{n}" for n in range(number + 1) if n % 2 == 0]
            assert await found(limit=1) == ["0"]
