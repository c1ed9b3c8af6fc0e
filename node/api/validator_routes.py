"""The addresses that tell who validates, who wants to change that, and what proves it to whoever holds the genesis."""

from aiohttp import web

from node.api.errors import refuse_unknown
from node.api.requests import get_number
from node.api.route import NUMBER, Answer, Parameter, Route
from node.api.routes import build_json
from node.api.schemas import HandoversAnswer, ValidatorsAnswer, build_validators
from node.api.services import Services
from node.api.state_routes import STATE
from primitives.encoding import encode

HANDOVERS_BYTES_MAX = 1024 * 1024
"""Of handovers in one answer, before base64: 300 changes among seven validators, 20 among eighty; at least one."""


class ValidatorRoutes:
    """The validators of each epoch, and the handovers between them."""

    def __init__(self, services: Services) -> None:
        self._queries = services.queries
        self._get_addresses = services.get_addresses
        self._get_attendance = services.get_attendance

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/validators", self.get_validators),
                answers={200: Answer("the validators", shape=ValidatorsAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(Parameter("epoch", NUMBER, "which epoch's; without, the current one's"),),
            ),
            Route(
                *("GET", "/v1/handovers", self.get_handovers),
                answers={200: Answer("handovers", shape=HandoversAnswer)},
                problems=("BAD_PARAMETER",),
                parameters=(Parameter("from", NUMBER, "the first epoch, 0 without it"),),
            ),
        ]

    async def get_validators(self, request: web.Request) -> web.Response:
        """Show the validators of ``epoch``, by default of the current one, with the open ballots."""
        epoch = get_number(request, "epoch") if "epoch" in request.query else None
        with self._queries.open() as pinned:
            view = self._queries.get_validators(pinned, epoch)
            if view is None:
                raise refuse_unknown(f"epoch {epoch} has not begun at height {pinned.height}")
            return build_json(
                build_validators(view, pinned.height, self._get_addresses(), self._get_attendance())
            )

    async def get_handovers(self, request: web.Request) -> web.Response:
        """Give how the epochs from ``from`` on ended, as many as fit; ``next`` is the ``from`` of the next answer."""
        first = get_number(request, "from", 0)
        found: list[bytes] = []
        following: int | None = None
        size = 0
        for handover in self._queries.iterate_handovers(first):
            data = encode(handover)
            size += len(data)
            if found and size > HANDOVERS_BYTES_MAX:
                following = first + len(found)
                break
            found.append(data)
        return build_json(HandoversAnswer(handovers=found, next=following))
