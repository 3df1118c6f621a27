"""Group commit: what arrived while a transaction was written is the next one.

There is no delay to tune: an idle service commits at once, a busy one in larger groups. The queue is the line to the
service, which holds no more than the Intake lets in.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from ingest_svc.keeper import Keeper
from ingest_svc.line import Gone, Line
from ingest_svc.messages import Answer, Ask, Batch, Call, Done, Failed, Fault, Received, Written
from shared.doorbell import Doorbell
from shared.errors import TraceHubError, Unavailable
from shared.memory import memory_bytes
from shared.storage.columns import Columns
from shared.storage.writer import Writer

GROUP_ENTRIES: Final = 2_000  # that a transaction takes before it leaves the rest to the next; a larger batch is long
RETRY_S: Final = 0.5  # between tries to write where that failed and nobody asks
GAP_ENTRIES: Final = 5_000  # new ones since the last time, before a gap is used to fold the WAL into the file

T = TypeVar("T")

_log = logging.getLogger("tracehub.ingest")


def _probe(writer: Writer) -> int:
    """Write something, to see whether writing works; gives the number of entries."""
    writer.probe()
    return writer.newest - writer.oldest + 1


def _dropped(writer: Writer) -> int:
    return writer.dropped


def _horizon(writer: Writer) -> int:
    """The row id up to which entries may be deleted; that of a file which was open before means nothing in this one."""
    if writer.horizon is None:
        raise Unavailable(f"{writer.path} was opened anew: what is past retention has to be looked for again")
    return writer.horizon


OPERATIONS: Final[dict[str, Callable[..., int]]] = {
    "probe": _probe,
    "dropped": _dropped,
    "memory_bytes": lambda _: memory_bytes(),
    "find_horizon": Writer.find_horizon,
    "expire": lambda writer, limit: writer.expire(_horizon(writer), limit),
    "expire_while_larger": Writer.expire_while_larger,
    "give_back": Writer.give_back,
}
DELETING: Final[dict[str, Callable[..., range]]] = {  # and what leaves with the batches that wait
    "expire": lambda writer, limit: writer.due(_horizon(writer), limit),
    "expire_while_larger": Writer.excess,
}
LEAVING: Final = 6  # entries go, or more if asked for, with each that comes in the same transaction
MOST_LEAVING: Final = 10_000
DELETED: Final = 2  # entries are written for one that goes: no commit beside has to fold all that deleting wrote


class GroupCommit:
    """Does what is asked, in order; batches that stand together are one transaction."""

    def __init__(self, line: Line, keeper: Keeper, doorbell: Doorbell) -> None:
        self._line = line
        self._keeper = keeper
        self._doorbell = doorbell
        self._batches: deque[Batch] = deque()
        self._calls: deque[Call] = deque()
        self._received = Received()
        self._unfolded = 0

    def run(self) -> None:
        """Take, do, answer, until the service has gone."""
        self._try()
        while True:
            self._gather()
            call = self._calls.popleft() if self._calls else None
            coming = self._coming()
            if call and call.operation in DELETING and coming and self._turn_over(call, coming):
                continue
            if coming:
                self._answer(len(coming.entries.sizes), self._write, coming)
            if call:
                self._answer(0, self._call, call)

    def _gather(self) -> None:
        """Take what has arrived, up to a group; wait for something if there is nothing."""
        entries = sum(map(_size, self._batches))
        while entries < GROUP_ENTRIES:
            arrived = self._line.receive(0)
            if not arrived and (self._batches or self._calls):
                return
            if not arrived:
                self._use_the_gap()
                arrived = self._next()
            if self._line.ended:
                raise Gone
            for ask in arrived:
                if isinstance(ask, Batch):
                    self._batches.append(ask)
                    entries += _size(ask)
                else:
                    self._calls.append(ask)

    def _next(self) -> list[Ask]:
        """The next piece of what comes; where writing failed, that is tried again until then."""
        while self._keeper.is_failing:
            arrived = self._line.receive(RETRY_S)
            if arrived or self._line.ended:
                return arrived
            self._try()
        return self._line.receive(None)

    def _coming(self) -> "_Coming | None":
        """The batches that come next, up to a group."""
        batches: list[Batch] = []
        drops: dict[str, int] = {}
        entries = 0
        while self._batches and entries < GROUP_ENTRIES:
            batch = self._batches.popleft()
            entries += _size(batch)
            batches.append(batch)
            if batch.sender is not None:
                drops[batch.sender] = max(batch.dropped, drops.get(batch.sender, 0))
        return _Coming(self._received.columns(batches), drops) if batches else None

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
        counts = self._keeper.write(lambda writer: writer.store(coming.entries, _now_ms(), coming.drops))
        self._unfolded += sum(counts)
        return Written(counts, time.perf_counter() - started)

    def _call(self, call: Call) -> Done:
        started = time.perf_counter()
        ask = self._keeper.write if call.operation == "probe" else self._keeper.call
        value = ask(lambda writer: OPERATIONS[call.operation](writer, *call.arguments))
        if call.operation in DELETING:
            self._unfolded += DELETED * value
        return Done(value, time.perf_counter() - started)

    def _turn_over(self, call: Call, coming: "_Coming") -> bool:
        """Delete and write in one transaction; False where that fails, and each has to go by itself.

        What is wrong with a deletion need not concern the batches: the disk is full, or the oldest pages are damaged.
        """
        started = time.perf_counter()
        *bound, least = (int(argument or 0) for argument in call.arguments)
        limit = max(least, min(LEAVING * coming.entries.size, MOST_LEAVING))
        leaving = DELETING[call.operation]
        try:
            came, went, deleting_s = self._keeper.write(
                lambda writer: writer.turn_over(coming.entries, _now_ms(), coming.drops, leaving(writer, *bound, limit))
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

    def _try(self) -> None:
        """See whether writing works."""
        with contextlib.suppress(TraceHubError):  # the keeper tells
            self._keeper.write(Writer.probe)

    def _use_the_gap(self) -> None:
        """While nobody waits, do what a commit would have to do later: fold the WAL into the file."""
        if self._unfolded >= GAP_ENTRIES:
            self._unfolded = 0
            try:
                self._keeper.call(Writer.checkpoint)
            except TraceHubError as error:  # the keeper opens the file anew
                _log.error("%s", error)


class _Coming(NamedTuple):
    """Entries for one transaction, and what their senders dropped."""

    entries: Columns
    drops: dict[str, int]


def _size(batch: Batch) -> int:
    """How many entries are to be written."""
    return len(batch.suffixes)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
