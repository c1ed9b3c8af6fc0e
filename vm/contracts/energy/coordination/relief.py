"""The no-loss rule: a home that the fixed trades leave worse off than alone is made whole by those that gained.

At the optimum nobody loses, because a home could always trade nothing at the same prices. A round that stops a little
early may leave a home a little below that. Only the home knows (what it would have cost alone is private), so it says
one number. A lie is worth little: a claim is bounded by a part of the claimant's own trade, and all claims by the
same part of what the others gained against the grid's prices, which everybody can compute.
"""

from primitives.ids import AccountId
from vm.contract import BlockContext, CallContext
from vm.contracts import ledger
from vm.contracts.energy.coordination.arithmetic import PERMILLE
from vm.contracts.energy.coordination.calls import ClaimRelief
from vm.contracts.energy.coordination.fixing import forget_vectors
from vm.contracts.energy.coordination.records import (
    Agreement,
    Round,
    Status,
    get_agreement_key,
    get_round_key,
)
from vm.contracts.energy.coordination.rounds import (
    count_open,
    get_round,
    list_members,
    replace_round,
    require_round,
)
from vm.contracts.energy.market import share_energy
from vm.contracts.energy.records import Meter, Tariff, get_meter_key, get_tariff_key
from vm.receipt import Rejection
from vm.state import Overlay

EARLY_FACTOR = 10
"""A round that ended before it converged may leave losses that are not small; at most RELIEF_PERMILLE_MAX times this,
all."""

Context = CallContext | BlockContext


def check_claim_relief(context: CallContext, call: ClaimRelief) -> Rejection | None:
    """A round whose trades are fixed and whose time for claims runs; the sender agreed to something and has not
    claimed; no more than its bound.
    """
    found = get_round(context.state, call.first_slot_s)
    if found is None:
        return Rejection.ROUND_UNKNOWN
    if found.status != Status.FIXED or found.deadline_ms <= context.time_ms:
        return Rejection.ROUND_CLOSED
    agreement = context.state.read(get_agreement_key(call.first_slot_s, context.sender), Agreement)
    if agreement is None:
        return Rejection.MEMBER_UNKNOWN
    if agreement.claim_nano:
        return Rejection.CLAIM_EXISTS
    bound = compute_claim_bound(agreement, _list_prices(context, call.first_slot_s, found), found)
    return None if 0 < call.nano <= bound else Rejection.CLAIM_TOO_HIGH


def claim_relief(context: CallContext, call: ClaimRelief) -> None:
    """Keep the claim."""
    key = get_agreement_key(call.first_slot_s, context.sender)
    agreement = context.state.read(key, Agreement)
    if agreement is not None:
        context.state.write(key, _set_relief(agreement, call.nano, 0))


def close_round(context: BlockContext, first_slot_s: int) -> None:
    """Book the relief and close the round. What some get, others pay, to the last nano."""
    state = context.state
    found = require_round(state, first_slot_s)
    prices = _list_prices(context, first_slot_s, found)
    claims: dict[str, int] = {}
    bounds: dict[str, int] = {}
    for meter, _ in list_members(state, first_slot_s):
        agreement = state.read(get_agreement_key(first_slot_s, meter), Agreement)
        if agreement is not None and agreement.claim_nano:
            claims[meter.hex()] = agreement.claim_nano
        elif agreement is not None:
            gain = compute_grid_gain(agreement, prices)
            bounds[meter.hex()] = gain * get_relief_permille(found) // PERMILLE
    total = min(sum(claims.values()), sum(bounds.values()))
    received, given = share_energy(total, claims), share_energy(total, bounds)
    for name, nano in [*received.items(), *((payer, -part) for payer, part in given.items())]:
        _book(state, first_slot_s, bytes.fromhex(name), nano)
    state.write(get_round_key(first_slot_s), replace_round(found, status=Status.CLOSED))
    forget_vectors(state, first_slot_s)
    count_open(state, -1)


def get_relief_permille(found: Round) -> int:
    """Return which part of trades and gains the relief may take: more where a round ended before it converged."""
    return found.terms.relief_permille * (1 if found.converged else EARLY_FACTOR)


def compute_claim_bound(agreement: Agreement, prices: list[Tariff], found: Round) -> int:
    """Return the most a home may claim: a part of what it trades, at retail."""
    value = sum(abs(net) * each.retail_price for net, each in zip(agreement.net_wh, prices, strict=True))
    return value * get_relief_permille(found) // PERMILLE


def compute_grid_gain(agreement: Agreement, prices: list[Tariff]) -> int:
    """Return what a home's trades save it against the same energy at the grid's prices, where that is a gain."""
    gain = sum(
        max(-net, 0) * each.retail_price - max(net, 0) * each.feed_in_price - paid
        for net, paid, each in zip(agreement.net_wh, agreement.paid_nano, prices, strict=True)
    )
    return max(gain, 0)


def _list_prices(context: Context, first_slot_s: int, found: Round) -> list[Tariff]:
    energy = context.ledger.genesis.energy
    usual = Tariff(energy.retail_price, energy.feed_in_price)
    return [
        context.state.read(get_tariff_key(first_slot_s + number * energy.slot_s), Tariff) or usual
        for number in range(found.slots)
    ]


def _book(state: Overlay, first_slot_s: int, meter: bytes, nano: int) -> None:
    key = get_agreement_key(first_slot_s, meter)
    agreement, record = state.read(key, Agreement), state.read(get_meter_key(meter), Meter)
    if agreement is None or record is None or nano == 0:
        return
    state.write(key, _set_relief(agreement, agreement.claim_nano, nano))
    ledger.settle(state, ledger.GRID, AccountId(record.owner), nano)


def _set_relief(agreement: Agreement, claim_nano: int, relief_nano: int) -> Agreement:
    return Agreement(
        agreement.net_wh,
        agreement.paid_nano,
        agreement.quantities_wh,
        agreement.prices,
        claim_nano,
        relief_nano,
    )
