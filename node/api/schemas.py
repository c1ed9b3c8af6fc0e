"""The answers of the API as types; bytes become base64, so ids and keys are given as lower-case hex."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from node.attendance import Record
from node.queries import AccountView, BlockView, ValidatorsView
from p2p.peers import PeerAddress
from primitives.encoding import Struct, encode
from primitives.quorum import get_quorum
from vm.contracts.energy.coordination.records import Round
from vm.contracts.energy.queries import BillLine, BillTotals, MeterView
from vm.contracts.energy.records import Line, Slot
from vm.contracts.energy.response.records import Choice, Event
from vm.contracts.validators import Endpoint
from vm.state_root import StateProof


def describe_fields(*records: type[Struct], **more: type) -> dict[str, Any]:
    """Return the JSON schema of an object with the fields of core records, and some more, all by name."""
    types = {field.name: field.type for record in records for field in msgspec.structs.fields(record)} | more
    return {
        "type": "object",
        "properties": {name: _describe_type(each) for name, each in types.items()},
        "required": sorted(types),
        "additionalProperties": False,
    }


def _describe_type(kind: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever a field may be
    """Return the JSON schema of a field; a record in a field is shown by its names as well."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return describe_fields(kind)
    return msgspec.json.schema(kind)


def _show(schema: dict[str, Any]) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema=schema)


Fields = dict[str, Any]
LineAnswer = Annotated[
    Fields,
    _show(
        {
            **describe_fields(Line, slot_s=int, key=str, value=str, proof=bytes),
            "required": sorted({*Line.__struct_fields__, "slot_s", "key", "value"}),
            "description": "A settled slot of a home; `proof` is there when it was asked for.",
        }
    ),
]
RecordAnswer = Annotated[
    Fields,
    _show(
        {
            **describe_fields(key=str, value=str, proof=bytes),
            "required": ["key", "value"],
            "description": "A record of the state, key and value in hex; `proof` when it was asked for.",
        }
    ),
]
TotalsAnswer = Annotated[Fields, _show(describe_fields(BillTotals))]
SlotAnswer = Annotated[
    Fields,
    _show(
        {
            **describe_fields(
                Slot,
                slot_s=int,
                status=str,
                height=int,
                records=list[dict[str, str]],
                certificate=bytes | None,
            ),
            "required": sorted({*Slot.__struct_fields__, "slot_s", "status", "height"}),
            "description": "A slot. `records` and `certificate` are there when a proof was asked for.",
        }
    ),
]
RoundFields = Annotated[Fields, _show(describe_fields(Round))]
EventFields = Annotated[Fields, _show(describe_fields(Event, paid_up_to=str))]
HomeFields = Annotated[Fields, _show(describe_fields(Choice, account=str, home=str))]


class ProblemAnswer(msgspec.Struct, frozen=True):
    """A refusal, as RFC 9457 shapes it; ``error`` is its name, ``detail`` one line that says what to do."""

    type: str
    title: str
    status: int
    error: str
    detail: str


class LiveAnswer(msgspec.Struct, frozen=True):
    """The event loop turns."""

    live: bool = True


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Clients may ask this node."""

    ready: bool = True


class SubmitAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One submitted transaction."""

    id: str
    status: Literal["accepted", "known", "refused"]
    error: str | None = None
    detail: str = ""


class BatchAnswer(msgspec.Struct, frozen=True):
    """Submitted transactions, in the order of the request."""

    results: list[SubmitAnswer]


class PendingAnswer(msgspec.Struct, frozen=True, tag_field="status", tag="pending"):
    """A transaction that waits to be ordered."""

    id: str


class CommittedAnswer(msgspec.Struct, frozen=True, tag_field="status", tag="committed"):
    """An executed transaction; ``rejection`` is None when it was applied.

    ``transaction`` is its exact bytes where they were asked for.
    """

    id: str
    height: int
    index: int
    rejection: str | None
    certified: bool
    transaction: bytes | None = None


class ProofAnswer(msgspec.Struct, frozen=True):
    """A receipt's proof (``vm.receipt.ReceiptProof``) and certificate, both canonical bytes in base64."""

    id: str
    height: int
    certificate_height: int
    proof: bytes
    certificate: bytes


class NoProofAnswer(msgspec.Struct, frozen=True):
    """Why there is no proof."""

    id: str
    error: str
    detail: str = ""


AnyProof = Annotated[
    Any,  # ProofAnswer or NoProofAnswer: encoded only, so the union needs no tag
    _show({"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("ProofAnswer", "NoProofAnswer")]}),
]


class ProofsAnswer(msgspec.Struct, frozen=True):
    """Proofs in the order of the request."""

    proofs: list[AnyProof]


class BlockTransaction(msgspec.Struct, frozen=True):
    """A transaction of a block; ``rejection`` is None when it was applied."""

    id: str
    rejection: str | None


class BlockAnswer(msgspec.Struct, frozen=True):
    """A block: its header, who signed it, and what was in it; ``certificate`` is its canonical bytes in base64."""

    height: int
    sequence: int
    epoch: int
    digest: str
    parent: str
    batch_digest: str
    proposer: str | None
    time_ms: int
    state_root: str
    receipts_root: str
    next_membership: str
    protocol_version: int
    certified: bool
    signers: list[str]
    certificate: bytes | None
    transactions: list[BlockTransaction]


class ValidatorAnswer(msgspec.Struct, frozen=True):
    """A validator; ``host`` and ``port`` are None where neither the ledger nor this node knows them,
    ``last_signed_height`` when it signed none of the last blocks. ``marks`` has one character for each of the last
    certified blocks, oldest first: ``1`` signed, ``0`` missed, ``-`` not watched by this node.
    """

    name: str
    public_key: str
    tls_certificate: bytes
    host: str | None
    port: int | None
    last_signed_height: int | None
    signed_blocks: int
    missed_blocks: int
    marks: str


class MotionAnswer(msgspec.Struct, frozen=True):
    """A change that validators want; ``missing`` more must ask for the same ``change`` (canonical bytes)."""

    method: str
    name: str
    public_key: str
    host: str | None
    port: int | None
    voters: list[str]
    missing: int
    change: bytes


class ValidatorsAnswer(msgspec.Struct, frozen=True):
    """The validators of an epoch in their order; ``since_height`` is the last block of the epoch before."""

    height: int
    epoch: int
    since_height: int
    quorum: int
    validators: list[ValidatorAnswer]
    motions: list[MotionAnswer]


class HandoversAnswer(msgspec.Struct, frozen=True):
    """How epochs ended (canonical bytes); ``next`` is the epoch to go on with where this answer is full."""

    handovers: list[bytes]
    next: int | None


class BalancesAnswer(msgspec.Struct, frozen=True):
    """What an account has, and what of it is reserved by pending transfers."""

    settlement_nano: int
    coins: int
    reserved_settlement_nano: int
    reserved_coins: int


class AccountAnswer(msgspec.Struct, frozen=True):
    """An account at a certified height; ``nonce_hint`` is the next nonce that nothing known has used.

    With proofs: ``records`` are the account and those balances on which anything was ever booked (key and value in hex,
    proof), and the certificate is its canonical bytes.
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
    """A meter's newest registers."""

    time_s: int
    import_wh: int
    export_wh: int
    pagination: int


class MeterAnswer(msgspec.Struct, frozen=True):
    """A meter; its name is its home's. With proofs: its record and its newest registers, and the certificate."""

    account: str
    home: str
    owner: str
    rating_w: int
    opening_s: int
    opening_import_wh: int
    opening_export_wh: int
    latest: RegistersAnswer
    height: int
    records: list[RecordAnswer] = []
    certificate: bytes | None = None


class MetersAnswer(msgspec.Struct, frozen=True):
    """A page of meters; ``next_after`` is the ``after`` of the next page."""

    height: int
    meters: list[MeterAnswer]
    next_after: str | None


class BillAnswer(msgspec.Struct, frozen=True):
    """A meter's settled slots of a period. ``certificate`` (canonical bytes) is None at genesis only.

    ``record`` is the meter's own, with its proof, where proofs were asked for.
    """

    meter: str
    home: str
    height: int
    lines: list[LineAnswer]
    totals: TotalsAnswer
    certificate: bytes | None
    record: RecordAnswer | None = None


class RoundAnswer(msgspec.Struct, frozen=True):
    """A round of coordination: how it stands, and the records (key and value in hex) that a proof is about."""

    first_slot_s: int
    height: int
    status: str
    round: RoundFields
    records: list[RecordAnswer]
    certificate: bytes | None


class EventAnswer(msgspec.Struct, frozen=True):
    """An event of demand response: its phase, a page of homes that had a word, and the records a proof is about."""

    first_slot_s: int
    height: int
    status: str
    event: EventFields
    homes: list[HomeFields]
    next_after: str | None
    records: list[RecordAnswer]
    certificate: bytes | None


def build_meter(
    view: MeterView,
    height: int,
    records: list[RecordAnswer] | None = None,
    certificate: bytes | None = None,
) -> MeterAnswer:
    """Return a meter as shown."""
    meter, latest = view.meter, view.latest
    return MeterAnswer(
        account=view.account.hex(),
        home=meter.home,
        owner=meter.owner.hex(),
        rating_w=meter.rating_w,
        opening_s=meter.opening_s,
        opening_import_wh=meter.opening_import_wh,
        opening_export_wh=meter.opening_export_wh,
        latest=RegistersAnswer(latest.time_s, latest.import_wh, latest.export_wh, latest.pagination),
        height=height,
        records=records or [],
        certificate=certificate,
    )


def build_account(
    view: AccountView,
    height: int,
    records: list[RecordAnswer] | None = None,
    certificate: bytes | None = None,
) -> AccountAnswer:
    """Return an account as shown; one of the system has no key and takes no calls."""
    record = view.record
    return AccountAnswer(
        account=view.account.hex(),
        name=view.name,
        role="system" if record is None else record.role,
        status="suspended" if record is not None and record.suspended else "active",
        public_key="" if record is None else record.public_key.hex(),
        nonce=0 if record is None else record.nonce,
        balances=BalancesAnswer(
            view.settlement.amount, view.coins.amount, view.settlement.reserved, view.coins.reserved
        ),
        height=height,
        nonce_hint=view.nonce_hint,
        records=records or [],
        certificate=certificate,
    )


def build_slot(slot_s: int, slot: Slot, height: int) -> dict[str, object]:
    """Return a slot as shown."""
    status = "settled" if slot.settled else "open"
    return {"slot_s": slot_s, "status": status, "height": height, **get_fields(slot)}


def build_line(line: BillLine, proof: Struct | None) -> dict[str, object]:
    """Return a line as shown: what it says, and the state's key and value that a proof is about."""
    answer = {
        "slot_s": line.slot_s,
        **get_fields(line.line),
        "key": line.key.hex(),
        "value": encode(line.line).hex(),
    }
    return answer if proof is None else {**answer, "proof": encode(proof)}


def build_block(view: BlockView, signers: list[str], proposer: str | None) -> BlockAnswer:
    """Return a block as shown."""
    header = view.header
    return BlockAnswer(
        height=header.height,
        sequence=header.sequence,
        epoch=header.epoch,
        digest=header.compute_digest().hex(),
        parent=header.parent.hex(),
        batch_digest=header.batch_digest.hex(),
        proposer=proposer,
        time_ms=header.time_ms,
        state_root=header.state_root.hex(),
        receipts_root=header.receipts_root.hex(),
        next_membership=header.next_membership.hex(),
        protocol_version=header.protocol_version,
        certified=view.certificate is not None,
        signers=signers,
        certificate=None if view.certificate is None else encode(view.certificate),
        transactions=[BlockTransaction(each.transaction_id.hex(), each.rejection) for each in view.receipts],
    )


def build_validators(
    view: ValidatorsView,
    height: int,
    addresses: Mapping[bytes, PeerAddress],
    attendance: Mapping[bytes, Record],
) -> ValidatorsAnswer:
    """Return the validators of an epoch as shown, where the ledger finds them, else where this node does."""
    current = view.electorate.current
    validators = []
    for each in current.validators:
        endpoint: Endpoint | PeerAddress | None = view.electorate.endpoints.get(each.public_key)
        if endpoint is None:
            endpoint = addresses.get(each.public_key)
        record = attendance.get(each.public_key, Record())
        heights = [view.last_signed.get(each.public_key), record.last_signed]
        validators.append(
            ValidatorAnswer(
                name=each.name,
                public_key=each.public_key.hex(),
                tls_certificate=each.tls_certificate,
                host=None if endpoint is None else endpoint.host or None,
                port=None if endpoint is None else endpoint.port or None,
                last_signed_height=max((each for each in heights if each is not None), default=None),
                signed_blocks=record.signed,
                missed_blocks=record.missed,
                marks=record.marks,
            )
        )
    motions = [
        MotionAnswer(
            method=each.method,
            name=each.name,
            public_key=each.public_key.hex(),
            host=None if each.endpoint is None else each.endpoint.host,
            port=None if each.endpoint is None else each.endpoint.port,
            voters=list(each.voters),
            missing=each.missing,
            change=each.change,
        )
        for each in view.electorate.motions
    ]
    quorum = get_quorum(len(current.validators))
    return ValidatorsAnswer(height, current.epoch, current.since_height, quorum, validators, motions)


def build_record(key: bytes, record: Struct, proof: StateProof | None) -> dict[str, object]:
    """Return a record of the state as a client checks it: key and value in hex, beside the proof."""
    shown: dict[str, object] = {"key": key.hex(), "value": encode(record).hex()}
    return shown if proof is None else shown | {"proof": encode(proof)}


def get_fields(record: Struct) -> dict[str, object]:
    """Return a record's fields by name: the core's records are arrays, people read names."""
    return {name: getattr(record, name) for name in record.__struct_fields__}
