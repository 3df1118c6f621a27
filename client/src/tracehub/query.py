"""Reading: chains, the list of chains, and a chain as it grows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, Callable
from urllib.parse import quote, urlencode

from tracehub.answers import retry_after
from tracehub.connection import Answer, Connection, reason
from tracehub.errors import Refused, TraceHubError, Unreachable
from tracehub.settings import read_secret
from tracehub.sse import Event, Events
from tracehub.trouble import say

SILENCE_S = 45.0  # three heartbeats: a stream that is silent for longer is dead
RECONNECT_MS = 1000  # unless the server names another time

Json = dict[str, Any]


class TraceHubQueryClient:
    """Asks either port of a TraceHub. `timeout` is in seconds for each answer; `secret` is TRACEHUB_QUERY_SECRET where
    it is None. What goes wrong is raised as a TraceHubError. Several threads may share it.
    """

    def __init__(self, base_url: str, timeout: float = 10.0, *, secret: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._secret = secret

    def get_traces(self, correlation_id: str, source_id: str | None = None) -> Json:
        """The chain, all pages of it: `{"correlation_id", "traces", "count", "complete", "expired", "next": None}`."""
        path = f"/traces/{_quoted(correlation_id)}"
        asked: dict[str, Any] = {"source": source_id} if source_id else {}
        connection = self._connect(self.timeout)
        try:
            chain = page = _ask(connection, path, asked)
            while page.get("next") is not None:
                page = _ask(connection, path, {**asked, "after": page["next"]})
                chain["traces"] += page["traces"]
                chain.update({key: value for key, value in page.items() if key != "traces"})
        except (KeyError, TypeError) as error:
            raise Unreachable(f"not the answer of a TraceHub: {reason(error)}") from error
        finally:
            connection.close()
        return chain

    def list_correlations(self, limit: int = 50) -> Json:
        """The chains with the newest activity: `{"correlations": [...], "count", "next"}`."""
        connection = self._connect(self.timeout)
        try:
            return _ask(connection, "/correlations", {"limit": limit})
        finally:
            connection.close()

    def stream_traces(self, correlation_id: str, callback: Callable[[Json], Any], timeout: int = 60) -> None:
        """Call `callback` with each entry of the chain, stored ones first, until `timeout` seconds have passed."""
        for entry in self.stream(correlation_id, timeout):
            callback(entry)

    def stream(
        self, correlation_id: str, timeout: int = 60, *, on_event: Callable[[str, Json], Any] | None = None
    ) -> Iterator[Json]:
        """Each entry of the chain, once and in order, for `timeout` seconds; a lost connection is taken up again.

        Where the server cannot keep that promise it says so: `on_event("gap", {"from", "to"})` when retention removed
        what was missed, `on_event("reset", {...})` when the file was replaced and all comes anew. Without `on_event`
        both are logged.
        """
        following = _Following(self._connect(max(self.timeout, SILENCE_S)), correlation_id, timeout)
        tell = on_event or _log_event
        for event in following.events():
            content = _object(event.data)
            if event.name != "message":
                tell(event.name, content)
            elif content.get("type") == "timeout" and "direction" not in content:
                return
            else:
                yield content

    def _connect(self, timeout_s: float) -> Connection:
        secret = read_secret("TRACEHUB_QUERY_SECRET") if self._secret is None else self._secret
        try:
            return Connection(self.base_url, timeout_s, secret.split(",")[0].strip())
        except ValueError as error:
            raise Unreachable(str(error)) from error


class _Following:
    """One chain's stream over as many connections as it takes."""

    def __init__(self, connection: Connection, correlation_id: str, timeout_s: int) -> None:
        self._connection = connection
        self._path = f"/traces/{_quoted(correlation_id)}/stream"
        self._until = time.monotonic() + timeout_s
        self._events = Events()
        self._newest = 0  # id of the newest entry handed out

    def events(self) -> Iterator[Event]:
        """Events up to the deadline. Raises what the first attempt does; later ones are repeated."""
        connected = False
        while True:
            asked_s = None
            try:
                with self._opened() as response:
                    connected = True
                    yield from filter(self._is_new, self._events.read(response))
            except (TraceHubError, OSError, HTTPException, ValueError) as error:
                if not connected or (isinstance(error, Refused) and error.status < 500 and error.status != 429):
                    raise error if isinstance(error, TraceHubError) else Unreachable(reason(error)) from error
                asked_s = error.wait_s if isinstance(error, Refused) else None
                if time.monotonic() >= self._until:
                    raise Unreachable(f"lost the stream: {reason(error)}") from error
            finally:
                self._connection.close()
            if time.monotonic() >= self._until:
                return
            wait_s = asked_s if asked_s is not None else (self._events.retry_ms or RECONNECT_MS) / 1000
            time.sleep(min(wait_s, max(0.0, self._until - time.monotonic())))

    def _opened(self) -> HTTPResponse:
        left_s = max(1, round(self._until - time.monotonic()))
        headers = {"Accept": "text/event-stream"}
        if self._events.last_id:
            headers["Last-Event-ID"] = self._events.last_id
        response = self._connection.start("GET", f"{self._path}?timeout={left_s}", headers=headers)
        if response.status != 200:
            raise _refused(Answer(response.status, response.headers, response.read(2**16)))
        return response

    def _is_new(self, event: Event) -> bool:
        if event.name == "reset":
            self._newest = 0
        if event.name != "message" or not event.id.isdigit():
            return True
        known = int(event.id) <= self._newest
        self._newest = max(self._newest, int(event.id))
        return not known


def _ask(connection: Connection, path: str, parameters: Json) -> Json:
    answer = connection.ask("GET", f"{path}?{urlencode(parameters)}" if parameters else path)
    if answer.status != 200:
        raise _refused(answer)
    return _object(answer.body)


def _refused(answer: Answer) -> Refused:
    try:
        detail = str(_object(answer.body).get("detail", ""))
    except Unreachable:
        detail = ""
    return Refused(answer.status, detail or "no reason given", retry_after(answer.headers))


def _object(text: str | bytes) -> Json:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"not the answer of a TraceHub: {reason(error)}") from error
    if not isinstance(content, dict):
        raise Unreachable(f"not the answer of a TraceHub: {text[:80]!r}")
    return content


def _log_event(name: str, content: Json) -> None:
    say(f"stream {name}", "the stream reports a %s: %s", name, content)


def _quoted(correlation_id: str) -> str:
    """As one segment of a path: a segment of dots only would be taken for a step up."""
    quoted = quote(correlation_id, safe="")
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted
