"""Under which names a service answers, and from which pages it takes calls that change something.

A port on this machine is within reach of every page that its user's browser shows. A page that has its own name point
here (DNS rebinding) is told by `Host`; one that posts blindly by `Origin` and `Sec-Fetch-Site`. CORS is off: no answer
allows another origin anything.
"""

import re
from typing import Final

from shared.env import Settings, is_loopback
from shared.errors import Misdirected, NotAllowed
from shared.web.exchange import Asking

READING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
MAX_KNOWN: Final = 1_000  # spellings of Host that were found good

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]{2,80}]|[\w.-]{1,255})(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Names:
    """The names under which a service on this address answers: all, where other machines reach it by its secret."""

    def __init__(self, settings: Settings) -> None:
        self._any = not is_loopback(settings.host)
        own = settings.host.strip("[]").lower()
        self._names = {"localhost", "127.0.0.1", "::1", own, *settings.hosts}
        self._known: set[str] = set()

    def check(self, host: str | None) -> None:
        """Raise Misdirected for a name that is not one of them, or none at all."""
        if host in self._known:
            return
        if host is None or not self._is_good(host):
            shown = "none" if host is None else ascii(host[:100])
            raise Misdirected(f"Host {shown} is not a name of this service: TRACEHUB_ALLOWED_HOSTS may add it")
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(host)

    def _is_good(self, host: str) -> bool:
        parts = _HOST.fullmatch(f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host)
        return parts is not None and (self._any or parts[1].strip("[]").lower().removesuffix(".") in self._names)


def host_name(host: str) -> str:
    """The name in a Host that was found good, without its port; an IPv6 address has its brackets."""
    if host.count(":") > 1 and host[0] != "[":
        return f"[{host}]"
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


class Gate:
    """The check that each request passes before it is looked at."""

    def __init__(self, settings: Settings) -> None:
        self._names = Names(settings)
        self._origins = {_origin(url) for url in (settings.ingest_url, settings.query_url) if url}

    def check(self, request: Asking) -> None:
        """Raise Misdirected or NotAllowed for a request that is not for this service, or not from where it may be."""
        self._names.check(request.host)
        if request.method not in READING:
            self._refuse_foreign_pages(request)

    def _refuse_foreign_pages(self, request: Asking) -> None:
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if (origin is not None and not self._is_own(origin, request.host)) or site not in ("none", "same-origin"):
            raise NotAllowed("A page of another origin may not change anything here", missing=False)

    def _is_own(self, origin: str, host: str | None) -> bool:
        """Whether the page came from this address; a proxy may have changed the scheme, so that does not count."""
        scheme, _, authority = origin.partition("://")
        if scheme not in _DEFAULT_PORTS or not authority:  # "null", and what is no address
            return False
        page = _origin(origin)
        return page in self._origins or page == _origin(f"{scheme}://{host}")


def _origin(url: str) -> tuple[str, str, str]:
    """Scheme, host and port of an address."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0].rpartition("@")[2].lower()
    name = host_name(authority)
    return scheme, name, authority.removeprefix(name).removeprefix(":") or _DEFAULT_PORTS[scheme]
