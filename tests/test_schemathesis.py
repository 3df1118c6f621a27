"""Requests made up from the OpenAPI document: answered as it says, whatever they hold, and never by a fault."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import schemathesis
from conftest import Services, entry
from patience import PATIENCE_S
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from schemathesis.transport import get as load_transports

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 5  # of each call, besides those at the edges of its schema
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "allow_header_conformance",
    "unsupported_method",
)  # what the schema cannot say (no NUL, clamped limits, opaque cursors) would fail the others


async def made_up(services: Services, service: str, examples: int, seed: int = 7) -> tuple[int, str]:
    """Try every call that the port answers but the streams; how that ended, and what was said about it."""
    command = [
        str(SCHEMATHESIS), "run", f"{getattr(services, f'{service}_url')}/openapi.json",
        "--include-tag", service, "--include-tag", "both", "--exclude-path-regex", "stream",
        "--phases", "coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed),
        "--checks", ",".join(CHECKS), "--request-timeout", "20", "--continue-on-failure",
        "--generation-database", "none", "--warnings", "off", "--no-color",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=services.db.parent
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


STREAM_CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.positive_data_acceptance,
)
STREAM = re.compile(r"retry: \d+\n: [^\n]*\n\n((id: \d+\n|event: \w+\n)*data: [^\r\n]+\n\n|:[^\r\n]*\n\n)*")
NO_NUMBER = re.compile(r"[^-+\d.]+")  # a timeout that is left as it is, to be refused
AT_ONCE = 50  # streams: each of them takes a second


def made(strategy: Any, examples: int, seed: int) -> list[Any]:
    """So many examples, the same for the same seed."""
    found: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def keep(example: Any) -> None:
        found.append(example)

    keep()
    return found


def stream_requests(services: Services, examples: int, seed: int) -> Iterator[Any]:
    """Requests for streams, made up from the document, as many good as bad; none is for longer than a second."""
    document = schemathesis.openapi.from_url(f"{services.query_url}/openapi.json")
    for operation in document.include(path_regex="stream").get_all_operations():
        for mode in schemathesis.GenerationMode:
            for request in made(operation.ok().as_strategy(generation_mode=mode), examples, seed):
                request.query = dict(request.query or {})
                timeout = request.query.get("timeout")
                if not (isinstance(timeout, str) and NO_NUMBER.fullmatch(timeout)):
                    request.query["timeout"] = 1
                yield request


async def streams_made_up(services: Services, examples: int, seed: int = 7) -> Counter[int]:
    """Ask for streams; each answer is checked against the document, each stream for its frames. Gives the statuses."""

    def ask(request: Any) -> int:
        answer = request.call(timeout=PATIENCE_S)
        request.validate_response(answer, checks=STREAM_CHECKS)
        if answer.status_code == 200:
            assert STREAM.fullmatch(answer.content.decode()), answer.content[:1000]
        status: int = answer.status_code
        return status

    def all_of_them() -> Counter[int]:
        load_transports(None)  # not in several threads: pytest rewrites them, and Python 3.11 parses in one at a time
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return Counter(threads.map(ask, stream_requests(services, examples, seed)))

    return await asyncio.to_thread(all_of_them)


async def test_answers_are_as_documented(services: Services) -> None:
    """Good and bad requests alike get a documented status, type and shape; no log holds a fault."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    for code, said in await asyncio.gather(*(made_up(services, port, EXAMPLES) for port in ("ingest", "query"))):
        assert code == 0, said
    assert "Traceback" not in services.log("ingest_svc") + services.log("query_svc")


async def test_streams_are_as_documented(services: Services, http: aiohttp.ClientSession) -> None:
    """The same of streams: what the document allows is a stream of whole frames that comes to its end."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    async with http.post(f"{services.ingest_url}/ingest/single", json=entry()) as response:
        assert response.status == 200
    statuses = await streams_made_up(services, EXAMPLES)
    assert statuses[200] >= EXAMPLES
    assert statuses[400] > 0
    assert "Traceback" not in services.log("query_svc")
