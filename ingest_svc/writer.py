"""The writer process, `python -m ingest_svc.writer`: started by the ingest service, which asks it for everything.

It has the only read-write connection, so the service's event loop never waits for the disk, and SQLite works on a core
of its own. Group commit: what arrived while a transaction was written is the next one. There is no delay to tune: an
idle service commits at once, a busy one in larger groups.
"""

import contextlib
import ctypes
import logging
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from ingest_svc.keeper import REOPEN_S, Keeper
from ingest_svc.messages import (
    READ_BYTES,
    Answer,
    Arrivals,
    Ask,
    Batch,
    Call,
    Done,
    Failed,
    Fault,
    Frames,
    Standing,
    Written,
    framed,
)
from shared.doorbell import Doorbell
from shared.errors import DiskFull, Locked, TraceHubError, Unavailable
from shared.exposition import memory_bytes
from shared.log import set_up_log
from shared.memory import give_large_blocks_back, search_less_for_garbage
from shared.storage.columns import Columns
from shared.storage.writer import Writer

GROUP_ENTRIES: Final = 2_000  # that a transaction takes before it leaves the rest to the next; a larger batch is long
GAP_ENTRIES: Final = 5_000  # new ones since the last time, before a gap is used to fold the WAL into the file

T = TypeVar("T")

_PR_SET_PDEATHSIG: Final = 1  # of prctl(2)
_log = logging.getLogger("tracehub.ingest")


def _probe(writer: Writer) -> int:
    """Write something, to see whether writing works; gives the number of entries."""
    writer.probe()
    return writer.newest - writer.oldest + 1


def _dropped(writer: Writer) -> int:
    return writer.dropped


OPERATIONS: Final[dict[str, Callable[..., int]]] = {
    "probe": _probe,
    "dropped": _dropped,
    "memory_bytes": lambda _: memory_bytes(),
    "horizon": Writer.horizon,
    "expire": Writer.expire,
    "expire_while_larger": Writer.expire_while_larger,
    "give_back": Writer.give_back,
}
DELETING: Final[dict[str, Callable[[Writer, int, int], range]]] = {  # and what leaves with the batches that wait
    "expire": Writer.due,
    "expire_while_larger": Writer.excess,
}
LEAVING: Final = 6  # entries go, or more if asked for, with each that comes in the same transaction
MOST_LEAVING: Final = 10_000
DELETED: Final = 2  # entries are written for one that goes: no commit beside has to fold all that deleting wrote


class Gone(Exception):
    """The service has ended."""


class Line:
    """The writer's end of the pair of sockets."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._frames = Frames(Ask)
        self.ended = False

    def receive(self, *, wait: bool) -> list[Ask]:
        """What has arrived; with `wait`, at least the next piece of it. Nothing comes any more once it `ended`."""
        try:
            piece = self._line.recv(READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError:
            piece = b""
        self.ended = not piece
        return self._frames.feed(piece)

    def is_up(self) -> bool:
        """Whether somebody is at the other end, and might ask something."""
        try:
            return bool(self._line.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def tell(self, answer: Answer) -> None:
        """Send an answer; raises Gone where nobody is there for it."""
        try:
            self._line.sendall(framed(answer))
        except ConnectionError:
            raise Gone from None


class GroupCommit:
    """Does what is asked, in order; batches that stand together are one transaction."""

    def __init__(self, line: Line, keeper: Keeper, doorbell: Doorbell) -> None:
        self._line = line
        self._keeper = keeper
        self._doorbell = doorbell
        self._batches: deque[Batch] = deque()
        self._calls: deque[Call] = deque()
        self._arrivals = Arrivals()
        self._unfolded = 0

    def run(self) -> None:
        """Take, do, answer, until the service has gone."""
        while True:
            self._gather()
            call = self._calls.popleft() if self._calls else None
            coming = self._coming()
            if call and call.operation in DELETING and coming and self._turn_over(call, coming):
                continue
            if coming:
                self._answer(len(coming.batches), self._write, coming)
            if call:
                self._answer(0, self._call, call)

    def _gather(self) -> None:
        """Take what has arrived, up to a group; wait for something if there is nothing."""
        entries = sum(map(_size, self._batches))
        while entries < GROUP_ENTRIES:
            arrived = self._line.receive(wait=False)
            if not arrived and (self._batches or self._calls):
                return
            if not arrived:
                self._use_the_gap()
                arrived = self._line.receive(wait=True)
            if self._line.ended:
                raise Gone
            for ask in arrived:
                if isinstance(ask, Batch):
                    self._batches.append(ask)
                    entries += _size(ask)
                else:
                    self._calls.append(ask)

    def _coming(self) -> "_Coming | None":
        """The batches that come next, up to a group."""
        batches: list[Columns] = []
        drops: dict[str, int] = {}
        entries = 0
        while self._batches and entries < GROUP_ENTRIES:
            batch = self._batches.popleft()
            entries += _size(batch)
            batches.append(self._arrivals.columns(batch))
            if batch.sender is not None:
                drops[batch.sender] = max(batch.dropped, drops.get(batch.sender, 0))
        return _Coming(batches, drops, entries) if batches else None

    def _answer(self, batches: int, do: Callable[[T], Written | Done], asked: T) -> None:
        """Do what was asked and tell what came of it; so many `batches`, or a call, fail where that fails."""
        answer: Answer
        try:
            answer = do(asked)
        except Exception as error:  # the turn of an endless loop: whoever asked is told
            if not isinstance(error, TraceHubError):
                _log.exception("writing failed")
            answer = Failed(Fault.of(error), batches)
        self._line.tell(answer)
        if isinstance(answer, Written):
            self._doorbell.ring()

    def _write(self, coming: "_Coming") -> Written:
        started = time.perf_counter()
        counts = self._keeper.call(lambda writer: writer.store(coming.batches, _now_ms(), coming.drops))
        self._unfolded += sum(counts)
        return Written(counts, time.perf_counter() - started)

    def _call(self, call: Call) -> Done:
        started = time.perf_counter()
        value = self._keeper.call(lambda writer: OPERATIONS[call.operation](writer, *call.arguments))
        if call.operation in DELETING:
            self._unfolded += DELETED * value
        return Done(value, time.perf_counter() - started)

    def _turn_over(self, call: Call, coming: "_Coming") -> bool:
        """Delete and write in one transaction; False where that fails, and each has to go by itself.

        What is wrong with a deletion need not concern the batches: the disk is full, or the oldest pages are damaged.
        """
        started = time.perf_counter()
        bound, least = (int(argument or 0) for argument in call.arguments)
        limit = max(least, min(LEAVING * coming.entries, MOST_LEAVING))
        leaving = DELETING[call.operation]
        try:
            came, went, deleting_s = self._keeper.call(
                lambda writer: writer.turn_over(coming.batches, _now_ms(), coming.drops, leaving(writer, bound, limit))
            )
        except TraceHubError:
            return False
        except Exception:  # the turn of an endless loop: whoever asked is told by what each comes to alone
            _log.exception("deleting beside a commit failed")
            return False
        self._unfolded += sum(came) + DELETED * went
        self._line.tell(Done(went, deleting_s))
        self._line.tell(Written(came, time.perf_counter() - started - deleting_s))
        self._doorbell.ring()
        return True

    def _use_the_gap(self) -> None:
        """While nobody waits, do what a commit would have to do later: fold the WAL into the file."""
        if self._unfolded >= GAP_ENTRIES:
            self._unfolded = 0
            with contextlib.suppress(TraceHubError):  # the keeper has logged it, and opens the file anew
                self._keeper.call(Writer.checkpoint)


class _Coming(NamedTuple):
    """Batches for one transaction, what their senders dropped, and how many entries they have."""

    batches: list[Columns]
    drops: dict[str, int]
    entries: int


def _size(batch: Batch) -> int:
    """How many entries are to be written."""
    return len(batch.suffixes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def open_in_time(line: Line, keeper: Keeper) -> None:
    """Open the file, however long others hold it, and say how it stands. Raises Gone, and BadFile at the first look."""
    is_first = True
    while True:
        try:
            keeper.open(lambda why_not: line.tell(Standing(Fault.of(why_not))), line.is_up)
        except Exception as error:  # the turn of an endless loop: the file may be better at the next one
            if not line.is_up():
                raise Gone from None
            if is_first and isinstance(error, TraceHubError) and not isinstance(error, Locked | DiskFull):
                raise
            _log.error("not open yet: %s", error, exc_info=None if isinstance(error, TraceHubError) else error)
            line.tell(Standing(Fault.of(Unavailable(f"not open yet: {error}", retry_after=5))))
        else:
            line.tell(Standing(None))
            return
        is_first = False
        time.sleep(REOPEN_S)


def main(socket_number: str, path: str, retention_ms: str) -> None:
    """Serve the ingest service at the other end of the socket until it hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal's Ctrl-C is meant for the service, which hangs up then
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    set_up_log()
    give_large_blocks_back()
    search_less_for_garbage()
    line = Line(socket.socket(fileno=int(socket_number)))
    keeper, doorbell = Keeper(Path(path), float(retention_ms)), Doorbell(Path(path))
    with contextlib.suppress(Gone):
        try:
            open_in_time(line, keeper)
        except TraceHubError as error:
            line.tell(Standing(Fault.of(error), is_final=True))
        else:
            GroupCommit(line, keeper, doorbell).run()
    keeper.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
