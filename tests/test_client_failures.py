"""TraceHubClient and a server that is away, refuses, hangs or talks nonsense: entries are kept and sent again."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

import pytest
from conftest import free_port
from numbered import entry, numbers
from patience import PATIENCE_S, wait_until
from tracehub.client import TraceHubClient
from tracehub.trouble import say
from wayward import Reply, Wayward, wayward

pytestmark = pytest.mark.usefixtures("unset")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 507])
def test_what_may_pass_is_tried_again(server: Wayward, status: int) -> None:
    """Statuses that may pass cost nothing but time, and order is kept."""
    server.replies = [Reply(status, {"detail": "not now"}, hang_s=0.1), Reply(status, b"<html>")]
    with TraceHubClient(server.url) as client:
        for number in range(10):
            client.send(entry(number))
        wait_until(lambda: server.requests)
        for number in range(10, 25):
            client.send(entry(number))
        assert client.flush(PATIENCE_S)
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
        wait_until(lambda: client.sent == 1)
        assert client.failed >= 1
    assert numbers(server) == [1]


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
        for attempts in range(1, 4):
            assert client.flush(0.2) is False
            wait_until(lambda attempts=attempts: client.failed >= attempts)
        assert (client.pending, client.dropped) == (15, 0)
        open_now.set()
        assert client.flush(PATIENCE_S)
    said = [record for record in caplog.records if record.name == "tracehub"]
    assert len(said) == 1
    assert "who are you" in said[0].getMessage()
    assert server.url in said[0].getMessage()
    assert numbers(server) == list(range(15))


def test_an_answer_without_an_end_is_a_failure() -> None:
    """TRACEHUB_TIMEOUT is for all of an answer: one that drips on holds nobody for ever."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not done.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        with TraceHubClient(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3) as client:
            client.send(entry(1))
            try:
                wait_until(lambda: client.failed)
            finally:
                done.set()
                thread.join()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, {"detail": "no\nERROR forged\x1b[31m\x9b" + "!" * 10_000}),
        Reply(garbage=b"no\r ERROR forged\x1b[31m\r\n\r\n"),
    ],
    ids=["detail", "garbage"],
)
def test_what_a_server_says_is_one_line_of_the_log(
    server: Wayward, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """Control characters of an answer, or of what is none, are shown and not obeyed; and it is no long line."""
    server.judge = lambda _request: reply
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        wait_until(lambda: "forged" in caplog.text)
    (said,) = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert said.isprintable()
    assert "ERROR forged\\x1b[31m" in said
    assert len(said) < 1000


def test_what_was_not_said_is_counted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of trouble is told once a minute, then with how often it was not told."""
    for _ in range(4):
        say("kind", "trouble")
    monkeypatch.setattr("tracehub.trouble.EVERY_S", -1.0)
    say("kind", "trouble")
    say("kind", "trouble")
    more = "trouble (and 3 times more since this was last said)"
    assert [record.getMessage() for record in caplog.records] == ["trouble", more, "trouble"]


def test_a_handler_that_raises_is_no_trouble_of_the_callers() -> None:
    """What the client has to say of an address reaches nobody, and the client is there."""

    class Raising(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    handler = Raising()
    logging.getLogger("tracehub").addHandler(handler)
    try:
        with TraceHubClient("ftp://hub") as client:
            client.send(entry(1))
    finally:
        logging.getLogger("tracehub").removeHandler(handler)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_is_not_followed_says_where_to(
    server: Wayward, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A proxy that answers http with 301 wants https, which whoever set the address has to write there."""
    server.judge = lambda _request: Reply(status, b"<html>", {"Location": "https://hub.example/ingest"})
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        wait_until(lambda: f"{status} moved to https://hub.example/ingest" in caplog.text)
        client.close(0)


def test_a_secret_that_no_header_carries_is_not_shown(
    server: Wayward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line break within a secret is named, and the secret is in no log."""
    monkeypatch.setenv("TRACEHUB_SECRET", "first-half\nsecond-half")
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        wait_until(lambda: "line break" in caplog.text)
    assert "half" not in caplog.text


def test_a_new_secret_is_read_when_the_old_one_is_refused(
    server: Wayward, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated secret file takes effect without a restart; of several secrets the first is sent."""
    path = tmp_path / "secret"
    path.write_text("old\n")
    monkeypatch.setenv("TRACEHUB_SECRET", " ")  # as of a template that was not filled in: no secret
    monkeypatch.setenv("TRACEHUB_SECRET_FILE", str(path))
    server.judge = lambda request: None if request.headers["X-TraceHub-Secret"] == "new" else Reply(403, {})
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        wait_until(lambda: client.failed)
        path.write_text("new, old\n")
        assert client.flush(PATIENCE_S)


def test_a_server_that_hangs_costs_the_caller_nothing(server: Wayward) -> None:
    """A thousand sends end before the request that hangs, and everything arrives afterwards."""
    go_on = threading.Event()
    server.judge = lambda _request: None if go_on.wait(PATIENCE_S) else Reply(500)
    with TraceHubClient(server.url, flush_interval=0.01, timeout=2 * PATIENCE_S) as client:
        client.send(entry(0))
        wait_until(lambda: server.requests)
        for number in range(1, 1000):
            client.send(entry(number))
        assert (client.sent, client.failed) == (0, 0)
        go_on.set()
        assert client.flush(PATIENCE_S)
    assert sorted(numbers(server)) == list(range(1000))


def test_an_outage_is_made_up_for_once_and_in_order() -> None:
    """What is sent while nobody listens arrives when somebody does."""
    port = free_port()
    client = TraceHubClient(f"http://127.0.0.1:{port}", flush_interval=0.02)
    for number in range(300):
        client.send(entry(number))
        time.sleep(0.002)
    wait_until(lambda: client.failed)
    assert client.pending == 300
    with wayward(port) as late:
        assert client.flush(PATIENCE_S)
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
        assert client.flush(PATIENCE_S)
    assert numbers(server) == list(range(5))
    assert server.duplicates == 5


def test_redirects_that_never_end_are_a_failure(server: Wayward) -> None:
    """A circle of redirects is left after a few steps."""
    server.replies = [Reply(307, {}, {"Location": "/ingest"})] * 5
    with TraceHubClient(server.url) as client:
        client.send(entry(1))
        assert client.flush(PATIENCE_S)
        assert client.failed == 1
