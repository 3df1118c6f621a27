"""TraceHubClient and a server that behaves: when entries leave, as what, and where to; and send, which harms nobody."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from numbered import entry, numbers
from patience import PATIENCE_S, wait_until
from tracehub import client as client_module
from tracehub.client import TraceEntry, TraceHubClient, create_trace_entry
from tracehub.turns import Turns
from wayward import Reply, Wayward, wayward

pytestmark = pytest.mark.usefixtures("unset")


def test_a_batch_leaves_when_it_is_full(server: Wayward) -> None:
    """Ten entries go at once, however long the interval is."""
    with TraceHubClient(server.url, batch_size=10, flush_interval=60) as client:
        for number in range(10):
            client.send(entry(number))
        wait_until(lambda: client.sent == 10)
        assert numbers(server) == list(range(10))


def test_a_batch_leaves_when_it_is_full_however_it_gathers(server: Wayward) -> None:
    """Whether the sender waits for company already, or somebody looks at the counters meanwhile."""
    with TraceHubClient(server.url, batch_size=10, flush_interval=3600) as client:
        for sent in (10, 20):
            for number in range(sent - 10, sent):
                client.send(entry(number))
                time.sleep(0.01)  # the sender goes to sleep again
                if number % 10 == 6:
                    assert client.pending == 7
            wait_until(lambda sent=sent: client.sent == sent)
    assert len(server.requests) == 2


def test_words_of_ones_own_are_masked_with_the_known_ones(server: Wayward) -> None:
    """`redact` adds to them."""
    with TraceHubClient(server.url, redact=["pin"]) as client:
        client.send(entry(1, data={"pin": 1, "password": "x", "id": 2}))
        assert client.flush(PATIENCE_S)
    (sent,) = server.entries
    assert sent["data"] == {"pin": "***", "password": "***", "id": 2}


def test_a_lonely_entry_leaves_after_the_interval(server: Wayward) -> None:
    """An entry without company waits as long as flush_interval, and no longer."""
    with TraceHubClient(server.url, flush_interval=0.1) as client:
        started = time.monotonic()
        client.send(entry(1))
        wait_until(lambda: client.sent == 1)
        assert time.monotonic() - started >= 0.1


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
    go_on = threading.Event()
    server.judge = lambda _request: None if go_on.wait(PATIENCE_S) else Reply(500)
    with TraceHubClient(server.url, flush_interval=0.01, timeout=PATIENCE_S) as client:
        client.send(entry(1))
        wait_until(lambda: server.requests)
        assert client.flush(timeout=0.1) is False
        assert client.pending == 1
        go_on.set()
        assert client.flush(timeout=PATIENCE_S) is True
        assert client.counts() == (1, 1, 0, 0, 0)


def test_batches_are_gathered_after_a_last_flush_that_was_none(server: Wayward) -> None:
    """An application's lifespan ends, its process goes on: an entry waits for company again."""
    with TraceHubClient(server.url, batch_size=100, flush_interval=60) as client:
        client.send(entry(0))
        client.leave(PATIENCE_S)
        client.send(entry(1))
        time.sleep(0.2)
        assert numbers(server) == [0]
    assert numbers(server) == [0, 1]


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
    assert client.close(timeout=PATIENCE_S)
    assert client.counts()[:4] == (4000, 4000, 0, 0)
    assert sorted(numbers(server)) == list(range(4000))


@pytest.mark.parametrize("field", ["source_id", "suffix", "endpoint", "raw_line"])
def test_a_number_that_python_does_not_print_takes_no_other_entry_with_it(server: Wayward, field: str) -> None:
    """Where a text should be; it is sent in hexadecimal."""
    with TraceHubClient(server.url, batch_size=100) as client:
        for number in range(3):
            client.send(entry(number, **({field: 10**5000} if number == 1 else {})))
    assert len(server.entries) == 3
    assert server.entries[1][field].startswith("0x")


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
        wait_until(lambda: len(server.requests) >= 4)
        assert client.counts().enqueued == 2
    finally:
        logging.getLogger("tracehub").removeHandler(handler)
        client.close(0.2)


@pytest.mark.parametrize("url", [None, "", "http://", "ftp://x", "http://host:notaport", "::", "http://[::1"])
def test_an_address_that_is_none_does_no_harm(url: str | None) -> None:
    """A client without a usable address takes everything and does nothing."""
    with TraceHubClient(url) as client:
        client.send(entry(1))
        assert client.flush() is True
        assert client.pending == 0


@pytest.mark.parametrize("value", [None, "1", "soon", "1_0", "\u0665", float("nan"), -1])
def test_a_number_that_is_none_does_no_harm(server: Wayward, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """None is the default, a text is read as in a variable; of what cannot be used the log says what is instead."""
    with TraceHubClient(server.url, value, value, value, value) as client:
        client.send(entry(1))
        assert client.flush()
    assert numbers(server) == [1]
    assert ("timeout" in caplog.text) == (value not in (None, "1"))


def test_a_time_to_wait_that_is_none_is_the_default(server: Wayward) -> None:
    """For what is pending, as for all else."""
    client = TraceHubClient(server.url)
    client.send(entry(1))
    assert client.flush(None) and client.close(None)
    assert numbers(server) == [1]


def test_redirects_to_the_other_port_keep_method_body_and_secret(server: Wayward) -> None:
    """307 and 308 are followed with everything, and remembered."""
    with wayward() as query_port:
        query_port.judge = lambda request: Reply(
            307, {"detail": "over there"}, {"Location": f"{server.url}{request.path}"}
        )
        with TraceHubClient(query_port.url, secret="s3cret,older") as client:
            for number in range(3):
                client.send(entry(number))
                assert client.flush(PATIENCE_S)
        assert len(query_port.requests) == 1
    assert numbers(server) == [0, 1, 2]
    assert {request.headers["X-TraceHub-Secret"] for request in server.requests} == {"s3cret"}


def secrets_told(first: Wayward, then: Wayward, location: str) -> list[str | None]:
    """What each is told of the secret where the first sends entries on to the other."""
    first.judge = lambda _request: Reply(308, {}, {"Location": location})
    with TraceHubClient(first.url, secret="s3cret") as client:
        client.send(entry(1))
        assert client.flush(PATIENCE_S)
    return [each.requests[0].headers["X-TraceHub-Secret"] for each in (first, then)]


def test_a_secret_does_not_follow_to_another_host(server: Wayward) -> None:
    """A redirect to another hostname gets the entries and not the secret."""
    with wayward() as first:
        assert secrets_told(first, server, f"http://localhost:{server.port}/ingest") == ["s3cret", None]


def test_a_secret_does_not_follow_where_anybody_could_read_it(
    server: Wayward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect from https to http of the same host gets the entries and not the secret."""
    with wayward() as first:
        monkeypatch.setenv("SSL_CERT_FILE", str(first.speak_tls(tmp_path)))
        assert secrets_told(first, server, f"{server.url}/ingest") == ["s3cret", None]


def test_the_address_may_have_a_path(server: Wayward) -> None:
    """TRACEHUB_URL may name a place behind a proxy."""
    with TraceHubClient(f"{server.url}/tools/tracehub/") as client:
        client.send(entry(1))
        assert client.flush(PATIENCE_S)
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


def test_what_comes_after_the_end_is_dropped_and_counted(server: Wayward) -> None:
    """A closed client sends nothing any more, not with a flush either."""
    client = TraceHubClient(server.url)
    client.send(entry(1))
    assert client.close()
    client.send(entry(2))
    assert client.counts() == (2, 1, 1, 0, 0)
    assert client.flush(1)
    assert numbers(server) == [1]


def test_a_short_flush_without_a_thread_shortens_nothing_that_follows(
    server: Wayward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a flush in line had for an answer ends with it."""
    start = threading.Thread.start
    none_to_be_had = [True]

    def started(thread: threading.Thread) -> None:
        if thread.name == "tracehub-sender" and none_to_be_had[0]:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    server.judge = lambda _request: Reply(500, hang_s=2 * PATIENCE_S)
    client = TraceHubClient(server.url, timeout=PATIENCE_S)
    client.send(entry(1))
    assert client.flush(0.1) is False
    failed = client.failed
    server.judge = lambda request: Reply(200, server.store(request.traces), hang_s=0.3)
    none_to_be_had[0] = False
    client.send(entry(2))
    assert client.flush(PATIENCE_S)
    assert client.counts()[:4] == (2, 2, 0, 0)
    assert client.failed == failed
    client.close()


def test_a_flush_beside_the_start_of_the_thread_leaves_the_sending_to_it(
    server: Wayward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that took batches at once would use one connection, and lose count."""
    start = threading.Thread.start
    starting = threading.Event()

    def started(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "tracehub-sender":
            starting.set()
            time.sleep(0.3)

    monkeypatch.setattr(threading.Thread, "start", started)
    senders: set[str] = set()
    take = Turns.take
    monkeypatch.setattr(Turns, "take", lambda turns: (senders.add(threading.current_thread().name), take(turns))[1])
    with TraceHubClient(server.url, flush_interval=60) as client:
        other = threading.Thread(target=client.send, args=(entry(1),))
        other.start()
        assert starting.wait(PATIENCE_S)
        assert client.flush(PATIENCE_S)
        other.join()
    assert numbers(server) == [1]
    assert senders == {"tracehub-sender"}
