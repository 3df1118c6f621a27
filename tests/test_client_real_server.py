"""The client against the real services: what it sends is stored, once, and comes back as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from checkpoint_logger import new_correlation_id
from conftest import free_port
from patience import PATIENCE_S, wait_until
from test_client_entries import GOLDEN, entries_of
from tracehub import Refused, TraceHubQueryClient, trouble
from tracehub.client import TraceEntry, TraceHubClient
from tracehub.following import NO_REASON


class Hub(NamedTuple):
    ingest: str
    query: str
    database: Path


def own_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def start(hub: Hub, **environ: str) -> list[subprocess.Popen[bytes]]:
    settings = {
        "TRACEHUB_DB": str(hub.database),
        "TRACEHUB_PORT": hub.ingest.rpartition(":")[2],
        "TRACEHUB_QUERY_PORT": hub.query.rpartition(":")[2],
        **environ,
    }
    root = Path(__file__).parent.parent
    return [
        subprocess.Popen(
            [sys.executable, "-m", name], cwd=root, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
        )
        for name in ("ingest_svc", "query_svc")
    ]


def wait_until_up(hub: Hub) -> None:
    for url in (hub.ingest, hub.query):
        wait_until(lambda url=url: is_healthy(url))


def is_healthy(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=PATIENCE_S).close()
        return True
    except urllib.error.HTTPError as unhealthy:
        unhealthy.close()
    except OSError:
        pass
    return False


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Both services, on ports and a file of their own."""
    hub = Hub(own_url(), own_url(), tmp_path_factory.mktemp("hub") / "hub.db")
    services = start(hub)
    try:
        wait_until_up(hub)
        yield hub
    finally:
        for service in services:
            service.terminate()
        for service in services:
            service.wait(PATIENCE_S)


@pytest.fixture(autouse=True)
def _quiet(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble.forget()
    for name in ("TRACEHUB_URL", "TRACEHUB_SECRET", "TRACEHUB_QUERY_SECRET", "TRACEHUB_SPOOL"):
        monkeypatch.delenv(name, raising=False)


def entry(chain: str, number: int, **changes: object) -> TraceEntry:
    made = TraceEntry("MA", chain, 1706803200000.5 + number, f"{number}", "->", "REST", "/api", {"n": number})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_golden_bodies_are_taken_and_come_back(hub: Hub, path: Path) -> None:
    """Each body is stored and read back equal, key order included."""
    wanted = json.loads(path.read_text("utf-8"))["traces"]
    with TraceHubClient(hub.ingest) as client:
        for made in entries_of(path.stem):
            client.send(made)
        assert client.flush(PATIENCE_S)
        assert client.counts()[1:3] == (len(wanted), 0)
    stored = TraceHubQueryClient(hub.query).get_traces(wanted[0]["correlation_id"])["traces"]
    keys = {(told["timestamp"], told["suffix"]) for told in stored}
    assert {(told["timestamp"], told["suffix"]) for told in wanted} <= keys


def test_an_entry_comes_back_as_it_was_sent(hub: Hub) -> None:
    """Any characters in the id, fractions in the timestamp, order of keys, an empty object."""
    chain = f"заказ/{new_correlation_id()} ?#%"
    data = {"b": 1, "a": {"z": [1, 2.5, None, True], "y": {}}}
    with TraceHubClient(hub.query) as client:  # the other port: redirected
        client.send(entry(chain, 1, timestamp=1706803200123.4375, data=data, raw_line="line"))
        client.send(entry(chain, 2, data={}))
    told = TraceHubQueryClient(hub.ingest).get_traces(chain)  # and here as well
    first = next(told for told in told["traces"] if told["suffix"] == "1")
    assert (first["timestamp"], json.dumps(first["data"]), first["raw_line"]) == (
        1706803200123.4375, json.dumps(data), "line",
    )  # fmt: skip
    assert next(told for told in told["traces"] if told["suffix"] == "2")["data"] == {}


def test_what_is_sent_again_is_stored_once(hub: Hub) -> None:
    """Two clients sending the same entries make them one."""
    chain = new_correlation_id()
    for _ in range(2):
        with TraceHubClient(hub.ingest) as client:
            for number in range(20):
                client.send(entry(chain, number))
    assert TraceHubQueryClient(hub.query).get_traces(chain)["count"] == 20


def test_a_growing_chain_is_streamed(hub: Hub) -> None:
    """Stored entries, then new ones as they are sent, each once, until the server's timeout."""
    chain = new_correlation_id()
    with TraceHubClient(hub.ingest, flush_interval=0.01) as client:
        for number in range(3):
            client.send(entry(chain, number))
        assert client.flush(PATIENCE_S)
        got: list[int] = []
        for told in TraceHubQueryClient(hub.query).stream(chain, timeout=PATIENCE_S):
            got.append(told["data"]["n"])
            if 2 <= got[-1] < 5:
                client.send(entry(chain, got[-1] + 1))
            if got[-1] == 5:
                break
    assert got == list(range(6))
    started = time.monotonic()
    TraceHubQueryClient(hub.query).stream_traces(chain, got.append, timeout=2)
    assert time.monotonic() - started > 1


def test_a_long_chain_is_given_whole(hub: Hub) -> None:
    """Thousands of entries come back in order, and the list of chains knows them."""
    chain = new_correlation_id()
    with TraceHubClient(hub.ingest, flush_interval=0.05) as client:
        for number in range(2500):
            client.send(entry(chain, number))
        assert client.flush(PATIENCE_S)
    whole = TraceHubQueryClient(hub.query).get_traces(chain)
    assert [told["data"]["n"] for told in whole["traces"]] == list(range(2500))
    assert chain in [
        told["correlation_id"] for told in TraceHubQueryClient(hub.query).list_correlations(5)["correlations"]
    ]


def test_errors_carry_the_servers_words(hub: Hub) -> None:
    """A refusal of the real server is an exception with its detail."""
    with pytest.raises(Refused) as caught:
        TraceHubQueryClient(hub.query).list_correlations(limit="many")  # type: ignore[arg-type]
    assert caught.value.status == 400
    assert caught.value.detail != NO_REASON


def test_a_restart_of_the_server_loses_nothing(tmp_path: Path) -> None:
    """Killed in the middle of it and started again: every entry arrives, once."""
    hub = Hub(own_url(), own_url(), tmp_path / "hub.db")
    services = start(hub)
    chain = new_correlation_id()
    try:
        wait_until_up(hub)
        with TraceHubClient(hub.ingest, flush_interval=0.01) as client:
            for number in range(3000):
                client.send(entry(chain, number))
                if number == 1000:
                    for service in services:
                        service.kill()
                        service.wait()
                    services = start(hub)
                if number % 100 == 0:
                    time.sleep(0.01)
            assert client.flush(PATIENCE_S)
            assert client.counts()[:4] == (3000, 3000, 0, 0)
        wait_until_up(hub)
        assert TraceHubQueryClient(hub.query).get_traces(chain)["count"] == 3000
    finally:
        for service in services:
            service.terminate()
        for service in services:
            service.wait(PATIENCE_S)
