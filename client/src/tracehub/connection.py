"""HTTP to one TraceHub over the standard library: kept alive, redirected by 307 and 308 between its two ports."""

from __future__ import annotations

import encodings.idna  # noqa: F401  # looking up a host loads it, which must not happen in the middle of a fork
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from typing import NamedTuple, Union
from urllib.parse import urljoin, urlsplit

from tracehub.errors import NoAddress, Unreachable

MAX_REDIRECTS = 4
MAX_ANSWER = 2**20  # bytes read of the answer to a batch
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")  # OpenSSL's words for an answer in plain text
UNKNOWN_CA = (18, 19, 20, 21)  # OpenSSL's numbers for a certificate that leads to nobody who is known

Headers = Mapping[str, Union[str, bytes]]


class Place(NamedTuple):
    """Where a TraceHub answers: `prefix` is the part of the path before its own paths."""

    scheme: str
    host: str
    port: int
    prefix: str

    @classmethod
    def at(cls, url: str) -> Place:
        """The place that `url` names, `http://` assumed. Raises NoAddress where it names none."""
        try:
            parts = urlsplit(url if "://" in url or url.endswith(":") else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise NoAddress(f"not an address: {url!r} ({error})") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or " " in url or not url.isprintable():
            raise NoAddress(f"not an http or https address: {url!r}")
        usual = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, usual if port is None else port, parts.path.rstrip("/"))

    def url(self, path: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}{path}"

    def trusts(self, other: Place) -> bool:
        """Whether what is secret here may go there: the same host, and never from https to http."""
        return other.host == self.host and other.scheme in (self.scheme, "https")


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


class Connection:
    """One connection to each place asked, which is one unless the server redirects. Not for several threads at once."""

    def __init__(self, url: str, timeout_s: float, secret: str = "") -> None:
        self._home = Place.at(url)
        if "\n" in secret or "\r" in secret:  # http.client would show all of it
            raise NoAddress("the secret has a line break in it, which no header can carry")
        self._moved: Place | None = None  # where the last redirect led; forgotten with the first failure
        self._timeout_s = timeout_s
        self._secret = secret.encode(errors="surrogatepass")
        self._kept: dict[Place, HTTPConnection] = {}

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None, most: int = -1
    ) -> Answer:
        """The answer, of whose body up to `most` bytes are read, within the timeout. Raises Unreachable."""
        response = self.start(method, path, body, headers)
        try:
            content = response.read() if most < 0 else _read(response, most, monotonic() + self._timeout_s)
            answer = Answer(response.status, response.headers, content)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(reason(error)) from error
        if not response.isclosed():
            self.close()
        return answer

    def start(self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> HTTPResponse:
        """The response with its body still to be read, redirects followed. Raises Unreachable."""
        place = self._moved or self._home
        try:
            for _ in range(MAX_REDIRECTS + 1):
                response = self._request(place, method, path, body, headers or {})
                if response.status not in (307, 308):
                    return response
                _read(response, MAX_ANSWER, monotonic() + self._timeout_s)
                place, path = self._follow(place, path, response.headers["Location"])
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(reason(error)) from error
        self.close()
        raise Unreachable(f"redirected more than {MAX_REDIRECTS} times, at last to {place.url(path)}")

    def reach(self) -> None:
        """Connect, unless there is a connection from before. Raises Unreachable."""
        origin = (self._moved or self._home)._replace(prefix="")
        if origin in self._kept:
            return
        try:
            fresh = _dial(origin, self._timeout_s)
            fresh.connect()
            self._kept[origin] = fresh
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(reason(error)) from error

    def close(self) -> None:
        self._moved = None
        while self._kept:
            with suppress(OSError):  # closed behind our back, as by a process that becomes a daemon
                self._kept.popitem()[1].close()

    def let_go(self) -> None:
        """In a forked child: close the child's handles only. Closing the streams could wait for a lock whose holder, a
        thread in the middle of reading, does not exist here.
        """
        while self._kept:
            sock = self._kept.popitem()[1].sock
            if sock is not None:
                with suppress(OSError):
                    os.close(sock.detach())

    def _follow(self, place: Place, path: str, location: str | None) -> tuple[Place, str]:
        """Where to ask next. The same path elsewhere, as on the other port, is remembered for what follows."""
        if not location:
            raise ValueError("redirected without saying where to")
        url = urljoin(place.url(path), location)
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if not target.endswith(path):
            return Place.at(url)._replace(prefix=""), target or "/"
        self._moved = Place.at(url)._replace(prefix=target[: -len(path)])
        return self._moved, path

    def _request(self, place: Place, method: str, path: str, body: bytes | None, headers: Headers) -> HTTPResponse:
        sent = dict(headers)
        if self._secret and self._home.trusts(place):
            sent["X-TraceHub-Secret"] = self._secret
        origin = place._replace(prefix="")
        kept = self._kept.get(origin)
        if kept is not None:
            try:
                return _exchange(kept, method, place.prefix + path, body, sent)
            except ConnectionError:  # closed by the server while it was idle: no failure
                kept.close()
        self._kept[origin] = fresh = _dial(place, self._timeout_s)
        return _exchange(fresh, method, place.prefix + path, body, sent)


def reason(error: BaseException) -> str:
    """What went wrong, for a log line."""
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
        return "that port does not speak TLS: http:// instead of https://?"
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = " (SSL_CERT_FILE names a CA of your own)" if error.verify_code in UNKNOWN_CA else ""
        return f"the certificate there is not trusted: {error.verify_message}{remedy}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _dial(place: Place, timeout_s: float) -> HTTPConnection:
    if place.scheme == "https":
        return HTTPSConnection(place.host, place.port, timeout=timeout_s, context=ssl.create_default_context())
    return HTTPConnection(place.host, place.port, timeout=timeout_s)


def _exchange(
    connection: HTTPConnection, method: str, target: str, body: bytes | None, headers: Headers
) -> HTTPResponse:
    connection.request(method, target, body, headers)
    return connection.getresponse()


def _read(response: HTTPResponse, most: int, until: float) -> bytes:
    """Up to `most` bytes of the body. Raises TimeoutError where it drips on beyond `until`."""
    pieces: list[bytes] = []
    while most > 0 and (piece := response.read1(most)):
        pieces.append(piece)
        most -= len(piece)
        if monotonic() > until:
            raise TimeoutError("the answer has no end")
    if response.length == 0:
        response.close()  # the last `read1` did not notice; the connection stays
    return b"".join(pieces)
