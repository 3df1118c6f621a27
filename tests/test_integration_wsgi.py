"""The WSGI middleware in Flask and Django."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from checkpoint_logger import get_correlation_id
from flask import Flask, Response, request, stream_with_context
from patience import PATIENCE_S
from traced import Traced, tracing
from tracehub.integrations.wsgi import TraceHubMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


def flask_app(source_id: str | None = "MA") -> Flask:
    app = Flask(__name__)
    app.wsgi_app = TraceHubMiddleware(app.wsgi_app, source_id)  # type: ignore[method-assign]

    @app.get("/plain/<name>")
    def plain(name: str) -> str:
        return f"{name} {get_correlation_id()}"

    @app.get("/stream")
    def stream() -> Response:
        return Response(stream_with_context(f"{n}:{get_correlation_id()}:{request.path} " for n in range(3)))

    @app.get("/breaks")
    def breaks() -> Response:
        def chunks() -> Iterator[str]:
            yield "one"
            raise ValueError("no more")

        return Response(chunks())

    return app


def test_flask_requests_are_traced(traced: Traced) -> None:
    """Id in, in force, echoed; a checkpoint on the way in and out; nothing stays in force."""
    http = flask_app().test_client()
    with http.get("/plain/é?token=1", headers={"X-Correlation-ID": "req-1"}) as answer:
        assert answer.text == "é req-1"
        assert answer.headers["X-Correlation-ID"] == "req-1"
    with http.get("/missing") as answer:
        assert answer.status_code == 404
    assert traced.steps == [
        ("->", "REST", "GET /plain/é", None),
        ("<-", "REST", "GET /plain/é", {"status": 200}),
        ("->", "REST", "GET /missing", None),
        ("<-", "REST", "GET /missing", {"status": 404}),
    ]
    assert get_correlation_id() is None


def test_an_answer_that_nobody_closes_is_left_when_it_is_read(traced: Traced) -> None:
    """As in most tests of applications: the chain is complete all the same."""
    assert flask_app().test_client().get("/stream").text
    assert [step[0] for step in traced.steps] == ["->", "<-"]


def test_a_stream_is_left_when_its_body_is_closed(traced: Traced) -> None:
    """The id is in force while the body is made; an error in it goes with the exit."""
    http = flask_app().test_client()
    with http.get("/stream", headers={"X-Correlation-ID": "s"}) as answer:
        assert answer.text == "0:s:/stream 1:s:/stream 2:s:/stream "
    with pytest.raises(ValueError, match="no more"):
        http.get("/breaks", buffered=True)
    assert [step[0] for step in traced.steps] == ["->", "<-", "->", "<-"]
    assert traced.steps[3][3] == {"status": 200, "error": "ValueError: no more"}


@pytest.mark.parametrize(("status", "told"), [("200OK", 200), ("teapot", "teapot"), ("404 Not Found", 404)])
def test_a_status_that_servers_let_pass_is_passed_on(traced: Traced, status: str, told: object) -> None:
    """What the server does not mind ends no request here."""

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, [])
        return [b"ok"]

    started: list[str] = []
    body = TraceHubMiddleware(app, "MA")({"PATH_INFO": "/"}, lambda status, _headers: started.append(status))
    assert (list(body), started) == ([b"ok"], [status])
    body.close()
    assert traced.steps[1][3] == {"status": told}


def test_without_a_source_there_is_only_the_id(traced: Traced) -> None:
    """The id is in force and echoed, nothing is sent."""
    with flask_app(None).test_client().get("/plain/x", headers={"X-Request-ID": "only"}) as answer:
        assert answer.text == "x only"
    assert traced.steps == []


def test_django_requests_are_traced(traced: Traced) -> None:
    """A real Django handler in a process of its own, for its settings are global."""
    code = """
import django
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from checkpoint_logger import get_correlation_id
from tracehub.integrations.wsgi import TraceHubMiddleware
urlpatterns = [path("x", lambda request: HttpResponse(get_correlation_id()))]
application = TraceHubMiddleware(get_wsgi_application(), "DJ")
from wsgiref.util import setup_testing_defaults
environ = {"PATH_INFO": "/x", "HTTP_X_CORRELATION_ID": "dj-1"}
setup_testing_defaults(environ)
body = application(environ, lambda status, headers: print(status, dict(headers)["X-Correlation-ID"]))
print(b"".join(body).decode())
body.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout.split("\n")[:2] == ["200 OK dj-1", "dj-1"], done.stderr
    assert traced.steps == [("->", "REST", "GET /x", None), ("<-", "REST", "GET /x", {"status": 200})]


def test_what_the_application_keeps_in_its_context_lasts(traced: Traced) -> None:
    """Django has its connections to caches there, and made them anew for each request; the id does not last."""
    kept: ContextVar[list[str | None]] = ContextVar("kept")

    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        try:
            seen = kept.get()
        except LookupError:
            kept.set(seen := [])
        seen.append(get_correlation_id())
        start_response("204 No Content", [])
        return []

    http = Client(TraceHubMiddleware(app, "MA"))
    for name in ("a", "b"):
        http.get("/", headers={"X-Correlation-ID": name}).close()
    assert kept.get() == ["a", "b"]
    assert get_correlation_id() is None


def test_a_mounted_application_stays_in_the_chain(traced: Traced) -> None:
    """Both have the middleware, and the request came without an id."""
    http = Client(TraceHubMiddleware(DispatcherMiddleware(flask_app(), {"/inner": flask_app()}), "OU"))
    with http.get("/inner/plain/x") as answer:
        correlation_id = answer.headers["X-Correlation-ID"]
        assert answer.text == f"x {correlation_id}"
    assert traced.ids == [correlation_id] * 4
