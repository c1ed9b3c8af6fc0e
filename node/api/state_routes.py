"""The addresses that read the chain and the certified state: blocks, accounts, meters, slots, bills."""

import asyncio

from aiohttp import web

from node.api.errors import refuse_parameter, refuse_unknown
from node.api.requests import get_account_id, get_flag, get_number, parse_number
from node.api.route import (
    ACCOUNT,
    ACCOUNT_OR_NAME,
    FLAG,
    HEIGHT_OR_LATEST,
    NUMBER,
    Answer,
    Parameter,
    Route,
)
from node.api.routes import build_json
from node.api.schemas import (
    AccountAnswer,
    BillAnswer,
    BlockAnswer,
    MeterAnswer,
    MetersAnswer,
    RecordAnswer,
    build_account,
    build_block,
    build_line,
    build_meter,
    build_record,
    get_fields,
)
from node.api.services import Services
from node.pinned_state import PinnedState
from primitives.encoding import Struct, encode
from primitives.ids import Height
from vm.contracts.energy.queries import BILL_SLOTS_MAX, MeterView, compute_totals
from vm.contracts.energy.records import get_latest_key, get_meter_key
from vm.contracts.ledger import Asset, Balance, get_balance_key
from vm.contracts.permissions import get_account_key, read_account
from vm.state import read_record

METERS_PER_ANSWER_MAX = 500
"""A page of 200 kB; the next one begins after its last account."""

PROVEN_LINES_MAX = 768
"""A month of hours, or eight days of quarter hours: 3 kB of proof each, 2.5 MB in all."""

YIELD_EVERY = 50
"""Lines between two breaths of the event loop: about a millisecond."""

PATH_TEXT_MAX = 64
"""Ids have 32 digits, names 32 characters."""


STATE = ("BAD_PARAMETER", "NOT_CERTIFIED_YET")
"""What every read of the certified state may meet."""

METER = Parameter("meter", ACCOUNT_OR_NAME, "a meter's id in hexadecimal, or its home's name", required=True)
START = Parameter("start", NUMBER, "the start of a slot, UTC seconds", required=True)
AFTER = Parameter("after", ACCOUNT, "the last account of the page before")
PROOF = Parameter("proof", FLAG, "1: each record with its state proof")


class StateRoutes:
    """Reads; each answer names the certified height it was read at."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queries = services.queries

    def get_routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route(
                *("GET", "/v1/blocks/{height}", self.get_block),
                answers={200: Answer("the block", shape=BlockAnswer)},
                problems=("BAD_PARAMETER", "NOT_FOUND"),
                parameters=(Parameter("height", HEIGHT_OR_LATEST, "its height, or `latest`", required=True),),
            ),
            Route(
                *("GET", "/v1/accounts/{account}", self.get_account),
                private=True,
                answers={200: Answer("the account", shape=AccountAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(Parameter("account", ACCOUNT_OR_NAME, "its id or name", required=True), PROOF),
            ),
            Route(
                *("GET", "/v1/meters", self.list_meters),
                private=True,
                answers={200: Answer("a page of up to 500", shape=MetersAnswer)},
                problems=STATE,
                parameters=(AFTER,),
            ),
            Route(
                *("GET", "/v1/meters/{meter}", self.get_meter),
                private=True,
                answers={200: Answer("the meter", shape=MeterAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(METER, PROOF),
            ),
            Route(
                *("GET", "/v1/bills/{meter}", self.get_bill),
                private=True,
                answers={200: Answer("its settled slots", shape=BillAnswer)},
                problems=(*STATE, "NOT_FOUND"),
                parameters=(
                    METER,
                    Parameter("first", NUMBER, "the start of the first slot", required=True),
                    Parameter("last", NUMBER, "the start of the last slot", required=True),
                    PROOF,
                ),
            ),
        ]

    async def get_block(self, request: web.Request) -> web.Response:
        """Show an executed block; ``latest`` is the newest certified one."""
        text = request.match_info["height"]
        height = self._queries.certified_height if text == "latest" else Height(parse_number("height", text))
        view = self._queries.get_block(height)
        pruned = self._queries.pruned_height
        if view is None and height <= pruned:
            raise refuse_unknown(
                f"block {height} is pruned: this validator keeps blocks above {pruned}; ask one that keeps more"
            )
        if view is None:
            raise refuse_unknown(f"there is no block {height} here; the newest is at latest")
        signatures = () if view.certificate is None else view.certificate.signatures
        epoch, get_name = view.header.epoch, self._queries.get_validator_name
        proposer = None if view.block is None else get_name(epoch, view.block.batch.header.proposer)
        return build_json(build_block(view, [get_name(epoch, each.replica) for each in signatures], proposer))

    async def get_account(self, request: web.Request) -> web.Response:
        """Show an account by id or name, with ``proof=1`` its records, each with its state proof."""
        text = get_text(request.match_info["account"], "account")
        with_proof = get_flag(request, "proof")
        with self._queries.open() as pinned:
            view = self._queries.get_account(pinned, text)
            if view is None:
                raise refuse_unknown(f"no account {text!r} at height {pinned.height}")
            if not with_proof:
                return build_json(build_account(view, pinned.height))
            certificate = pinned.certificate
            answer = build_account(
                view,
                pinned.height,
                _prove_account(pinned, view.account),
                None if certificate is None else encode(certificate),
            )
            return build_json(answer)

    async def list_meters(self, request: web.Request) -> web.Response:
        """List meters in the order of their accounts, a page at a time."""
        start = get_account_id(request, "after")
        with self._queries.open() as pinned:
            views = self._queries.list_meters(pinned.state, start, METERS_PER_ANSWER_MAX + 1)
            page = [build_meter(view, pinned.height) for view in views[:METERS_PER_ANSWER_MAX]]
            following = page[-1].account if len(views) > METERS_PER_ANSWER_MAX else None
            return build_json(MetersAnswer(pinned.height, page, following))

    async def get_meter(self, request: web.Request) -> web.Response:
        """Show a meter by id or name, with ``proof=1`` its records, each with its state proof."""
        with_proof = get_flag(request, "proof")
        with self._queries.open() as pinned:
            view = self._find_meter(request, pinned)
            if not with_proof:
                return build_json(build_meter(view, pinned.height))
            shown: list[tuple[bytes, Struct]] = [
                (get_meter_key(view.account), view.meter),
                (get_latest_key(view.account), view.latest),
            ]
            records = [build_record(key, record, pinned.prove(key)) for key, record in shown]
            certificate = pinned.certificate
            proof = None if certificate is None else encode(certificate)
            return build_json(build_meter(view, pinned.height, records, proof))

    async def get_bill(self, request: web.Request) -> web.Response:
        """Show a meter's settled slots from ``first`` to ``last``, with ``proof=1`` each one with its state proof."""
        first_s, last_s = get_number(request, "first"), get_number(request, "last")
        with_proof = get_flag(request, "proof")
        slots = self._queries.list_slots(first_s, last_s, PROVEN_LINES_MAX if with_proof else BILL_SLOTS_MAX)
        with self._queries.open() as pinned:
            meter = self._find_meter(request, pinned)
            lines, shown = [], []
            for number, slot_s in enumerate(slots):
                if number % YIELD_EVERY == YIELD_EVERY - 1:
                    await asyncio.sleep(0)
                line = self._queries.get_line(pinned.state, meter.account, slot_s)
                if line is None:
                    continue
                lines.append(line)
                shown.append(build_line(line, pinned.prove(line.key) if with_proof else None))
            certificate = pinned.certificate
            answer = BillAnswer(
                meter=meter.account.hex(),
                home=meter.meter.home,
                height=pinned.height,
                lines=shown,
                totals=get_fields(compute_totals(lines)),
                certificate=None if certificate is None else encode(certificate),
                record=_prove_record(pinned, get_meter_key(meter.account), meter.meter)
                if with_proof
                else None,
            )
            return build_json(answer)

    def _find_meter(self, request: web.Request, pinned: PinnedState) -> MeterView:
        text = get_text(request.match_info["meter"], "meter")
        view = self._queries.find_meter(pinned.state, text)
        if view is None:
            raise refuse_unknown(f"no meter {text!r} at height {pinned.height}")
        return view


def _prove_account(pinned: PinnedState, account: bytes) -> list[RecordAnswer]:
    """Return what the state holds of an account: its record, and the balances on which anything was ever booked."""
    state = pinned.state
    found: list[tuple[bytes, Struct | None]] = [
        (get_account_key(account), read_account(state, account)),
        *((key, read_record(state, key, Balance)) for key in (get_balance_key(account, a) for a in Asset)),
    ]
    return [_prove_record(pinned, key, record) for key, record in found if record is not None]


def _prove_record(pinned: PinnedState, key: bytes, record: Struct) -> RecordAnswer:
    return build_record(key, record, pinned.prove(key))


def get_text(text: str, name: str) -> str:
    """Return an id or name of an address, or refuse one that is too long for either."""
    if len(text) > PATH_TEXT_MAX:
        raise refuse_parameter(name, "an id in hexadecimal or a name is expected")
    return text
