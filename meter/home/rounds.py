"""What a home reads of a round, proven: it answers nobody's prices but the contract's.

A validator shows records of the state with their proofs; what does not stand under a state root that a quorum signed
is not believed, and the next validator is asked.
"""

from dataclasses import dataclass
from typing import TypeVar

from meter.answers import AnswerError, RecordAnswer, RoundAnswer
from meter.client import Client
from meter.proofs import TrustAnchor, check_state_value, read_certificate, read_state_proof
from primitives.encoding import DecodeError, Struct, decode
from vm.contracts.energy.coordination.records import (
    Agreement,
    Exchange,
    Member,
    Round,
    Row,
    get_agreement_key,
    get_exchange_key,
    get_member_key,
    get_round_key,
    get_row_key,
)

R = TypeVar("R", bound=Struct)


@dataclass(frozen=True)
class RoundView:
    """A round at a height as a home sees it; what does not exist then is None."""

    height: int
    round: Round
    member: Member | None
    row: Row | None
    exchange: Exchange | None
    agreement: Agreement | None


async def read_round(client: Client, first_slot_s: int, meter: bytes) -> RoundView:
    """Return a round and what concerns a home in it, everything proven at one height.

    Raises:
        ClientError: no validator shows it, or none proves it.

    """
    return await client.ask_proven(
        f"/v1/rounds/{first_slot_s}",
        RoundAnswer,
        {"meter": meter.hex(), "proof": "1"},
        lambda answer, anchor: check_round(answer, anchor, first_slot_s, meter),
    )


def check_round(answer: RoundAnswer, anchor: TrustAnchor, first_slot_s: int, meter: bytes) -> RoundView:
    """Return the round that an answer proves.

    Raises:
        AnswerError: a record without a sound proof, or none of the round itself.

    """
    if answer.certificate is None:
        raise AnswerError("the round comes without a certificate")
    values: dict[bytes, bytes] = {}
    for entry in answer.records:
        key, value = _check_record(entry, answer.certificate, anchor)
        values[key] = value
    found = _read(values, get_round_key(first_slot_s), Round)
    if found is None:
        raise AnswerError("the round itself is not shown")
    return RoundView(
        answer.height,
        found,
        _read(values, get_member_key(first_slot_s, meter), Member),
        _read(values, get_row_key(first_slot_s, meter), Row),
        _read(values, get_exchange_key(first_slot_s), Exchange),
        _read(values, get_agreement_key(first_slot_s, meter), Agreement),
    )


def _check_record(entry: RecordAnswer, certificate: bytes, anchor: TrustAnchor) -> tuple[bytes, bytes]:
    if entry.proof is None:
        raise AnswerError("a record comes without a proof")
    try:
        key, value = bytes.fromhex(entry.key), bytes.fromhex(entry.value)
        signed = read_certificate(certificate)
        problem = check_state_value(anchor, key, value, read_state_proof(entry.proof), signed)
    except (DecodeError, ValueError) as error:
        raise AnswerError(f"a record cannot be read: {error}") from None
    if problem is not None:
        raise AnswerError(problem)
    return key, value


def _read(values: dict[bytes, bytes], key: bytes, kind: type[R]) -> R | None:
    value = values.get(key)
    if value is None:
        return None
    try:
        return decode(value, kind)
    except DecodeError as error:
        raise AnswerError(f"a record cannot be read: {error}") from None
