"""Who may read what concerns one home: this machine, or who shows a token. Everything else is public."""

from collections.abc import Callable
from typing import Literal

from aiohttp import web

from node.api.errors import ApiProblem
from node.api.paces import LOOPBACK

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers of a proxy: behind one, loopback says nothing of who asks."""

SCHEME = "bearer "
TOKEN_CHARACTERS_MAX = 128


class Access:
    """The rule of ``api.private_reads``."""

    def __init__(
        self, rule: Literal["loopback", "token", "open"], is_token_known: Callable[[str], bool]
    ) -> None:
        self._rule = rule
        self._is_token_known = is_token_known

    def check(self, request: web.Request) -> None:
        """Refuse a read that is not public.

        Raises:
            ApiProblem: 401.

        """
        if self._rule == "open" or (self._rule == "loopback" and _is_of_this_machine(request)):
            return
        text = request.headers.get("Authorization", "")
        if not text:
            detail = (
                "this concerns one home: send Authorization: Bearer TOKEN; `gridbft tokens add` makes one"
            )
            raise ApiProblem(401, "TOKEN_NEEDED", detail)
        token = text[len(SCHEME) :].strip() if text[: len(SCHEME)].lower() == SCHEME else ""
        if not token or len(token) > TOKEN_CHARACTERS_MAX or not self._is_token_known(token):
            raise ApiProblem(401, "TOKEN_UNKNOWN", "this node knows no such token; it may have been revoked")


def _is_of_this_machine(request: web.Request) -> bool:
    return (request.remote or "") in LOOPBACK and not any(name in request.headers for name in FORWARDED)
