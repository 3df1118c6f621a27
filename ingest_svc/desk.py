"""The service's side of the writer process: starts it, asks it, settles who waits, and starts another when it ends."""

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from ingest_svc.messages import (
    Answer,
    Batches,
    Call,
    Done,
    Failed,
    Fault,
    Messages,
    Report,
    Standing,
    Written,
    framed,
)
from shared.env import Settings
from shared.errors import Lost, Unavailable
from shared.storage.columns import Columns

RESTART_S: Final = 1.0  # before another writer process takes the place of one that ended
LOOK_S: Final = 0.01  # between looks for the end of one that has hung up
STOP_S: Final = 10.0  # for the last transaction and the WAL
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)

Settle = Callable[[Any], None]  # is given what came of it: an answer or an error

_log = logging.getLogger("tracehub.ingest")


class Desk:
    """Where the writer is asked: whoever wants something written or deleted comes here and is served in turn.

    What waits here to be written is bounded, in bytes, by the Intake before it.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._retention_ms = settings.retention_ms
        self._why_not: Fault | None = Fault.of(Unavailable(f"{self._path} is being opened"))
        self._why_given_up: Fault | None = None  # by the writer process that is there now
        self._first_look: asyncio.Future[None]
        self._line: _Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._batches: deque[tuple[int, Settle]] = deque()  # number of entries
        self._calls: deque[Settle] = deque()
        self._looks: dict[str, asyncio.Task[Done]] = {}
        self._closing = False
        self.calls = 0
        self.commits = 0
        self.inserted = 0
        self.duplicates = 0
        self.commit_seconds = 0.0

    async def open(self) -> None:
        """Take the file. Raises BadFile, and Unavailable where another service has it, no writer process starts, or it
        ends at once.

        A file that cannot be had at once opens in the background.
        """
        self._first_look = asyncio.get_running_loop().create_future()
        self._tending = asyncio.create_task(self._tend())
        try:
            await self._first_look
        except BaseException:
            await self.close()
            raise

    def write(self, entries: Columns, report: Report | None, settle: Settle) -> None:
        """Send the entries to the writer. `settle` is called once: with the number of new entries after the synced
        commit, or with an error. After an error nothing is stored, unless it is Lost.

        Raises Unavailable while the file is not open.
        """
        line = self._open_line()
        message = line.batches.framed(entries, report)
        self._batches.append((entries.size, settle))
        self._ask(line, message)

    async def commit(self, entries: Columns, report: Report | None = None) -> int:
        """As `write`, for who can wait; returns how many were new."""
        inserted: int = await _settled(lambda settle: self.write(entries, report, settle))
        return inserted

    async def call(self, operation: str, *arguments: float | None) -> Done:
        """What an operation of the writer gives; raises its errors, and Unavailable while the file is not open."""

        def ask(settle: Settle) -> None:
            line = self._open_line()
            self._calls.append(settle)
            self._ask(line, framed(Call(operation, arguments)))

        done: Done = await _settled(ask)
        return done

    async def look(self, operation: str) -> int:
        """What an operation tells that takes nothing; raises as `call` does.

        Whoever asks while another waits for it shares its answer: a writer that hangs is asked once, however many come
        to look and give up.
        """
        look = self._looks.get(operation)
        if look is None or look.done():
            look = self._looks[operation] = asyncio.create_task(self.call(operation))
            look.add_done_callback(_seen)
        await asyncio.wait({look})
        return look.result().value

    async def close(self) -> None:
        """Have the writer finish what it was asked and close the file, which another service may have then."""
        self._closing = True
        if self._line is not None:
            self._line.hang_up()
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.shield(self._tending)
        except TimeoutError:
            _log.error("the writer process does not end: it is killed, what it has not acknowledged is not stored")
            if self._process is not None:
                self._process.kill()
            await self._tending

    def _open_line(self) -> "_Line":
        """The way to the writer; raises why it does not write just now."""
        if self._why_not is not None:
            raise self._why_not.error()
        assert self._line is not None
        return self._line

    def _ask(self, line: "_Line", message: bytes) -> None:
        """Ask at once: the writer begins with the first request while others of the same moment are still read."""
        self.calls += 1
        line.send(message)

    async def _tend(self) -> None:
        """Keep a writer process for as long as the service lives."""
        while not self._closing:
            try:
                process, line = await self._start()
            except OSError as error:
                await self._ended(Unavailable(f"the writer process cannot be started: {error.strerror}"))
                continue
            if self._closing:  # `close` hung up the line of before
                line.hang_up()
            await line.lost
            while (code := process.poll()) is None:  # noqa: ASYNC110  # there may be no memory for a thread that waits
                await asyncio.sleep(LOOK_S)
            lost = Unavailable(f"the writer process ended with {code}, another one starts: send again")
            await self._ended(self._why_given_up.error() if self._why_given_up else lost)
            self._why_given_up = None

    async def _start(self) -> "tuple[subprocess.Popen[bytes], _Line]":
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_it_starts:
            unless_it_starts.callback(ours.close)
            handle = theirs.fileno()
            arguments = (str(handle), str(self._path), str(self._retention_ms))
            command = (sys.executable, "-m", "ingest_svc.writer", *arguments)
            with _signals_blocked():
                process = subprocess.Popen(command, pass_fds=(handle,), stdin=subprocess.DEVNULL)  # noqa: ASYNC220  # short
            unless_it_starts.pop_all()
        _, line = await asyncio.get_running_loop().create_connection(lambda: _Line(self._heard), sock=ours)
        self._process, self._line = process, line
        return process, line

    async def _ended(self, why: Exception) -> None:
        """No writer is there: tell everybody who waits for it, and let a moment pass before the next one.

        The one that ended may have committed what it had in hand.
        """
        self._why_not = Fault.of(why)
        self._fail(len(self._batches), Lost(str(why)))
        while self._calls:
            self._calls.popleft()(why)
        if self._closing:
            return
        if not self._first_look.done():
            self._closing = True
            self._first_look.set_exception(why)
            return
        _log.error("%s", why)
        await asyncio.sleep(RESTART_S)

    def _heard(self, answer: Answer) -> None:
        if isinstance(answer, Written):
            self.commits += 1
            self.commit_seconds += answer.seconds
            for count in answer.counts:
                entries, settle = self._batches.popleft()
                self.inserted += count
                self.duplicates += entries - count
                settle(count)
        elif isinstance(answer, Done):
            self._calls.popleft()(answer)
        elif isinstance(answer, Failed) and answer.batches:
            self._fail(answer.batches, answer.fault.error())
        elif isinstance(answer, Failed):
            self._calls.popleft()(answer.fault.error())
        else:
            self._stand(answer)

    def _fail(self, batches: int, error: Exception) -> None:
        for _ in range(batches):
            _, settle = self._batches.popleft()
            settle(error)

    def _stand(self, standing: Standing) -> None:
        self._why_not = standing.fault
        self._why_given_up = standing.fault if standing.is_final else None
        if self._first_look.done():
            return
        if standing.is_final and standing.fault is not None:
            self._closing = True
            self._first_look.set_exception(standing.fault.error())
        else:
            self._first_look.set_result(None)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process started meanwhile keeps them blocked: what Ctrl-C and systemd send to all processes is for the service,
    which hangs up then.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Line(asyncio.Protocol):
    """This process's end of the pair of sockets."""

    def __init__(self, heard: Callable[[Answer], None]) -> None:
        self._heard = heard
        self._messages = Messages(Answer)
        self.batches = Batches()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        for answer in self._messages.feed(data):
            self._heard(answer)

    def connection_lost(self, _: Exception | None) -> None:
        self.lost.set_result(None)

    def send(self, message: bytes) -> None:
        """Ask the writer."""
        self._transport.write(message)

    def hang_up(self) -> None:
        """Nothing more will be asked; answers still come."""
        with contextlib.suppress(OSError, RuntimeError):  # the writer has ended, or was told before
            self._transport.write_eof()


def _seen(task: asyncio.Task[Done]) -> None:
    """Take note of how it ended, also where nobody waits for that any more."""
    if not task.cancelled():
        task.exception()


async def _settled(ask: Callable[[Settle], None]) -> Any:
    """Ask, and wait for what comes of it; raises that where it is an error."""
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    try:
        ask(_settling(outcome))
        return await outcome
    finally:
        # An error would hold this frame, and with it the entries and itself, until a search for garbage.
        del outcome


def _settling(future: "asyncio.Future[Any]") -> Settle:
    """Give a future what comes, unless whoever waits for it gave up meanwhile."""

    def settle(outcome: Any) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return settle
