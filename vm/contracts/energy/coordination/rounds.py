"""Opening a round and enrolling its members: who may, over which slots, on which terms."""

from primitives.ids import ACCOUNT_BYTES
from vm.contract import CallContext
from vm.contracts import permissions
from vm.contracts.energy.coordination.arithmetic import (
    NANO_PER_MICRO,
    compute_costs,
    compute_nearness,
    get_pair_index,
)
from vm.contracts.energy.coordination.calls import (
    MEMBERS_PER_CALL_MAX,
    EnrolMembers,
    Form,
    OpenRound,
    Preference,
    Terms,
)
from vm.contracts.energy.coordination.records import (
    MEMBER_PREFIX,
    OPEN_KEY,
    Deadline,
    Exchange,
    Member,
    OpenRounds,
    Round,
    Row,
    SlotRound,
    Status,
    get_deadline_key,
    get_exchange_key,
    get_member_key,
    get_name,
    get_round_key,
    get_row_key,
    get_slot_round_key,
)
from vm.contracts.energy.records import Meter, get_meter_key
from vm.genesis import PRICE_MAX
from vm.receipt import Rejection
from vm.state import Overlay

SLOTS_MAX = 100
"""A local day has up to 100 quarter hours."""

MEMBERS_MAX = 10_000
"""As many as a network has meters."""

PAIR_CELLS_MAX = 1200
"""Numbers in one bilateral vector, each of up to three bytes: it fits a transaction of 4,096 bytes. Ten homes have
quarter hours, fifty have hours; more trade by the exchange."""

OPEN_ROUNDS_MAX = 8
"""Rounds under way at a time: a week ahead and one to spare. All their deadlines may fall into one block."""

AHEAD_S = 31 * 86_400
"""A round is opened at most a month before its first slot."""

RHO_MAX = 10**6
RHO_UNIT = 1000
"""ρ is micro-currency per kWh and Wh: a thousandth of a currency unit per kWh²."""
"""A thousand currency units per kWh²: nobody would move."""

ITERATIONS_MAX = 1000
ITERATION_S_MAX = 3600
TOLERANCE_MWH_MAX = 10**6
"""A kWh of root mean square: nothing more would be agreed."""
SILENCE_MAX = 100
DISTANCE_MAX = 10**6
PENALTY_MAX = PRICE_MAX
PAIR_LIMIT_WH_MAX = 10**6
"""A megawatt for an hour, as the largest connection."""
RELIEF_PERMILLE_MAX = 100
"""A tenth: the relief mends what an early stop left, it does not redistribute the gains."""
CLAIM_S_MAX = 86_400


def check_open_round(context: CallContext, call: OpenRound) -> Rejection | None:
    """The utility; sound form, size and terms; aligned slots that have not begun, within a month, in no other round;
    room for a round; members that are meters, each once, few enough for the form; distances of all pairs if preferred.
    """
    if not permissions.has_role(context.state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    if call.form not in set(Form) or not 0 < call.slots <= SLOTS_MAX:
        return Rejection.ARGUMENTS_INVALID
    if not _are_terms_sound(call.terms, Form(call.form)):
        return Rejection.TERMS_INVALID
    rejection = _check_slots(context, call.first_slot_s, call.slots)
    if rejection is not None:
        return rejection
    count = context.state.read(OPEN_KEY, OpenRounds)
    if count is not None and count.count >= OPEN_ROUNDS_MAX:
        return Rejection.ROUND_LIMIT
    if call.form == Form.BILATERAL and (
        len(call.members) < 2 or (len(call.members) - 1) * call.slots > PAIR_CELLS_MAX  # noqa: PLR2004  # a pair
    ):
        return Rejection.MEMBER_LIMIT
    wanted = len(call.members) * (len(call.members) - 1) // 2
    is_far = call.terms.preference == Preference.DISTANCE
    if len(call.distances) != (wanted if is_far else 0):
        return Rejection.ARGUMENTS_INVALID
    if not all(0 < distance <= DISTANCE_MAX for distance in call.distances):
        return Rejection.ARGUMENTS_INVALID
    return _check_members(context, call.first_slot_s, call.members)


def open_round(context: CallContext, call: OpenRound) -> None:
    """Write the round, its members and, in the bilateral form, what each is told first."""
    state, terms = context.state, call.terms
    deadline_ms = min(context.time_ms + terms.iteration_s * 1000, call.first_slot_s * 1000)
    members = sorted(call.members)
    opened = Round(
        form=call.form,
        slots=call.slots,
        status=Status.OPEN,
        iteration=1,
        members=len(members),
        active=len(members),
        submitted=0,
        rho=terms.rho,
        deadline_ms=deadline_ms,
        converged=False,
        primal_mwh=0,
        dual_mwh=0,
        traded_wh=0,
        residual_wh=0,
        vectors=0,
        terms=terms,
    )
    state.write(get_round_key(call.first_slot_s), opened)
    state.write(get_deadline_key(deadline_ms, call.first_slot_s), Deadline())
    slot_s = context.ledger.genesis.energy.slot_s
    for number in range(call.slots):
        state.write(get_slot_round_key(call.first_slot_s + number * slot_s), SlotRound(call.first_slot_s))
    count_open(state, 1)
    _seat(state, call.first_slot_s, members)
    if call.form == Form.EXCHANGE:
        nothing = (0,) * call.slots
        prices = (terms.price_start * NANO_PER_MICRO,) * call.slots
        state.write(get_exchange_key(call.first_slot_s), Exchange(nothing, nothing, prices, 0, 0))
        return
    cells = (len(members) - 1) * call.slots
    for index, meter in enumerate(members):
        costs = _get_first_costs(call, index)
        row = Row((0,) * cells, (2 * terms.price_start,) * cells, costs, (True,) * (len(members) - 1))
        state.write(get_row_key(call.first_slot_s, meter), row)


def check_enrol_members(context: CallContext, call: EnrolMembers) -> Rejection | None:
    """The utility; an exchange that awaits its first iteration; room; members that are meters, each once."""
    if not permissions.has_role(context.state, context.sender, "utility"):
        return Rejection.NOT_ALLOWED
    found = get_round(context.state, call.first_slot_s)
    if found is None:
        return Rejection.ROUND_UNKNOWN
    if found.status != Status.OPEN or found.iteration != 1 or found.form != Form.EXCHANGE:
        return Rejection.ROUND_CLOSED
    if found.members + len(call.members) > MEMBERS_MAX:
        return Rejection.MEMBER_LIMIT
    return _check_members(context, call.first_slot_s, call.members)


def enrol_members(context: CallContext, call: EnrolMembers) -> None:
    """Write the members."""
    found = require_round(context.state, call.first_slot_s)
    _seat(context.state, call.first_slot_s, sorted(call.members))
    count = len(call.members)
    changed = replace_round(found, members=found.members + count, active=found.active + count)
    context.state.write(get_round_key(call.first_slot_s), changed)


def get_round(state: Overlay, first_slot_s: int) -> Round | None:
    """Return a round by its first slot; None where that is no slot at all."""
    return state.read(get_round_key(first_slot_s), Round) if 0 <= first_slot_s < 2**63 else None


def require_round(state: Overlay, first_slot_s: int) -> Round:
    """Return a round that was just checked."""
    found = get_round(state, first_slot_s)
    if found is None:
        message = "a round that was just checked is gone"
        raise AssertionError(message)
    return found


def replace_round(found: Round, **changes: object) -> Round:
    """Return the round with some fields changed."""
    values = {name: getattr(found, name) for name in Round.__struct_fields__}
    return Round(**{**values, **changes})


def list_members(state: Overlay, first_slot_s: int) -> list[tuple[bytes, Member]]:
    """Return (meter, member) of a round in the order of their accounts."""
    prefix = MEMBER_PREFIX + get_name(first_slot_s)
    return [(key[len(prefix) :], member) for key, member in state.iterate(prefix, Member)]


def count_open(state: Overlay, change: int) -> None:
    """Count rounds that are under way."""
    current = state.read(OPEN_KEY, OpenRounds)
    state.write(OPEN_KEY, OpenRounds((0 if current is None else current.count) + change))


def _seat(state: Overlay, first_slot_s: int, members: list[bytes]) -> None:
    for meter in members:
        state.write(get_member_key(first_slot_s, meter), Member(0, 0, active=True, trades_wh=()))


def _get_first_costs(call: OpenRound, index: int) -> tuple[int, ...]:
    """Return a member's costs by partner: the fee, and the distance where it counts (demand is not known yet)."""
    homes, terms = len(call.members), call.terms
    if terms.preference != Preference.DISTANCE:
        return (terms.fee,) * (homes - 1)
    distances = [
        call.distances[get_pair_index(min(index, other), max(index, other), homes)]
        for other in range(homes)
        if other != index
    ]
    return compute_costs(compute_nearness(distances), terms.fee, terms.preference_price)


def _check_slots(context: CallContext, first_slot_s: int, slots: int) -> Rejection | None:
    slot_s = context.ledger.genesis.energy.slot_s
    if first_slot_s < 0 or first_slot_s % slot_s:
        return Rejection.SLOT_MISALIGNED
    if first_slot_s * 1000 <= context.time_ms:
        return Rejection.SLOT_STARTED
    if (first_slot_s - AHEAD_S) * 1000 > context.time_ms:
        return Rejection.ROUND_TOO_FAR
    starts = (first_slot_s + number * slot_s for number in range(slots))
    is_taken = any(context.state.read(get_slot_round_key(start), SlotRound) is not None for start in starts)
    return Rejection.ROUND_OVERLAPS if is_taken else None


def _check_members(context: CallContext, first_slot_s: int, members: tuple[bytes, ...]) -> Rejection | None:
    if len(members) > MEMBERS_PER_CALL_MAX or len(frozenset(members)) != len(members):
        return Rejection.ARGUMENTS_INVALID
    for meter in members:
        if len(meter) != ACCOUNT_BYTES:
            return Rejection.ARGUMENTS_INVALID
        record = context.state.read(get_meter_key(meter), Meter)
        if record is None or record.opening_s > first_slot_s:
            return Rejection.METER_UNKNOWN
        if context.state.read(get_member_key(first_slot_s, meter), Member) is not None:
            return Rejection.MEMBER_EXISTS
    return None


def _are_terms_sound(terms: Terms, form: Form) -> bool:
    """Tell whether every term is in its range; whom one prefers matters between pairs only."""
    return (
        0 < terms.rho <= RHO_MAX
        and 0 < terms.tolerance_mwh <= TOLERANCE_MWH_MAX
        and 0 < terms.iterations_max <= ITERATIONS_MAX
        and 0 < terms.iteration_s <= ITERATION_S_MAX
        and 0 < terms.silence_max <= SILENCE_MAX
        and (terms.balancing == 0 or 1 < terms.balancing <= BALANCING_MAX)
        and 0 <= terms.price_start <= PRICE_MAX
        and 0 < terms.pair_limit_wh <= PAIR_LIMIT_WH_MAX
        and 0 <= terms.fee <= PRICE_MAX
        and (terms.preference in set(Preference) if form == Form.BILATERAL else terms.preference == 0)
        and 0 <= terms.preference_price <= PRICE_MAX
        and 0 <= terms.penalty_price <= PENALTY_MAX
        and 0 <= terms.relief_permille <= RELIEF_PERMILLE_MAX
        and 0 < terms.claim_s <= CLAIM_S_MAX
    )


BALANCING_MAX = 1000
"""A ratio of residuals beyond which balancing would never act."""
