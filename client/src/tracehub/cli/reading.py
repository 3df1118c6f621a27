"""Any question to the query port, over the client's own way of reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Callable

from tracehub.cli.verbatim import elements
from tracehub.connection import Answer, reason
from tracehub.errors import Unreachable
from tracehub.following import Following, Json, answered, ask, asked, entries, refused
from tracehub.query import SILENCE_S, TraceHubQueryClient, quoted
from tracehub.sse import Event

_ROW_ID = ',"id":'  # before the number that ends an entry of /recent
_TRACES = '"traces":['  # before the entries of a page; within a text its quotes would be escaped


class Reader(TraceHubQueryClient):
    """Reads chains and streams as services do, and asks any other call too."""

    def ask(self, path: str, parameters: Json | None = None) -> Json:
        """The JSON object that a call is answered with; parameters that are None are left out.

        Raises Unreachable where it is neither a page, which counts what is on it, nor statistics.
        """
        given = {name: _text(value) for name, value in (parameters or {}).items() if value is not None}
        connection = self._connect(self.timeout)
        try:
            answer = ask(connection, path, given)
        finally:
            connection.close()
        if not answer.keys() & {"count", "entries"}:
            raise Unreachable(f"not the answer of a TraceHub: {json.dumps(answer)[:80]}")
        return answer

    def texts(self, path: str, parameters: Json) -> tuple[Json, list[str]]:
        """What a page says besides its entries, and these to the letter. Raises Unreachable where it is no page."""
        connection = self._connect(self.timeout)
        try:
            body = asked(connection, path, parameters)
        finally:
            connection.close()
        before, begin, rest = body.decode(errors="replace").partition(_TRACES)
        try:
            texts, end = elements(rest, 0) if begin else ([], 0)
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"not the answer of a TraceHub: {reason(error)}") from error
        page = answered(before + begin + rest[end:])
        if page.get("traces") != []:
            raise Unreachable(f"not the answer of a TraceHub: {json.dumps(page)[:80]}")
        return page, texts

    def chain(self, correlation_id: str, source: str | None = None) -> tuple[Json, list[str]]:
        """All pages of a chain: what is said besides its entries, and these to the letter."""
        path, asked = f"/traces/{quoted(correlation_id)}", {"source": source} if source else {}
        chain, texts = self.texts(path, asked)
        page = chain
        while page.get("next") is not None:
            page, more = self.texts(path, {**asked, "after": page["next"]})
            chain.update(page)
            texts += more
        return chain, texts

    def recent(self, parameters: Json) -> list[tuple[int, str]]:
        """Row ids and entries, these to the letter."""
        _, texts = self.texts("/recent", parameters)
        parts = (text[:-1].rpartition(_ROW_ID) for text in texts)
        return [(int(id), f"{entry}}}") for entry, _, id in parts]

    def follow(
        self,
        path: str,
        parameters: Json,
        after: str,
        on_event: Callable[[str, Json], Any],
        on_connection: Callable[[str], Any],
        timeout_s: float | None = None,
    ) -> Iterator[tuple[Event, Json]]:
        """Each entry of a stream behind the row id `after`, and its event, for so long or without end.

        `on_connection` is called with an empty text when the stream is there, at first and again, and with the reason
        when it is lost.
        """
        connect = partial(self._connect, max(self.timeout, SILENCE_S))
        return entries(Following(connect, path, parameters, timeout_s, after, on_connection), on_event)


def told(answer: Answer) -> Json:
    """What an answer says, if it is a 200. Raises Refused for another one."""
    if answer.status != 200:
        raise refused(answer)
    return answered(answer.body)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
