"""Too little memory is one line, whatever it keeps from starting; Ctrl-C at any moment is none."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REASON = "there is not enough memory: ulimit -v, or the limit of a unit or a container, is too low"


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[list[str]]:
    """What starts a service, up to its name."""
    yield ["env", f"TRACEHUB_DB={tmp_path / 'tracehub.db'}", "TRACEHUB_PORT=0", "TRACEHUB_QUERY_PORT=0"]


@pytest.mark.parametrize("name", ["ingest_svc", "query_svc", "tracehub_server"])
def test_too_little_memory(starting: list[str], name: str) -> None:
    """Whether an import, a library or a thread finds none: which of them it is differs from machine to machine."""

    def ended(megabytes: int) -> tuple[int, str, str]:
        told = subprocess.run(
            [*starting, sys.executable, "-m", name],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20,) * 2),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return told.returncode, told.stdout, told.stderr

    assert (1, "", f"{name}: {REASON}\n") in map(ended, range(20, 33, 4))


@pytest.mark.parametrize("name", ["ingest_svc", "query_svc", "tracehub_server"])
def test_an_interrupted_start_says_nothing(starting: list[str], name: str) -> None:
    """Ctrl-C in the middle of the imports."""
    with subprocess.Popen([*starting, sys.executable, "-m", name], stderr=subprocess.PIPE, text=True) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        deadline = time.monotonic() + 60
        while "_core.cpython" not in maps.read_text():
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=60)[1]
