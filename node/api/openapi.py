"""The OpenAPI 3.1 document of the API, made of what the routes declare and of the very types that they answer."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from node.api.errors import JSON, PROBLEM_JSON
from node.api.problems import (
    COMMON,
    METHOD_REFUSED,
    PRIVATE,
    PROBLEMS,
    TOKEN_REFUSED,
    UPGRADE_NEEDED,
    group_by_status,
)
from node.api.route import Answer, Body, Parameter, Route, Schema
from node.api.schemas import NoProofAnswer, ProblemAnswer
from node.api.server import HEADERS

VERSION = "1.0.0"
"""Of the API: its first part is that of its addresses."""

ABOUT = (
    "Digests, ids and keys are lower-case hexadecimal; `format: byte` is base64 of canonical MessagePack. Reads of"
    " state name the certified height that they answer for. Every refusal is a problem document whose `error` is its"
    " name. Bytes are sent as `application/octet-stream` or `application/msgpack`, without compression."
)
TOKENS = (
    "What concerns one home is read from the node's own machine, or with a token of `gridbft tokens add`."
)
REFERENCE = "#/components/schemas/{name}"
MORE_HEADERS = {
    TOKEN_REFUSED: ("WWW-Authenticate",),
    METHOD_REFUSED: ("Allow",),
    UPGRADE_NEEDED: ("Upgrade",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
"""Headers of refusals beyond those of every answer, by status."""

COMMON_REFERENCE = "#/components/responses/Refused{status}"


class DocumentRoutes:
    """The address of the document itself."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._document: bytes | None = None

    def get_routes(self) -> list[Route]:
        """Return the address."""
        return [
            Route(
                "GET",
                "/v1/openapi.json",
                self.get_document,
                {200: Answer("this document", shape=dict[str, Any])},
            )
        ]

    async def get_document(self, _: web.Request) -> web.Response:
        """Describe every address, its answers and refusals, as OpenAPI 3.1."""
        if self._document is None:
            self._document = render_document([*self._routes, *self.get_routes()])
        return web.Response(body=self._document, content_type=JSON)


def render_document(routes: Iterable[Route]) -> bytes:
    """Return the document's bytes, the same for the same routes."""
    return msgspec.json.encode(build_document(routes))


def build_document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of these routes."""
    declared = list(routes)
    shapes = [
        answer.shape for route in declared for answer in route.answers.values() if answer.shape is not None
    ]
    described, components = msgspec.json.schema_components(
        [*shapes, NoProofAnswer, ProblemAnswer], ref_template=REFERENCE
    )
    schemas = {id(shape): schema for shape, schema in zip(shapes, described, strict=False)}
    paths: dict[str, dict[str, Any]] = {}
    for route in declared:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe_route(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "gridbft", "version": VERSION, "description": ABOUT, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _describe_common(),
            "headers": _describe_headers(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": TOKENS}},
        },
    }


def _describe_route(route: Route, schemas: Mapping[int, Schema]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", route.path),
        "summary": route.summary,
        "parameters": [_describe_parameter(route, each) for each in route.parameters],
        "responses": {
            **{
                str(status): _describe_answer(route, answer, schemas)
                for status, answer in route.answers.items()
            },
            **_describe_refusals(route),
        },
    }
    if route.private or route.private_with:
        described["security"] = [{}, {"token": []}]
    if route.body is not None:
        described["requestBody"] = _describe_body(route.body)
    return described


def _describe_refusals(route: Route) -> dict[str, Any]:
    """Return what a route may refuse, by status; those that every route has alone are named once for all."""
    common = group_by_status(COMMON, rejections=False)
    private = PRIVATE if route.private or route.private_with else ()
    found = group_by_status({*COMMON, *private, *route.problems}, rejections=route.rejections)
    return {
        str(status): {"$ref": COMMON_REFERENCE.format(status=status)}
        if names == common.get(status)
        else _describe_problem(status, names)
        for status, names in found.items()
    }


def _describe_common() -> dict[str, Any]:
    found = group_by_status(COMMON, rejections=False)
    return {f"Refused{status}": _describe_problem(status, names) for status, names in found.items()}


def _describe_parameter(route: Route, parameter: Parameter) -> dict[str, Any]:
    is_in_path = f"{{{parameter.name}}}" in route.path
    return {
        "name": parameter.name,
        "in": "path" if is_in_path else "query",
        "required": is_in_path or parameter.required,
        "description": parameter.text,
        "schema": dict(parameter.schema),
    }


def _describe_body(body: Body) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary", "maxLength": body.bytes_max}
    return {
        "description": body.text,
        "required": True,
        "content": {kind: {"schema": schema} for kind in sorted(body.kinds)},
    }


def _describe_answer(route: Route, answer: Answer, schemas: Mapping[int, Schema]) -> dict[str, Any]:
    schema = {"type": "string"} if answer.shape is None else schemas[id(answer.shape)]
    more = {name: {"schema": dict(each)} for name, each in route.headers.items()}
    described = {"description": answer.text, "headers": {**_refer_to_headers(()), **more}}
    return {**described, "content": {answer.kind: {"schema": schema}}} if answer.kind else described


def _describe_problem(status: int, names: list[str]) -> dict[str, Any]:
    told = [f"`{name}`: {PROBLEMS[name].title}" for name in names if name in PROBLEMS]
    schema = {
        "allOf": [
            {"$ref": REFERENCE.format(name="ProblemAnswer")},
            {"properties": {"error": {"enum": names}, "status": {"const": status}}},
        ]
    }
    return {
        "description": "; ".join(told) or "refused by the ledger, under the name of its rejection",
        "headers": _refer_to_headers(MORE_HEADERS.get(status, ())),
        "content": {PROBLEM_JSON: {"schema": schema}},
    }


def _refer_to_headers(more: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*HEADERS, *more)}


def _describe_headers() -> dict[str, Any]:
    fixed = {
        name: {"required": True, "schema": {"type": "string", "const": value}}
        for name, value in HEADERS.items()
    }
    seconds = {"type": "integer", "minimum": 0}
    again = {"required": True, "schema": seconds, "description": "seconds, after which to come back"}
    allow = {"schema": {"type": "string"}, "description": "the methods that the address takes"}
    upgrade = {"schema": {"type": "string", "const": "websocket"}, "description": "what to ask for"}
    scheme = {"schema": {"type": "string", "const": "Bearer"}, "description": "how to show a token"}
    return {**fixed, "Retry-After": again, "Allow": allow, "Upgrade": upgrade, "WWW-Authenticate": scheme}
