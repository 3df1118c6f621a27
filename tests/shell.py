"""The commands as people and scripts run them, in a home of their own, beside live services."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Services, both_services
from patience import PATIENCE_S
from tracehub import TraceHubQueryClient
from tracehub.connection import Connection

BIN = Path(sys.executable).parent
NOT_PASSED_ON = ("TRACEHUB_", "NO_COLOR", "PYTHONUNBUFFERED")  # how the names of variables begin that would matter


class Shell:
    """Runs the commands in an environment of its own, against one TraceHub."""

    def __init__(self, home: Path, url: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
        self.environ = {**kept, "HOME": str(home), "TRACEHUB_URL": url, "COLUMNS": "100"}
        self.url = url

    def run(
        self, *words: str, program: str = "tracehub", text: str | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """One command, ended however slow the machine is."""
        return subprocess.run(
            [BIN / program, *words],
            env={**self.environ, **environ},
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def run_in(self, before: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One command in a shell that did something else before."""
        command = ["sh", "-c", f'{before}; exec "$0" "$@"', BIN / "tracehub", *words]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def run_each(self, *commands: tuple[str, ...], **environ: str) -> Iterator[subprocess.CompletedProcess[str]]:
        """Several commands side by side, each a process; in their order."""
        with ThreadPoolExecutor(len(commands)) as threads:
            yield from threads.map(lambda words: self.run(*words, **environ), commands)

    @contextlib.contextmanager
    def follow(self, *words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on, until the block ends."""
        process = subprocess.Popen(
            [BIN / "tracehub", *words],
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def on_terminal(self, *words: str, **environ: str) -> str:
        """What a command writes to a terminal."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [BIN / "tracehub", *words],
            env={**self.environ, "TERM": "xterm-256color", **environ},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ):
            os.close(theirs)
            shown = b""
            try:
                while part := os.read(ours, 65536):
                    shown += part
            except OSError:  # how a terminal says that nobody writes any more
                os.close(ours)
        return shown.decode()

    def store(self, *entries: dict[str, Any]) -> None:
        """Store entries, past the command line."""
        connection = Connection(self.url, 10)
        answer = connection.ask("POST", "/ingest", json.dumps({"traces": entries}).encode())
        assert answer.status == 200, answer.body
        connection.close()

    def stored(self, correlation_id: str) -> list[dict[str, Any]]:
        """The entries of a chain."""
        chain = TraceHubQueryClient(self.url).get_traces(correlation_id)
        entries: list[dict[str, Any]] = chain["traces"]
        return entries


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Both services, for all tests here that leave them as they are."""
    with both_services(tmp_path_factory.mktemp("hub") / "tracehub.db") as services:
        yield services


@pytest.fixture
def shell(hub: Services, tmp_path: Path) -> Shell:
    """A shell with a home of its own, beside live services."""
    return Shell(tmp_path, hub.ingest_url)
