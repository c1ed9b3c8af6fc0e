"""The address that reads events of demand response: what was announced, who is in, what was paid, with its proof."""

import asyncio

from aiohttp import web

from node.api.errors import refuse_unknown
from node.api.requests import get_account_id, get_flag, parse_number
from node.api.route import ACCOUNT_OR_NAME, Answer, Parameter, Route
from node.api.routes import build_json
from node.api.schemas import EventAnswer, build_record, get_fields
from node.api.services import Services
from node.api.state_routes import AFTER, PROOF, START, STATE, YIELD_EVERY, get_text
from node.pinned_state import PinnedState
from primitives.encoding import Struct, encode
from vm.contracts.energy.queries import get_meter
from vm.contracts.energy.response import queries, records
from vm.contracts.energy.response.events import get_phase
from vm.contracts.energy.response.records import Choice

HOMES_PER_ANSWER_MAX = 500
"""A page of 300 kB, or 2 MB with 3 kB of proof each; the next one begins after its last account."""


class EventRoutes:
    """Reads of events; each answer is of one certified height."""

    def __init__(self, services: Services) -> None:
        self._queries = services.queries

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/events/{start}", self.get_event),
                private=True,
                answers={200: Answer("the event", shape=EventAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(
                    *(START, AFTER, PROOF),
                    Parameter("meter", ACCOUNT_OR_NAME, "only this home, by its meter's id or its name"),
                ),
            )
        ]

    async def get_event(self, request: web.Request) -> web.Response:
        """Show an event by its first slot and a page of homes; with ``meter`` that one, with ``proof=1`` proven."""
        first_slot_s = parse_number("start", request.match_info["start"])
        with_proof = get_flag(request, "proof")
        after = get_account_id(request, "after")
        self._queries.check_slot(first_slot_s)
        with self._queries.open() as pinned:
            found = queries.get_event(pinned.state, first_slot_s)
            if found is None:
                raise refuse_unknown(f"no event begins with slot {first_slot_s} at height {pinned.height}")
            if "meter" in request.query:
                page = self._find_home(pinned, first_slot_s, get_text(request.query["meter"], "meter"))
            else:
                page = _list_homes(pinned, first_slot_s, after)
            following = page[HOMES_PER_ANSWER_MAX - 1][0].hex() if len(page) > HOMES_PER_ANSWER_MAX else None
            page = page[:HOMES_PER_ANSWER_MAX]
            shown: list[tuple[bytes, Struct]] = [(records.get_event_key(first_slot_s), found)]
            shown += [(records.get_choice_key(first_slot_s, meter), choice) for meter, choice in page]
            certificate = pinned.certificate
            answer = EventAnswer(
                first_slot_s=first_slot_s,
                height=pinned.height,
                status=get_phase(found, first_slot_s, pinned.header.time_ms // 1000),
                event=get_fields(found) | {"paid_up_to": found.paid_up_to.hex()},
                homes=[_build_home(pinned, meter, choice) for meter, choice in page],
                next_after=following,
                records=await _build_records(pinned, shown, with_proof=with_proof),
                certificate=None if certificate is None else encode(certificate),
            )
            return build_json(answer)

    def _find_home(self, pinned: PinnedState, first_slot_s: int, text: str) -> list[tuple[bytes, Choice]]:
        """Return a home's word on an event, or nothing while it has none."""
        view = self._queries.find_meter(pinned.state, text)
        if view is None:
            raise refuse_unknown(f"no meter {text!r} at height {pinned.height}")
        choice = queries.get_choice(pinned.state, first_slot_s, view.account)
        return [] if choice is None else [(view.account, choice)]


def _list_homes(pinned: PinnedState, first_slot_s: int, after: bytes) -> list[tuple[bytes, Choice]]:
    """Return the homes beyond ``after`` that had a word, one more than a page has."""
    found: list[tuple[bytes, Choice]] = []
    for meter, choice in queries.iterate_choices(pinned.state, first_slot_s):
        if len(found) > HOMES_PER_ANSWER_MAX:
            break
        if meter > after:
            found.append((meter, choice))
    return found


def _build_home(pinned: PinnedState, meter: bytes, choice: Choice) -> dict[str, object]:
    view = get_meter(pinned.state, meter)
    return {"account": meter.hex(), "home": "" if view is None else view.meter.home, **get_fields(choice)}


async def _build_records(
    pinned: PinnedState, shown: list[tuple[bytes, Struct]], *, with_proof: bool
) -> list[dict[str, object]]:
    built = []
    for number, (key, record) in enumerate(shown):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        built.append(build_record(key, record, pinned.prove(key) if with_proof else None))
    return built
