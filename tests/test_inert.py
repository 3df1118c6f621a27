"""Hostile text in every field is stored as it came, and does nothing on any way out.

The page, the terminal and the chain as a file are tried by test_page_*.py, test_trace_page.py and test_cli.py.
"""

import asyncio
import itertools
import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from conftest import Services, entry
from patience import PATIENCE_S

from shared.log import Printable

EVIL = {
    "a tag": "<script>alert(1)</script>",
    "an attribute": '"\' onload=alert(1) x="',
    "a scheme": "javascript:alert(1)",
    "a frame": "a\n\ndata: {}\r\nid: 1\r\revent: gap\n\n",
    "escape sequences": "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\b",
    "right to left": "\u202egnp.exe\u2066\u200f",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "a line of a log": "\n2026-01-01 00:00:00,000 ERROR tracehub: forged",
    "a metric": '"} 1\ntracehub_forged{x="\\',
}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: .*")
METRIC = re.compile(r'tracehub_\w+(\{\w+="([^"\\\n]|\\[\\"n])*"(,\w+="([^"\\\n]|\\[\\"n])*")*\})? [-+.\de]+')
FRAME = re.compile(rb"(id: \d+\n)data: [^\r\n]+\n\n")


def evil_entry(text: str) -> dict[str, Any]:
    """An entry that has the text wherever text can be."""
    places = ("source_id", "correlation_id", "suffix", "operation", "endpoint", "hostname", "raw_line")
    return entry(**dict.fromkeys(places, text), data={text: [text]})


def spread(*entries: dict[str, Any]) -> dict[str, Any]:
    """How to post them with a line break wherever JSON allows one, also within `data`."""
    headers = {"Content-Type": "application/json"}
    return {"data": json.dumps({"traces": entries}, indent=1).encode(), "headers": headers}


@pytest.fixture
async def hub(services: Services) -> AsyncIterator[Services]:
    """Both services, with such entries in the file."""
    services.start("ingest_svc")
    services.start("query_svc")
    async with aiohttp.ClientSession() as http:
        sent = spread(*(evil_entry(text) for text in EVIL.values()))
        async with http.post(f"{services.ingest_url}/ingest", **sent) as response:
            assert response.status == 200, await response.text()
    yield services


async def frames(response: aiohttp.ClientResponse, count: int) -> list[bytes]:
    """So many frames that carry an entry, as they are on the wire."""
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            frame = await response.content.readuntil(b"\n\n")
            found += [frame] if frame.startswith(b"id: ") else []
    return found


async def test_in_streams(hub: Services, http: aiohttp.ClientSession) -> None:
    """One frame for each entry with one line of data, from the file and live."""
    texts = list(EVIL.values())
    for text in texts:
        url = aiohttp.client.URL(f"{hub.query_url}/traces/{quote(text, safe='')}/stream", encoded=True)
        async with http.get(url) as stream:
            (frame,) = await frames(stream, 1)
        assert FRAME.fullmatch(frame), frame
        assert json.loads(frame.partition(b"data: ")[2])["data"] == {text: [text]}
    async with http.get(f"{hub.query_url}/stream") as stream:
        await stream.content.readuntil(b"\n\n")
        sent = [evil_entry(text) for text in texts]
        async with http.post(f"{hub.ingest_url}/ingest", **spread(*sent)) as response:
            assert response.status == 200
        for frame, row in zip(await frames(stream, len(texts)), sent, strict=True):
            assert FRAME.fullmatch(frame), frame
            told = json.loads(frame.partition(b"data: ")[2])
            assert {field: told[field] for field in row} == row


def requests(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What repeats the text in an answer, or might: service, path and what to send."""
    path = quote(text, safe="")
    header = re.sub(r"[\x00-\x1f\x7f]", "", text).encode("utf-8", "surrogateescape").decode("latin-1")
    packed = {"data": b"{}", "headers": {"Content-Type": f"x/{quote(text)}"}}
    encoded = {"data": b"{}", "headers": {"Content-Type": "application/json", "Content-Encoding": header}}
    return [
        *(("query", f"/{path}{end}", {}) for end in ("", "?x", f"/{path}")),
        *(("query", f"/traces/{path}?{name}={path}", {}) for name in ("limit", "after", "since_ts")),
        *(("query", f"/correlations?{name}={path}", {}) for name in ("before", "q", "complete", "active_after")),
        *(("query", f"/{place}={path}", {}) for place in ("stream?timeout", "recent?limit", "recent?since_id")),
        ("query", f"/assets/{path}/{path}", {}),
        ("query", "/stream", {"headers": {"Last-Event-ID": header}}),
        ("query", "/traces/none", {"headers": {"Prefer": header, "X-TraceHub-Secret": header, "Cookie": header}}),
        *(("ingest", f"/{path}", {"allow_redirects": False}) for _ in range(2)),
        ("ingest", f"/traces/{path}?a={path}", {"allow_redirects": False}),
        ("ingest", "/ingest", {"json": {"traces": [entry(direction=text)]}}),
        ("ingest", "/ingest", {"json": {"traces": [entry(**{text: 1}, source_id=5)]}}),
        ("ingest", "/ingest", {"json": {text: text}}),
        ("ingest", "/ingest", {"json": {"traces": [entry(data=text)]}}),
        ("ingest", "/ingest", {"data": text.encode(), "headers": {"Content-Type": "application/json"}}),
        ("ingest", "/ingest", packed),
        ("ingest", "/ingest", encoded),
    ]  # fmt: skip


async def test_in_answers_logs_and_metrics(hub: Services, http: aiohttp.ClientSession) -> None:
    """Errors are printable JSON that no browser runs; no log has a line of theirs; metrics can be parsed."""
    texts = itertools.chain.from_iterable(requests(text) for text in EVIL.values())
    for service, path, options in texts:
        url = aiohttp.client.URL(f"{getattr(hub, f'{service}_url')}{path}", encoded=True)
        method = "GET" if service == "query" or "allow_redirects" in options else "POST"
        async with http.request(method, url, **options) as response:
            raw = await response.read() if response.content_type != "text/event-stream" else b""
            assert response.status < 500, (path, raw)
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert all("\n" not in value and "forged" not in name for name, value in response.headers.items())
            if response.status >= 300:
                assert response.content_type == "application/json", (path, raw)
                assert json.loads(raw)["detail"].isprintable(), (path, raw)
    for service in ("ingest", "query"):
        async with http.get(f"{getattr(hub, f'{service}_url')}/metrics") as response:
            lines = (await response.text()).split("\n")
        assert [line for line in lines if line and line[0] != "#" and not METRIC.fullmatch(line)] == []
        assert "tracehub_forged" not in {line.partition("{")[0] for line in lines}
        logged = hub.log(f"{service}_svc")
        assert logged.endswith("\n")
        assert [line for line in logged[:-1].split("\n") if not (line.isprintable() and LINE.fullmatch(line))] == []


def test_a_hostile_path_is_one_line_of_the_log(services: Services) -> None:
    """What a service says of its file, it says on one line, whatever the file is called."""
    folder = services.db.parent / "a\n2026-01-01 00:00:00,000 ERROR tracehub: forged\x1b[2J\u202e"
    folder.mkdir()
    services.db = folder / "tracehub.db"
    services.db.write_bytes(b"no database" * 100)
    services.start("query_svc")
    environ = {"PATH": "/usr/bin:/bin", "TRACEHUB_DB": str(services.db), "TRACEHUB_PORT": str(services.ingest_port)}
    command = [sys.executable, "-m", "ingest_svc"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert ended.returncode == 1
    *lines, last = ended.stderr[:-1].split("\n")
    assert last.startswith("ingest_svc: ") and last.isprintable() and "is damaged or no database" in last
    for line in (*lines, *services.log("query_svc")[:-1].split("\n")):
        assert LINE.fullmatch(line) and line.isprintable() and not line.startswith("2026-01-01")


def test_a_hostile_exception_is_no_line_of_the_log() -> None:
    """A traceback is indented as a whole: what an exception repeats cannot pass for a line."""
    for text in EVIL.values():
        try:
            raise ValueError(text)
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("tracehub", logging.ERROR, "", 1, "failed: %s", (text,), info)
        first, *others = Printable("%(message)s").format(record).split("\n")
        assert first.isprintable()
        assert all(line.isprintable() and line.startswith("    ") for line in others)
