"""What a contract is, and what it sees of the world while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

from primitives.encoding import DecodeError, Struct, decode
from primitives.ids import AccountId, Digest, Height
from vm.genesis import Genesis
from vm.receipt import Rejection
from vm.state import Overlay


@dataclass(frozen=True, slots=True)
class LedgerContext:
    """What every block of a network shares."""

    genesis: Genesis
    genesis_hash: Digest


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call sees: who calls, in which block, at which block time (UTC milliseconds), over which state."""

    ledger: LedgerContext
    state: Overlay
    sender: AccountId
    transaction_id: Digest
    height: Height
    time_ms: int


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What a contract sees at the beginning of a block."""

    ledger: LedgerContext
    state: Overlay
    height: Height
    time_ms: int


CallType = type[Struct]


@dataclass(frozen=True, slots=True)
class Contract:
    """A native contract: its methods' records, and functions without memory of their own.

    ``check`` says why a call cannot succeed: early, from a possibly older state, and again before ``apply`` does what
    it allowed. Where only doing it shows that it cannot be done, ``apply`` may still refuse. ``begin_block`` does what
    time demands, within a bound of its own. ``get_next_due_ms`` tells when it next has something to do.
    """

    name: str
    key_prefix: bytes
    methods: dict[str, CallType]
    check: Callable[[CallContext, Struct], Rejection | None]
    apply: Callable[[CallContext, Struct], Rejection | None]
    begin_block: Callable[[BlockContext], None] | None = None
    get_next_due_ms: Callable[[LedgerContext, Overlay], int | None] | None = None


def execute_call(contract: Contract, context: CallContext, call: Struct) -> Rejection | None:
    """Do what the call asks, or return why not; what was refused leaves no trace in the state."""
    context.state.mark()
    rejection = contract.check(context, call) or contract.apply(context, call)
    if rejection is not None:
        context.state.rollback()
    context.state.mark()
    return rejection


def decode_call(contract: Contract, method: str, arguments: bytes) -> Struct | Rejection:
    """Return the call's record, or why there is none."""
    expected = contract.methods.get(method)
    if expected is None:
        return Rejection.METHOD_UNKNOWN
    try:
        return decode(arguments, expected)
    except DecodeError:
        return Rejection.ARGUMENTS_INVALID
