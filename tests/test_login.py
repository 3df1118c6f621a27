"""Logins: a secret once, for a cookie that every query process takes and that tells nothing."""

import asyncio
import re
from http.cookies import SimpleCookie
from typing import Any

import msgspec
import pytest
from conftest import Client, Services, entry, until

from shared.env import Settings
from shared.storage.writer import Writer
from shared.web import ACCESS
from shared.web.lock import WRONG_AT_ONCE, WRONG_PER_S
from shared.web.login import VALID_S, Logins

SECRET = "the reader's secret"


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    """Both ports with a secret, the readers' being rotated."""
    return msgspec.structs.replace(settings, secret="sender", query_secret=f"{SECRET},older")


@pytest.fixture
async def query(start_query: Any, guarded: Settings) -> Client:
    """A query service that asks for a secret; nobody writes its file."""
    Writer(guarded.path, guarded.retention_ms).close()
    client: Client = await start_query(guarded)
    await until(lambda: asks_for_a_secret(client))
    stop_the_clock(client)
    return client


def stop_the_clock(client: Client) -> None:
    """From now on nobody is forgiven a guess while a test makes the next one, however long that takes."""
    wrong = client.app[ACCESS].guesses._wrong
    at_s = wrong._now()
    wrong._now = lambda: at_s


async def asks_for_a_secret(client: Client) -> bool:
    """Whether the service is up, and open to nobody without a secret."""
    async with client.get("/health") as health, client.get("/stats") as stats:
        return (health.status, stats.status) == (200, 401)


async def log_in(client: Client, secret: str = SECRET, **options: Any) -> tuple[int, Any, str]:
    """Status, answer and Set-Cookie header."""
    async with client.post("/login", json={"secret": secret}, **options) as response:
        client.session.cookie_jar.clear()
        return response.status, await response.json(), response.headers.get("Set-Cookie", "")


async def reads(client: Client, cookie: str, path: str = "/stats") -> int:
    """The status of a call with a cookie."""
    async with client.get(path, headers={"Cookie": cookie.partition(";")[0]}) as response:
        return response.status


async def test_a_login_opens_every_call_of_the_port(query: Client) -> None:
    """With the cookie a browser reads, streams and sees what /health keeps from strangers."""
    status, answer, cookie = await log_in(query)
    assert (status, answer) == (200, {"expires_in_s": VALID_S})
    for path in ("/traces/x", "/stream?timeout=1", "/correlations", "/recent", "/stats", "/stats/sources", "/metrics"):
        assert await reads(query, cookie, path) == 200
    async with query.get("/health", headers={"Cookie": cookie.partition(";")[0]}) as response:
        assert "db" in await response.json()


async def test_the_cookie_says_what_browsers_may_do_with_it(query: Client) -> None:
    """No script reads it, no other site sends it, it ends, and it holds no secret."""
    _, _, header = await log_in(query)
    (cookie,) = SimpleCookie(header).values()
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("Strict", "/", str(VALID_S))
    assert not cookie["domain"]
    assert not cookie["secure"]
    assert re.fullmatch(r"tracehub_[0-9a-f]{12}", cookie.key)
    assert re.fullmatch(r"\d+\.[0-9a-f]{64}", cookie.value)


async def test_the_cookie_is_good_in_every_query_process(query: Client, start_query: Any, guarded: Settings) -> None:
    """Another process with that secret takes it, whichever of several it was given for, until the secret is gone."""
    _, _, cookie = await log_in(query)
    _, _, older = await log_in(query, "older")
    for secrets, expected in (
        (guarded.query_secret, (200, 200)),
        (f"newest,{SECRET}", (200, 401)),
        ("older", (401, 200)),
        ("newest", (401, 401)),
    ):
        other: Client = await start_query(msgspec.structs.replace(guarded, query_secret=secrets))
        await until(lambda client=other: asks_for_a_secret(client))
        assert (await reads(other, cookie), await reads(other, older)) == expected


def test_installations_on_one_host_keep_their_own_cookies() -> None:
    """Browsers send a host's cookies to all its ports: other secrets make other names, the same make the same."""
    first, again, other = (Logins([secret]).cookie(secret, secure=False).partition("=")[0] for secret in "aab")
    assert first == again != other


async def test_a_cookie_is_found_among_those_of_other_services(query: Client) -> None:
    """Whatever else the host's services set, however malformed, is passed over."""
    _, _, cookie = await log_in(query)
    own = cookie.partition(";")[0]
    name = own.partition("=")[0]
    for header in (
        f"a=b; {own}",
        f"{own};",
        f'x="; {own}; y',
        f"{name}=old; {own}",
        f"=;;=;{own}",
        f"\u00e9=\u00e9; {own}",
    ):
        async with query.get("/stats", headers={"Cookie": header}) as response:
            assert response.status == 200, header


@pytest.mark.parametrize(
    "forged",
    [
        "{name}=9{value}",
        "{name}={until}",
        "{name}={until}.",
        "{name}={until}.{zeros}",
        "{name}=-{value}",
        "{name}=\u0661{value}",
        "{name}={nines}.{signature}",
        "{name}={value}\u00e9",
        "tracehub={value}",
        "{name}={secret}",
        "{name}=",
        "{name}",
    ],
)
async def test_a_forged_cookie_opens_nothing(query: Client, forged: str) -> None:
    """One that was not signed here as it stands is none."""
    _, _, cookie = await log_in(query)
    name, _, value = cookie.partition(";")[0].partition("=")
    until, _, signature = value.partition(".")
    parts = {"name": name, "value": value, "until": until, "signature": signature, "secret": SECRET}
    assert await reads(query, forged.format(**parts, zeros="0" * 64, nines="9" * 5000)) == 401


async def test_a_cookie_ends(query: Client) -> None:
    """It is good for VALID_S; a clock that was wrong when it was made does not make it last."""
    _, _, cookie = await log_in(query)
    logins = query.app[ACCESS].logins
    start = logins._now()
    for offset_s, status in ((VALID_S - 60, 200), (VALID_S + 1, 401), (-60, 401)):
        logins._now = lambda offset_s=offset_s: start + offset_s
        assert await reads(query, cookie) == status


async def test_a_logout_takes_the_cookie_back(query: Client) -> None:
    """The browser is told to forget every cookie of this service."""
    _, _, cookie = await log_in(query)
    async with query.post("/logout") as response:
        assert (response.status, await response.json()) == (200, {"expires_in_s": 0})
        ended = [SimpleCookie(header) for header in response.headers.getall("Set-Cookie")]
    names = {morsel.key for each in ended for morsel in each.values() if morsel["max-age"] == "0" and not morsel.value}
    assert cookie.partition("=")[0] in names
    assert len(names) == 2


async def test_the_cookie_writes_nothing(query: Client, start_ingest: Any, guarded: Settings) -> None:
    """It is a reader's: the ingest port does not know it."""
    _, _, cookie = await log_in(query)
    ingest: Client = await start_ingest(msgspec.structs.replace(guarded, db=f"{guarded.db}2", secret=SECRET))
    for method, path in (("POST", "/ingest"), ("DELETE", "/cleanup"), ("GET", "/metrics")):
        async with ingest.request(method, path, headers={"Cookie": cookie.partition(";")[0]}) as response:
            assert response.status == 401


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"{}", {}, 400),
        (b'{"secret": 5}', {}, 400),
        (b'{"secret": null}', {}, 400),
        (b'{"secret": "\\ud800"}', {}, 400),
        (b'{"secret": "\xff"}', {}, 400),
        (b"[" * 100_000, {}, 413),
        (b"[" * 10_000, {}, 400),
        (b'{"secret": ""}', {}, 403),
        (b'{"secret": "\\u0000"}', {}, 403),
        ('{"secret": "\u00e9\U0001f511"}'.encode(), {}, 403),
        (b"secret=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"secret": "older"}', {"Content-Encoding": "gzip"}, 415),
        (b'{"secret": "older"}', {"Content-Type": "application/json; charset=utf-8"}, 200),
        (b'{"secret": " older\\n"}', {}, 200),
    ],
)
async def test_what_is_no_login_is_told(query: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    """Malformed, wrong and too large bodies get their answers, and no cookie."""
    headers = {"Content-Type": "application/json", **headers}
    async with query.post("/login", data=body, headers=headers) as response:
        assert response.status == status
        assert ("Set-Cookie" in response.headers) == (status == 200)
        assert status == 200 or "detail" in await response.json()


async def test_an_open_port_needs_no_login(start_query: Any, settings: Settings) -> None:
    """Where nobody is asked for a secret, that is what /login says."""
    client: Client = await start_query(settings)
    status, answer, cookie = await log_in(client, "anything")
    assert (status, answer, cookie) == (200, {"expires_in_s": None}, "")


async def test_guessing_is_slow(query: Client) -> None:
    """After a few wrong secrets an address is not heard, right or wrong, for as long as it is told; then it is."""
    statuses = [(await log_in(query, f"guess {number}"))[0] for number in range(WRONG_AT_ONCE + 3)]
    assert statuses == [403] * WRONG_AT_ONCE + [429] * 3
    async with query.post("/login", json={"secret": SECRET}) as response:
        assert response.status == 429
        wait_s = int(response.headers["Retry-After"])
    assert 0 < wait_s <= 1 / WRONG_PER_S
    async with query.get("/stats", headers={"X-TraceHub-Secret": "guess"}) as response:
        assert response.status == 429
    wrong = query.app[ACCESS].guesses._wrong
    wrong._now = lambda before=wrong._now: before() + wait_s
    assert (await log_in(query))[0] == 200
    assert [(await log_in(query, "guess"))[0] for _ in range(2)] == [403, 429]


async def test_who_guesses_does_not_shut_out_its_neighbours(query: Client) -> None:
    """A reader at the same address that has shown the right secret is heard while guesses there are not."""
    right = {"X-TraceHub-Secret": SECRET}
    for number in range(WRONG_AT_ONCE):
        async with query.get("/stats", headers={"X-TraceHub-Secret": f"guess {number}"}) as response:
            assert response.status == 403
        if number % 10 == 5:
            async with query.get("/stats", headers=right) as response:
                assert response.status == 200
    for _ in range(3):
        async with query.get("/stats", headers=right) as response:
            assert response.status == 200
    assert (await log_in(query))[0] == 429


async def test_each_client_of_a_trusted_proxy_guesses_for_itself(start_query: Any, guarded: Settings) -> None:
    """Behind a proxy the addresses that it names count, if it is trusted, and TLS there makes the cookie secure."""
    client: Client = await start_query(msgspec.structs.replace(guarded, trusted_proxies="127.0.0.1, fd00::/8"))
    stop_the_clock(client)
    for number in range(WRONG_AT_ONCE + 1):
        status, _, _ = await log_in(client, "guess", headers={"X-Forwarded-For": f"spoofed-{number}, 192.0.2.7"})
    assert status == 429
    told = {"X-Forwarded-For": "192.0.2.8", "X-Forwarded-Proto": "https"}
    status, _, cookie = await log_in(client, headers=told)
    assert (status, "; Secure" in cookie) == (200, True)


async def test_who_is_not_trusted_is_not_believed(query: Client) -> None:
    """Without TRACEHUB_TRUSTED_PROXIES the headers say nothing."""
    for number in range(WRONG_AT_ONCE + 1):
        status, _, _ = await log_in(query, "guess", headers={"X-Forwarded-For": f"192.0.2.{number}"})
    assert status == 429
    query.app[ACCESS].guesses._wrong._full_at.clear()
    _, _, cookie = await log_in(query, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" not in cookie


async def test_real_processes_share_a_login(services: Services, http: Any) -> None:
    """A cookie from one query process opens another, which read the secret from a file."""
    secret_file = services.db.with_name("secret")
    secret_file.write_text(f"newest,{SECRET}\n")
    services.environ["TRACEHUB_QUERY_SECRET"] = SECRET
    services.start("ingest_svc")
    services.start("query_svc")
    other = Services(services.db.with_name("link.db"), {"TRACEHUB_QUERY_SECRET_FILE": str(secret_file)})
    other.db.symlink_to(services.db)
    other.start("query_svc")
    try:
        async with http.post(f"{services.ingest_url}/ingest/single", json=entry()) as response:
            assert response.status == 200
        async with http.post(f"{services.query_url}/login", json={"secret": SECRET}) as response:
            cookie = response.headers["Set-Cookie"].partition(";")[0]
        http.cookie_jar.clear()
        for url in (services.query_url, other.query_url):
            await until(lambda url=url: opens(http, f"{url}/traces/chain", cookie))
            async with http.get(f"{url}/traces/chain") as response:
                assert response.status == 401
    finally:
        for process in other.processes.values():
            process.kill()
            await asyncio.to_thread(process.wait)


async def opens(http: Any, url: str, cookie: str) -> bool:
    """Whether the cookie opens the address."""
    async with http.get(url, headers={"Cookie": cookie}) as response:
        return bool(response.status == 200)
