"""The OpenAPI document and what is really there."""

from fnmatch import fnmatch
from typing import Any

import msgspec
import pytest
from aiohttp import web
from conftest import Client, entry
from openapi_spec_validator import OpenAPIV31SpecValidator

from ingest_svc.app import make_app as make_ingest_app
from ingest_svc.headers import DROPPED
from query_svc.app import make_app as make_query_app
from query_svc.assets import ASSETS, VERSION
from shared import wire
from shared.api import CALLS
from shared.env import Settings
from shared.openapi import document

JSON = "application/json"


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1 by the specification's own schema."""
    decoded = msgspec.json.decode(msgspec.json.encode(document()))
    assert decoded["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(decoded).validate()


@pytest.mark.parametrize("make_app", [make_ingest_app, make_query_app])
def test_routes_and_document_agree(make_app: Any, settings: Settings) -> None:
    """Both ports have a route for each documented call, and none besides."""
    app: web.Application = make_app(settings)
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    documented = {(method.upper(), path) for path, operations in document()["paths"].items() for method in operations}
    assert routes == documented


def test_path_parameters_are_described() -> None:
    """Each part in braces has its parameter, and each path parameter its part."""
    for path, operations in document()["paths"].items():
        for operation in operations.values():
            described = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert described == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


def test_headers_that_ask_for_something_are_described() -> None:
    """What a sender had to drop, how long a reader waits, behind which event a stream goes on."""
    described = {
        each["name"]: path
        for path, operations in document()["paths"].items()
        for operation in operations.values()
        for each in operation.get("parameters", [])
        if each["in"] == "header" and path != "/stream"
    }
    assert described == {
        DROPPED: "/ingest", "Prefer": "/traces/{correlation_id}", "Last-Event-ID": "/traces/{correlation_id}/stream",
    }  # fmt: skip


def test_operations_are_named_once() -> None:
    """Clients are generated from the names."""
    names = [call.name for call in CALLS]
    assert len(names) == len(set(names))


def test_the_entry_is_described_as_it_is_sent() -> None:
    """Required fields, limits and the shape of `data` are those of the wire."""
    schema = document()["components"]["schemas"]["Entry"]
    assert set(schema["required"]) == set(msgspec.structs.asdict(wire.Entry(*"abc", *"defg"))) - {
        "data", "hostname", "raw_line",
    }  # fmt: skip
    assert schema["properties"]["correlation_id"]["maxLength"] == 512
    assert {"type": "object"}.items() <= schema["properties"]["data"]["anyOf"][0].items()
    assert schema["properties"]["data"]["default"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/traces/chain", "/correlations", "/recent", "/health",
        "/stats", "/stats/sources", "/stats/endpoints", "/stats/follows",
    ],
)  # fmt: skip
async def test_answers_have_the_documented_fields(ingest: Client, query: Client, path: str) -> None:
    """An answer holds the fields of its schema, all that are required and none besides."""
    async with ingest.post("/ingest/single", json=entry()):
        pass
    async with query.get(path) as response:
        answer = await response.json()
    schemas = document()["components"]["schemas"]
    described = document()["paths"][path.replace("chain", "{correlation_id}")]["get"]
    reference: str = described["responses"]["200"]["content"][JSON]["schema"]["$ref"]
    schema = schemas[reference.rpartition("/")[2]]
    assert set(schema.get("required", ())) <= set(answer) <= set(schema["properties"])


async def test_assets_are_of_a_documented_type(query: Client) -> None:
    """Whoever asks for a file of the dashboard gets what the document says, whatever its kind."""
    documented = document()["paths"]["/assets/{version}/{name}"]["get"]["responses"]["200"]["content"]
    for name in ASSETS:
        async with query.get(f"/assets/{VERSION}/{name}") as response:
            assert any(fnmatch(response.content_type, kind) for kind in documented), response.content_type


async def test_both_ports_give_the_same_document(ingest: Client, query: Client) -> None:
    """Whoever asks either port learns of every call."""
    for client in (ingest, query):
        async with client.get("/openapi.json") as response:
            assert await response.json() == msgspec.json.decode(msgspec.json.encode(document()))
