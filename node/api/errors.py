"""Every refusal of the API: a problem document with a status, a name, and one line that says what to do."""

import msgspec
from aiohttp import web

from node.api.problems import TOKEN_REFUSED, UPGRADE_NEEDED, get_title

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1
"""After what a client comes back when something is full: a block or two later."""

COME_BACK = frozenset({429, 503})
"""Statuses that say "not now": each answer with one of them says when, whoever gives it."""

HTTP_NAMES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    417: "EXPECTATION_FAILED",
}
"""Names of what aiohttp itself refuses."""

HTTP_DETAILS = {
    404: "there is no such address; /v1/openapi.json lists all",
    405: "this address does not take that method",
    413: "send less at once",
    417: "the only expectation that is met is 100-continue",
}


class ApiProblem(Exception):  # noqa: N818  # it is an answer, and most are the client's doing
    """An answer that is an error, raised where it is found and turned into JSON in one place."""

    def __init__(
        self, status: int, name: str, detail: str, *, retry_after_s: int | None = None, **fields: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.fields = fields

    def build_response(self) -> web.Response:
        """Return the answer."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == UPGRADE_NEEDED:
            headers["Upgrade"] = "websocket"
        if self.status == TOKEN_REFUSED:
            headers["WWW-Authenticate"] = "Bearer"
        return build_error(self.status, self.name, self.detail, headers, **self.fields)


def build_error(
    status: int, name: str, detail: str, headers: dict[str, str] | None = None, **fields: object
) -> web.Response:
    """Return a problem document (RFC 9457); ``fields`` stand beside its name, and when to come back in its head."""
    body = encode_problem(status, name, detail, **fields)
    again = {"Retry-After": str(RETRY_AFTER_S)} if status in COME_BACK else {}
    return web.Response(
        status=status, body=body, content_type=PROBLEM_JSON, headers={**again, **(headers or {})}
    )


def encode_problem(status: int, name: str, detail: str, **fields: object) -> bytes:
    """Return a problem document's bytes."""
    line = " ".join(detail.split())[:500]
    kind = f"urn:gridbft:{name}"
    shown = {
        **fields,
        "type": kind,
        "title": get_title(name),
        "status": status,
        "error": name,
        "detail": line,
    }
    return msgspec.json.encode(shown)


def build_http_error(error: web.HTTPException) -> web.Response:
    """Return what aiohttp refused by itself in the form of the API."""
    name = HTTP_NAMES.get(error.status, (error.reason or "ERROR").upper().replace(" ", "_"))
    detail = HTTP_DETAILS.get(error.status, error.reason or "refused")
    allow = error.headers.get("Allow")
    return build_error(error.status, name, detail, None if allow is None else {"Allow": allow})


def refuse_parameter(name: str, expected: str) -> ApiProblem:
    """Return the refusal of a part of the address: the client's mistake, with what is expected."""
    return ApiProblem(400, "BAD_PARAMETER", f"{name}: {expected}")


def refuse_unknown(what: str) -> ApiProblem:
    """Return the refusal of something that is not here."""
    return ApiProblem(404, "NOT_FOUND", what)


def refuse_busy(detail: str, name: str = "BUSY") -> ApiProblem:
    """Return the refusal of something that has no room now."""
    return ApiProblem(503, name, detail)
