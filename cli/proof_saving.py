"""Keeping what validators prove: a bill, a balance or a receipt made into a file that needs none of them any more."""

from pathlib import Path

from cli.drafts import open_whole
from cli.failure import CliError, build_usage_error
from consensus.messages import Handover
from meter.answers import AccountAnswer, BillAnswer, RecordAnswer
from meter.proof_files import (
    PROOF_FILE_BYTES_MAX,
    BalanceFile,
    BillFile,
    ProofContent,
    ProvenLine,
    ProvenRecord,
)
from meter.proofs import read_certificate, read_state_proof
from meter.verification import Problem, Verified, Verifier
from primitives.encoding import DecodeError, encode
from primitives.text import to_line
from vm.contracts.energy.records import get_line_slot
from vm.contracts.ledger import Asset, get_balance_key
from vm.contracts.permissions import get_account_key
from vm.genesis import Genesis

PROOF_MISSING = "the validator gave no proof of it; ask another one with --node"


def build_bill_file(answer: BillAnswer, handovers: tuple[Handover, ...]) -> BillFile:
    """Return the file of a bill that was answered with its proofs; ``handovers`` lead to the certificate's epoch.

    Raises:
        CliError: a part of the answer is missing or cannot be read.

    """
    try:
        meter = bytes.fromhex(answer.meter)
        slots_s = [get_line_slot(bytes.fromhex(entry.key)) for entry in answer.lines]
        certificate = read_certificate(answer.certificate or b"")
    except (ValueError, DecodeError):
        raise CliError(PROOF_MISSING) from None
    lines = zip(slots_s, (_build_record(entry.value, entry.proof) for entry in answer.lines), strict=True)
    return BillFile(
        meter=meter,
        record=_build_shown(answer.record),
        lines=tuple(ProvenLine(slot_s, line) for slot_s, line in sorted(lines, key=lambda each: each[0])),
        certificate=certificate,
        handovers=handovers[: certificate.header.epoch],
    )


def build_balance_file(answer: AccountAnswer, handovers: tuple[Handover, ...]) -> BalanceFile:
    """Return the file of an account's balances that were answered with their proofs.

    Raises:
        CliError: a part of the answer is missing or cannot be read, or nothing was ever booked.

    """
    try:
        account = bytes.fromhex(answer.account)
        certificate = read_certificate(answer.certificate or b"")
    except (ValueError, DecodeError):
        raise CliError(PROOF_MISSING) from None
    records = {record.key: _build_shown(record) for record in answer.records}
    settlement, coins = (records.get(get_balance_key(account, asset).hex()) for asset in Asset)
    if settlement is None and coins is None:
        raise CliError(f"nothing was ever booked on {to_line(answer.name)}: of nothing there is no proof")
    return BalanceFile(
        account=account,
        record=records.get(get_account_key(account).hex()),
        settlement=settlement,
        coins=coins,
        certificate=certificate,
        handovers=handovers[: certificate.header.epoch],
    )


def check_proof(content: ProofContent, genesis: Genesis) -> tuple[bytes, Verified]:
    """Return the bytes of a file, and what they prove, as everybody will find it who holds the genesis.

    Raises:
        CliError: they prove nothing.

    """
    data = encode(content)
    found = Verifier(genesis).verify(data)
    if isinstance(found, Problem):
        raise CliError(f"it proves nothing: {found.name}: {found.detail}; ask another validator with --node")
    return data, found


def read_file(path: Path) -> bytes:
    """Return a proof file's bytes; of one that is longer than any, only its beginning, which proves nothing.

    Raises:
        CliError: usage; it cannot be read.

    """
    try:
        with path.open("rb") as file:
            return file.read(PROOF_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise build_usage_error(f"{path}: {error.strerror}") from None


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet, whole or not at all.

    Raises:
        CliError: it does, or the file system refused.

    """
    with open_whole(path) as file:
        file.write(content)


def _build_shown(record: RecordAnswer | None) -> ProvenRecord:
    if record is None:
        raise CliError(PROOF_MISSING)
    return _build_record(record.value, record.proof)


def _build_record(value: str, proof: bytes | None) -> ProvenRecord:
    try:
        return ProvenRecord(bytes.fromhex(value), read_state_proof(proof or b""))
    except (ValueError, DecodeError):
        raise CliError(PROOF_MISSING) from None
