"""Secrets: which calls ask for one, which of them opens, and what is told without."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_ingest import post, refused
from test_query import healthy

from shared.env import Settings


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    """Settings with secrets on both ports, the senders' being rotated."""
    return msgspec.structs.replace(settings, secret="new, old ,", query_secret="reader")


CALLS = [("POST", "/ingest"), ("POST", "/ingest/single"), ("DELETE", "/cleanup"), ("GET", "/metrics")]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_secrets_guard_every_call(start_ingest: Any, guarded: Settings, method: str, path: str) -> None:
    """No secret is a 401 that names the ways, a wrong one a 403; nothing of the body is looked at."""
    client = await start_ingest(guarded)
    async with client.request(method, path, data=b"garbage") as response:
        await refused(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("no", "new,old", "ne", "\u00e9", " ,"):
        async with client.request(method, path, headers={"X-TraceHub-Secret": wrong}) as response:
            await refused(response, 403)
    async with client.request(method, path, headers={"Authorization": "Bearer no"}) as response:
        await refused(response, 403)
    async with client.request(method, path, headers={"Authorization": "Basic bmV3"}) as response:
        await refused(response, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-TraceHub-Secret": "new"},
        {"X-TraceHub-Secret": "old"},
        {"Authorization": "Bearer new"},
        {"Authorization": "bearer old"},
    ],
)
async def test_any_of_the_secrets_opens(start_ingest: Any, guarded: Settings, headers: dict[str, str]) -> None:
    """Old and new secret are right while they are rotated, in either header."""
    client = await start_ingest(guarded)
    assert (await post(client, entry(), headers=headers))["inserted"] == 1
    async with client.delete("/cleanup", headers=headers) as response:
        assert await response.json() == {"deleted": 0}
    async with client.get("/metrics", headers=headers) as response:
        assert response.status == 200


async def test_the_readers_secret_reads_metrics_and_no_more(start_ingest: Any, guarded: Settings) -> None:
    """Whoever may read may scrape both ports, and not write."""
    client = await start_ingest(guarded)
    reader = {"X-TraceHub-Secret": "reader"}
    async with client.get("/metrics", headers=reader) as response:
        assert response.status == 200
    async with client.delete("/cleanup", headers=reader) as response:
        await refused(response, 403)


async def test_health_tells_strangers_only_its_status(start_ingest: Any, guarded: Settings) -> None:
    """Without the secret, or with a wrong one, /health is open and says nothing of the installation."""
    client = await start_ingest(guarded)
    for headers in ({}, {"X-TraceHub-Secret": "wrong"}, {"X-TraceHub-Secret": "reader"}):
        async with client.get("/health", headers=headers) as response:
            assert (response.status, await response.json()) == (200, {"status": "healthy"})
    async with client.get("/health", headers={"X-TraceHub-Secret": "new"}) as response:
        assert (await response.json())["db"] == guarded.db


@pytest.mark.parametrize("secret", ["", " , "])
def test_an_open_address_needs_a_secret(tmp_path: Path, secret: str) -> None:
    """On an address that others reach, a service without a secret, or with commas for one, does not start."""
    environ = {**os.environ, "TRACEHUB_SECRET": secret, "TRACEHUB_DB": str(tmp_path / "tracehub.db")}
    command = [sys.executable, "-m", "ingest_svc", "--host", "0.0.0.0", "--port", "0"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "TRACEHUB_SECRET" in ended.stderr


async def test_secrets(start_query: Any, start_ingest: Any, settings: Settings) -> None:
    """With reader secrets set, each opens every call; none is 401, a wrong one 403; health tells only its status."""
    guarded = msgspec.structs.replace(settings, query_secret="one, two", secret="sender")
    ingest: Client = await start_ingest(guarded)
    query: Client = await start_query(guarded)
    await until(lambda: healthy(query))
    for path in ("/traces/x", "/stream?timeout=1", "/correlations", "/recent", "/stats", "/stats/sources", "/metrics"):
        for headers, status in (
            ({}, 401),
            ({"X-TraceHub-Secret": "wrong"}, 403),
            ({"X-TraceHub-Secret": "\u00e4"}, 403),
            ({"Authorization": "Basic one"}, 401),
            ({"X-TraceHub-Secret": "one, two"}, 403),
            ({"X-TraceHub-Secret": "sender"}, 403),
            ({"X-TraceHub-Secret": "two"}, 200),
            ({"Authorization": "bearer one"}, 200),
        ):
            async with query.get(path, headers=headers) as response:
                assert response.status == status, (path, headers)
    async with query.get("/stats") as response:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for client in (ingest, query):
        async with client.get("/health") as response:
            assert await response.json() == {"status": "healthy"}
        async with client.get("/health", headers={"X-TraceHub-Secret": "wrong"}) as response:
            assert await response.json() == {"status": "healthy"}
        for path in ("/openapi.json",):
            async with client.get(path) as response:
                assert response.status == 200
    async with query.get("/health", headers={"X-TraceHub-Secret": "one"}) as response:
        assert (await response.json())["db"] == settings.db
    for secret, status in (("sender", 200), ("two", 200), ("wrong", 403)):
        async with ingest.get("/metrics", headers={"X-TraceHub-Secret": secret}) as response:
            assert response.status == status
