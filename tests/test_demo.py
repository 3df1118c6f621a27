"""The demo: three real services, one of which dies, seen from TraceHub."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from conftest import Services, until
from patience import PATIENCE_S

DEMO = Path(__file__).parent.parent / "bench" / "demo.py"
SEED_OF_A_DEATH = "30"  # payments die within the first orders


@pytest.fixture
def start_demo(services: Services) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the demo on the ports and the file of the test's services; it is ended with the test."""
    demos = []

    def start(*flags: str) -> subprocess.Popen[str]:
        ports = {"TRACEHUB_PORT": str(services.ingest_port), "TRACEHUB_QUERY_PORT": str(services.query_port)}
        environ = {**os.environ, "TRACEHUB_DB": str(services.db), **ports}
        command = [sys.executable, str(DEMO), "--rate", "20", *flags]
        demos.append(subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True))
        return demos[-1]

    yield start
    for demo in demos:
        demo.terminate()
        demo.communicate(timeout=PATIENCE_S)


async def test_orders_pass_through_three_services_and_one_is_left_open(
    start_demo: Callable[..., subprocess.Popen[str]], services: Services, http: aiohttp.ClientSession
) -> None:
    """One correlation id joins three processes; where payments died an entry has no exit, and the demo says where."""
    services.start("ingest_svc")
    services.start("query_svc")
    demo = start_demo("--seed", SEED_OF_A_DEATH, "--orders", "12", "--url", services.ingest_url)
    told, _ = demo.communicate(timeout=PATIENCE_S)
    died = [line.rpartition("/")[2] for line in told.splitlines() if "PY died" in line]
    async with http.get(f"{services.query_url}/correlations") as response:
        found = (await response.json())["correlations"]
    assert [chain for chain in found if chain["complete"] and set(chain["sources"]) == {"SH", "ST", "PY"}]
    hung = []
    for correlation_id in died:
        async with http.get(f"{services.query_url}/traces/{correlation_id}") as response:
            chain = await response.json()
        steps = {(entry["direction"], entry["operation"]) for entry in chain["traces"] if entry["source_id"] == "PY"}
        hung.append(not chain["complete"] and ("->", "BANK") in steps and ("<-", "BANK") not in steps)
    assert any(hung)
    assert demo.returncode == 0


async def test_it_runs_tracehub_itself_and_ends_all_of_it(
    start_demo: Callable[..., subprocess.Popen[str]], services: Services
) -> None:
    """Where no TraceHub answers the demo starts one; SIGTERM ends the services and TraceHub."""
    demo = start_demo()
    assert demo.stdout is not None
    assert any(services.query_url in line for line in iter(demo.stdout.readline, ""))
    assert len(processes_of(services)) > 4
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(PATIENCE_S) == 0
    await until(lambda: not processes_of(services))


def processes_of(services: Services) -> list[Path]:
    """The processes that run with the test's file in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if str(services.db).encode() in path.read_bytes():
                found.append(path)
    return found
