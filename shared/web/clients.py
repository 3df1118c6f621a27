"""Who is asking: the address at the other end, or what a proxy that is trusted says of it."""

import functools
import ipaddress
from typing import Final

from aiohttp import hdrs, web

from shared.env import Settings
from shared.web.exchange import Asking

IPV6_PREFIX: Final = 64  # one subscriber has so many bits of addresses to himself
MAX_KNOWN: Final = 1_000  # addresses, each with what was said of whom it speaks for, that were looked at before
MAX_SAID: Final = 200  # characters; what is longer is looked at each time

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Clients:
    """Tells clients apart. Nobody but TRACEHUB_TRUSTED_PROXIES is believed about whom it speaks for."""

    def __init__(self, settings: Settings) -> None:
        self._proxies = settings.proxies
        self._known = functools.lru_cache(MAX_KNOWN)(self._look)

    def address(self, request: Asking) -> str:
        """The address of the client, of IPv6 the network."""
        remote = request.remote or ""
        if not self._proxies and ":" not in remote:
            return remote
        said = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ())) if self._proxies else ""
        return self._known(remote, said) if len(said) <= MAX_SAID else self._look(remote, said)

    def _look(self, remote: str, said: str) -> str:
        address = _address(remote)
        if address is None:
            return remote
        for hop in reversed(said.split(",")):
            before = _address(hop) if self._trusts(address) else None
            if before is None:  # nobody says who stands before this one, or nobody who is believed
                break
            address = before
        return _name(address)

    def is_https(self, request: web.Request) -> bool:
        """Whether the client speaks TLS, to this service or to a trusted proxy before it."""
        if request.secure:
            return True
        address = _address(request.remote or "") if self._proxies else None
        said = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        return address is not None and self._trusts(address) and said == "https"

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._proxies)


def _address(text: str) -> _Address | None:
    """An address as proxies write it, perhaps with a port; None for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _name(address: _Address) -> str:
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
