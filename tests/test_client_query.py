"""TraceHubQueryClient: pages, streams that break and resume, and errors that carry the server's words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S
from tracehub import Refused, TraceHubError, TraceHubQueryClient, Unreachable, trouble
from tracehub.following import RECONNECT_MS
from tracehub.query import SILENCE_S
from tracehub.sse import Event, Events
from wayward import Reply, Request, Wayward, wayward


@pytest.fixture
def server() -> Iterator[Wayward]:
    trouble.forget()
    with wayward() as running:
        yield running


def told(**changes: Any) -> dict[str, Any]:
    return {"direction": "->", "endpoint": "/x", **changes}


def frame(number: int, content: Any = None) -> bytes:
    return f"id: {number}\ndata: {json.dumps(content or told(n=number))}\n\n".encode()


TIMEOUT = b'data: {"type":"timeout"}\n\n'


def stream(*parts: bytes) -> Reply:
    return Reply(200, b"".join(parts), {"Content-Type": "text/event-stream"})


def test_a_chain_of_several_pages_is_given_whole(server: Wayward) -> None:
    """Pages are followed until there is none left; the answer looks like one page."""
    last = {"correlation_id": "c", "count": 5, "complete": True, "expired": 0}

    def judge(request: Request) -> Reply:
        after = int(request.path.partition("after=")[2] or 0)
        traces = [told(n=n) for n in range(after, min(after + 2, 5))]
        return Reply(200, {**last, "traces": traces, "next": after + 2 if after < 4 else None})

    server.judge = judge
    chain = TraceHubQueryClient(server.url).get_traces("c", "MA")
    assert chain == {**last, "traces": [told(n=n) for n in range(5)], "next": None}
    assert [request.path for request in server.requests] == [
        "/traces/c?source=MA", "/traces/c?source=MA&after=2", "/traces/c?source=MA&after=4",
    ]  # fmt: skip
    assert server.connections == 1


def test_the_earlier_servers_answer_is_taken_as_it_is(server: Wayward) -> None:
    """A server without pages answers with four fields."""
    server.replies = [Reply(200, {"correlation_id": "c", "traces": [], "count": 0, "complete": False})]
    assert TraceHubQueryClient(server.url).get_traces("c")["complete"] is False


@pytest.mark.parametrize(
    ("correlation_id", "path"),
    [("a/b", "a%2Fb"), ("é ?#%", "%C3%A9%20%3F%23%25"), ("..", "%2E%2E"), (".", "%2E"), ("a.b", "a.b"), ("\n", "%0A")],
)
def test_any_id_is_one_segment_of_the_path(server: Wayward, correlation_id: str, path: str) -> None:
    """Slashes, dots and line breaks are quoted."""
    server.replies = [Reply(200, {"traces": [], "next": None})]
    TraceHubQueryClient(server.url).get_traces(correlation_id)
    assert server.requests[0].path == f"/traces/{path}"


def test_the_list_of_chains_takes_a_limit_and_the_secret(server: Wayward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's secret goes along, the first of several."""
    monkeypatch.setenv("TRACEHUB_QUERY_SECRET", "new,old")
    server.replies = [Reply(200, {"correlations": [], "count": 0, "next": None})]
    assert TraceHubQueryClient(server.url + "/").list_correlations(limit=7)["count"] == 0
    assert server.requests[0].path == "/correlations?limit=7"
    assert server.requests[0].headers["X-TraceHub-Secret"] == "new"


@pytest.mark.parametrize("timeout", [None, "60", "soon", 0])
def test_a_timeout_that_is_none_is_the_default(server: Wayward, timeout: Any) -> None:
    """And no fault of the server's."""
    server.replies = [Reply(200, {"correlations": []})]
    assert TraceHubQueryClient(server.url, timeout).list_correlations() == {"correlations": []}


def test_a_stream_without_a_time_has_the_default(server: Wayward) -> None:
    """As every other time that is None."""
    server.replies = [stream(frame(1), TIMEOUT)]
    assert list(TraceHubQueryClient(server.url).stream("c", timeout=None)) == [told(n=1)]
    assert server.requests[0].path.endswith("?timeout=60")


def test_a_secret_that_is_given_goes_before_the_environments(server: Wayward, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a reader of several servers."""
    monkeypatch.setenv("TRACEHUB_QUERY_SECRET", "of another server")
    server.replies = [Reply(200, {"correlations": [], "count": 0, "next": None})]
    TraceHubQueryClient(server.url, secret="given, old").list_correlations()
    assert server.requests[0].headers["X-TraceHub-Secret"] == "given"


def test_the_ingest_port_will_do(server: Wayward) -> None:
    """A redirect to the query port is followed, for pages and for streams."""
    with wayward() as ingest:
        ingest.judge = lambda request: Reply(307, {"detail": "there"}, {"Location": server.url + request.path})
        server.replies = [Reply(200, {"traces": [], "next": None}), stream(frame(1), TIMEOUT)]
        client = TraceHubQueryClient(ingest.url)
        assert client.get_traces("c")["traces"] == []
        assert list(client.stream("c")) == [told(n=1)]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_a_refusal_carries_the_servers_words(server: Wayward, status: int) -> None:
    """Status and detail, for every call."""
    server.judge = lambda _request: Reply(status, {"detail": "because"})
    client = TraceHubQueryClient(server.url)
    for call in (lambda: client.get_traces("c"), client.list_correlations, lambda: list(client.stream("c"))):
        with pytest.raises(Refused, match=f"{status}: because") as caught:
            call()
        assert (caught.value.status, caught.value.detail) == (status, "because")
        assert caught.value.__cause__ is not caught.value  # who walks along the causes comes to an end


def test_a_redirect_that_is_not_followed_says_where_to(server: Wayward) -> None:
    """301 and 302, as of a proxy that wants https."""
    server.judge = lambda _request: Reply(301, b"<html>", {"Location": "https://hub.example/traces/c"})
    with pytest.raises(Refused, match=r"301: moved to https://hub\.example/traces/c"):
        TraceHubQueryClient(server.url).get_traces("c")


@pytest.mark.parametrize(
    "reply", [Reply(200, b"<html>"), Reply(200, [1]), Reply(garbage=b"?"), Reply(200, {"next": 1}), Reply(200, {})]
)
def test_an_answer_that_makes_no_sense_is_an_error_of_its_own(server: Wayward, reply: Reply) -> None:
    """Whatever comes, callers need one except clause."""
    server.judge = lambda _request: reply
    with pytest.raises(Unreachable):
        TraceHubQueryClient(server.url).get_traces("c")


def test_a_plain_port_asked_for_tls_is_named_as_such(server: Wayward) -> None:
    """Not in OpenSSL's words, of which nobody sees that an s is too much."""
    with pytest.raises(Unreachable, match="that port does not speak TLS"):
        TraceHubQueryClient(server.url.replace("http:", "https:")).get_traces("c")


def test_a_ca_of_ones_own_is_asked_for_and_taken(
    server: Wayward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not know it is told which setting names it; a name that does not fit is not its fault."""
    certificate = server.speak_tls(tmp_path)
    server.judge = lambda _request: Reply(200, {"traces": [], "next": None})
    with pytest.raises(Unreachable, match=r"certificate there is not trusted.*SSL_CERT_FILE"):
        TraceHubQueryClient(server.url).get_traces("c")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert TraceHubQueryClient(server.url).get_traces("c")["traces"] == []
    with pytest.raises(Unreachable, match="certificate there is not trusted") as caught:
        TraceHubQueryClient(server.url.replace("127.0.0.1", "localhost")).get_traces("c")
    assert "SSL_CERT_FILE" not in str(caught.value)


def test_nobody_there_is_an_error_too() -> None:
    """Refused connections and addresses that are none."""
    for url in ("http://127.0.0.1:9", "ftp://x", "http://[bad"):
        with pytest.raises(TraceHubError):
            TraceHubQueryClient(url, timeout=1).list_correlations()


def test_a_short_stream_does_not_wait_for_a_silent_server_as_a_long_one_does(
    server: Wayward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its time it waits for a little, and says that there was no answer."""
    monkeypatch.setattr("tracehub.query.LATE_S", 0.2)
    server.replies = [Reply(hang_s=SILENCE_S)]
    started = time.monotonic()
    with pytest.raises(Unreachable):
        list(TraceHubQueryClient(server.url, timeout=0.1).stream("req", timeout=1))
    assert time.monotonic() - started < SILENCE_S / 2


def test_a_stream_ends_with_the_servers_timeout(server: Wayward) -> None:
    """The callback gets each entry, not the end."""
    server.replies = [stream(b": hello\n\nretry: 10\n\n", frame(3), b": beat\n\n", frame(7), TIMEOUT, frame(8))]
    got: list[Any] = []
    assert TraceHubQueryClient(server.url).stream_traces("c", got.append, timeout=5) is None
    assert got == [told(n=3), told(n=7)]
    assert server.requests[0].path == "/traces/c/stream?timeout=5"


def test_a_broken_stream_resumes_after_the_last_entry(server: Wayward) -> None:
    """Cut in the middle of an event, refused for a moment, repeated by the server: each entry comes once, in order."""
    server.replies = [
        stream(b"retry: 20\n\n", frame(1), frame(2), frame(3)[:-2]),
        Reply(503, {"detail": "a moment"}, {"Retry-After": "0"}),
        Reply(garbage=b"?"),
        stream(frame(2), frame(3), frame(4)),
        stream(frame(5), TIMEOUT),
    ]
    got = list(TraceHubQueryClient(server.url).stream("c", timeout=PATIENCE_S))
    assert [entry["n"] for entry in got] == [1, 2, 3, 4, 5]
    ids = [request.headers["Last-Event-ID"] for request in server.requests]
    assert ids == [None, "2", "2", "2", "4"]


def test_a_stream_goes_on_with_a_rotated_secret(
    server: Wayward, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each connection shows what stands in the secret's file by then."""
    file = tmp_path / "secret"
    monkeypatch.setenv("TRACEHUB_QUERY_SECRET_FILE", str(file))
    server.replies = [stream(b"retry: 20\n\n", frame(1)), stream(frame(2), TIMEOUT)]
    file.write_text("old\n")
    following = TraceHubQueryClient(server.url).stream("c", timeout=PATIENCE_S)
    assert next(following)["n"] == 1
    file.write_text("new,old\n")
    assert [entry["n"] for entry in following] == [2]
    assert [request.headers["X-TraceHub-Secret"] for request in server.requests] == ["old", "new"]


def test_retry_is_honoured(server: Wayward) -> None:
    """The server says how long to wait before coming back, which may be longer than usual."""
    wait_ms = RECONNECT_MS + 200
    server.replies = [stream(b"retry: %d\n\n" % wait_ms, frame(1)), stream(TIMEOUT)]
    list(TraceHubQueryClient(server.url).stream("c"))
    assert server.requests[1].at - server.requests[0].at >= wait_ms / 1000


def test_gaps_and_resets_are_told(server: Wayward, caplog: pytest.LogCaptureFixture) -> None:
    """A gap is reported, after a reset the entries come anew; without a listener both are logged."""
    events = (
        frame(9),
        b'event: gap\ndata: {"from": 10, "to": 12}\n\n',
        frame(13),
        b"event: reset\ndata: {}\n\n",
        frame(1),
        TIMEOUT,
    )
    server.replies = [stream(*events), stream(*events)]
    happened: list[Any] = []
    client = TraceHubQueryClient(server.url)
    got = list(client.stream("c", on_event=lambda name, content: happened.append((name, content))))
    assert [entry["n"] for entry in got] == [9, 13, 1]
    assert happened == [("gap", {"from": 10, "to": 12}), ("reset", {})]
    assert len(list(client.stream("c"))) == 3
    assert "reports a gap" in caplog.text


def test_a_stream_that_is_lost_for_good_is_an_error(server: Wayward) -> None:
    """When the time is up and nobody is there, the caller must know that something may be missing."""
    server.replies = [stream(b"retry: 50\n\n", frame(1))]
    server.judge = lambda _request: Reply(garbage=b"?")
    client = TraceHubQueryClient(server.url)
    got = []
    with pytest.raises(Unreachable):
        for entry in client.stream("c", timeout=2):
            got.append(entry["n"])  # noqa: PERF401
    assert got == [1]


@given(
    st.lists(st.tuples(st.text().filter(lambda text: "\r" not in text), st.integers(1))),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_data_survives_the_framing(messages: list[tuple[str, int]], end: str) -> None:
    """Whatever the data holds, line breaks included, what was framed is what is read."""
    text = "".join(
        f"id: {number}{end}" + "".join(f"data: {line}{end}" for line in data.split("\n")) + end
        for data, number in messages
    )
    lines = [line + b"\n" for line in text.encode("utf-8", "surrogatepass").split(b"\n")[:-1]]
    expected = [Event("message", data, str(number)) for data, number in messages]
    if all(data.isprintable() or "\n" in data for data, _ in messages):
        assert list(Events().read(lines)) == expected
    else:
        assert len(list(Events().read(lines))) == len(messages)
