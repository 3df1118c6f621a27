"""Requests made up from the OpenAPI document: answered as it says, whatever they hold, and never by a fault."""

import asyncio
import sys
from pathlib import Path

from conftest import Services

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


async def test_answers_are_as_documented(services: Services) -> None:
    """Good and bad requests alike get a documented status, type and shape; no log holds a fault."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    for code, said in await asyncio.gather(*(made_up(services, port, EXAMPLES) for port in ("ingest", "query"))):
        assert code == 0, said
    assert "Traceback" not in services.log("ingest_svc") + services.log("query_svc")
