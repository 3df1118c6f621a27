"""The OpenAPI 3.1 document of both ports, from the table of calls and the structs of the wire."""

import builtins
import functools
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import Meta

from shared.answers import Problem
from shared.api import CALLS, Call, Parameter
from shared.env import VERSION

_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    400: "Malformed, or against a rule; `path` names the place",
    401: "A secret is required",
    403: "The secret is wrong, or a page of another origin asks",
    404: "No such file in this version",
    408: "The body took too long",
    413: "Too large, or too many entries",
    415: "Unknown content type or encoding",
    421: "The host is not one of this service's names",
    429: "This client exceeds its rate limit; Retry-After says when to come back",
    503: "Not now; Retry-After says when",
    507: "The disk is full",
}
_Data = Annotated[dict[str, Any] | None, Meta(description="Any object; comes back as it came")]


@functools.cache
def document() -> dict[str, Any]:
    """The whole document."""
    structs = [type for call in CALLS for type in (call.body, call.answers) if _is_struct(type)]
    _, components = msgspec.json.schema_components(
        [_described(type) for type in (*structs, Problem)], ref_template=_REF
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TraceHub",
            "version": VERSION,
            "summary": "Checkpoint traces of distributed systems",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": "ingest", "description": "Answered by the ingest port; the query port sends on with 307"},
            {"name": "query", "description": "Answered by the query port; the ingest port sends on with 307"},
            {"name": "both", "description": "Answered by each port for itself"},
        ],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-TraceHub-Secret"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "tracehub_*", "description": "Set by /login"},
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    statuses = sorted({*call.errors, 421, *((401, 403, 429) if call.needs != "nothing" else ())})
    operation: dict[str, Any] = {
        "operationId": call.name,
        "tags": [call.port],
        "summary": call.summary,
        "responses": {
            "200": {"description": call.summary, "content": _content(call.answers)},
            **{str(status): {"description": _ERRORS[status], "content": _content(Problem)} for status in statuses},
        },
    }
    if call.needs != "nothing":
        cookie: list[dict[str, list[str]]] = [{"cookie": []}] if call.port != "ingest" else []
        operation["security"] = [{}, {"bearer": []}, {"header": []}, *cookie]
    if call.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in call.parameters]
    if call.body is not None:
        schema = _schema(call.body)
        packed = ("application/msgpack", "application/x-msgpack") if call.port == "ingest" else ()
        types = ("application/json", *packed)
        operation["requestBody"] = {"required": True, "content": {type: {"schema": schema} for type in types}}
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": msgspec.json.schema(parameter.type),
    }


def _content(answers: Any) -> dict[str, Any]:
    if isinstance(answers, str):
        return {answers: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _schema(answers)}}


def _schema(type: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([_described(type)], ref_template=_REF)
    return schema


def _is_struct(type: Any) -> bool:
    return not isinstance(type, str) and type is not dict


@functools.cache
def _described(type: Any) -> Any:
    """The same type, with `data` as the object that it is on the wire and not as the text that passes through here."""
    if get_origin(type) is Annotated:
        return Annotated[_described(type.__origin__), *type.__metadata__]
    if get_origin(type) is list:
        return list[_described(get_args(type)[0])]  # type: ignore[misc]
    if not (isinstance(type, builtins.type) and issubclass(type, msgspec.Struct)):
        return type
    fields: list[Any] = []
    for field in msgspec.structs.fields(type):
        kind = _Data if field.name == "data" else _described(field.type)
        default = None if field.name == "data" and not field.required else field.default
        fields.append((field.name, kind) if field.required else (field.name, kind, default))
    if all(kind is field.type for (_, kind, *_), field in zip(fields, msgspec.structs.fields(type), strict=True)):
        return type
    return msgspec.defstruct(type.__name__, fields, namespace={"__doc__": type.__doc__})
