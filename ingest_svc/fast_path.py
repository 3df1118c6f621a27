"""The fast path of `POST /ingest`: a small batch that arrived whole goes to the writer without a task of its own.

What is checked and what is answered is the same as in `handlers.ingest`, which takes what is left here: long bodies,
compressed ones, those that come in pieces, and all that come while the service drains.
"""

import logging
from typing import Final

from aiohttp import hdrs, web

from ingest_svc.handlers import DESK, INTAKE, LIMITS
from ingest_svc.headers import drop_report, is_packed
from shared import wire
from shared.answers import Receipt
from shared.api import CALLS
from shared.errors import Lost, TraceHubError
from shared.storage.columns import columns
from shared.web import ACCESS, DRAINING, Exchange
from shared.web.problems import INTERNAL

_CALL: Final = next(call for call in CALLS if call.name == "ingest")
_log = logging.getLogger("tracehub.ingest")


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
        if request.path != _CALL.path or request.method != _CALL.method or hdrs.CONTENT_ENCODING in request.headers:
            return False
        if self._draining.is_draining:
            return False
        self._draining.request_begins()
        try:
            return self._admit(request)
        except Exception as error:  # whoever asks is told, as by the middleware of the ordinary path
            self._answer(request, error)
        return True

    def _admit(self, request: Exchange) -> bool:
        self._access.gate.check(request)
        client = "" if self._guard is None else self._guard.admit(request)
        packed, report = is_packed(request.headers), drop_report(request.headers)
        give_back = self._intake.at_once(request.size)
        if give_back is None:
            self._draining.request_ends()
            return False

        def settle(outcome: int | Exception) -> None:
            give_back()
            self._answer(request, outcome, entries.size)

        try:
            entries = columns(wire.decode_batch(request.body(), packed=packed, limits=self._limits))
            self._access.share.charge(client, entries.size)
            self._desk.write(entries, report, settle)
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
