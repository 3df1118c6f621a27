"""A small HTTP server that can misbehave: what a client meets on a bad day, over real sockets."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Reply(NamedTuple):
    """What to answer; `garbage` instead of HTTP, or after `hang_s` seconds of silence."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012
    hang_s: float = 0.0
    garbage: bytes = b""


class Request(NamedTuple):
    method: str
    path: str
    headers: Any
    body: bytes
    at: float

    @property
    def traces(self) -> list[dict[str, Any]]:
        return json.loads(self.body)["traces"]


class Wayward(ThreadingHTTPServer):
    """Stores what it accepts, once per (correlation_id, timestamp, suffix); `replies` says what else to do, in turn."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.judge: Callable[[Request], Reply | None] | None = None
        self.stored: dict[tuple[str, float, str], dict[str, Any]] = {}
        self.duplicates = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def speak_tls(self, folder: Path) -> Path:
        """Speak TLS from now on; gives the file of the certificate, which nobody knows."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed: TLS was NOT TRIED")
        certificate, key = folder / "own.pem", folder / "own.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=own",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")
        return certificate

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our trouble."""

    @property
    def entries(self) -> list[dict[str, Any]]:
        return list(self.stored.values())

    def store(self, traces: list[dict[str, Any]]) -> dict[str, int]:
        fresh = 0
        for entry in traces:
            key = (entry["correlation_id"], entry["timestamp"], entry["suffix"])
            fresh += key not in self.stored
            self.stored.setdefault(key, entry)
        self.duplicates += len(traces) - fresh
        return {"accepted": len(traces), "inserted": fresh, "duplicates": len(traces) - fresh}


class _Handler(BaseHTTPRequestHandler):
    server: Wayward
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body, time.monotonic())
        with server.lock:
            server.requests.append(request)
            reply = server.replies.pop(0) if server.replies else None
            if reply is None and server.judge is not None:
                reply = server.judge(request)
            if reply is None:
                reply = Reply(200, server.store(request.traces))
        if reply.hang_s:
            server.stopping.wait(reply.hang_s)
        if reply.garbage:
            self.wfile.write(reply.garbage)
            self.close_connection = True
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815


@contextmanager
def wayward(port: int = 0) -> Iterator[Wayward]:
    """A server on a port of its own, stopped at the end."""
    server = Wayward(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
