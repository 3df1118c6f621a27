"""A process that asks a service for a redirect again and again, which costs nothing but its event loop's turn.

    python tests/heartbeat.py PORT

For each line that it reads it tells the longest wait since the line before, in seconds.
"""

import select
import socket
import sys
import time


def turn_s(service: socket.socket) -> float:
    """How long one answer takes."""
    started = time.perf_counter()
    service.sendall(b"HEAD /recent HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answered = b""
    while not answered.endswith(b"\r\n\r\n"):
        answered += service.recv(4096)
    assert answered.startswith(b"HTTP/1.1 307"), answered
    return time.perf_counter() - started


def main() -> None:
    """Until there is nobody to tell."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as service:
        slowest_s = turn_s(service)
        while True:
            slowest_s = max(slowest_s, turn_s(service))
            if select.select([sys.stdin], [], [], 0.005)[0]:
                if not sys.stdin.readline():
                    return
                print(slowest_s, flush=True)
                slowest_s = 0.0


if __name__ == "__main__":
    main()
