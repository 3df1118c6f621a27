"""The delivery ledger: what senders say they dropped."""

from contextlib import closing
from pathlib import Path
from typing import Any

from conftest import Client, entry
from test_writer import no_commit_of, rows

from shared.storage import ledger
from shared.storage.writer import Writer


async def _report(ingest: Client, report: str, **fields: Any) -> None:
    headers = {"X-TraceHub-Dropped": report}
    async with ingest.post("/ingest", json={"traces": [entry(**fields)]}, headers=headers) as response:
        assert response.status == 200, await response.text()


async def test_drops_are_shown_per_sender_and_in_sum(ingest: Client, query: Client) -> None:
    """A report counts once however often it comes, and the largest total of a sender is kept."""
    for report in ("web-1=3", "web-2=10", "web-1=7", "web-1=7", "web-1=5"):
        await _report(ingest, report)
    await _report(ingest, "web-3=2", suffix="same", timestamp=1.0)
    await _report(ingest, "web-3=4", suffix="same", timestamp=1.0)
    async with query.get("/stats") as response:
        stats = await response.json()
    assert {sender["sender"]: sender["dropped"] for sender in stats["senders"]} == {"web-1": 7, "web-2": 10, "web-3": 4}
    assert stats["dropped"] == 21
    async with ingest.get("/metrics") as response:
        assert "tracehub_entries_dropped 21\n" in await response.text()


async def test_a_report_that_cannot_be_read_costs_no_entry(ingest: Client, query: Client) -> None:
    """Entries are stored whatever stands in the header."""
    for report in ("", "=", "web", "web=", "web=-1", "web=1.5", "=3", "x" * 200 + "=1", "web=" + "9" * 40):
        await _report(ingest, report)
    async with query.get("/stats") as response:
        stats = await response.json()
    assert (stats["entries"], stats["senders"]) == (9, [])


def test_the_ledger_is_bounded_and_survives(tmp_path: Path, monkeypatch: Any) -> None:
    """The senders that reported last are kept, also after the file was closed."""
    monkeypatch.setattr(ledger, "MAX_SENDERS", 3)
    writer = Writer(tmp_path / "tracehub.db", 1000)
    for number in range(5):
        writer.write([], number, {f"sender-{number}": 1})
    writer.write([], 5, {"sender-2": 2})
    writer.write([], 6, {"sender-5": 1})
    assert writer.dropped == 4
    writer.close()
    writer = Writer(tmp_path / "tracehub.db", 1000)
    assert writer.dropped == 4
    writer.write([], 7, {"sender-9": 5})
    assert writer.dropped == 8
    writer.close()


def test_a_report_whose_commit_failed_is_news_again(tmp_path: Path) -> None:
    """What a sender says it dropped is in the file when it has said so again."""
    with closing(Writer(tmp_path / "tracehub.db", 1000, synced=False)) as writer:
        with no_commit_of(writer, "sender"):
            writer.write([], 1, {"web": 3})
        writer.write([], 2, {"web": 3})
        assert rows(writer.path, "SELECT id, dropped FROM sender") == [("web", 3)]
