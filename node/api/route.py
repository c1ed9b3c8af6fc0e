"""What a route promises, declared beside its handler: parameters, body, answers, problems. The OpenAPI document is
made of these declarations, and the query is held to them before a handler runs.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from node.api.errors import refuse_parameter

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Schema = Mapping[str, Any]

JSON_TYPE = "application/json"
NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 10**16 - 1}
FLAG: Schema = {"type": "integer", "enum": [0, 1]}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ACCOUNT_OR_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,32}$"}
ACCOUNT: Schema = {"type": "string", "pattern": "^([0-9a-f]{32})?$"}
HEIGHT_OR_LATEST: Schema = {"type": "string", "pattern": "^(latest|[0-9]{1,16})$"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the address or of the query; what stands in the address is always needed. ``served`` is what aiohttp
    takes for it there: all but a name that is an address of its own.
    """

    name: str
    schema: Schema
    text: str
    required: bool = False
    served: str = "[^{}/]+"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: bytes, under one of these types."""

    kinds: frozenset[str]
    text: str
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets when it is not refused: JSON of a type of Python, or bytes of another kind."""

    text: str
    kind: str = JSON_TYPE
    shape: Any = None


@dataclass(frozen=True, slots=True)
class Route:
    """One address with one method. Its first docstring line is its summary; ``problems`` are names beyond the common
    ones, ``rejections`` tells that the ledger may refuse under its own names. What concerns one home is ``private``, at
    all or when a parameter of ``private_with`` is given: not everybody may read it.
    """

    method: str
    path: str
    handler: Handler
    answers: Mapping[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    rejections: bool = False
    private: bool = False
    private_with: frozenset[str] = frozenset()
    headers: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return the handler's promise in one line."""
        return (inspect.getdoc(self.handler) or "").split("\n", 1)[0].replace("``", "")

    @property
    def query(self) -> frozenset[str]:
        """Return the names that the query may have."""
        return frozenset(each.name for each in self.parameters if f"{{{each.name}}}" not in self.path)

    def build(self, check_access: Callable[[web.Request], None] = lambda _: None) -> web.RouteDef:
        """Return the address as aiohttp serves it, with its query held to the declaration, and private reads to
        ``check_access``, which raises for who may not.
        """
        allowed, handler = self.query, self.handler
        private, private_with = self.private, self.private_with

        async def handle(request: web.Request) -> web.StreamResponse:
            if request.query_string:
                _check_query(request, allowed)
            if private or (private_with and not private_with.isdisjoint(request.query)):
                check_access(request)
            return await handler(request)

        path = self.path
        for each in self.parameters:
            path = path.replace(f"{{{each.name}}}", f"{{{each.name}:{each.served}}}")
        return web.route(self.method, path, handle)


def _check_query(request: web.Request, allowed: frozenset[str]) -> None:
    """Refuse what would be passed over in silence: a parameter that there is not, or one given twice.

    Raises:
        ApiProblem: 400.

    """
    names = list(request.query)
    unknown = next((name for name in names if name not in allowed), None)
    if unknown is not None:
        known = ", ".join(sorted(allowed)) or "none"
        raise refuse_parameter(unknown[:64], f"this address has no such parameter; it has: {known}")
    if len(set(names)) != len(names):
        raise refuse_parameter(next(name for name in names if names.count(name) > 1), "it is given twice")
