"""Logins of people: a browser cannot show a secret with every request, so it shows it once and gets a signed cookie.

Nothing is kept of a login. The cookie says until when it is good, under a key that is made from the secret: every query
process with that secret takes it, and none any more once the secret is gone. Nobody gets from the cookie to the secret
but by trying, and each try costs PBKDF2.
"""

import functools
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

VALID_S: Final = 12 * 3600
ROUNDS: Final = 100_000  # of PBKDF2

_END: Final = "Path=/; HttpOnly; SameSite=Strict"


class Logins:
    """Makes cookies and reads them.

    Cookies are shared by all ports of a host, so the name is the secret's as well: two installations on one host do not
    overwrite each other's, and several query processes of one take the same.
    """

    def __init__(self, secrets: Sequence[str], now: Callable[[], float] = time.time) -> None:
        self._keys = {secret: _key(secret) for secret in secrets}
        self._secrets = {_name(key): secret for secret, key in self._keys.items()}
        self._now = now

    def cookie(self, secret: str, *, secure: bool) -> str:
        """The Set-Cookie header for somebody who showed this secret."""
        key, until = self._keys[secret], int(self._now()) + VALID_S
        end = f"{_END}; Secure" if secure else _END
        return f"{_name(key)}={until}.{_signature(key, until)}; Max-Age={VALID_S}; {end}"

    def end(self) -> list[str]:
        """The Set-Cookie headers that make a browser forget its cookies."""
        return [f"{name}=; Max-Age=0; {_END}" for name in self._secrets]

    def is_valid(self, request: web.Request) -> bool:
        """Whether the request carries a cookie that is still good."""
        for header in request.headers.getall("Cookie", []):
            for cookie in header.split(";"):
                name, _, value = cookie.strip().partition("=")
                if name in self._secrets and self._is_good(self._keys[self._secrets[name]], value):
                    return True
        return False

    def _is_good(self, key: bytes, value: str) -> bool:
        until, _, signature = value.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 16 and signature.isascii()):
            return False
        is_signed = hmac.compare_digest(signature, _signature(key, int(until)))
        return is_signed and 0 < int(until) - self._now() <= VALID_S  # also where the clock was wrong once


@functools.lru_cache(maxsize=64)
def _key(secret: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret.encode(), b"TraceHub login", ROUNDS)


def _name(key: bytes) -> str:
    return f"tracehub_{hmac.digest(key, b'name', 'sha256').hex()[:12]}"


def _signature(key: bytes, until: int) -> str:
    return hmac.digest(key, b"until %d" % until, "sha256").hex()
