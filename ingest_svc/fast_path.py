"""The fast path of `POST /ingest`: a small batch that arrived whole goes to the writer without a task of its own.

What is checked and what is answered is the same as in `handlers.ingest`, which takes what is left here: long bodies,
compressed ones, those that come in pieces, and all that come while the service drains.
"""

import logging
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from ingest_svc.handlers import DESK, INTAKE, LIMITS
from ingest_svc.headers import drop_report, is_packed
from ingest_svc.messages import Report
from shared import wire
from shared.answers import Receipt
from shared.api import CALLS
from shared.errors import Lost, TraceHubError
from shared.storage.columns import columns
from shared.web import ACCESS, DRAINING, Exchange, Head
from shared.web.problems import INTERNAL

_CALL: Final = next(call for call in CALLS if call.name == "ingest")
_log = logging.getLogger("tracehub.ingest")


class _Reading(NamedTuple):
    """What a head that may pass the gate says: how the body is written, and what the sender dropped."""

    packed: bool
    report: Report | None


class FastPath:
    """Takes the requests that it can answer."""

    def __init__(self, app: web.Application) -> None:
        self._desk = app[DESK]
        self._intake = app[INTAKE]
        self._limits = app[LIMITS]
        self._access = app[ACCESS]
        self._guard = self._access.guard(_CALL)
        self._draining = app[DRAINING]

    def __call__(self, request: Exchange) -> bool:
        """Whether the request is one for this path; it is answered when its batch is stored or refused."""
        if self._draining.is_draining or not (request.head.reading or _is_for_here(request.head)):
            return False
        self._draining.request_begins()
        try:
            return self._admit(request)
        except Exception as error:  # whoever asks is told, as by the middleware of the ordinary path
            self._answer(request, error)
        return True

    def _admit(self, request: Exchange) -> bool:
        reading: _Reading | None = request.head.reading
        if reading is None:
            self._access.gate.check(request)
        client = "" if self._guard is None else self._guard.admit(request)
        if reading is None:
            reading = request.head.reading = _Reading(is_packed(request.headers), drop_report(request.headers))
        give_back = self._intake.at_once(request.size)
        if give_back is None:
            self._draining.request_ends()
            return False

        def settle(outcome: int | Exception) -> None:
            give_back()
            self._answer(request, outcome, entries.size)

        try:
            entries = columns(wire.decode_batch(request.body(), packed=reading.packed, limits=self._limits))
            self._access.share.charge(client, entries.size)
            self._desk.write(entries, reading.report, settle)
        except Exception:
            give_back()
            raise
        return True

    def _answer(self, request: Exchange, outcome: int | Exception, entries: int = 0) -> None:
        """Say how many were new, or what went wrong."""
        self._draining.request_ends()
        last = self._draining.is_draining
        if isinstance(outcome, int):
            request.answer(Receipt(entries, outcome, entries - outcome), last=last)
        elif isinstance(outcome, Lost):
            request.hang_up()
        elif isinstance(outcome, TraceHubError):
            request.refuse(outcome, last=last)
        else:
            _log.error("POST /ingest failed", exc_info=outcome)
            request.answer(INTERNAL, 500, last=last)


def _is_for_here(head: Head) -> bool:
    """Whether a request is one for this path by its head."""
    return head.path == _CALL.path and head.method == _CALL.method and hdrs.CONTENT_ENCODING not in head.headers
