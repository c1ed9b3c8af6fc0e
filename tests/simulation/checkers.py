"""The outside checkers: what leaves a machine, what its disk holds, what it executed. They know nothing of the insides.

I1 one block per height · I2 no gaps · I3 nobody contradicts itself, or votes in a view it left · I4 energy and money
sum to zero, nothing negative that must not be · I5 applied at most once, and only what its account signed · I6 what is
certified is durable on a quorum · I7 equal roots · and a vote that leaves is on its sender's medium, block time is
nobody's invention, time-outs double from the last progress up to their cap.
"""

from typing import TYPE_CHECKING

from consensus.effects import Deliver, TimerName
from consensus.membership import Membership
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Inquiry,
    NewView,
    Prepare,
    PrePrepare,
    Status,
    Testimony,
    ViewChange,
)
from node.storage import keys
from node.storage.chain import ChainStore
from node.storage.integrity import check_everything
from node.storage.store import StoreCorrupt
from primitives.batch import NULL_DIGEST
from primitives.encoding import decode, encode
from primitives.header import BlockHeader
from primitives.ids import Digest
from primitives.quorum import get_fault_tolerance, get_quorum
from tests.simulation.disk import JOURNAL
from vm.contracts.ledger import BALANCE_PREFIX, Asset, Balance
from vm.executor import BlockResult
from vm.genesis import SYSTEM_ACCOUNTS, ConsensusParameters
from vm.transaction import decode_transaction, is_transaction_signed

if TYPE_CHECKING:
    from tests.simulation.world import Machine

Position = tuple[str | int, ...]


class ViolationError(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, machine: int, time_ms: int, text: str) -> None:
        super().__init__(f"{invariant} at v{machine}, {time_ms} ms: {text}")
        self.invariant = invariant
        self.machine = machine
        self.time_ms = time_ms
        self.text = text


def get_position(envelope: Envelope) -> tuple[Position, bytes] | None:
    """Return what a correct replica says once, and what it said; None for what it may say anew."""
    message = envelope.message
    match message:
        case PrePrepare(proposal=proposal):
            return ("pre_prepare", proposal.epoch, proposal.view, proposal.sequence), proposal.digest
        case Prepare():
            return ("prepare", message.epoch, message.view, message.sequence), message.digest
        case Commit():
            return ("commit", message.epoch, message.view, message.sequence), message.digest
        case Checkpoint(header=header):
            return ("checkpoint", header.height), header.compute_digest()
        case ViewChange():
            return ("view_change", message.epoch, message.view), envelope.signature
        case NewView():
            return ("new_view", message.epoch, message.view), envelope.signature
        case Complaint() | Status() | Inquiry() | Testimony():
            return None


def get_evidence(envelope: Envelope) -> bytes:
    """Return bytes that the sender's journal must hold before the message leaves; empty for what needs nothing."""
    message = envelope.message
    match message:
        case PrePrepare(proposal=proposal):
            return encode(proposal)
        case Checkpoint(header=header):
            return header.compute_digest()
        case Prepare() | Commit() | ViewChange() | NewView():
            return envelope.signature
        case Complaint() | Status() | Inquiry() | Testimony():
            return b""


class Checker:
    """What was said, executed and certified in one run, by correct machines."""

    def __init__(self, membership: Membership, genesis_hash: Digest) -> None:
        self.now_ms = 0
        self.chain: dict[int, BlockHeader] = {}
        self.certified: dict[int, Certificate] = {}
        self.applied: dict[bytes, int] = {}
        self.transactions = 0
        self._genesis_hash = genesis_hash
        self.latest_wall_ms = 0
        """The latest time that any correct machine's clock has shown."""
        self.memberships = {int(membership.epoch): membership}
        """Of every epoch that began."""
        self._said: dict[tuple[bytes, Position], bytes] = {}
        self._left: dict[tuple[bytes, int], int] = {}
        self._signed_height: dict[int, int] = {}
        self._durable: list[set[bytes]] = []
        self._nonces: dict[tuple[bytes, int], bytes] = {}

    def check_said(self, machine: "Machine", envelope: Envelope) -> None:
        """Refuse what excludes an earlier message of a correct replica, or left before it was on its medium."""
        if not machine.is_correct or envelope.sender != machine.key.public:
            return
        position = get_position(envelope)
        if position is None:
            return
        first = self._said.get((envelope.sender, position[0]))
        if first is None:
            self._said[envelope.sender, position[0]] = position[1]
            self._check_view(machine, envelope)
        elif first != position[1]:
            self._refuse("I3", machine, f"two messages of one replica for {position[0]}")
        evidence = get_evidence(envelope)
        if evidence and not self._is_durable(machine, evidence):
            self._refuse("persist", machine, f"{position[0]} left before it was durable")
        if isinstance(envelope.message, Checkpoint):
            self._check_block_durable(machine, envelope.message.header)

    def check_new_view(self, machine: "Machine", envelope: Envelope) -> None:
        """Refuse a view entered without a quorum's proof, or with other proposals than follow from it."""
        message = envelope.message
        membership = self.memberships.get(getattr(message, "epoch", -1))
        if not machine.is_correct or not isinstance(message, NewView) or membership is None:
            return
        changes = [entry.view_change for entry in message.view_changes]
        if len({entry.sender for entry in message.view_changes}) < get_quorum(len(membership.validators)):
            self._refuse("new-view", machine, f"entered view {message.view} without a quorum of view changes")
        if any(change.view != message.view for change in changes):
            self._refuse("new-view", machine, f"entered view {message.view} by view changes for another")
        low = max(
            membership.start_sequence if change.stable is None else change.stable.header.sequence
            for change in changes
        )
        prepared: dict[int, tuple[int, bytes]] = {}
        for change in changes:
            for certificate in change.prepared:
                place, each = certificate.proposal.sequence, certificate.proposal
                if place > low:
                    prepared[place] = max(prepared.get(place, (-1, b"")), (each.view, each.digest))
        proposed = {entry.proposal.sequence: entry.proposal.digest for entry in message.proposals}
        high = max(prepared, default=low)
        wanted = {place: prepared.get(place, (0, NULL_DIGEST))[1] for place in range(low + 1, high + 1)}
        if proposed != wanted:
            self._refuse(
                "new-view", machine, f"view {message.view} re-proposes something else than was prepared"
            )

    def check_timer(
        self, machine: "Machine", name: str, delay_ms: int, parameters: ConsensusParameters
    ) -> None:
        """Refuse a view time-out beyond its cap, or one that remembers attempts from before the last progress."""
        if not machine.is_correct or name not in (TimerName.PROGRESS, TimerName.VIEW_CHANGE):
            return
        doublings = max(machine.attempts - 1, 0)
        allowed = min(parameters.view_timeout_ms << doublings, parameters.view_timeout_max_ms)
        if delay_ms > max(allowed, parameters.resend_ms):
            self._refuse("timer", machine, f"{name} runs for {delay_ms} ms in attempt {machine.attempts}")

    def check_block(
        self, machine: "Machine", parent: BlockHeader, deliver: Deliver, result: BlockResult
    ) -> None:
        """Refuse an executed block that does not follow its parent, or differs from another replica's."""
        if not machine.is_correct:
            return
        header = result.header
        if header.height != parent.height + 1 or header.parent != parent.compute_digest():
            self._refuse("I2", machine, f"height {header.height} does not follow {parent.height}")
        if header.sequence <= parent.sequence:
            self._refuse("I2", machine, f"sequence {header.sequence} was executed again")
        known = self.chain.get(header.height)
        if known is None:
            self.chain[header.height] = header
            if header.time_ms > self.latest_wall_ms + machine.drift_ms:
                self._refuse("time", machine, f"block {header.height} is dated ahead of every clock")
            self._check_effects(machine, deliver, result)
        elif known != header:
            which = "I7" if known.batch_digest == header.batch_digest else "I1"
            self._refuse(which, machine, f"two blocks at height {header.height}")

    def check_certificate(
        self, machine: "Machine", certificate: Certificate, machines: "list[Machine]"
    ) -> None:
        """Refuse a certificate of another block than the one executed, or one whose block a crash could take."""
        if not machine.is_correct:
            return
        header = certificate.header
        known = self.chain.get(header.height)
        if known is not None and known != header:
            self._refuse("I1", machine, f"height {header.height} was certified with another header")
        if header.height not in self.certified:
            self.certified[header.height] = certificate
            self._check_quorum_durable(header, machines)

    def check_recovered(self, machine: "Machine", height: int) -> None:
        """Refuse a recovery that forgot a block whose header this machine had signed."""
        signed = self._signed_height.get(machine.index, 0)
        if machine.is_correct and not machine.is_damaged and height < signed:
            self._refuse("I6", machine, f"signed height {signed}, recovered to {height}")

    def check_snapshot(self, machine: "Machine", chain: ChainStore) -> None:
        """Refuse an installed state that is not the one of a block that was agreed on."""
        header = chain.get_latest_header()
        if self.chain.get(header.height) != header:
            self._refuse("I7", machine, f"installed a snapshot of another block {header.height}")
        try:
            check_everything(chain)
        except StoreCorrupt as error:
            self._refuse("I7", machine, f"installed a snapshot that is not whole: {error}")

    def check_all_durable(self, machines: "list[Machine]") -> None:
        """Refuse when the latest certified block is not on a quorum of media."""
        if self.certified:
            self._check_quorum_durable(self.certified[max(self.certified)].header, machines)

    def _check_view(self, machine: "Machine", envelope: Envelope) -> None:
        """Refuse a new vote in a view that its sender has left."""
        message = envelope.message
        if not isinstance(message, ViewChange | Prepare | Commit):
            return
        left = self._left.get((envelope.sender, message.epoch), 0)
        if isinstance(message, ViewChange):
            self._left[envelope.sender, message.epoch] = max(left, message.view)
        elif message.view < left:
            self._refuse("I3", machine, f"voted in view {message.view} after it had left it")

    def _is_durable(self, machine: "Machine", evidence: bytes) -> bool:
        while len(self._durable) <= machine.index:
            self._durable.append(set())
        known = self._durable[machine.index]
        files = machine.disk.files
        is_recent = any(evidence in synced for synced in reversed(files.recently_synced))
        if evidence in known or is_recent or evidence in files.get_durable(JOURNAL):
            known.add(evidence)
            return True
        return False

    def _check_block_durable(self, machine: "Machine", header: BlockHeader) -> None:
        self._signed_height[machine.index] = max(self._signed_height.get(machine.index, 0), header.height)
        if machine.is_damaged:
            return
        stored = machine.disk.store.get_durable(keys.build_number_key(keys.HEADER, header.height))
        if stored != encode(header):
            self._refuse("I6", machine, f"signed height {header.height} before its block was durable")

    def _check_quorum_durable(self, header: BlockHeader, machines: "list[Machine]") -> None:
        key, value = keys.build_number_key(keys.HEADER, header.height), encode(header)
        membership = self.memberships[header.epoch]
        members = [machine for machine in machines if machine.key.public in membership.replica_set]
        holders = {
            machine.key.public
            for machine in members
            if machine.is_correct
            and not machine.is_damaged
            and (
                machine.disk.store.get_durable(key) == value
                or header.height <= int.from_bytes(machine.disk.store.get_durable(keys.PRUNED) or b"", "big")
            )
        }
        faulty = {m.key.public for m in members if not m.is_correct or m.is_damaged}
        allowed = min(len(faulty), get_fault_tolerance(len(membership.replicas)))
        if len(holders) < membership.quorum - allowed:
            self._refuse(
                "I6", machines[0], f"height {header.height} is durable on {len(holders)} machines only"
            )

    def _check_effects(self, machine: "Machine", deliver: Deliver, result: BlockResult) -> None:
        """Look at a height's effects once, where it is executed first."""
        if len(result.receipts) != len(deliver.batch.transactions):
            self._refuse("I5", machine, "not one receipt for each transaction")
        for raw, receipt in zip(deliver.batch.transactions, result.receipts, strict=True):
            if not receipt.consumed:
                continue
            if receipt.transaction_id in self.applied:
                self._refuse("I5", machine, "a transaction was applied twice")
            self.applied[receipt.transaction_id] = result.header.height
            self.transactions += 1
            sealed = decode_transaction(raw)
            transaction = sealed.transaction
            if not is_transaction_signed(sealed, self._genesis_hash):
                self._refuse("I5", machine, "a transaction was applied that its account never signed")
            use = (transaction.account, transaction.nonce)
            if self._nonces.setdefault(use, receipt.transaction_id) != receipt.transaction_id:
                self._refuse("I5", machine, f"nonce {transaction.nonce} was used twice")
        self._check_sums(machine)

    def _check_sums(self, machine: "Machine") -> None:
        """I4: each asset sums to zero, and only settlement accounts and the ledger's own are negative."""
        chain = machine.get_chain()
        for asset in Asset:
            total = 0
            for key, value in chain.iterate(BALANCE_PREFIX + bytes([asset])):
                balance = decode(value, Balance)
                total += balance.amount
                is_member = key[3:] not in SYSTEM_ACCOUNTS.values()
                if asset is not Asset.SETTLEMENT and is_member and balance.amount < balance.reserved:
                    self._refuse("I4", machine, f"account {key[3:].hex()} has {balance.amount} {asset.name}")
            if total:
                self._refuse("I4", machine, f"{asset.name} sums to {total}")

    def _refuse(self, invariant: str, machine: "Machine", text: str) -> None:
        raise ViolationError(invariant, machine.index, self.now_ms, text)
