"""The load: requests over kept-alive connections from one thread, as light as Python can be.

Flat out, each connection sends its next request when the answer to the last one is there. Paced, requests are due at
even intervals whether or not answers came, and their time counts from when they were due: a service that stalls is seen
to stall. Counted is what was answered with 200 after the warm-up; any other answer ends the run.
"""

import gc
import re
import select
import socket
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from service import cpu_s

ANSWER_BYTES = 64 * 1024  # that are read of an answer at once
DRAIN_S = 5.0  # for the answers that are still out when the time is over
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What a run gave. Times are in seconds."""

    seconds: float
    latencies: list[float] = field(repr=False)
    cpu_share: float  # of a core, of the load itself
    service_cpu_shares: list[float]

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, part: float) -> float:
        """The latency that this part of the requests stayed under."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000

    @property
    def p50_ms(self) -> float:
        """The median latency."""
        return statistics.median(self.latencies) * 1000


def joined(loads: Sequence[Load]) -> Load:
    """Several runs of the same load as one."""
    seconds = sum(load.seconds for load in loads)

    def mean(shares: Iterable[float]) -> float:
        return sum(share * load.seconds for share, load in zip(shares, loads, strict=True)) / seconds

    return Load(
        seconds,
        [latency for load in loads for latency in load.latencies],
        mean(load.cpu_share for load in loads),
        [mean(shares) for shares in zip(*(load.service_cpu_shares for load in loads), strict=True)],
    )


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.number = self.socket.fileno()
        self.since = 0.0
        self._unsent: memoryview | None = None
        self._answer = b""

    def send(self, request: bytes, since: float) -> bool:
        """Begin a request whose time counts from `since`; returns whether all of it is on its way."""
        self.since = since
        self._answer = b""
        self._unsent = memoryview(request)
        return self.send_more()

    def send_more(self) -> bool:
        """Send what the socket takes; returns whether all of the request is on its way."""
        assert self._unsent is not None
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        return not self._unsent

    def receive(self) -> bytes | None:
        """The whole answer, once it is there."""
        piece = self.socket.recv(ANSWER_BYTES)
        if not piece:
            raise RuntimeError("the service hung up")
        self._answer += piece
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = _LENGTH.search(self._answer, 0, head)
        if length and len(self._answer) < head + 4 + int(length[1]):
            return None
        return self._answer


class Generator:
    """One run of load against one port."""

    def __init__(self, port: int, requests: Iterator[bytes], connections: int, pids: Sequence[int] = ()) -> None:
        self._requests = requests
        self._pids = pids
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(connections):
            connection = Connection(port)
            self._connections[connection.number] = connection
            self._epoll.register(connection.number, select.EPOLLIN)
        self._idle = list(self._connections.values())
        self._answers: list[float] = []
        self._latencies: list[float] = []

    def run(self, warm_up_s: float, seconds: float, per_second: float | None = None, *, drain: bool = True) -> Load:
        """Send, flat out or `per_second` requests, and say what came of the seconds after the warm-up."""
        gc.collect()
        gc.freeze()  # bodies by the hundred thousand, which a collection would walk through
        try:
            counted_from = time.perf_counter() + warm_up_s
            self._until(counted_from, per_second)
            before, began = self._cpu(), time.perf_counter()
            first = len(self._answers)
            ended = self._until(began + seconds, per_second)
            spent = [after - cpu for after, cpu in zip(self._cpu(), before, strict=True)]
            if drain:
                self._drain()
        finally:
            gc.unfreeze()
            self._epoll.close()
            for connection in self._connections.values():
                connection.socket.close()
        took = ended - began
        latencies = [self._latencies[i] for i in range(first, len(self._answers)) if self._answers[i] <= ended]
        return Load(took, latencies, spent[0] / took, [cpu / took for cpu in spent[1:]])

    def _cpu(self) -> list[float]:
        return [time.process_time(), *map(cpu_s, self._pids)]

    def _until(self, end: float, per_second: float | None) -> float:
        """Drive until then, or until the requests are used up; returns when that was."""
        due = time.perf_counter()
        interval = 1 / per_second if per_second else 0.0
        while (now := time.perf_counter()) < end:
            while self._idle and due <= now:
                request = next(self._requests, None)
                if request is None:
                    self._drain()
                    return time.perf_counter()
                self._begin(request, due if interval else now)
                due += interval
            self._turn(max(0.0, min(end, due if self._idle else end) - now))
        return end

    def _drain(self) -> None:
        end = time.perf_counter() + DRAIN_S
        while len(self._idle) < len(self._connections) and time.perf_counter() < end:
            self._turn(0.1)

    def _begin(self, request: bytes, since: float) -> None:
        connection = self._idle.pop()
        if not connection.send(request, since):
            self._epoll.modify(connection.number, select.EPOLLIN | select.EPOLLOUT)

    def _turn(self, wait_s: float) -> None:
        if self._idle:  # a request is due then: epoll waits for whole milliseconds only
            select.select((self._epoll,), (), (), wait_s)
            wait_s = 0.0
        for number, event in self._epoll.poll(wait_s):
            connection = self._connections[number]
            if event & select.EPOLLOUT and connection.send_more():
                self._epoll.modify(number, select.EPOLLIN)
            if not event & ~select.EPOLLOUT:
                continue
            answer = connection.receive()
            if answer is None:
                continue
            now = time.perf_counter()
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode(errors="replace"))
            self._answers.append(now)
            self._latencies.append(now - connection.since)
            self._idle.append(connection)


def post(body: bytes, path: str = "/ingest") -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def get(path: str) -> bytes:
    """A whole request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
