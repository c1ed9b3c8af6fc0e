"""The address that reads rounds of coordination: how one stands, and what one home is told, each with its proof."""

from aiohttp import web

from node.api.errors import refuse_unknown
from node.api.requests import get_flag, parse_number
from node.api.route import ACCOUNT_OR_NAME, Answer, Parameter, Route
from node.api.routes import build_json
from node.api.schemas import RoundAnswer, build_record, get_fields
from node.api.services import Services
from node.api.state_routes import PROOF, START, STATE, get_text
from node.pinned_state import PinnedState
from primitives.encoding import Struct, encode
from vm.contracts.energy.coordination import queries, records


class RoundRoutes:
    """Reads of rounds; each answer is of one certified height."""

    def __init__(self, services: Services) -> None:
        self._queries = services.queries

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/rounds/{start}", self.get_round),
                private_with=frozenset({"meter"}),
                answers={200: Answer("the round", shape=RoundAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(
                    *(START, PROOF),
                    Parameter(
                        "meter", ACCOUNT_OR_NAME, "what concerns this home, by its meter's id or its name"
                    ),
                ),
            )
        ]

    async def get_round(self, request: web.Request) -> web.Response:
        """Show a round by its first slot; with ``meter`` what concerns that home, with ``proof=1`` all of it proven."""
        first_slot_s = parse_number("start", request.match_info["start"])
        with_proof = get_flag(request, "proof")
        self._queries.check_slot(first_slot_s)
        with self._queries.open() as pinned:
            found = queries.get_round(pinned.state, first_slot_s)
            if found is None:
                raise refuse_unknown(f"no round begins with slot {first_slot_s} at height {pinned.height}")
            shown: list[tuple[bytes, Struct]] = [(records.get_round_key(first_slot_s), found)]
            if "meter" in request.query:
                shown += self._list_of_home(pinned, first_slot_s, get_text(request.query["meter"], "meter"))
            certificate = pinned.certificate
            answer = RoundAnswer(
                first_slot_s=first_slot_s,
                height=pinned.height,
                status=records.Status(found.status).name.lower(),
                round=get_fields(found) | {"terms": get_fields(found.terms)},
                records=[
                    build_record(key, record, pinned.prove(key) if with_proof else None)
                    for key, record in shown
                ],
                certificate=None if certificate is None else encode(certificate),
            )
            return build_json(answer)

    def _list_of_home(self, pinned: PinnedState, first_slot_s: int, text: str) -> list[tuple[bytes, Struct]]:
        """Return what concerns a home: its newest vector, what it is told, what it agreed to."""
        view = self._queries.find_meter(pinned.state, text)
        if view is None:
            raise refuse_unknown(f"no meter {text!r} at height {pinned.height}")
        state, meter = pinned.state, view.account
        found: list[tuple[bytes, Struct | None]] = [
            (records.get_member_key(first_slot_s, meter), queries.get_member(state, first_slot_s, meter)),
            (records.get_row_key(first_slot_s, meter), queries.get_row(state, first_slot_s, meter)),
            (records.get_exchange_key(first_slot_s), queries.get_exchange(state, first_slot_s)),
            (
                records.get_agreement_key(first_slot_s, meter),
                queries.get_agreement(state, first_slot_s, meter),
            ),
        ]
        return [(key, record) for key, record in found if record is not None]
