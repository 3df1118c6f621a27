"""What TraceHubClient gives up, and counts: entries that no server takes, and those that there is no room for."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from conftest import free_port
from numbered import entry, numbers
from patience import PATIENCE_S, wait_until
from tracehub.client import TraceHubClient
from wayward import Reply, Wayward, wayward

pytestmark = pytest.mark.usefixtures("unset")


def test_413_splits_until_it_fits_and_drops_what_never_does(server: Wayward) -> None:
    """A batch too large is halved; a single entry too large is dropped and counted."""

    def judge(request: Any) -> Reply | None:
        return Reply(413, {"detail": "too large"}) if len(request.body) > 2000 else None

    server.judge = judge
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(40):
            client.send(entry(number, data={"text": "x" * (3000 if number == 17 else 10)}))
        assert client.flush(PATIENCE_S)
        assert (client.sent, client.dropped, client.pending) == (39, 1, 0)
    assert numbers(server) == [number for number in range(40) if number != 17]


def test_400_drops_the_entry_that_it_names(server: Wayward) -> None:
    """The named entry goes, the rest is sent, in order, with the report of what went before it."""

    def judge(request: Any) -> Reply | None:
        for index, trace in enumerate(request.traces):
            if trace["endpoint"] == "bad":
                return Reply(400, {"detail": "no", "path": f"$.traces[{index}].suffix"})
        return None

    server.judge = judge
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(30):
            client.send(entry(number, endpoint="bad" if number in (3, 4, 29) else "/api"))
        assert client.flush(PATIENCE_S)
        assert (client.sent, client.dropped) == (27, 3)
    assert numbers(server) == [number for number in range(30) if number not in (3, 4, 29)]
    reports = [request.headers["X-TraceHub-Dropped"] for request in server.requests]
    assert [report and report.partition("=")[2] for report in reports] == [None, "1", "2", "3"]


@pytest.mark.parametrize("body", [{"detail": "no"}, b"", {"path": "$.traces[999]"}, {"path": 5}])
def test_400_without_a_usable_path_does_not_block_the_rest(server: Wayward, body: Any) -> None:
    """One bad entry is found by halving, whatever the answer says or does not say."""
    server.judge = lambda request: Reply(400, body) if any(t["endpoint"] == "bad" for t in request.traces) else None
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(64):
            client.send(entry(number, endpoint="bad" if number == 40 else "/api"))
        assert client.flush(PATIENCE_S)
        assert (client.sent, client.dropped) == (63, 1)
    assert len(server.requests) < 20


@pytest.mark.parametrize(
    "body", [b"Client sent an HTTP request to an HTTPS server.\n", b"<html><title>400 Bad Request</title></html>"]
)
def test_400_from_what_is_no_tracehub_drops_nothing(
    server: Wayward, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """As of a port that speaks TLS, asked without: the address is told, and the entries wait for a better one."""
    server.judge = lambda _request: Reply(400, body)
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(8):
            client.send(entry(number))
        assert not client.flush(0.3)
        wait_until(lambda: "https://" in caplog.text)
        assert server.url in caplog.text
        assert (client.dropped, client.pending) == (0, 8)
        server.judge = None
        assert client.flush(PATIENCE_S)
    assert numbers(server) == list(range(8))


def test_the_oldest_are_dropped_and_counted_when_there_is_no_room() -> None:
    """With nobody listening, the newest 10,000 entries remain, and drops are reported with the next batch."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=60)
    for number in range(12_345):
        client.send(entry(number))
    assert client.counts()[:4] == (12_345, 0, 2345, 10_000)
    with wayward(port) as late:
        assert client.flush(PATIENCE_S)
        assert numbers(late) == list(range(2345, 12_345))
        client.send(entry(99_999))
        client.close()
        reports = [request.headers["X-TraceHub-Dropped"] for request in late.requests]
    name, _, total = reports[0].partition("=")
    assert total == "2345"
    assert name
    assert reports[1:] == [None] * len(reports[1:])


def test_memory_is_bounded_in_bytes_and_a_giant_drives_nobody_out() -> None:
    """Sixteen MiB wait at most; an entry of half of that is dropped itself."""
    client = TraceHubClient(f"http://127.0.0.1:{free_port()}", flush_interval=60)
    client.send(entry(1))
    for number in range(2, 40):
        client.send(entry(number, data={"text": "x" * 2**20}))
    counts = client.counts()
    assert counts.pending == 15
    assert counts.dropped == 24
    client.send(entry(99, data={"text": "x" * 2**24}))
    assert client.pending == 15
    client.close(0.1)


def test_what_found_no_room_is_told_in_full_at_the_end(server: Wayward, caplog: pytest.LogCaptureFixture) -> None:
    """Each trouble is told once a minute, and a burst is over sooner: the end says how many there were in all."""
    go_on = threading.Event()
    server.judge = lambda _request: go_on.wait(PATIENCE_S) and None
    with TraceHubClient(server.url, flush_interval=0.01, timeout=2 * PATIENCE_S) as client:
        for part in (11_000, 12_000):
            go_on.clear()
            answered = len(server.requests)
            client.send(entry(0))
            wait_until(lambda answered=answered: len(server.requests) > answered)  # type: ignore[misc]
            for number in range(part):
                client.send(entry(number))
            go_on.set()
            assert client.flush(PATIENCE_S)
    said = [record.getMessage() for record in caplog.records if "no room" in record.getMessage()]
    assert len(said) == 2
    assert f" {client.dropped} entries" in said[1]
    assert f" {client.dropped} entries" not in said[0]


def test_a_report_of_drops_is_repeated_until_it_is_received(server: Wayward) -> None:
    """The header carries the total since the start, so a retry counts nothing twice."""
    refuse = {3}
    server.judge = lambda request: (
        Reply(503) if len(server.requests) == 3 else
        Reply(400, {"path": "$.traces[0]"}) if int(request.traces[0]["suffix"]) in refuse else None
    )  # fmt: skip
    with TraceHubClient(server.url) as client:
        for number in (1, 3, 5, 6):
            client.send(entry(number))
            assert client.flush(PATIENCE_S)
    reports = [request.headers["X-TraceHub-Dropped"] for request in server.requests]
    assert [report and report.partition("=")[2] for report in reports] == [None, None, "1", "1", None]


def test_close_drops_what_cannot_be_sent_and_later_sends(caplog: pytest.LogCaptureFixture) -> None:
    """After close every entry has its fate, and send is still harmless."""
    client = TraceHubClient(f"http://127.0.0.1:{free_port()}")
    client.send(entry(1))
    started = time.monotonic()
    assert client.close(timeout=PATIENCE_S) is False
    assert time.monotonic() - started < PATIENCE_S / 2
    client.send(entry(2))
    assert client.counts()[:4] == (2, 0, 2, 0)
    assert any("closed with 1 entries" in record.getMessage() for record in caplog.records)
