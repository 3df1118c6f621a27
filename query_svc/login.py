"""`POST /login` and `POST /logout`, for people at a browser."""

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from shared.answers import Credentials, Login
from shared.errors import BadRequest, TooLarge, TooSlow, Unsupported
from shared.web import ACCESS, answer
from shared.web.login import VALID_S
from shared.wire import decode

MAX_BODY: Final = 16 * 1024
RECEIVE_S: Final = 10.0

_CREDENTIALS: Final = msgspec.json.Decoder(Credentials)


async def login(request: web.Request) -> web.Response:
    """`POST /login`"""
    access = request.app[ACCESS]
    given: Credentials = decode(_CREDENTIALS, await _body(request))
    if access.logins is None or not access.secrets:
        return answer(Login(None))
    secret = access.guesses.check(request, given.secret.strip(), access.secrets, at_login=True)
    cookie = access.logins.cookie(secret, secure=access.clients.is_https(request))
    return answer(Login(VALID_S), headers={"Set-Cookie": cookie})


async def logout(request: web.Request) -> web.Response:
    """`POST /logout`"""
    logins = request.app[ACCESS].logins
    response = answer(Login(0 if request.app[ACCESS].secrets else None))
    for cookie in logins.end() if logins else ():
        response.headers.add("Set-Cookie", cookie)
    return response


async def _body(request: web.Request) -> bytes:
    """The body, which is JSON and short."""
    kind = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("A login is sent as application/json, not compressed")
    body = bytearray()
    try:
        async with asyncio.timeout(RECEIVE_S):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(f"A login holds at most {MAX_BODY:,} bytes")
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {RECEIVE_S:g} s") from None
    except web.RequestPayloadError as error:
        raise BadRequest(f"The body does not follow its transfer encoding: {error}") from None
    return bytes(body)
