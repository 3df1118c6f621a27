"""Live latency: from a sender's request to the event at its subscribers, by their number and what they follow.

    python bench/live.py [--seconds 8] [--cases all-1,all-100,all-1000,chains-1000,chains-1000-fast,flat-out,idle]

Entries are sent one by one over one connection, paced, with the time of sending in their data; both services run as
installed on a file of their own. So the time contains the ingest service's share, its sync to disk included: commit to
event is less. Subscribers are sockets of a process of their own: it counts the events of all, and takes the time for
every event of 20 of them, spread evenly, or of all where each follows a chain. `flat-out` is one subscriber while
batches of 100 come as fast as they are taken: how many events arrive, and what the service says of its lag. `idle` is
the query process's CPU without and with one subscriber, in the first round only. One line of JSON for each case; times
are in milliseconds.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import re
import resource
import select
import socket
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

from load import Generator, post
from progress import Progress
from service import Service, cpu_s, ingest, query, scratch
from workload import bodies

SAMPLED = 20  # subscribers whose every event is timed
GREETING = b": TraceHub\n\n"
SETTLE_S = 1.0
WARM_UP_S = 0.5
_SENT = re.compile(rb'"sent":(\d+)')


class Case(NamedTuple):
    """So many subscribers, of everything or of a chain each, and so many entries a second."""

    subscribers: int
    chains: bool
    per_second: int


CASES = {
    "all-1": Case(1, False, 250),
    "all-100": Case(100, False, 250),
    "all-1000": Case(1000, False, 250),
    "chains-1000": Case(1000, True, 250),
    "chains-1000-fast": Case(1000, True, 1000),
}
OTHERS = ("flat-out", "idle")


class Subscriber:
    """One stream; `latencies_ms` is None where events are only counted."""

    def __init__(self, port: int, path: str, *, timed: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.latencies_ms: list[float] | None = [] if timed else None
        self.events = 0
        self._rest = b""

    def wait(self) -> None:
        """Until the stream has begun."""
        head = b""
        while GREETING not in head:
            head += self.socket.recv(65536)
        self.socket.setblocking(False)

    def receive(self, buffer: bytearray) -> None:
        """Take what is there."""
        size = self.socket.recv_into(buffer)
        if not size:
            raise RuntimeError("the service hung up")
        if self.latencies_ms is None:
            text = self._rest + buffer[:size]
            self.events += text.count(b"data: ")
            self._rest = text[-5:]  # a mark that is cut in two counts with the next piece
            return
        now = time.monotonic_ns()
        text = self._rest + buffer[:size]
        end = 0
        for sent in _SENT.finditer(text):
            self.latencies_ms.append((now - int(sent[1])) / 1e6)
            end = sent.end()
        self._rest = text[max(end, len(text) - 100) :]
        self.events = len(self.latencies_ms)


def subscribe(port: int, paths: list[str], timed: int, pipe: Pipe) -> None:
    """Be all subscribers, in a process of their own, until told to end; so many of them are timed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    step = len(paths) // timed if timed else len(paths) + 1
    subscribers = [
        Subscriber(port, path, timed=bool(timed) and number % step == 0) for number, path in enumerate(paths)
    ]
    poll = select.epoll()
    by_number = {}
    for one in subscribers:
        one.wait()
        by_number[one.socket.fileno()] = one
        poll.register(one.socket, select.EPOLLIN)
    poll.register(pipe, select.EPOLLIN)
    pipe.send("ready")
    buffer = bytearray(1 << 20)
    started, cpu = time.monotonic(), time.process_time()
    while True:
        for number, _ in poll.poll():
            if number == pipe.fileno():
                share = (time.process_time() - cpu) / (time.monotonic() - started)
                timed = [latency for one in subscribers for latency in one.latencies_ms or ()]
                pipe.send((timed, [one.events for one in subscribers], share))
                return
            by_number[number].receive(buffer)


class Crowd:
    """The process of the subscribers."""

    def __init__(self, port: int, paths: list[str], timed: int) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=subscribe, args=(port, paths, timed, theirs))
        self._process.start()
        assert self._pipe.recv() == "ready"
        time.sleep(SETTLE_S)  # they have their greeting, and are about to have what is stored

    def end(self) -> tuple[list[float], list[int], float]:
        """Latencies of those that were timed, events of each, and the CPU that it took as a share of a core."""
        self._pipe.send("end")
        result: tuple[list[float], list[int], float] = self._pipe.recv()
        self._process.join()
        return result


def measure(case: Case, seconds: float, services: tuple[Service, Service]) -> dict[str, Any]:
    """One case."""
    ingesting, querying = services
    chains = [f"live-{case.per_second}-{number}" for number in range(case.subscribers)]
    before = querying.memory_bytes()
    paths = [f"/traces/{chain}/stream?timeout=600" if case.chains else "/stream?timeout=600" for chain in chains]
    crowd = Crowd(querying.port, paths, case.subscribers if case.chains else min(SAMPLED, case.subscribers))
    memory = querying.memory_bytes() - before
    spent, started = cpu_s(querying.pid), time.monotonic()
    sent = send(ingesting.port, itertools.cycle(chains), case.per_second, seconds)
    cpu = (cpu_s(querying.pid) - spent) / (time.monotonic() - started)
    time.sleep(SETTLE_S)
    latencies, events, share = crowd.end()
    expected = [len(range(number, sent, case.subscribers)) if case.chains else sent for number in range(len(events))]
    latencies.sort()
    return {
        **case._asdict(),
        "sent_per_second": round(sent / seconds),
        "lost": sum(expected) - sum(events),
        **{f"p{part}_ms": round(latencies[len(latencies) * part // 100], 2) for part in (50, 99)},
        "max_ms": round(latencies[-1], 2),
        "query_cpu_share": round(cpu, 2),
        "subscribers_cpu_share": round(share, 2),
        "kib_per_subscriber": round(memory / 1024 / case.subscribers, 1),
    }


def send(port: int, chains: Iterator[str], per_second: int, seconds: float) -> int:
    """Send entries one by one, paced; returns how many."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    started = time.monotonic()
    for number in itertools.count():
        due = started + number / per_second
        if due >= started + seconds:
            return number
        time.sleep(max(0.0, due - time.monotonic()))
        entry = {
            "source_id": "MA", "correlation_id": next(chains), "timestamp": time.time() * 1000, "suffix": f"{number:x}",
            "direction": "->", "operation": "REST", "endpoint": "/api/v1/resource-7/action", "hostname": "host-0",
            "data": {"sent": time.monotonic_ns(), "note": "x" * 60},
        }  # fmt: skip
        connection.sendall(post(json.dumps(entry, separators=(",", ":")).encode(), "/ingest/single"))
        answer = connection.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())
    raise AssertionError


def flat_out(seconds: float, services: tuple[Service, Service]) -> dict[str, Any]:
    """One subscriber of everything while ingest takes what it can."""
    ingesting, querying = services
    requests = [post(body) for body in itertools.islice(bodies(100, seed=5), int(seconds * 1500))]
    crowd = Crowd(querying.port, ["/stream?timeout=600"], 0)
    load = Generator(ingesting.port, iter(requests), 16, [querying.pid]).run(0, seconds)
    lag = get(querying.port, "/stats")["tail_lag"]
    entries = 0
    deadline = time.monotonic() + 60
    while (left := get(querying.port, "/stats")["tail_lag"]["entries"]) and time.monotonic() < deadline:
        time.sleep(0.2)
    caught_up_s = time.monotonic() - deadline + 60
    entries = get(querying.port, "/stats")["newest_id"]
    time.sleep(SETTLE_S)
    _, events, share = crowd.end()
    return {
        "ingested_per_second": round(load.per_second * 100),
        "lag_at_the_end": lag,
        "caught_up_after_s": round(caught_up_s, 1),
        "left": left,
        "entries_in_file": entries,
        "events": events[0],
        "query_cpu_share": round(load.service_cpu_shares[0], 2),
        "subscribers_cpu_share": round(share, 2),
    }


def idle(seconds: float, services: tuple[Service, Service]) -> dict[str, Any]:
    """The query process's share of a core while nothing comes."""
    querying = services[1]

    def share() -> float:
        spent, started = cpu_s(querying.pid), time.monotonic()
        time.sleep(seconds)
        return round((cpu_s(querying.pid) - spent) / (time.monotonic() - started), 4)

    alone = share()
    crowd = Crowd(querying.port, ["/stream?timeout=600"], 0)
    time.sleep(SETTLE_S)
    with_one = share()
    crowd.end()
    return {"cpu_share": alone, "cpu_share_with_one_subscriber": with_one}


def get(port: int, path: str) -> Any:
    """An answer of the query service."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def run(name: str, seconds: float, directory: Path | None) -> dict[str, Any]:
    """One case on services of its own."""
    with scratch(directory) as folder, ingest(folder) as ingesting, query(folder) as querying:
        services = (ingesting, querying)
        send(ingesting.port, itertools.repeat("warm-up"), 200, WARM_UP_S)
        if name == "idle":
            return {"case": name, **idle(seconds, services)}
        if name == "flat-out":
            return {"case": name, **flat_out(seconds, services)}
        return {"case": name, **measure(CASES[name], seconds, services)}


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cases", default=",".join([*CASES, *OTHERS]))
    parser.add_argument("--directory", type=Path, help="where the files are made, and deleted again")
    arguments = parser.parse_args()
    with Progress("live", arguments.rounds) as progress:
        for number in range(1, arguments.rounds + 1):
            progress.begin(number)
            for name in arguments.cases.split(","):
                if name == "idle" and number > 1:
                    continue
                progress.step(name)
                print(json.dumps(run(name, arguments.seconds, arguments.directory)), flush=True)


if __name__ == "__main__":
    main()
