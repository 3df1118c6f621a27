"""Who may make which call of a port, and how much of it: secrets and logins, wrong guesses, each client's share."""

from aiohttp import web

from shared.api import Call, Port
from shared.env import Settings
from shared.web.clients import Clients
from shared.web.exchange import Asking
from shared.web.fair_share import FairShare
from shared.web.lock import Guesses, Lock
from shared.web.login import Logins
from shared.web.origins import Gate


class Access:
    """What one port needs to tell who may do what, and how much of it."""

    def __init__(self, port: Port, settings: Settings) -> None:
        self.secrets = settings.secrets if port == "ingest" else settings.query_secrets
        self.clients = Clients(settings)
        self.guesses = Guesses(self.clients)
        self.logins = Logins(self.secrets) if port == "query" else None
        self.share = FairShare(settings.ingest_rate if port == "ingest" else settings.query_rate, settings)
        self.gate = Gate(settings)
        self.port: Port = port
        self.settings = settings
        self._own = Lock(self.secrets, self.guesses, self.logins)

    def guard(self, call: Call) -> "Guard | None":
        """Who stands before a call of this port; None where there is nothing to guard."""
        counts = call.needs != "nothing" and call.port == self.port and self.share.has_rate
        secrets = call.secrets(self.port, self.settings)
        if call.needs == "nothing" or not (counts or call.port == "query" or secrets):
            return None
        return Guard(Lock(secrets, self.guesses, self.logins), self, counts=counts, has_body=call.body is not None)

    def may_know(self, request: web.Request) -> bool:
        """Whether the request may be told more than the status of the service."""
        return self._own.is_opened(request)


class Guard:
    """Lets a request pass whose client may make the call, and takes it out of the client's share."""

    def __init__(self, lock: Lock, access: Access, *, counts: bool, has_body: bool) -> None:
        self._lock = lock
        self._clients = access.clients
        self._share = access.share
        self._counts = counts
        self._has_body = has_body

    def admit(self, request: Asking) -> str:
        """Whose share the call counts against. Raises NotAllowed, TooOften; a body is charged when it is known."""
        client = self._lock.open(request) or self._clients.address(request)
        if self._has_body:
            self._share.admit(client)
        elif self._counts:
            self._share.take(client)
        return client


ACCESS = web.AppKey("access", Access)
