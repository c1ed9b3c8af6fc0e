"""A street whose keys are fixed: three slots of two homes, then validators that change twice; and what it proves."""

from consensus.messages import Certificate, Handover
from meter.proof_files import (
    BalanceFile,
    BareReceipt,
    BillFile,
    ProofContent,
    ProvenLine,
    ProvenRecord,
    ReceiptFile,
    encode_receipt,
)
from primitives.encoding import encode
from primitives.ids import Digest
from tests.node.api.test_validators import add_fifth, remove_first
from tests.node.community import (
    SLOT_S,
    START_S,
    UTILITY,
    UTILITY_KEY,
    Community,
    make_meter_account,
)
from vm.contracts.energy.records import get_line_key, get_meter_key
from vm.contracts.ledger import GRID, Asset, Grant, get_balance_key
from vm.contracts.permissions import get_account_key
from vm.transaction import SealedTransaction

SLOTS = tuple(START_S + number * SLOT_S for number in range(3))
HOME, NEIGHBOUR = make_meter_account(0), make_meter_account(1)
REGISTERS = (
    ((1_000, 2_500), (4_000, 500)),
    ((1_250, 2_900), (4_000, 1_700)),
    ((3_250, 2_900), (4_100, 1_800)),
)
"""What the counters of the two homes show at the end of each slot: drawn and fed in, Wh."""


class Street:
    """The community, and what it proves at each of two heights: in the first epoch, and after two changes."""

    def __init__(self) -> None:
        town = self.town = Community()
        town.commit(town.register_meter(0), town.register_meter(1))
        self.readings: list[SealedTransaction] = []
        for number, registers in enumerate(REGISTERS, start=1):
            readings = [town.read_meter(home, number, *shown) for home, shown in enumerate(registers)]
            town.commit(*readings, after_s=number * SLOT_S + 1)
            self.readings += readings
        self.refused = town.read_meter(0, 1, 9_999, 9_999)
        self.grant = town.sign(UTILITY_KEY, UTILITY, "ledger", "grant", Grant(HOME, Asset.COIN, 25))
        town.execute(self.refused, after_s=3 * SLOT_S + 2)  # certified by the next block only
        town.commit(self.grant, after_s=3 * SLOT_S + 3)

    def change_validators(self) -> None:
        """Let a fifth validator in and the first go: two epochs later, another member of the first ones signs."""
        add_fifth(self.town)
        remove_first(self.town)
        self.later = self.town.grant()
        self.town.commit(self.later, after_s=3 * SLOT_S + 4)

    def build_receipt(self, transaction: SealedTransaction) -> ReceiptFile:
        bare = self.build_bare_receipt(transaction)
        return ReceiptFile(transaction.raw, bare.proof, bare.certificate, bare.handovers)

    def build_bare_receipt(self, transaction: SealedTransaction) -> BareReceipt:
        queries = self.town.queries
        committed = queries.find_transaction(Digest(transaction.id))
        assert committed is not None
        proven = queries.prove_receipt(committed)
        assert proven is not None
        return BareReceipt(proven.proof, proven.certificate, self._handovers(proven.certificate))

    def build_balance(self, account: bytes = HOME) -> BalanceFile:
        return BalanceFile(
            account,
            self._prove(get_account_key(account)),
            self._prove(get_balance_key(account, Asset.SETTLEMENT)),
            self._prove(get_balance_key(account, Asset.COIN)),
            self.certificate,
            self._handovers(self.certificate),
        )

    def build_bill(self, meter: bytes = HOME, slots: tuple[int, ...] = SLOTS) -> BillFile:
        lines = [(slot_s, self._prove(get_line_key(meter, slot_s))) for slot_s in slots]
        record = self._prove(get_meter_key(meter))
        assert record is not None
        return BillFile(
            meter,
            record,
            tuple(ProvenLine(slot_s, line) for slot_s, line in lines if line is not None),
            self.certificate,
            self._handovers(self.certificate),
        )

    @property
    def certificate(self) -> Certificate:
        return self.town.chain.certificates[self.town.queries.certified_height]

    def _handovers(self, certificate: Certificate) -> tuple[Handover, ...]:
        return tuple(self.town.chain.handovers[: certificate.header.epoch])

    def _prove(self, key: bytes) -> ProvenRecord | None:
        with self.town.queries.open() as pinned:
            value = pinned.state.get(key)
            return None if value is None else ProvenRecord(value, pinned.prove(key))


def build_good(street: Street) -> dict[str, ProofContent]:
    """Return what proves something, by name; the street's validators have changed twice afterwards."""
    good: dict[str, ProofContent] = {
        "receipt": street.build_receipt(street.readings[0]),
        "receipt-of-a-refusal": street.build_receipt(street.refused),
        "receipt-of-a-grant": street.build_receipt(street.grant),
        "receipt-without-transaction": street.build_bare_receipt(street.readings[1]),
        "balance": street.build_balance(),
        "balance-of-the-grid": street.build_balance(GRID),
        "bill": street.build_bill(),
        "bill-with-a-slot-not-shown": street.build_bill(NEIGHBOUR, (SLOTS[0], SLOTS[2])),
    }
    street.change_validators()
    return good | {
        "receipt-after-two-changes": street.build_receipt(street.later),
        "receipt-without-transaction-after-two-changes": street.build_bare_receipt(street.later),
        "balance-after-two-changes": street.build_balance(),
        "bill-after-two-changes": street.build_bill(),
    }


def encode_proof(content: ProofContent) -> bytes:
    """Return the bytes of a proof file of any kind."""
    return encode_receipt(content) if isinstance(content, ReceiptFile | BareReceipt) else encode(content)
