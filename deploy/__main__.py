"""`python -m tracehub_server`: both services, supervised, in the foreground.

What would keep a service from starting is looked for first, so that it fails at once and with one line. A service that
still cannot be kept up ends the whole, as a failure: supervisord alone would go on without it and exit 0.
"""

import shared.scarcity  # noqa: F401  # first, for all other imports

# isort: split
import argparse
import contextlib
import fcntl
import io
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from shared.address import refuse_taken
from shared.env import (
    PROGRAM,
    VERSION,
    SettingError,
    Settings,
    failing_in_one_line,
    give_up,
    read_settings,
    refuse_open_address,
)
from shared.errors import BadFile, Taken
from shared.pidfile import Supervision, supervising
from shared.storage.claim import Claim

CONFIGURATION: Final = Path(__file__).with_name("supervisord.conf")
STOP_S: Final = 8.0  # for a service to end when asked, before it is made to
SOCKET_PATH_BYTES: Final = 85  # of the 107 that a unix socket's path may have; supervisord appends to it


class _Options(ServerOptions):  # type: ignore[misc]
    """supervisord's options, by which it starts what it supervises."""

    def fork(self) -> int:
        """Fork a child that heeds a stop from its first moment on: as a group, and not by a handler that is ours."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        if pid := os.fork():
            with contextlib.suppress(OSError):  # it has done so itself
                os.setpgid(pid, pid)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return pid

    def write_pidfile(self) -> None:
        """Tell the pid, and write none: `shared.pidfile` has."""
        self.logger.info(f"supervisord started with pid {os.getpid()}")

    def usage(self, msg: str) -> NoReturn:
        """Give up, for what supervisord cannot go on with."""
        give_up(PROGRAM, msg, 1)


class Services(Supervisor):  # type: ignore[misc]  # supervisor has no types
    """supervisord over both services; the first that it gives up ends them all, and so does another server.

    `why_ended` says which it was, None where it was told to stop.
    """

    why_ended: str | None = None

    def __init__(self, options: _Options, supervision: Supervision) -> None:
        super().__init__(options)
        self._supervision = supervision
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started with nohup

    def runforever(self) -> None:
        """Supervise until told to stop or until a service is lost."""
        events.subscribe(events.ProcessStateFatalEvent, self._give_up)
        events.subscribe(events.ProcessLogEvent, _pass_on)
        events.subscribe(events.Tick5Event, self._keep)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if self._outlives_terminal else self._hang_up)
        super().runforever()

    def end_the_rest(self) -> None:
        """End those that are left when supervising failed: nothing goes on without supervision."""
        groups = (self.process_groups or {}).values()
        left = {process.pid for group in groups for process in group.processes.values()} - {0}
        deadline = time.monotonic() + STOP_S
        while left:
            for pid in list(left):
                try:
                    if os.waitpid(pid, os.WNOHANG) == (0, 0):
                        # again and again: one that is just being started may not heed the first
                        os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
                    else:
                        left.remove(pid)
                except ChildProcessError:
                    left.remove(pid)
            time.sleep(0.1)

    def _hang_up(self, *_: Any) -> None:
        """The terminal has gone: stop."""
        self.options.mood = SupervisorStates.SHUTDOWN

    def _give_up(self, event: Any) -> None:
        self._end(f"{event.process.config.name} does not stay up, its lines above say why")

    def _keep(self, _: Any) -> None:
        try:
            self._supervision.keep()
        except Taken as error:
            self._end(str(error))
        except BadFile:  # there is no such directory just now
            pass

    def _end(self, why: str) -> None:
        self.why_ended = why
        self.options.mood = SupervisorStates.SHUTDOWN


def _pass_on(event: Any) -> None:
    output = (sys.stdout if event.channel == "stdout" else sys.stderr).buffer
    output.write(event.data)
    output.flush()


def main() -> None:
    """Check the settings, run both services until told to stop, say why if it was not us who were told."""
    parser = argparse.ArgumentParser(prog="python -m tracehub_server", description="Runs both services, supervised.")
    parser.add_argument("--version", action="version", version=f"tracehub-server {VERSION}")
    parser.parse_args()
    _fill_gaps()
    with failing_in_one_line(PROGRAM):
        settings = read_settings(os.environ, {})
        _refuse_bad_start(settings)
        with supervising(settings.path) as supervision:
            why_ended = _supervise_beside(settings.path.absolute(), supervision)
    if why_ended:
        give_up(PROGRAM, f"{why_ended}; everything is stopped", 1)


def _refuse_bad_start(settings: Settings) -> None:
    """Raise what would keep one of the services from starting."""
    refuse_open_address(settings, "secret")
    refuse_open_address(settings, "query_secret")
    if settings.port == settings.query_port != 0:
        raise SettingError(
            f"TRACEHUB_PORT and TRACEHUB_QUERY_PORT are both {settings.port}: each service needs its own"
        )
    refuse_taken(settings, "port")
    refuse_taken(settings, "query_port")
    claim = Claim(settings.path, os.getpid())
    claim.take()
    claim.release()


def _supervise_beside(database: Path, supervision: Supervision) -> str | None:
    _outlive_outputs()
    os.umask(0o077)  # supervisord heeds a setting for that only where it leaves the terminal
    os.environ["TRACEHUB_PYTHON"] = sys.executable
    with _socket_beside(database) as path:
        os.environ["TRACEHUB_SUPERVISOR"] = path
        return _supervise(supervision)


def _supervise(supervision: Supervision) -> str | None:
    """Run until stopped: by a signal, or by what is returned."""
    options = None
    while options is None or options.mood == SupervisorStates.RESTARTING:  # `supervisorctl reload`
        is_first = options is None
        options = _Options()
        options.realize(["-c", str(CONFIGURATION)])
        options.first, options.test = is_first, False
        services = Services(options, supervision)
        try:
            with contextlib.suppress(ExitNow):  # how it ends
                services.main()
        finally:
            services.end_the_rest()
        options.close_httpservers()
        options.close_logger()
    return services.why_ended


class _Lines(io.FileIO):
    """Where output goes. What is not taken there is lost: the services outlive that, and so do we."""

    def write(self, data: Any) -> int:
        """Write some of it, or take it for written."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _fill_gaps() -> None:
    """What the shell has closed (`>&-`) goes nowhere: else the next file, the one with the pid, would be output."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _outlive_outputs() -> None:
    """No disk that is full and no terminal that has gone ends what is written there."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        kind = os.fstat(number).st_mode
        if stat.S_ISREG(kind):  # several processes write it, and must not write over one another
            fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
        if stat.S_ISREG(kind) or stat.S_ISCHR(kind):
            lines = io.BufferedWriter(_Lines(number, "w", closefd=False))
            setattr(sys, name, io.TextIOWrapper(lines, errors="backslashreplace", line_buffering=True))


@contextlib.contextmanager
def _socket_beside(database: Path) -> Iterator[str]:
    """Where supervisord's socket is: beside the database, if that is short enough for one."""
    path = f"{database}.supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tracehub-") as directory:
        yield f"{directory}/supervisor.sock"


main()
