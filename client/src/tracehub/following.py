"""What the server answers: JSON objects, refusals, and streams that outlive their connections."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, Callable
from urllib.parse import urlencode

from tracehub.answers import detail_of, retry_after
from tracehub.connection import Answer, Connection, reason
from tracehub.errors import Refused, TraceHubError, Unreachable
from tracehub.plain import repaired
from tracehub.sse import Event, Events
from tracehub.trouble import say

RECONNECT_MS = 1000  # unless the server names another time
LONGEST_S = 3600  # that the server streams at a time
NO_REASON = "no reason given: is that a TraceHub, or behind TLS (https://)?"  # what a TraceHub never says

Json = dict[str, Any]


class Following:
    """One stream over as many connections as it takes."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        path: str,
        parameters: Json,
        timeout_s: float | None,
        after: str = "",
        on_connection: Callable[[str], Any] | None = None,
    ) -> None:
        self.ended = False  # set by whoever reads: the server has ended this connection as it was asked to
        self.is_last = True  # this connection was asked to last until the deadline
        self._connect = connect
        self._path = path
        self._parameters = parameters
        self._until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self._events = Events()
        self._events.last_id = after
        self._on_connection = on_connection or (lambda _: None)
        self._newest = int(after) if after.isdigit() else 0  # id of the newest entry handed out

    def events(self) -> Iterator[Event]:
        """Events up to the deadline. Raises what the first attempt does; later ones are repeated."""
        connected = broken = False
        while True:
            asked_s, self.ended = None, False
            connection = self._connect()  # anew: the secret may have been rotated
            try:
                with self._opened(connection) as response:
                    if broken or not connected:
                        self._on_connection("")
                    connected, broken = True, False
                    yield from filter(self._is_new, self._events.read(response))
            except (TraceHubError, OSError, HTTPException, ValueError) as error:
                if not connected or (isinstance(error, TraceHubError) and not error.may_pass):
                    if isinstance(error, TraceHubError):
                        raise
                    raise Unreachable(reason(error)) from error
                asked_s = error.wait_s if isinstance(error, Refused) else None
                if time.monotonic() >= self._until:
                    raise Unreachable(f"lost the stream: {reason(error)}") from error
                broken = self._say_broken(broken, reason(error))
            finally:
                connection.close()
            if time.monotonic() >= self._until:
                return
            if self.ended:
                continue
            broken = self._say_broken(broken, "the server ended the stream")
            wait_s = asked_s if asked_s is not None else (self._events.retry_ms or RECONNECT_MS) / 1000
            time.sleep(min(wait_s, max(0.0, self._until - time.monotonic())))

    def _opened(self, connection: Connection) -> HTTPResponse:
        left_s = self._until - time.monotonic()
        self.is_last = left_s <= LONGEST_S
        headers = {"Accept": "text/event-stream"}
        if self._events.last_id:
            headers["Last-Event-ID"] = self._events.last_id
        query = _query({**self._parameters, "timeout": max(1, round(min(left_s, LONGEST_S)))})
        response = connection.start("GET", f"{self._path}?{query}", headers=headers)
        if response.status != 200:
            raise refused(Answer(response.status, response.headers, response.read(2**16)))
        return response

    def _say_broken(self, known: bool, why: str) -> bool:
        if not known:
            self._on_connection(why)
        return True

    def _is_new(self, event: Event) -> bool:
        if event.name == "reset":
            self._newest = 0
        if event.name != "message" or not event.id.isdigit():
            return True
        known = int(event.id) <= self._newest
        self._newest = max(self._newest, int(event.id))
        return not known


def entries(following: Following, on_event: Callable[[str, Json], Any] | None = None) -> Iterator[tuple[Event, Json]]:
    """Each entry of a stream, and its event; anything else is told."""
    tell = on_event or _log_event
    for event in following.events():
        content = answered(event.data)
        if event.name != "message":
            tell(event.name, content)
        elif content.get("type") == "timeout" and "direction" not in content:
            if following.is_last:
                return
            following.ended = True
        else:
            yield event, content


def ask(connection: Connection, path: str, parameters: Json) -> Json:
    """The JSON object that a GET is answered with. Raises Refused, or Unreachable."""
    return answered(asked(connection, path, parameters))


def asked(connection: Connection, path: str, parameters: Json) -> bytes:
    """What a GET is answered with. Raises Refused, or Unreachable."""
    answer = connection.ask("GET", f"{path}?{_query(parameters)}" if parameters else path)
    if answer.status != 200:
        raise refused(answer)
    return answer.body


def _query(parameters: Json) -> str:
    return urlencode({name: repaired(str(value)) for name, value in parameters.items()})


def refused(answer: Answer) -> Refused:
    return Refused(answer.status, detail_of(answer) or NO_REASON, retry_after(answer.headers))


def answered(text: str | bytes) -> Json:
    """The JSON object that a server's text is. Raises Unreachable where it is none."""
    try:
        content = parsed(text)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"not the answer of a TraceHub: {reason(error)}") from error
    if not isinstance(content, dict):
        raise Unreachable(f"not the answer of a TraceHub: {text[:80]!r}")
    return content


def parsed(text: str | bytes) -> Any:
    """What JSON says; a number that Python cannot hold, or would not print again, stays text."""
    return json.loads(text, parse_int=_integer, parse_float=_fraction)


def _integer(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # some thousand of them
        return digits


def _fraction(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def _log_event(name: str, content: Json) -> None:
    say(f"stream {name}", "the stream reports a %s: %s", name, content)
