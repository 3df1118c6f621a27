"""What `make run-all` prints, and where it cannot be printed."""

import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from patience import PATIENCE_S
from test_reserve import fill, place
from test_running import Terminal, run, wait_until_gone

__all__ = ["place", "run"]  # fixtures


def kill_query(terminal: Terminal) -> None:
    """Give the supervisor something to say: a service dies, and is there again."""
    killed = terminal.pid("query_svc")
    os.kill(killed, signal.SIGKILL)
    terminal.wait(lambda: terminal.pid("query_svc") != killed)


def test_nothing_runs_unsupervised(run: Callable[..., Terminal]) -> None:
    """When supervising itself fails, because nobody reads what it writes, both services end with it."""
    reader, writer = os.pipe()
    terminal = run(output=writer, PYTHONUNBUFFERED="1")  # or a failed write is not noticed, and supervising goes on
    os.close(writer)
    pids = [terminal.pid("ingest_svc"), terminal.pid("query_svc")]
    os.close(reader)
    os.kill(pids[0], signal.SIGKILL)  # there is something to write now
    terminal.process.wait(PATIENCE_S)
    wait_until_gone(*pids)
    assert terminal.health("ingest_svc") is None


def test_a_full_disk_ends_nothing(run: Callable[..., Terminal], place: Path) -> None:
    """Where output goes to a file whose disk is full lines are lost, and no more; with room they are written again."""
    with (place / "output").open("ab") as output:
        terminal = run(output=output.fileno())
        for service in terminal.ports:
            terminal.pid(service)
        fill(place)
        output.write(bytes(4096 - output.tell() % 4096))
        output.flush()
        kill_query(terminal)
        (place / "of-others").unlink()
        kill_query(terminal)
        terminal.ctrl_c()
    assert (place / "output").read_bytes().count(b"exited: query_svc") == 1


def test_a_log_that_cannot_be_written_ends_nothing(run: Callable[..., Terminal]) -> None:
    """Whatever its file system says, as one that has become read-only; what comes later is written again."""
    terminal = run()
    for service in terminal.ports:
        terminal.pid(service)
    supervisor = int(terminal.db.with_name(f"{terminal.db.name}.pid").read_text())
    before = resource.prlimit(supervisor, resource.RLIMIT_FSIZE)
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (1, before[1]))
    kill_query(terminal)
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, before)
    kill_query(terminal)
    assert terminal.output.count("exited: query_svc") == 1


def test_output_may_be_a_socket(run: Callable[..., Terminal]) -> None:
    """What the services say arrives where nobody can open the output by its path, as under systemd."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            terminal = run(output=theirs.fileno())
        for service in ("ingest_svc", "query_svc"):
            terminal.pid(service)
        terminal.ctrl_c()
        said = b"".join(iter(lambda: ours.recv(65536), b"")).decode()
    assert said.count("listens on http://127.0.0.1:") == 2
    assert "INFO stopped: query_svc (exit status 0)" in said
