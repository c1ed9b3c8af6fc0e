"""The coordination contract's door: which call goes to which rule, and what happens by time (prefix ``c``)."""

from primitives.encoding import Struct
from vm.contract import BlockContext, CallContext, Contract, LedgerContext
from vm.contracts.energy.coordination import iteration, relief, rounds
from vm.contracts.energy.coordination.calls import ClaimRelief, EnrolMembers, OpenRound, SubmitVector
from vm.contracts.energy.coordination.records import DEADLINE_PREFIX, Deadline, Status, get_deadline_key
from vm.receipt import Rejection
from vm.state import Overlay


def check(context: CallContext, call: Struct) -> Rejection | None:
    """Return why the call cannot succeed as things stand."""
    match call:
        case OpenRound():
            return rounds.check_open_round(context, call)
        case EnrolMembers():
            return rounds.check_enrol_members(context, call)
        case SubmitVector():
            return iteration.check_submit_vector(context, call)
        case ClaimRelief():
            return relief.check_claim_relief(context, call)
        case _:
            return Rejection.METHOD_UNKNOWN


def apply(context: CallContext, call: Struct) -> None:
    """Do what ``check`` allowed."""
    match call:
        case OpenRound():
            rounds.open_round(context, call)
        case EnrolMembers():
            rounds.enrol_members(context, call)
        case SubmitVector():
            iteration.submit_vector(context, call)
        case ClaimRelief():
            relief.claim_relief(context, call)


def begin_block(context: BlockContext) -> None:
    """Pass every deadline that is over, one step of each round: as many as there are rounds, which are few."""
    state = context.state
    due = []
    for key, _ in state.iterate(DEADLINE_PREFIX, Deadline):
        deadline_ms, first_slot_s = _read_key(key)
        if deadline_ms > context.time_ms:
            break
        due.append((deadline_ms, first_slot_s))
    for deadline_ms, first_slot_s in due:
        found = rounds.require_round(state, first_slot_s)
        if found.status == Status.OPEN:
            iteration.pass_deadline(context, first_slot_s)
        else:
            state.write(get_deadline_key(deadline_ms, first_slot_s), None)
            relief.close_round(context, first_slot_s)


def get_next_due_ms(_: LedgerContext, state: Overlay) -> int | None:
    """Return when the first deadline passes, in milliseconds."""
    for key, _deadline in state.iterate(DEADLINE_PREFIX, Deadline):
        return _read_key(key)[0]
    return None


def _read_key(key: bytes) -> tuple[int, int]:
    start = len(DEADLINE_PREFIX)
    return int.from_bytes(key[start : start + 8], "big"), int.from_bytes(key[start + 8 :], "big")


CONTRACT = Contract(
    name="coordination",
    key_prefix=b"c",
    methods={
        "open_round": OpenRound,
        "enrol_members": EnrolMembers,
        "submit_vector": SubmitVector,
        "claim_relief": ClaimRelief,
    },
    check=check,
    apply=apply,
    begin_block=begin_block,
    get_next_due_ms=get_next_due_ms,
)
