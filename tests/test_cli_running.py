"""`start`, `stop`, and what a port that wants a secret makes of a command."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Services, free_port
from patience import PATIENCE_S
from shell import BIN, Shell


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell whose own ports are free, in a home of its own."""
    shell = Shell(tmp_path, "")
    shell.environ |= {"TRACEHUB_PORT": str(free_port()), "TRACEHUB_QUERY_PORT": str(free_port())}
    return shell


def test_start_in_the_background_and_stop(alone: Shell, tmp_path: Path) -> None:
    """Up when the command returns, on a database below the user's data folder; a second start is refused."""
    try:
        told = json.loads(alone.run("start", "--detach", "--json").stdout)
        assert alone.run("status").returncode == 0
        assert Path(told["db"]) == tmp_path / ".local/share/tracehub/tracehub.db"
        made = [tmp_path / folder for folder in (".local", ".local/share", ".local/share/tracehub")]
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 3
        again = alone.run("start", "--detach")
        assert again.returncode == 1 and "answers at" in again.stderr
        assert alone.run("list").stderr.startswith("no traces yet: send one with")
    finally:
        stopped = alone.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"stopped, pid {told['pid']}\n")
    assert alone.run("status").returncode == 3
    nothing = alone.run("stop")
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_a_log_that_is_a_link(alone: Shell, tmp_path: Path) -> None:
    """What it leads to is not written to."""
    other = tmp_path / "other"
    other.touch()
    (tmp_path / "own.db.log").symlink_to(other)
    ended = alone.run("start", "--detach", "--db", str(tmp_path / "own.db"))
    assert ended.returncode == 1 and f"own.db.log: {os.strerror(errno.ELOOP)}" in ended.stderr
    assert other.read_bytes() == b""


def test_a_user_without_a_home(alone: Shell, tmp_path: Path) -> None:
    """As containers have them: what needs a place of the user's own says so in one line, all else works."""
    homeless = "import pwd; pwd.getpwuid = {}.__getitem__; from tracehub.cli import tracehub; tracehub()"
    alone.environ.pop("HOME")

    def run(*words: str) -> tuple[int, str]:
        words = (sys.executable, "-c", homeless, *words)
        ended = subprocess.run(words, env=alone.environ, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stderr

    assert run("new") == (1, "tracehub: home: this user has none, set XDG_STATE_HOME\n")
    assert run("start") == (1, "tracehub: home: this user has none, set XDG_DATA_HOME\n")
    assert "Traceback" not in run("current")[1]
    alone.environ["TRACEHUB_DB"] = str(tmp_path / "own.db")
    try:
        assert run("start", "--detach")[0] == 0
    finally:
        alone.run("stop")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here")
def test_start_on_an_address_of_ipv6(alone: Shell) -> None:
    """The server is found where it listens."""
    try:
        told = alone.run("start", "--detach", "--host", "::1")
        assert told.stdout.startswith("TraceHub is up: ingest http://[::1]:")
    finally:
        alone.run("stop")


def test_start_finds_the_server_by_settings_with_blanks(alone: Shell) -> None:
    """As an env file may hold them; the server leaves them out."""
    blank = {name: f" {alone.environ[name]} " for name in ("TRACEHUB_PORT", "TRACEHUB_QUERY_PORT")}
    try:
        told = alone.run("start", "--detach", TRACEHUB_HOST=" localhost ", **blank)
        assert told.stdout.startswith(f"TraceHub is up: ingest http://localhost:{alone.environ['TRACEHUB_PORT']},")
    finally:
        alone.run("stop")


def test_start_in_the_foreground_ends_with_ctrl_c(alone: Shell) -> None:
    """It is the supervisor itself then."""
    server = subprocess.Popen(
        [BIN / "kbc", "tracehub", "start"],
        env=alone.environ,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    for line in server.stdout:
        if "query_svc listens" in line:
            break
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 0


@pytest.mark.parametrize("outputs", [">/dev/full", ">&-", ">&- 2>&-"])
def test_start_outlives_outputs_that_take_nothing(alone: Shell, tmp_path: Path, outputs: str) -> None:
    """Lines are lost, and reach no file that they are not for: that with the pid holds the pid."""
    command = ["sh", "-c", f'exec "$0" start {outputs}', BIN / "tracehub"]
    with subprocess.Popen(command, env=alone.environ, stderr=subprocess.PIPE, text=True) as server:
        try:
            while alone.run("status").returncode:
                assert server.poll() is None
            held = (tmp_path / ".local/share/tracehub/tracehub.db.pid").read_text()
        finally:
            alone.run("stop")
        _, said = server.communicate(timeout=PATIENCE_S)
    assert (held.strip(), server.returncode) == (str(server.pid), 0)
    assert "Traceback" not in said


def test_packages_in_the_working_folder_are_not_taken_for_the_server(alone: Shell, tmp_path: Path) -> None:
    """A project may have a package `shared` of its own, and who looks at it has not asked to run it."""
    project = tmp_path / "project"
    for name in ("ingest_svc", "query_svc", "shared", "tracehub_server"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise SystemExit('not the server')")
    try:
        started = alone.run_in(f"cd {project}", "start", "--detach")
        assert started.returncode == 0, started.stderr
        doctor = alone.run_in(f"cd {project}", "doctor", "--json")
        assert "server" in [finding["name"] for finding in json.loads(doctor.stdout)["findings"]]
    finally:
        stopped = alone.run_in(f"cd {project}", "stop")
    assert stopped.returncode == 0, stopped.stderr


def test_a_setting_that_cannot_be_used_is_exit_code_2(alone: Shell) -> None:
    """In one line, in the foreground and in the background."""
    for ended in alone.run_each(("start", "--port", "many"), ("start", "--detach", "--port", "many")):
        assert ended.returncode == 2
        assert "TRACEHUB_PORT='many'" in ended.stderr


def test_ports_that_nobody_would_know_are_refused(alone: Shell) -> None:
    """In the background, any free port would be one that nobody can ask."""
    ended = alone.run("start", "--detach", "--query-port", "0")
    assert ended.returncode == 2 and "name one" in ended.stderr


def test_secrets_are_used_and_their_refusal_is_exit_code_77(services: Services, tmp_path: Path) -> None:
    """Each port has its own; one that is missing or wrong is said in one line."""
    services.environ = {"TRACEHUB_SECRET": "in", "TRACEHUB_QUERY_SECRET": "out"}
    services.start("ingest_svc")
    services.start("query_svc")
    shell = Shell(tmp_path, services.ingest_url)
    send = ("send", "->", "SH", "a", "b", "--id", "secret")
    for words, name, right in ((send, "TRACEHUB_SECRET", "in"), (("show", "secret"), "TRACEHUB_QUERY_SECRET", "out")):
        for environ in ({}, {name: "wrong"}, {name: "\udce9"}):
            ended = shell.run(*words, **environ)
            assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (77, "", 1)
        assert shell.run(*words, **{name: right}).returncode == 0
    status = shell.run("status")
    assert status.returncode == 0 and "TRACEHUB_QUERY_SECRET is needed" in status.stdout
    assert shell.run("doctor").returncode == 1


def test_the_client_alone_says_what_to_install(tmp_path: Path) -> None:
    """Without click the package works and a command says one line; without the server `start` does."""
    hide = (
        "import sys; sys.modules['{}'] = None; sys.argv = ['tracehub', 'start']; import tracehub.cli as c; c.tracehub()"
    )
    bare = subprocess.run([sys.executable, "-c", hide.format("click")], capture_output=True, text=True, check=False)
    assert bare.returncode == 1
    assert "pip install './client[cli]'" in bare.stderr and len(bare.stderr.splitlines()) == 1
    code = "import importlib.util as u, sys; find = u.find_spec\n"
    code += "u.find_spec = lambda name, *rest: None if name == 'tracehub_server' else find(name, *rest)\n"
    code += "sys.argv = ['tracehub', 'start']; import tracehub.cli as c; c.tracehub()"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert alone.returncode == 1
    assert "the server is not installed here: pip install" in alone.stderr and len(alone.stderr.splitlines()) == 1


def test_completion_is_a_script_for_all_names(alone: Shell) -> None:
    """In each of three shells; another is wrong use."""
    *scripts, other = alone.run_each(*(("completion", shell) for shell in ("bash", "zsh", "fish", "tcsh")))
    for script in scripts:
        assert all(f"_{name}_COMPLETE" in script.stdout for name in ("TRACEHUB", "KBC", "KIBEROS"))
    assert other.returncode == 2
