"""From a reading to a signed transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from meter.reading import Reading, compute_pagination
from meter.spool import Spool, SpoolEntry, SpoolRequest
from primitives.encoding import encode
from primitives.ids import AccountId, Digest, Height, Nonce, UnixSeconds
from primitives.signing import SecretKey
from vm.contracts.energy.calls import SubmitReading
from vm.transaction import Call, SealedTransaction, sign_transaction

HORIZON_BLOCKS = 1000
"""A transaction may wait for that many blocks: minutes on a busy chain, 8 hours of heartbeats on an idle one."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An account's key on one chain. Nonces come from the spool, heights from verified certificates."""

    key: SecretKey
    account: AccountId
    genesis_hash: Digest
    horizon_blocks: int = HORIZON_BLOCKS

    def sign(self, call: Call, nonce: Nonce, known_height: Height) -> SealedTransaction:
        """Return the transaction of ``call``, valid for the horizon from ``known_height`` on."""
        valid_until = Height(known_height + self.horizon_blocks)
        return sign_transaction(self.key, self.genesis_hash, self.account, nonce, valid_until, call)

    def renew(self, expired: SealedTransaction, known_height: Height) -> SealedTransaction:
        """Return the same call under the same nonce with a new end: of the two, at most one is ever applied."""
        transaction = expired.transaction
        return self.sign(transaction.call, Nonce(transaction.nonce), known_height)


@dataclass(frozen=True, slots=True)
class MeterClock:
    """From when on a meter's readings are numbered, and in which steps (seconds)."""

    opening_s: UnixSeconds
    slot_s: int


def build_reading_call(reading: Reading, clock: MeterClock) -> Call:
    """Return the call that submits a reading to the energy contract."""
    pagination = compute_pagination(reading.time_s, clock.opening_s, clock.slot_s)
    arguments = SubmitReading(
        reading.time_s, reading.import_wh, reading.export_wh, reading.status.value, pagination
    )
    return Call("energy", "submit_reading", encode(arguments))


def get_reading_subject(reading: Reading) -> str:
    """Return the name under which a spool recognises the same reading when it is given twice."""
    return f"reading {reading.time_s} {reading.import_wh} {reading.export_wh} {reading.status.value}"


def spool_readings(
    spool: Spool, signer: Signer, clock: MeterClock, readings: Sequence[Reading], known_height: Height
) -> list[SpoolEntry]:
    """Sign readings and store them, all or none; one that is stored already keeps its transaction.

    Raises:
        SpoolError: no room, or the disk failed; nothing was stored.

    """

    def build_request(reading: Reading) -> SpoolRequest:
        call = build_reading_call(reading, clock)
        return SpoolRequest(
            signer.account, get_reading_subject(reading), lambda nonce: signer.sign(call, nonce, known_height)
        )

    return spool.add_many([build_request(reading) for reading in readings])
