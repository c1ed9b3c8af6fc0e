"""The addresses that read slots and their prices: one with its proof, or a period at once."""

import asyncio

import msgspec
from aiohttp import web

from node.api.errors import refuse_unknown
from node.api.requests import get_flag, get_number, parse_number
from node.api.route import NUMBER, Answer, Parameter, Route
from node.api.routes import build_json
from node.api.schemas import SlotAnswer, build_record, build_slot
from node.api.services import Services
from node.api.state_routes import PROOF, START, STATE, YIELD_EVERY
from primitives.encoding import encode
from vm.contracts.energy.queries import get_slot, get_tariff
from vm.contracts.energy.records import get_slot_key
from vm.state import StateReader

SLOTS_PER_ANSWER_MAX = 31 * 24
"""A month of hours, or a week of quarter hours: 250 kB."""

PERIOD = (
    Parameter("first", NUMBER, "the start of the first slot", required=True),
    Parameter("last", NUMBER, "the start of the last slot", required=True),
)


class SlotsAnswer(msgspec.Struct, frozen=True):
    """The slots of a period in which anything happened."""

    height: int
    slots: list[SlotAnswer]


class PriceAnswer(msgspec.Struct, frozen=True):
    """Prices of a slot, micro-currency per kWh: the grid's, whether they were ``published`` for this slot, and once it
    has settled what neighbours paid each other.
    """

    slot_s: int
    retail_price: int
    feed_in_price: int
    published: bool
    settled: bool
    pool_price: int | None = None
    buyers_price: int | None = None


class PricesAnswer(msgspec.Struct, frozen=True):
    """Prices of all slots of a period, past and to come."""

    height: int
    prices: list[PriceAnswer]


class MarketRoutes:
    """Reads of slots; each answer is of one certified height."""

    def __init__(self, services: Services) -> None:
        self._queries = services.queries

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/slots", self.list_slots),
                answers={200: Answer("the slots", shape=SlotsAnswer)},
                problems=STATE,
                parameters=PERIOD,
            ),
            Route(
                *("GET", "/v1/slots/{start}", self.get_slot),
                answers={200: Answer("the slot", shape=SlotAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(START, PROOF),
            ),
            Route(
                *("GET", "/v1/prices", self.list_prices),
                answers={200: Answer("the prices", shape=PricesAnswer)},
                problems=STATE,
                parameters=PERIOD,
            ),
        ]

    async def get_slot(self, request: web.Request) -> web.Response:
        """Show a slot by its start, with ``proof=1`` its record with the state proof."""
        slot_s = parse_number("start", request.match_info["start"])
        with_proof = get_flag(request, "proof")
        with self._queries.open() as pinned:
            slot = self._queries.get_slot(pinned.state, slot_s)
            if slot is None:
                raise refuse_unknown(f"nothing has happened in slot {slot_s} up to height {pinned.height}")
            shown = build_slot(slot_s, slot, pinned.height)
            if with_proof:
                key, certificate = get_slot_key(slot_s), pinned.certificate
                shown["records"] = [build_record(key, slot, pinned.prove(key))]
                shown["certificate"] = None if certificate is None else encode(certificate)
            return build_json(shown)

    async def list_slots(self, request: web.Request) -> web.Response:
        """Show the slots of a period, from ``first`` to ``last`` (starts, both included)."""
        period = self._get_period(request)
        with self._queries.open() as pinned:
            shown = []
            for number, slot_s in enumerate(period):
                await _breathe(number)
                slot = get_slot(pinned.state, slot_s)
                if slot is not None:
                    shown.append(build_slot(slot_s, slot, pinned.height))
            return build_json(SlotsAnswer(pinned.height, shown))

    async def list_prices(self, request: web.Request) -> web.Response:
        """Show the prices of a period, from ``first`` to ``last`` (starts, both included)."""
        period = self._get_period(request)
        with self._queries.open() as pinned:
            prices = []
            for number, slot_s in enumerate(period):
                await _breathe(number)
                prices.append(self._build_price(pinned.state, slot_s))
            return build_json(PricesAnswer(pinned.height, prices))

    def _build_price(self, state: StateReader, slot_s: int) -> PriceAnswer:
        """Return the prices of a slot: as it settled, or else as they were published, or else the genesis'."""
        tariff, slot = get_tariff(state, slot_s), get_slot(state, slot_s)
        if slot is not None and slot.settled:
            return PriceAnswer(
                slot_s=slot_s,
                retail_price=slot.retail_price,
                feed_in_price=slot.feed_in_price,
                published=tariff is not None,
                settled=True,
                pool_price=slot.pool_price,
                buyers_price=slot.buyers_price,
            )
        grid = tariff or self._queries.genesis.energy
        return PriceAnswer(slot_s, grid.retail_price, grid.feed_in_price, tariff is not None, settled=False)

    def _get_period(self, request: web.Request) -> range:
        first_s, last_s = get_number(request, "first"), get_number(request, "last")
        return self._queries.list_slots(first_s, last_s, SLOTS_PER_ANSWER_MAX)


async def _breathe(number: int) -> None:
    if number % YIELD_EVERY == YIELD_EVERY - 1:
        await asyncio.sleep(0)
