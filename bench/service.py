"""Processes under measurement: started as a user does, watched from outside through /proc, stopped for certain."""

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

BENCH = Path(__file__).resolve().parent
CACHE = BENCH / ".cache"  # what peers need, and the files under measurement; not in git
START_S = 60.0
STOP_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Service:
    """A running service and its port."""

    def __init__(self, command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str]) -> None:
        self.port = port
        self.folder = folder
        self._log = (folder / f"log-{port}").open("wb")
        self._process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environ}, stdout=self._log, stderr=subprocess.STDOUT
        )
        self.pid = self._process.pid

    def wait(self) -> None:
        """Until it listens."""
        end = time.monotonic() + START_S
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                log = Path(self._log.name).read_text(errors="replace")
                raise RuntimeError(f"{self._process.args!r} did not start: {log[-2000:]}")
            time.sleep(0.01)

    def peak_bytes(self) -> int:
        """The most memory it and its children ever had."""
        return sum(_status(pid, "VmHWM") for pid in family(self.pid))

    def memory_bytes(self) -> int:
        """The memory that it and its children have."""
        return sum(_status(pid, "VmRSS") for pid in family(self.pid))

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self, *, at_once: bool = False) -> None:
        """End it, politely at first."""
        if self._process.poll() is None:
            self._process.kill() if at_once else self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, environ: Mapping[str, str] | None = None, *, at_once: bool = False
) -> Iterator[Service]:
    """A service, ready, until the end of the block; `at_once`: what it is still busy with then does not matter."""
    service = Service(command, port, folder, environ or {})
    try:
        service.wait()
        yield service
    finally:
        service.stop(at_once=at_once)


@contextlib.contextmanager
def scratch(directory: Path | None = None) -> Iterator[Path]:
    """A folder for files under measurement, deleted again; not in /tmp unless told so, which may be memory."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=(directory or CACHE).resolve()) as name:
        yield Path(name)


@contextlib.contextmanager
def ingest(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Service]:
    """The product's ingest service as installed, on the file `tracehub.db` in the folder."""
    port = free_port()
    command = [sys.executable, "-m", "ingest_svc", "--port", str(port), "--db", str(folder / "tracehub.db")]
    with running(command, port, folder, {"TRACEHUB_RETENTION_HOURS": "24", **(environ or {})}) as service:
        yield service


@contextlib.contextmanager
def query(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Service]:
    """The product's query service as installed, on the file `tracehub.db` in the folder."""
    port = free_port()
    command = [sys.executable, "-m", "query_svc", "--port", str(port), "--db", str(folder / "tracehub.db")]
    with running(command, port, folder, {"TRACEHUB_QUERY_RATE": "0", **(environ or {})}) as service:
        yield service


def metrics(service: Service) -> dict[str, float]:
    """What the service counts of itself; names without `tracehub_`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics") as answer:
        lines = [line.split() for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {line[0].removeprefix("tracehub_"): float(line[1]) for line in lines}


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its children have used, all their threads together."""
    spent = (Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13] for each in family(pid))
    return sum(map(int, itertools.chain.from_iterable(spent))) / _TICKS


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does; who asks may be given the very port, and meet itself."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getpeername() != probe.getsockname()


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
