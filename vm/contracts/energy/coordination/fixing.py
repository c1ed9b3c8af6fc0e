"""Fixing the trades of a round: what each home sells or buys in each slot, from whom, at which price."""

from vm.contract import BlockContext, CallContext
from vm.contracts.energy.coordination.arithmetic import NANO_PER_MICRO, halve
from vm.contracts.energy.coordination.calls import Form
from vm.contracts.energy.coordination.records import (
    Agreement,
    Deadline,
    Exchange,
    Member,
    Round,
    Row,
    Status,
    get_agreement_key,
    get_deadline_key,
    get_exchange_key,
    get_member_key,
    get_round_key,
    get_row_key,
    get_slot_round_key,
)
from vm.contracts.energy.coordination.rounds import count_open, list_members, replace_round
from vm.contracts.energy.market import share_energy
from vm.state import Overlay

Context = CallContext | BlockContext
Seats = list[tuple[bytes, Member]]


def fix_round(context: Context, first_slot_s: int, found: Round) -> None:
    """Write every home's agreement and open the time for claims. Energy and, but for the fee, money sum to zero."""
    state = context.state
    seats = list_members(state, first_slot_s)
    if found.form == Form.BILATERAL:
        for meter, member in seats:
            row = state.read(get_row_key(first_slot_s, meter), Row)
            if row is not None and member.active:
                state.write(get_agreement_key(first_slot_s, meter), _agree_pairs(row, found))
    else:
        exchange = state.read(get_exchange_key(first_slot_s), Exchange)
        if exchange is not None:
            _agree_exchange(context, first_slot_s, found, exchange, seats)
    deadline_ms = context.time_ms + found.terms.claim_s * 1000
    state.write(get_deadline_key(deadline_ms, first_slot_s), Deadline())
    state.write(
        get_round_key(first_slot_s), replace_round(found, status=Status.FIXED, deadline_ms=deadline_ms)
    )


def void_round(context: Context, first_slot_s: int, found: Round) -> None:
    """Close a round in which nobody trades, and free its slots and its name."""
    slot_s = context.ledger.genesis.energy.slot_s
    for number in range(found.slots):
        context.state.write(get_slot_round_key(first_slot_s + number * slot_s), None)
    context.state.write(get_round_key(first_slot_s), replace_round(found, status=Status.VOID))
    forget_vectors(context.state, first_slot_s)
    count_open(context.state, -1)


def forget_vectors(state: Overlay, first_slot_s: int) -> None:
    """Let go of what only the iterations needed; the blocks keep every vector."""
    for meter, _ in list_members(state, first_slot_s):
        state.write(get_member_key(first_slot_s, meter), None)
        if state.read(get_row_key(first_slot_s, meter), Row) is not None:
            state.write(get_row_key(first_slot_s, meter), None)
    if state.read(get_exchange_key(first_slot_s), Exchange) is not None:
        state.write(get_exchange_key(first_slot_s), None)


def _agree_pairs(row: Row, found: Round) -> Agreement:
    """Return a home's agreement from its row: both sides of a pair round alike, so each pair sums to zero."""
    slots, fee = found.slots, found.terms.fee
    quantities = tuple(halve(target) for target in row.targets_x2)
    prices = tuple(price // 2 for price in row.prices_x2)
    net, paid = [0] * slots, [0] * slots
    for place, (quantity, price) in enumerate(zip(quantities, prices, strict=True)):
        net[place % slots] += quantity
        paid[place % slots] += fee * abs(quantity) - price * quantity
    return Agreement(tuple(net), tuple(paid), quantities, prices, 0, 0)


def _agree_exchange(
    context: Context, first_slot_s: int, found: Round, exchange: Exchange, seats: Seats
) -> None:
    """Share what is both offered and wanted in each slot in proportion to the vectors; the rest stays with the
    homes.
    """
    prices = tuple(price // NANO_PER_MICRO for price in exchange.prices_nano)
    vectors = {meter.hex(): member.trades_wh for meter, member in seats if member.active and member.trades_wh}
    net: dict[str, list[int]] = {meter: [] for meter in vectors}
    for slot in range(found.slots):
        offered = {meter: max(vector[slot], 0) for meter, vector in vectors.items()}
        wanted = {meter: max(-vector[slot], 0) for meter, vector in vectors.items()}
        traded = min(sum(offered.values()), sum(wanted.values()))
        sold, bought = share_energy(traded, offered), share_energy(traded, wanted)
        for meter, quantities in net.items():
            quantities.append(sold[meter] - bought[meter])
    for meter, quantities in net.items():
        paid = tuple(
            found.terms.fee * abs(quantity) - price * quantity
            for quantity, price in zip(quantities, prices, strict=True)
        )
        agreement = Agreement(tuple(quantities), paid, (), prices, 0, 0)
        context.state.write(get_agreement_key(first_slot_s, bytes.fromhex(meter)), agreement)
