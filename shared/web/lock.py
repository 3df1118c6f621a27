"""Secrets: what opens a call, compared in constant time, and guessed at no great speed.

A client that showed wrong secrets too often is not heard for a while, whatever it shows. That must not shut out the
senders and readers that share its address: one that showed a right secret as well is still heard, except at /login.
"""

import hmac
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from shared.errors import NotAllowed, TooOften
from shared.web.buckets import MAX_CLIENTS, Buckets, retry_after
from shared.web.clients import Clients
from shared.web.exchange import Asking
from shared.web.login import Logins

WRONG_AT_ONCE: Final = 20  # secrets that a client may show before it has to wait
WRONG_PER_S: Final = 1 / 6  # after that


class Guesses:
    """Slows clients down that show wrong secrets."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._wrong = Buckets(WRONG_PER_S, WRONG_AT_ONCE)
        self._right: OrderedDict[str, None] = OrderedDict()

    def check(self, request: Asking, given: str, secrets: Iterable[str], *, at_login: bool = False) -> str:
        """The secret that matches `given`. Raises NotAllowed if none does, TooOften after too many wrong ones."""
        client = self._clients.address(request)
        if (wait_s := self._wrong.wait_s(client)) and (at_login or client not in self._right):
            raise TooOften("Too many wrong secrets came from this address", retry_after(wait_s))
        shown = given.encode("utf-8", "surrogateescape")
        found = [secret for secret in secrets if hmac.compare_digest(shown, secret.encode())]
        if not found:
            self._wrong.charge(client)
            raise NotAllowed("The secret is wrong", missing=False)
        if len(self._wrong):  # as long as nobody guesses nobody has to be remembered
            self._remember(client)
        return found[0]

    def _remember(self, client: str) -> None:
        self._right[client] = None
        self._right.move_to_end(client)
        if len(self._right) > MAX_CLIENTS:
            self._right.popitem(last=False)


class Lock:
    """What opens a call: one of some secrets, or the cookie of somebody who logged in with one."""

    def __init__(self, secrets: tuple[str, ...], guesses: Guesses, logins: Logins | None = None) -> None:
        self._secrets = secrets
        self._guesses = guesses
        self._logins = logins

    def open(self, request: Asking) -> str:
        """The secret that was shown, empty where a cookie was or nothing has to be. Raises NotAllowed, TooOften."""
        if not self._secrets:
            return ""
        if given := _given(request):
            return self._guesses.check(request, given, self._secrets)
        is_logged_in = self._logins is not None and isinstance(request, web.Request) and self._logins.is_valid(request)
        if not is_logged_in:
            raise NotAllowed("A secret is required: X-TraceHub-Secret or Authorization: Bearer", missing=True)
        return ""

    def is_opened(self, request: Asking) -> bool:
        """Whether `open` would raise nothing."""
        try:
            self.open(request)
        except (NotAllowed, TooOften):
            return False
        return True


def _given(request: Asking) -> str:
    """The secret in a request's headers; empty for none."""
    if given := request.headers.get("X-TraceHub-Secret"):
        return given
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
