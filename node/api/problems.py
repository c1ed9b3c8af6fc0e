"""Every problem that the API may answer with: its name, its status, and what it is about in a few words.

The rejections of the ledger have names of their own (``vm.receipt.Rejection``); a submission that one of them refuses
is answered with 422. A route declares which of these names it may answer; ``COMMON`` can meet every request.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vm.receipt import Rejection

REJECTED = 422
METHOD_REFUSED = 405
TOKEN_REFUSED = 401
UPGRADE_NEEDED = 426


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of refusal: its status, and its title, which is the same each time."""

    status: int
    title: str


PROBLEMS: Mapping[str, Problem] = {
    "BAD_REQUEST": Problem(400, "no HTTP request"),
    "BAD_PARAMETER": Problem(400, "a part of the address or of the query is malformed or out of range"),
    "BODY_MALFORMED": Problem(400, "not a MessagePack array of the right elements"),
    "BODY_BROKEN": Problem(400, "the body could not be read to its end"),
    "HOST_MISSING": Problem(400, "no Host header"),
    "TOKEN_NEEDED": Problem(401, "not public: a token is needed"),
    "TOKEN_UNKNOWN": Problem(401, "no token of this node"),
    "HOST_NOT_ALLOWED": Problem(403, "asked under a name that is not allowed"),
    "ORIGIN_NOT_ALLOWED": Problem(403, "asked by a page of another site"),
    "NOT_FOUND": Problem(404, "nothing is there"),
    "METHOD_NOT_ALLOWED": Problem(405, "the address does not take that method"),
    "BODY_TOO_SLOW": Problem(408, "the body came too slowly"),
    "HISTORY_GONE": Problem(410, "older than what this node tells of"),
    "BODY_TOO_LARGE": Problem(413, "the body is too large"),
    "ENCODING_UNSUPPORTED": Problem(415, "a compressed body"),
    "TYPE_UNSUPPORTED": Problem(415, "a body of another kind"),
    "EXPECTATION_FAILED": Problem(417, "an expectation other than 100-continue"),
    "UPGRADE_NEEDED": Problem(426, "a websocket"),
    "TOO_MANY_REQUESTS": Problem(429, "too many requests"),
    "TOO_MANY_INVALID": Problem(429, "too many malformed or wrongly signed transactions"),
    "INTERNAL": Problem(500, "an error of the node"),
    "BUSY": Problem(503, "no room now"),
    "NOT_LIVE": Problem(503, "the process should be ended and started again"),
    "NOT_READY": Problem(503, "clients should ask another node"),
    "NOT_CERTIFIED_YET": Problem(503, "nothing is certified yet"),
    "NO_CERTIFICATE": Problem(503, "this validator has no certificate of it"),
    "ANSWER_FULL": Problem(503, "this answer is full"),
    "TOO_MANY_STREAMS": Problem(503, "too many streams"),
    "TOO_MANY_CONNECTIONS": Problem(503, "too many connections"),
    "NOT_YET": Problem(504, "not certified in time"),
}
"""All but the rejections of the ledger, by name."""

COMMON = frozenset(
    {
        *("BAD_REQUEST", "HOST_MISSING", "HOST_NOT_ALLOWED", "METHOD_NOT_ALLOWED", "EXPECTATION_FAILED"),
        *("INTERNAL", "TOO_MANY_CONNECTIONS", "TOO_MANY_REQUESTS"),
    }
)
"""What any request may meet, before its address matters or when the node fails."""

PRIVATE = ("TOKEN_NEEDED", "TOKEN_UNKNOWN")
"""What every read that is not public may meet."""

BODY = ("BODY_BROKEN", "BODY_TOO_LARGE", "BODY_TOO_SLOW", "ENCODING_UNSUPPORTED", "TYPE_UNSUPPORTED", "BUSY")
"""What every request with a body may meet."""


def get_title(name: str) -> str:
    """Return what a problem is about, the same each time."""
    problem = PROBLEMS.get(name)
    return "refused by the ledger" if problem is None else problem.title


def group_by_status(names: Iterable[str], *, rejections: bool) -> dict[int, list[str]]:
    """Return the names of problems under their statuses, both sorted; with the ledger's rejections when asked."""
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(PROBLEMS[name].status, []).append(name)
    if rejections:
        found.setdefault(REJECTED, []).extend([*(each.value for each in Rejection), "REFUSED"])
    return {status: sorted(found[status]) for status in sorted(found)}
