"""What a validator answers over HTTP, as types. These are its claims: only proofs are evidence.

Fields that a newer validator adds are passed over; a missing or mistyped one makes the answer unreadable.
"""

from typing import TypeVar

import msgspec

from primitives.text import to_line

T = TypeVar("T")

Number = int | float


class AnswerError(ValueError):
    """The answer is not what was asked for; the message says where in one line."""


class ApiError(msgspec.Struct, frozen=True):
    """Every refusal of the API: a name and a sentence."""

    error: str
    detail: str = ""


class SubmitAnswer(msgspec.Struct, frozen=True):
    """One transaction of a submission: accepted, known, or refused with the name of the reason."""

    status: str
    id: str = ""
    error: str | None = None
    detail: str = ""


class BatchAnswer(msgspec.Struct, frozen=True):
    """The results of a batch, in its order."""

    results: list[SubmitAnswer]


class ProofAnswer(msgspec.Struct, frozen=True):
    """A receipt's proof and certificate (base64 in JSON), or the reason why there is none yet."""

    id: str
    height: int = 0
    certificate_height: int = 0
    proof: bytes = b""
    certificate: bytes = b""
    error: str | None = None


class ProofsAnswer(msgspec.Struct, frozen=True):
    """The proofs of several transactions."""

    proofs: list[ProofAnswer]


class TransactionAnswer(msgspec.Struct, frozen=True):
    """Where a transaction stands: pending, or committed at a place; its bytes (base64 in JSON) when asked for."""

    id: str
    status: str
    height: int | None = None
    index: int | None = None
    rejection: str | None = None
    certified: bool = False
    transaction: bytes | None = None


class CertificateAnswer(msgspec.Struct, frozen=True):
    """The certificate of a block (base64 in JSON), None for the genesis block; its other fields are passed over."""

    certificate: bytes | None = None


class ValidatorAnswer(msgspec.Struct, frozen=True):
    """A validator; where nobody knows its address, or it signed none of the last blocks, it says None.

    ``marks`` has a character for each of the last blocks as the node that answers saw them: ``1`` signed, ``0`` missed,
    ``-`` not watched.
    """

    name: str
    public_key: str
    host: str | None = None
    port: int | None = None
    last_signed_height: int | None = None
    signed_blocks: int = 0
    missed_blocks: int = 0
    marks: str = ""


class MotionAnswer(msgspec.Struct, frozen=True):
    """A change that validators want; ``missing`` more must ask for the same ``change``."""

    method: str
    name: str
    public_key: str
    voters: list[str]
    missing: int
    change: bytes
    host: str | None = None
    port: int | None = None


class ValidatorsAnswer(msgspec.Struct, frozen=True):
    """The validators of an epoch in their order; ``since_height`` is the last block of the epoch before."""

    height: int
    epoch: int
    since_height: int
    quorum: int
    validators: list[ValidatorAnswer]
    motions: list[MotionAnswer] = []


class HandoversAnswer(msgspec.Struct, frozen=True):
    """How epochs ended, from the one asked for on (base64 in JSON); ``next`` continues where this answer was full."""

    handovers: list[bytes]
    next: int | None = None


class LatencyAnswer(msgspec.Struct, frozen=True):
    """Milliseconds from a transaction's arrival to its certificate; None while nothing was measured."""

    p50: Number | None = None
    p99: Number | None = None


class GreetingAnswer(msgspec.Struct, frozen=True):
    """What a client looks at first: the network that the validator says it is of."""

    genesis_hash: str


class MissingAnswer(msgspec.Struct, frozen=True):
    """A validator that another one does not hear, for how long and since when (UTC milliseconds), and why."""

    name: str
    for_ms: int
    since_ms: int
    reason: str = ""
    linked: bool = False


class StallAnswer(msgspec.Struct, frozen=True):
    """Why a validator commits nothing, in parts; ``next_attempt_ms`` is None while no next view is timed."""

    cause: str
    headline: str = ""
    outlook: str = ""
    advice: str = ""
    missing: list[MissingAnswer] = []
    attempt: int = 0
    next_attempt_ms: int | None = None
    next_primary: str = ""


class StatusAnswer(msgspec.Struct, frozen=True):
    """How a validator describes itself. ``waiting`` is a sentence when it is not committing."""

    name: str
    chain: str
    genesis_hash: str
    role: str
    height: int
    certified_height: int
    view: int
    epoch: int
    active: bool
    primary: str
    phase: str
    block_time_ms: int
    state_root: str
    mempool: int
    view_changes: int
    peers: list[dict[str, object]] = []
    waiting: str | None = None
    stall: StallAnswer | None = None
    clock_ms: int = 0
    commit_latency_ms: LatencyAnswer = LatencyAnswer()
    counters: dict[str, Number] = {}


class OpenSequenceAnswer(msgspec.Struct, frozen=True):
    """A sequence on its way, and who voted."""

    sequence: int
    stage: str
    digest: str = ""
    transactions: int = 0
    prepared: list[str] = []
    committed: list[str] = []


class PositionAnswer(msgspec.Struct, frozen=True):
    """Where a validator stands in agreement."""

    name: str
    epoch: int
    view: int
    active: bool
    phase: str
    primary: str
    attempt: int
    sequence: int
    low_watermark: int
    high_watermark: int
    executed_height: int
    certified_height: int
    open: list[OpenSequenceAnswer] = []
    view_changes: dict[str, int] = {}
    complaints: list[str] = []
    timers_ms: dict[str, int] = {}


class ExplanationAnswer(msgspec.Struct, frozen=True):
    """Why a validator commits nothing, sentence by sentence; ``summary`` is None when all is well."""

    cause: str
    summary: str | None = None
    story: list[str] = []


class TranscriptAnswer(msgspec.Struct, frozen=True):
    """A line of a validator's transcript, when it was last told (UTC milliseconds), and how often."""

    time_ms: int
    line: str
    times: int = 1


class ConsensusAnswer(msgspec.Struct, frozen=True):
    """Position, explanation and last lines of a validator."""

    position: PositionAnswer
    explanation: ExplanationAnswer
    clock_ms: int = 0
    transcript: list[TranscriptAnswer] = []


class RecordAnswer(msgspec.Struct, frozen=True):
    """A record of the state: key and value in hex, its proof in base64 when asked for."""

    key: str
    value: str
    proof: bytes | None = None


class BalancesAnswer(msgspec.Struct, frozen=True):
    """Money of an account: nano-currency of settlement (negative: it owes), and coins."""

    settlement_nano: int = 0
    coins: int = 0


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account; ``nonce_hint`` is the next nonce that neither the state nor the mempool has seen.

    ``records`` and the certificate (base64) come with proofs only.
    """

    account: str
    name: str
    role: str
    status: str
    public_key: str
    nonce: int
    balances: BalancesAnswer
    height: int
    nonce_hint: int
    records: list[RecordAnswer] = []
    certificate: bytes | None = None


class RegistersAnswer(msgspec.Struct, frozen=True):
    """A meter's newest registers, as a validator answers them."""

    time_s: int
    import_wh: int
    export_wh: int
    pagination: int


class MeterAnswer(msgspec.Struct, frozen=True):
    """A meter, as a validator answers it."""

    account: str
    home: str
    owner: str
    rating_w: int
    opening_s: int
    opening_import_wh: int
    opening_export_wh: int
    latest: RegistersAnswer
    height: int


class MetersAnswer(msgspec.Struct, frozen=True):
    """A page of meters; ``next_after`` continues it."""

    meters: list[MeterAnswer]
    next_after: str | None = None


class SlotAnswer(msgspec.Struct, frozen=True):
    """A slot: energy in Wh, prices in micro-currency per kWh, money in nano-currency."""

    settled: bool
    expected: int = 0
    received: int = 0
    missing: int = 0
    supply_wh: int = 0
    demand_wh: int = 0
    pool_wh: int = 0
    pool_price: int = 0
    buyers_price: int = 0
    retail_price: int = 0
    feed_in_price: int = 0
    grid_bought_wh: int = 0
    grid_sold_wh: int = 0
    grid_net_nano: int = 0
    adjusted: int = 0
    settled_height: int = 0


class BillLineAnswer(msgspec.Struct, frozen=True):
    """A line as it stands in the state: key and value in hex; its proof, when asked for, in base64."""

    key: str
    value: str
    proof: bytes | None = None


class BillAnswer(msgspec.Struct, frozen=True):
    """A meter's lines at a certified height, the certificate in base64; with proofs, also the meter's record."""

    meter: str
    home: str
    height: int
    lines: list[BillLineAnswer]
    certificate: bytes | None = None
    record: RecordAnswer | None = None


class RoundAnswer(msgspec.Struct, frozen=True):
    """A round of coordination at a certified height, the certificate in base64."""

    height: int
    records: list[RecordAnswer]
    certificate: bytes | None = None


def decode_answer(data: bytes, expected: type[T]) -> T:
    """Return the JSON answer as ``expected``.

    Raises:
        AnswerError: not JSON, or of another shape.

    """
    try:
        return msgspec.json.decode(data, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnswerError(" ".join(str(error).split())[:200]) from None


def decode_error(data: bytes) -> ApiError:
    """Return what an error answer says, fit to be shown, or a placeholder when it says nothing readable."""
    try:
        error = msgspec.json.decode(data, type=ApiError)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ApiError("UNREADABLE", "the answer is not the API's")
    return ApiError(to_line(error.error), to_line(error.detail))
