"""`make run-all` as an operator meets it: one terminal, both services, one line when something is in the way."""

import http.client
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from patience import PATIENCE_S, wait_until

PROJECT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def _as_a_shell_does(files: int, nohup: bool) -> None:
    """What a shell does for a job: it ignores what it is told to, whatever whoever runs the tests ignores."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


class Terminal:
    """A shell's job: `make` and all that it starts, as one process group that a Ctrl-C reaches as a whole."""

    def __init__(
        self, db: Path, target: str, *, output: int | None = None, files: int = 0, nohup: bool = False, **environ: str
    ) -> None:
        self.ports = {"ingest_svc": free_port(), "query_svc": free_port()}
        self.db = db
        self._output = db.with_suffix(".log").open("w+")
        output = self._output if output is None else output
        self.process = subprocess.Popen(
            ["make", "-o", ".venv/.ready", f"BIN={BIN}", target],
            cwd=PROJECT,
            env={
                **{
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith(("TRACEHUB_", "MAKE", "MFLAGS"))
                },
                "TRACEHUB_DB": str(db),
                "TRACEHUB_PORT": str(self.ports["ingest_svc"]),
                "TRACEHUB_QUERY_PORT": str(self.ports["query_svc"]),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _as_a_shell_does(files, nohup),
        )

    @property
    def output(self) -> str:
        """All that was printed."""
        return Path(self._output.name).read_text()

    def health(self, service: str) -> dict[str, Any] | None:
        """What a service says of itself, None while it does not answer or is not healthy."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports[service]}/health", timeout=PATIENCE_S
            ) as response:
                health: dict[str, Any] = json.load(response)
                return health
        except urllib.error.HTTPError as unhealthy:
            unhealthy.close()
        except OSError:
            pass
        return None

    def pid(self, service: str) -> int:
        """The process of a service, once it is healthy."""
        pid: int = self.wait(lambda: self.health(service))["pid"]
        return pid

    def wait(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives as soon as it is true."""

        def result() -> Any:
            assert self.process.poll() is None, self.output
            return condition()

        return wait_until(result, lambda: self.output)

    def ctrl_c(self) -> None:
        """Interrupt the job, and see it end."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE_S)

    def end(self) -> None:
        """Let nothing of the job live on; supervisord leads its own end, its children are told by it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(PATIENCE_S)
        self._output.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Run a target of the Makefile on a file of the test's own."""
    terminals: list[Terminal] = []

    def run(target: str = "run-all", **options: Any) -> Terminal:
        db = tmp_path / "a place" / f"{len(terminals)}.db"
        db.parent.mkdir(exist_ok=True)
        terminals.append(Terminal(db, target, **options))
        return terminals[-1]

    yield run
    for terminal in terminals:
        terminal.end()


def wait_until_gone(*pids: int) -> None:
    """Return when none of the processes is left."""
    wait_until(lambda: not any(map(is_running, pids)), lambda: [pid for pid in pids if is_running(pid)])


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_both_run_come_back_and_stop(run: Callable[..., Terminal]) -> None:
    """Both become healthy, a killed one comes back, and Ctrl-C ends everything, open streams included."""
    terminal = run()
    killed = terminal.pid("ingest_svc")
    terminal.pid("query_svc")
    stream = urllib.request.urlopen(f"http://127.0.0.1:{terminal.ports['query_svc']}/stream", timeout=PATIENCE_S)
    terminal.wait(lambda: "success: ingest_svc entered RUNNING state" in terminal.output)
    os.kill(killed, signal.SIGKILL)
    terminal.wait(lambda: terminal.pid("ingest_svc") != killed)
    pids = [terminal.pid("ingest_svc"), terminal.pid("query_svc")]
    terminal.ctrl_c()
    assert not any(map(is_running, pids)), terminal.output
    assert [left.name for left in terminal.db.parent.glob("*.supervisor*")] == []
    stream.close()


def test_a_stop_right_after_the_start_is_heeded(run: Callable[..., Terminal]) -> None:
    """Services that are only being started end when asked; nobody waits until they are killed."""
    terminal = run()
    terminal.wait(lambda: "supervisord started" in terminal.output)
    os.killpg(terminal.process.pid, signal.SIGINT)
    terminal.process.wait(PATIENCE_S)
    assert "stopped: query_svc" in terminal.output
    assert "SIGKILL" not in terminal.output


def test_a_terminated_make_takes_everything_along(run: Callable[..., Terminal]) -> None:
    """SIGTERM to make alone, as a container or a service manager sends it, ends both services."""
    terminal = run()
    pids = [terminal.pid("ingest_svc"), terminal.pid("query_svc")]
    terminal.process.terminate()
    terminal.process.wait(PATIENCE_S)
    assert not any(map(is_running, pids)), terminal.output


@pytest.mark.parametrize(
    ("service", "variable"), [("ingest_svc", "TRACEHUB_PORT"), ("query_svc", "TRACEHUB_QUERY_PORT")]
)
def test_a_taken_port_fails_with_a_line(run: Callable[..., Terminal], service: str, variable: str) -> None:
    """A port that is taken fails, with a line that names it and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        terminal = run(**{variable: str(port)})
        assert terminal.process.wait(PATIENCE_S) == 2
    remedy = f"stop what listens there, or set {variable}"
    assert terminal.output.splitlines()[0] == f"tracehub: port {port} on 127.0.0.1 is taken: {remedy}"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"TRACEHUB_RETENTION_HOURS": "soon"}, "TRACEHUB_RETENTION_HOURS='soon': expected a number of hours above 0"),
        (
            {"TRACEHUB_PORT": "8099", "TRACEHUB_QUERY_PORT": "8099"},
            "TRACEHUB_PORT and TRACEHUB_QUERY_PORT are both 8099",
        ),
        ({"TRACEHUB_HOST": "0.0.0.0", "TRACEHUB_SECRET": "s"}, "TRACEHUB_QUERY_SECRET is empty"),
        ({"TRACEHUB_DB": "/nowhere/tracehub.db"}, "the directory /nowhere does not exist"),
        ({"TRACEHUB_DB": str(Path(__file__).parent)}, "it is a directory, and a file is wanted"),
    ],
)
def test_a_bad_setting_fails_with_a_line(run: Callable[..., Terminal], environ: dict[str, str], line: str) -> None:
    """What no retry can help fails at once, and its line is the first."""
    terminal = run(**environ)
    assert terminal.process.wait(PATIENCE_S) == 2
    assert line in terminal.output.splitlines()[0]


def test_a_service_that_cannot_be_kept_up_is_a_failure(run: Callable[..., Terminal], tmp_path: Path) -> None:
    """When a service is given up the other is stopped too, and the whole fails, also where a start takes a while."""
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(0.5)")
    terminal = run(TRACEHUB_DB=str(broken), PYTHONPATH=str(tmp_path))
    wait_until(lambda: terminal.process.poll() is not None or "ingest_svc entered RUNNING" in terminal.output)
    if terminal.process.poll() is None:
        pytest.skip("a start takes longer here than supervisord waits for one: giving up was NOT TRIED")
    assert terminal.process.returncode == 2
    assert "ingest_svc does not stay up" in terminal.output
    assert "damaged or no database" in terminal.output
    assert terminal.health("query_svc") is None


def test_a_closed_terminal_takes_everything_along(run: Callable[..., Terminal]) -> None:
    """When the terminal goes away, whose every write fails from then on, no service is left behind."""
    ours, theirs = pty.openpty()
    terminal = run(output=theirs)
    os.close(theirs)
    pids = [terminal.pid("ingest_svc"), terminal.pid("query_svc")]
    os.close(ours)
    os.killpg(terminal.process.pid, signal.SIGHUP)
    terminal.process.wait(PATIENCE_S)
    wait_until_gone(*pids)


def test_nohup_outlives_the_terminal(run: Callable[..., Terminal]) -> None:
    """Services that were started not to go with the terminal go on without it, also where there is something to say."""
    ours, theirs = pty.openpty()
    terminal = run(output=theirs, nohup=True)
    os.close(theirs)
    killed = terminal.pid("query_svc")
    os.close(ours)
    os.killpg(terminal.process.pid, signal.SIGHUP)
    os.kill(killed, signal.SIGKILL)
    terminal.wait(lambda: (terminal.health("query_svc") or {"pid": killed})["pid"] != killed)


def test_a_reload(run: Callable[..., Terminal]) -> None:
    """`supervisorctl reload` ends both services and starts them again."""
    terminal = run()
    before = [terminal.pid(service) for service in terminal.ports]
    beside = f"{terminal.db}.supervisor.sock"
    subprocess.run(
        [BIN / "supervisorctl", "-c", PROJECT / "deploy/supervisord.conf", "reload"],
        env={**os.environ, "TRACEHUB_SUPERVISOR": beside, "TRACEHUB_PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wait_until_gone(*before)
    for service in terminal.ports:
        terminal.pid(service)


def test_few_files_suffice(run: Callable[..., Terminal]) -> None:
    """Where a process may not have 1,024 files, which supervisord would insist on, both services run."""
    terminal = run(files=256)
    terminal.pid("ingest_svc")
    terminal.pid("query_svc")


def test_too_few_files_fail_with_a_line(run: Callable[..., Terminal]) -> None:
    """What supervisord refuses is said as all else is, and last, which is what `start --detach` shows."""
    terminal = run(files=40)
    assert terminal.process.wait(PATIENCE_S) == 2
    (line,) = [line for line in terminal.output.splitlines() if not line.startswith("make")]
    assert line.startswith("tracehub: The minimum number of file descriptors")


def test_more_connections_than_files(run: Callable[..., Terminal]) -> None:
    """Who comes when a service has opened all that it may is hung up on; it says nothing of it, and others go on."""
    terminal = run(files=128)
    for service, port in terminal.ports.items():
        terminal.pid(service)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.connect()
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        time.sleep(1)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        for each in (connection, *crowd):
            each.close()
        terminal.pid(service)
    assert "Too many open files" not in terminal.output


def test_one_service_alone(run: Callable[..., Terminal]) -> None:
    """`make run-ingest` runs the ingest service in the foreground."""
    terminal = run("run-ingest")
    pid = terminal.pid("ingest_svc")
    terminal.ctrl_c()
    assert not is_running(pid)


def test_help_names_every_target() -> None:
    """`make` alone says what there is."""
    said = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "run-all", "run-ingest", "run-query", "test", "lint", "types", "clean"):
        assert f"make {target} " in said
