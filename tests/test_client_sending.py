"""TraceHubClient against a server that behaves, and one that does not."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from tracehub import client as client_module
from tracehub import trouble
from tracehub.client import TraceEntry, TraceHubClient, create_trace_entry
from wayward import Reply, Wayward, wayward


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACEHUB_URL", "TRACEHUB_SECRET", "TRACEHUB_SECRET_FILE", "TRACEHUB_SPOOL", "TRACEHUB_REDACT"):
        monkeypatch.delenv(name, raising=False)
    trouble.forget()


@pytest.fixture
def server() -> Iterator[Wayward]:
    with wayward() as running:
        yield running


def entry(number: int, **changes: Any) -> TraceEntry:
    fields: dict[str, Any] = {
        "source_id": "MA", "correlation_id": "req-1", "timestamp": 1706803200000.0 + number, "suffix": str(number),
        "direction": "->", "operation": "REST", "endpoint": "/api",
    }  # fmt: skip
    return TraceEntry(**{**fields, **changes})


def numbers(server: Wayward) -> list[int]:
    return [int(stored["suffix"]) for stored in server.entries]


def test_a_batch_leaves_when_it_is_full(server: Wayward) -> None:
    """Ten entries go at once, however long the interval is."""
    with TraceHubClient(server.url, batch_size=10, flush_interval=60) as client:
        for number in range(10):
            client.send(entry(number))
        server.wait_for(lambda: client.sent == 10)
        assert numbers(server) == list(range(10))


def test_a_lonely_entry_leaves_after_the_interval(server: Wayward) -> None:
    """An entry without company waits no longer than flush_interval."""
    with TraceHubClient(server.url, flush_interval=0.1) as client:
        client.send(entry(1))
        started = time.monotonic()
        server.wait_for(lambda: client.sent == 1)
        assert 0.05 < time.monotonic() - started < 2


def test_one_connection_is_kept_for_all_batches(server: Wayward) -> None:
    """Batches share a connection, in order, with the same content type."""
    with TraceHubClient(server.url, batch_size=5) as client:
        for number in range(50):
            client.send(entry(number))
            if number % 10 == 9:
                assert client.flush()
    assert server.connections == 1
    assert numbers(server) == list(range(50))
    assert {request.headers["Content-Type"] for request in server.requests} == {"application/json"}


def test_flush_waits_for_the_batch_in_flight(server: Wayward) -> None:
    """Flush returns true only once the server has answered, and false when the time is up."""
    server.replies = [Reply(200, {"accepted": 1}, hang_s=0.6)]
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        server.wait_for(lambda: server.requests)
        assert client.flush(timeout=0.1) is False
        assert client.pending == 1
        assert client.flush(timeout=5) is True
        assert client.counts() == (1, 1, 0, 0, 0)


def test_data_is_as_it_was_at_the_call(server: Wayward) -> None:
    """What the caller does to its dicts later, however deep, does not reach the server."""
    flat: dict[str, Any] = {"id": 1}
    nested: dict[str, Any] = {"list": [1, {"deep": True}], "tuple": (1, 2)}
    with TraceHubClient(server.url, flush_interval=60) as client:
        client.send(entry(1, data=flat))
        client.send(entry(2, data=nested))
        flat["id"] = 2
        nested["list"][1]["deep"] = False
        nested.clear()
    assert [stored["data"] for stored in server.entries] == [{"id": 1}, {"list": [1, {"deep": True}], "tuple": [1, 2]}]


def test_counters_add_up_at_any_time(server: Wayward) -> None:
    """enqueued = sent + dropped + pending, whatever threads and a failing server do."""
    server.judge = lambda _request: Reply(503) if len(server.requests) % 7 == 3 else None
    client = TraceHubClient(server.url, batch_size=10, flush_interval=0.01)
    threads = [
        threading.Thread(target=lambda base=base: [client.send(entry(base + n)) for n in range(500)])
        for base in range(0, 4000, 500)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counts = client.counts()
        assert counts.enqueued == counts.sent + counts.dropped + counts.pending
    assert client.close(timeout=20)
    assert client.counts()[:4] == (4000, 4000, 0, 0)
    assert sorted(numbers(server)) == list(range(4000))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 507])
def test_what_may_pass_is_tried_again(server: Wayward, status: int) -> None:
    """Statuses that may pass cost nothing but time, and order is kept."""
    server.replies = [Reply(status, {"detail": "not now"}, hang_s=0.1), Reply(status, b"<html>")]
    with TraceHubClient(server.url) as client:
        for number in range(10):
            client.send(entry(number))
        server.wait_for(lambda: server.requests)
        for number in range(10, 25):
            client.send(entry(number))
        assert client.flush(10)
        assert client.failed == 2
    assert numbers(server) == list(range(25))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(garbage=b"\x00\x01\x02 nothing like HTTP\r\n\r\n"),
        Reply(garbage=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
        Reply(garbage=b"HTTP/1.1 999999 ?\r\n\r\n"),
        Reply(200, b"<html>welcome</html>"),
        Reply(200, [1, 2]),
        Reply(200, b"[" * 100_000),
        Reply(204, b""),
        Reply(302, b"", {"Location": "/elsewhere"}),
        Reply(307, b""),
        Reply(307, b"", {"Location": "http://[bad"}),
        Reply(307, b"", {"Location": "ftp://127.0.0.1/ingest"}),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure(
    server: Wayward, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a receipt counts as success: whatever else comes, the entries are kept and sent again."""
    monkeypatch.setattr("tracehub.backoff.REFUSED_S", 0.1)
    server.replies = [reply]
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        server.wait_for(lambda: client.sent == 1)
        assert client.failed >= 1
    assert numbers(server) == [1]


def test_retry_after_is_honoured_in_seconds_and_as_a_date(server: Wayward) -> None:
    """The next attempt comes no sooner than the server asked for."""
    server.replies = [
        Reply(503, {}, {"Retry-After": "0.5"}),
        Reply(429, {}, {"Retry-After": formatdate(time.time() + 3)}),
    ]
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        server.wait_for(lambda: client.sent == 1)
    first, second, third = (request.at for request in server.requests)
    assert second - first >= 0.5
    assert third - second >= 1.4


def test_a_flush_does_not_hurry_a_server_that_asked_for_time(server: Wayward) -> None:
    """Retry-After holds against flush as well."""
    server.replies = [Reply(503, {}, {"Retry-After": "0.7"})]
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        server.wait_for(lambda: client.failed)
        assert client.flush(0.1) is False
        assert client.flush(5) is True
    assert server.requests[1].at - server.requests[0].at >= 0.7


def test_413_splits_until_it_fits_and_drops_what_never_does(server: Wayward) -> None:
    """A batch too large is halved; a single entry too large is dropped and counted."""

    def judge(request: Any) -> Reply | None:
        return Reply(413, {"detail": "too large"}) if len(request.body) > 2000 else None

    server.judge = judge
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(40):
            client.send(entry(number, data={"text": "x" * (3000 if number == 17 else 10)}))
        assert client.flush(10)
        assert (client.sent, client.dropped, client.pending) == (39, 1, 0)
    assert numbers(server) == [number for number in range(40) if number != 17]


def test_400_drops_the_entry_that_it_names(server: Wayward) -> None:
    """The named entry goes, the rest is sent, in order."""

    def judge(request: Any) -> Reply | None:
        for index, trace in enumerate(request.traces):
            if trace["endpoint"] == "bad":
                return Reply(400, {"detail": "no", "path": f"$.traces[{index}].suffix"})
        return None

    server.judge = judge
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(30):
            client.send(entry(number, endpoint="bad" if number in (3, 4, 29) else "/api"))
        assert client.flush(10)
        assert (client.sent, client.dropped) == (27, 3)
    assert numbers(server) == [number for number in range(30) if number not in (3, 4, 29)]
    assert len(server.requests) == 4


@pytest.mark.parametrize("body", [{"detail": "no"}, b"", {"path": "$.traces[999]"}, {"path": 5}])
def test_400_without_a_usable_path_does_not_block_the_rest(server: Wayward, body: Any) -> None:
    """One bad entry is found by halving, whatever the answer says or does not say."""
    server.judge = lambda request: Reply(400, body) if any(t["endpoint"] == "bad" for t in request.traces) else None
    with TraceHubClient(server.url, flush_interval=60, batch_size=1000) as client:
        for number in range(64):
            client.send(entry(number, endpoint="bad" if number == 40 else "/api"))
        assert client.flush(10)
        assert (client.sent, client.dropped) == (63, 1)
    assert len(server.requests) < 20


@pytest.mark.parametrize("status", [401, 403, 404, 405, 415])
def test_a_closed_door_keeps_the_queue_and_is_said_once(
    server: Wayward, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries wait until somebody repairs the settings; the log is not filled meanwhile."""
    open_now = threading.Event()
    server.judge = lambda _request: None if open_now.is_set() else Reply(status, {"detail": "who are you"})
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        for number in range(15):
            client.send(entry(number))
        for _ in range(3):
            assert client.flush(0.2) is False
        assert (client.pending, client.dropped) == (15, 0)
        open_now.set()
        assert client.flush(5)
    said = [record for record in caplog.records if record.name == "tracehub"]
    assert len(said) == 1
    assert "who are you" in said[0].getMessage()
    assert numbers(server) == list(range(15))


def test_a_new_secret_is_read_when_the_old_one_is_refused(
    server: Wayward, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated secret file takes effect without a restart; of several secrets the first is sent."""
    path = tmp_path / "secret"
    path.write_text("old\n")
    monkeypatch.setenv("TRACEHUB_SECRET_FILE", str(path))
    server.judge = lambda request: None if request.headers["X-TraceHub-Secret"] == "new" else Reply(403, {})
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        assert client.flush(0.3) is False
        path.write_text("new, old\n")
        assert client.flush(5)


def test_a_server_that_hangs_costs_the_caller_nothing(server: Wayward) -> None:
    """While a request hangs, a thousand sends take milliseconds in all, and everything arrives afterwards."""
    server.replies = [Reply(500, hang_s=1.0)]
    with TraceHubClient(server.url, flush_interval=0.01, timeout=0.5) as client:
        client.send(entry(0))
        server.wait_for(lambda: server.requests)
        started = time.perf_counter()
        for number in range(1, 1000):
            client.send(entry(number))
        assert time.perf_counter() - started < 0.25
        assert client.flush(10)
    assert sorted(numbers(server)) == list(range(1000))


def test_an_outage_is_made_up_for_once_and_in_order() -> None:
    """What is sent while nobody listens arrives when somebody does."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02)
    for number in range(300):
        client.send(entry(number))
        time.sleep(0.002)
    assert client.failed > 0
    assert client.pending == 300
    with wayward(port) as late:
        assert client.flush(20)
        client.close()
        assert numbers(late) == list(range(300))
        assert late.duplicates == 0


def test_a_lost_answer_leads_to_a_duplicate_and_not_to_a_loss(server: Wayward) -> None:
    """A batch that was stored but whose answer got lost is sent again with the same keys."""
    stored_first = Reply(garbage=b"?")
    server.judge = lambda request: (
        (server.store(request.traces), stored_first)[1] if len(server.requests) == 1 else None
    )
    with TraceHubClient(server.url) as client:
        for number in range(5):
            client.send(entry(number))
        assert client.flush(10)
    assert numbers(server) == list(range(5))
    assert server.duplicates == 5


def test_the_oldest_are_dropped_and_counted_when_there_is_no_room() -> None:
    """With nobody listening, the newest 10,000 entries remain, and drops are reported with the next batch."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=60)
    for number in range(12_345):
        client.send(entry(number))
    assert client.counts()[:4] == (12_345, 0, 2345, 10_000)
    with wayward(port) as late:
        assert client.flush(20)
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
            assert client.flush(10)
    reports = [request.headers["X-TraceHub-Dropped"] for request in server.requests]
    assert [report and report.partition("=")[2] for report in reports] == [None, None, "1", "1", None]


def test_close_drops_what_cannot_be_sent_and_later_sends(caplog: pytest.LogCaptureFixture) -> None:
    """After close every entry has its fate, and send is still harmless."""
    client = TraceHubClient(f"http://127.0.0.1:{free_port()}")
    client.send(entry(1))
    started = time.monotonic()
    assert client.close(timeout=3) is False
    assert time.monotonic() - started < 3
    client.send(entry(2))
    assert client.counts()[:4] == (2, 0, 2, 0)
    assert any("closed with 1 entries" in record.getMessage() for record in caplog.records)


class Hostile:
    """A value that does all it can to do harm."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


@pytest.mark.parametrize("thing", [None, 5, "text", {}, TraceEntry, pytest.param(Hostile(), id="hostile")])
def test_send_never_raises(server: Wayward, thing: Any) -> None:
    """Whatever it is given, send returns and counts it."""
    with TraceHubClient(server.url) as client:
        client.send(thing)
        assert client.counts()[:4] == (1, 0, 1, 0)


def test_a_handler_that_sends_what_it_is_told_does_not_feed_itself(server: Wayward) -> None:
    """A logging handler that turns every record into an entry adds one entry a minute at most."""
    server.judge = lambda _request: Reply(503)
    client = TraceHubClient(server.url, flush_interval=0.01)

    class Feeding(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            client.send(entry(int(record.created * 1e6) % 10**9, data={"text": record.getMessage()}))

    handler = Feeding()
    logging.getLogger("tracehub").addHandler(handler)
    try:
        client.send(entry(1))
        server.wait_for(lambda: len(server.requests) >= 4)
        assert client.counts().enqueued == 2
    finally:
        logging.getLogger("tracehub").removeHandler(handler)
        client.close(0.2)


@pytest.mark.parametrize("url", ["", "http://", "ftp://x", "http://host:notaport", "::", "http://[::1"])
def test_an_address_that_is_none_does_no_harm(url: str) -> None:
    """A client without a usable address takes everything and does nothing."""
    with TraceHubClient(url) as client:
        client.send(entry(1))
        assert client.flush() is True
        assert client.pending == 0


def test_redirects_to_the_other_port_keep_method_body_and_secret(server: Wayward) -> None:
    """307 and 308 are followed with everything, and remembered."""
    with wayward() as query_port:
        query_port.judge = lambda request: Reply(
            307, {"detail": "over there"}, {"Location": f"{server.url}{request.path}"}
        )
        with TraceHubClient(query_port.url, secret="s3cret,older") as client:
            for number in range(3):
                client.send(entry(number))
                assert client.flush(5)
        assert len(query_port.requests) == 1
    assert numbers(server) == [0, 1, 2]
    assert {request.headers["X-TraceHub-Secret"] for request in server.requests} == {"s3cret"}


def test_a_secret_does_not_follow_to_another_host(server: Wayward) -> None:
    """A redirect to another hostname gets the entries and not the secret."""
    with wayward() as first:
        first.judge = lambda _request: Reply(308, {}, {"Location": f"http://localhost:{server.port}/ingest"})
        with TraceHubClient(first.url, secret="s3cret") as client:
            client.send(entry(1))
            assert client.flush(5)
        assert first.requests[0].headers["X-TraceHub-Secret"] == "s3cret"
    assert server.requests[0].headers["X-TraceHub-Secret"] is None


def test_redirects_that_never_end_are_a_failure(server: Wayward) -> None:
    """A circle of redirects is left after a few steps."""
    server.replies = [Reply(307, {}, {"Location": "/ingest"})] * 5
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        assert client.flush(5)
        assert client.failed == 1


def test_the_address_may_have_a_path(server: Wayward) -> None:
    """TRACEHUB_URL may name a place behind a proxy."""
    with TraceHubClient(f"{server.url}/tools/tracehub/") as client:
        client.send(entry(1))
        assert client.flush(5)
    assert server.requests[0].path == "/tools/tracehub/ingest"


def test_the_process_wide_client_reads_its_settings_when_first_used(
    server: Wayward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Disabled until TRACEHUB_URL is set, whenever that is; a bad number is logged and its default used."""
    assert client_module.get_tracehub_client() is None
    assert not client_module.is_tracehub_enabled()
    monkeypatch.setenv("TRACEHUB_URL", server.url)
    monkeypatch.setenv("TRACEHUB_BATCH_SIZE", "many")
    monkeypatch.setenv("TRACEHUB_FLUSH_INTERVAL", "0.05")
    assert client_module.is_tracehub_enabled()
    client = client_module.get_tracehub_client()
    assert client is client_module.get_tracehub_client()
    assert (client.batch_size, client.flush_interval, client.timeout) == (10, 0.05, 5.0)
    client_module.send_trace(create_trace_entry("MA", "req", 1.5, "a", "->", "REST", "/x", {"n": 1}, "line"))
    assert client_module.close_tracehub_client()
    assert server.entries[0]["raw_line"] == "line"
    assert "TRACEHUB_BATCH_SIZE='many'" in caplog.text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
