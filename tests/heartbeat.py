"""A process that asks a service again and again for what it does not have, which costs its event loop's turn only.

    python tests/heartbeat.py PORT PID

For each line that it reads it tells the longest wait since the line before, in seconds. What the service's loop or this
process waited for a processor does not count: that is what others on the machine took, and not what a body costs.
"""

import select
import socket
import sys
import time
from pathlib import Path


def starved_s(pid: str) -> float:
    """How long the main thread of a process has been ready to run without a processor; 0 where nobody counts that."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def turn_s(service: socket.socket, pids: tuple[str, ...]) -> float:
    """How long one answer takes."""
    starved = [starved_s(pid) for pid in pids]
    started = time.perf_counter()
    service.sendall(b"HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answered = b""
    while not answered.endswith(b"\r\n\r\n"):
        answered += service.recv(4096)
    assert answered.startswith(b"HTTP/1.1 404"), answered
    passed_s = time.perf_counter() - started
    return max(0.0, passed_s - sum(starved_s(pid) - before for pid, before in zip(pids, starved, strict=True)))


def main() -> None:
    """Until there is nobody to tell."""
    port, pid = sys.argv[1:]
    pids = (pid, str(Path("/proc/self").resolve().name))
    with socket.create_connection(("127.0.0.1", int(port))) as service:
        slowest_s = turn_s(service, pids)
        while True:
            slowest_s = max(slowest_s, turn_s(service, pids))
            if select.select([sys.stdin], [], [], 0.005)[0]:
                if not sys.stdin.readline():
                    return
                print(slowest_s, flush=True)
                slowest_s = 0.0


if __name__ == "__main__":
    main()
