"""An iteration: vectors come in, and with the last of them, or at the deadline, the round is solved and goes on or
ends.
"""

from vm.contract import BlockContext, CallContext
from vm.contracts.energy.coordination.arithmetic import (
    Pairs,
    Residuals,
    balance_rho,
    bind_pairs,
    compute_costs,
    compute_exchange_residuals,
    is_within,
    solve_exchange,
    solve_pairs,
)
from vm.contracts.energy.coordination.calls import Form, Preference, SubmitVector
from vm.contracts.energy.coordination.fixing import fix_round, void_round
from vm.contracts.energy.coordination.records import (
    Deadline,
    Exchange,
    Member,
    Round,
    Row,
    Status,
    get_deadline_key,
    get_exchange_key,
    get_member_key,
    get_round_key,
    get_row_key,
)
from vm.contracts.energy.coordination.rounds import (
    RHO_MAX,
    get_round,
    list_members,
    replace_round,
    require_round,
)
from vm.contracts.energy.records import Meter, get_meter_key
from vm.receipt import Rejection
from vm.state import Overlay

EXCHANGE_DUAL_FACTOR = 10
"""In an exchange homes may still move by ten times the tolerance: they are many, and each is a small part of the
sum."""

RESIDUAL_PARTS = 100
"""A round has converged when plans leave over less than a hundredth of what is traded, besides the tolerance; or
when no pair is off by more than the Wh to which both of them round, which no iteration can mend."""

SECONDS_PER_HOUR = 3600

Context = CallContext | BlockContext
Seats = list[tuple[bytes, Member]]


def check_submit_vector(context: CallContext, call: SubmitVector) -> Rejection | None:
    """An open round; the sender is its member and takes part; the awaited iteration, once; before its first slot; a
    vector of the right length, within the pair's limit and the connection's rating in every slot.
    """
    found = get_round(context.state, call.first_slot_s)
    if found is None:
        return Rejection.ROUND_UNKNOWN
    if found.status != Status.OPEN or call.first_slot_s * 1000 <= context.time_ms:
        return Rejection.ROUND_CLOSED
    member = context.state.read(get_member_key(call.first_slot_s, context.sender), Member)
    if member is None:
        return Rejection.MEMBER_UNKNOWN
    if not member.active:
        return Rejection.MEMBER_LEFT_OUT
    if call.iteration != found.iteration:
        return Rejection.ITERATION_OTHER
    if member.iteration == found.iteration:
        return Rejection.VECTOR_EXISTS
    if len(call.trades_wh) != get_vector_length(found):
        return Rejection.VECTOR_LENGTH
    return None if _is_within_limits(context, found, call.trades_wh) else Rejection.VECTOR_ABOVE_LIMIT


def submit_vector(context: CallContext, call: SubmitVector) -> None:
    """Keep the vector; with the last one, solve."""
    state = context.state
    found = require_round(state, call.first_slot_s)
    key = get_member_key(call.first_slot_s, context.sender)
    member = state.read(key, Member)
    if member is None:
        message = "a member that was just checked is gone"
        raise AssertionError(message)
    if found.form == Form.EXCHANGE:
        before = member.trades_wh or (0,) * found.slots
        _count_in(state, call.first_slot_s, before, call.trades_wh)
    state.write(key, Member(found.iteration, 0, active=True, trades_wh=call.trades_wh))
    changed = replace_round(found, submitted=found.submitted + 1, vectors=found.vectors + 1)
    state.write(get_round_key(call.first_slot_s), changed)
    if changed.submitted >= changed.active:
        solve_round(context, call.first_slot_s, changed)


def pass_deadline(context: BlockContext, first_slot_s: int) -> None:
    """Go on without the silent: their newest vectors stand; who was silent too often is left out."""
    state = context.state
    found = require_round(state, first_slot_s)
    active = 0
    for meter, member in list_members(state, first_slot_s):
        if member.active and member.iteration < found.iteration:
            missed = member.missed + 1
            is_left = missed >= found.terms.silence_max
            if is_left and found.form == Form.EXCHANGE and member.trades_wh:
                _count_in(state, first_slot_s, member.trades_wh, (0,) * found.slots)
            trades = () if is_left else member.trades_wh
            seat = Member(member.iteration, missed, active=not is_left, trades_wh=trades)
            state.write(get_member_key(first_slot_s, meter), seat)
            active += not is_left
        else:
            active += member.active
    solve_round(context, first_slot_s, replace_round(found, active=active))


def solve_round(context: Context, first_slot_s: int, found: Round) -> None:
    """Solve the coupling, then fix the trades or await the next iteration."""
    state = context.state
    state.write(get_deadline_key(found.deadline_ms, first_slot_s), None)
    seats = list_members(state, first_slot_s) if found.form == Form.BILATERAL else []
    if found.active < 2:  # noqa: PLR2004  # a trade takes two
        void_round(context, first_slot_s, found)
        return
    rows = _read_rows(state, first_slot_s, seats)
    exchange = state.read(get_exchange_key(first_slot_s), Exchange)
    if exchange is None:
        residuals = _solve_bilateral(state, first_slot_s, found, seats, rows)
        is_near = is_within(residuals, found.terms.tolerance_mwh)
    else:
        residuals = _solve_exchange(state, first_slot_s, found, exchange)
        is_near = is_within(residuals, found.terms.tolerance_mwh, EXCHANGE_DUAL_FACTOR)
    is_rounding = residuals.largest_wh <= 1
    is_small = is_rounding or residuals.residual_wh * RESIDUAL_PARTS <= residuals.traded_wh
    # An iteration in which nobody spoke moves nothing and proves nothing.
    has_converged = found.submitted > 0 and is_near and is_small
    is_over = found.iteration >= found.terms.iterations_max or first_slot_s * 1000 <= context.time_ms
    if is_over and not has_converged:
        _bind_to_words(state, first_slot_s, found, seats, rows, exchange)
    solved = replace_round(
        found,
        converged=has_converged,
        primal_mwh=residuals.primal_mwh,
        dual_mwh=residuals.dual_mwh,
        traded_wh=residuals.traded_wh,
        residual_wh=residuals.residual_wh,
    )
    if has_converged or is_over:
        fix_round(context, first_slot_s, solved)
        return
    deadline_ms = min(context.time_ms + found.terms.iteration_s * 1000, first_slot_s * 1000)
    state.write(get_deadline_key(deadline_ms, first_slot_s), Deadline())
    rho = balance_rho(found.rho, residuals, found.terms.balancing, RHO_MAX)
    following = replace_round(
        solved, iteration=found.iteration + 1, submitted=0, deadline_ms=deadline_ms, rho=rho
    )
    state.write(get_round_key(first_slot_s), following)


def get_vector_length(found: Round) -> int:
    """Return how many numbers a vector has."""
    return found.slots * (found.members - 1 if found.form == Form.BILATERAL else 1)


def _is_within_limits(context: CallContext, found: Round, trades_wh: tuple[int, ...]) -> bool:
    meter = context.state.read(get_meter_key(context.sender), Meter)
    if meter is None:
        return False
    limit_wh = meter.rating_w * context.ledger.genesis.energy.slot_s // SECONDS_PER_HOUR
    if found.form == Form.BILATERAL and max(map(abs, trades_wh), default=0) > found.terms.pair_limit_wh:
        return False
    return all(abs(sum(trades_wh[slot :: found.slots])) <= limit_wh for slot in range(found.slots))


def _solve_bilateral(
    state: Overlay, first_slot_s: int, found: Round, seats: Seats, rows: list[Row]
) -> Residuals:
    slots = found.slots
    vectors, active = _list_vectors(found, seats), [member.active for _, member in seats]
    after, residuals = solve_pairs(vectors, _build_pairs(rows), active, slots, found.rho)
    demands = None
    if found.iteration == 1 and found.terms.preference == Preference.DEMAND:
        demands = [sum(max(-sum(vector[slot::slots]), 0) for slot in range(slots)) for vector in vectors]
    for index, (meter, _) in enumerate(seats):
        costs = rows[index].costs
        if demands is not None:
            others = demands[:index] + demands[index + 1 :]
            costs = compute_costs(others, found.terms.fee, found.terms.preference_price)
        row = Row(
            tuple(after.targets_x2[index]),
            tuple(after.prices_x2[index]),
            costs,
            tuple(active[:index] + active[index + 1 :]),
        )
        state.write(get_row_key(first_slot_s, meter), row)
    return residuals


def _bind_to_words(
    state: Overlay,
    first_slot_s: int,
    found: Round,
    seats: Seats,
    rows: list[Row],
    exchange: Exchange | None,
) -> None:
    """A round that ends before it converged binds nobody beyond its last word, in energy and in price."""
    if exchange is not None:
        solved = _read_exchange(state, first_slot_s)
        kept = Exchange(solved.sums_wh, solved.solved_wh, exchange.prices_nano, 0, solved.volume_wh)
        state.write(get_exchange_key(first_slot_s), kept)
        return
    active = [member.active for _, member in seats]
    bound = bind_pairs(_list_vectors(found, seats), _build_pairs(rows), active, found.slots)
    for index, (meter, _) in enumerate(seats):
        targets, prices = tuple(bound.targets_x2[index]), tuple(bound.prices_x2[index])
        row = Row(targets, prices, rows[index].costs, rows[index].open_to)
        state.write(get_row_key(first_slot_s, meter), row)


def _read_rows(state: Overlay, first_slot_s: int, seats: Seats) -> list[Row]:
    rows = [state.read(get_row_key(first_slot_s, meter), Row) for meter, _ in seats]
    return [row for row in rows if row is not None]


def _list_vectors(found: Round, seats: Seats) -> list[tuple[int, ...]]:
    """Return the members' newest vectors; who has not spoken yet trades nothing."""
    return [member.trades_wh or (0,) * get_vector_length(found) for _, member in seats]


def _build_pairs(rows: list[Row]) -> Pairs:
    return Pairs([list(row.targets_x2) for row in rows], [list(row.prices_x2) for row in rows])


def _solve_exchange(state: Overlay, first_slot_s: int, found: Round, exchange: Exchange) -> Residuals:
    key = get_exchange_key(first_slot_s)
    residuals = compute_exchange_residuals(
        exchange.sums_wh, exchange.solved_wh, exchange.moved_squares, exchange.volume_wh, found.active
    )
    prices = solve_exchange(exchange.sums_wh, exchange.prices_nano, found.active, found.rho)
    state.write(key, Exchange(exchange.sums_wh, exchange.sums_wh, prices, 0, exchange.volume_wh))
    return residuals


def _count_in(
    state: Overlay, first_slot_s: int, before_wh: tuple[int, ...], after_wh: tuple[int, ...]
) -> None:
    """Move the exchange's sums from a home's vector to its next: solving then costs nothing per home."""
    exchange = _read_exchange(state, first_slot_s)
    moved = [after - before for before, after in zip(before_wh, after_wh, strict=True)]
    changed = Exchange(
        tuple(total + change for total, change in zip(exchange.sums_wh, moved, strict=True)),
        exchange.solved_wh,
        exchange.prices_nano,
        exchange.moved_squares + sum(change * change for change in moved),
        exchange.volume_wh + sum(map(abs, after_wh)) - sum(map(abs, before_wh)),
    )
    state.write(get_exchange_key(first_slot_s), changed)


def _read_exchange(state: Overlay, first_slot_s: int) -> Exchange:
    exchange = state.read(get_exchange_key(first_slot_s), Exchange)
    if exchange is None:
        message = "an exchange round has no exchange"
        raise AssertionError(message)
    return exchange
